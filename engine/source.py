"""The contract of a source: partitions of readings, read from positions the engine keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.plugin import Plugin

Position = dict[str, Any]
"""Where to read on within a partition: opaque, of JSON values, meaningful to its source only."""


@dataclass(frozen=True)
class Read:
    """What one call of `Source.read` brought.

    readings: schema `READINGS`, in arrival order.
    dead_letters: schema `DEAD_LETTERS`, records that could not be made readings; each costs only
    itself.
    position: where the next call reads on.
    ended: nothing will ever follow in this partition (a file's end; never a topic's).
    """

    readings: pa.RecordBatch
    dead_letters: pa.RecordBatch
    position: Position
    ended: bool = False


class Change(NamedTuple):
    """What became of a partition since it was read to its end.

    how: in words after its name, such as ``has grown``. more: whether reading on from there would
    bring something, if only an error.
    """

    partition: str
    how: str
    more: bool


@dataclass(frozen=True)
class Proposal:
    """What a config would say of a source, found by looking at some of its records.

    source: its section. quantities, sensors: seen, in order. interval: microseconds by which
    readings of a series usually follow each other, None: not seen. discovers: whether a run finds
    the sensors itself. unsure: what may be otherwise, by key of `source`. facts: what was seen, in
    words by what it is.
    """

    source: Mapping[str, Any]
    quantities: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    interval: int | None = None
    discovers: bool = False
    unsure: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


class Source(Plugin):
    """Readings in one or more partitions, each an ordered sequence that can be read again.

    When you are called: `open` first, then `partitions`, perhaps `discover`, then `read` as often
    as the engine has room, on any partition in any order, one call at a time on each partition
    (calls on different partitions may come from different threads). `close` may never be called.

    Positions are owned by the engine: a source keeps none of its own beyond caches. The same
    position always leads to the same records, and how records are cut into calls never changes
    which readings they give.

    Raise `SourceError` when nothing can be read (file gone, broker unreachable after your own
    retries): the run stops with it. A record that cannot be understood is no error: return it in
    `Read.dead_letters`. Times beyond what int64 microseconds hold, or values that are not numbers,
    are such records; a NaN is a reading whose value is null.
    """

    def look(self, quantities: Collection[str], targets: Collection[str]) -> Mapping[str, str]:
        """What a run that wants these `quantities`, to forecast the `targets` among them, would
        understand of the source, in words by what it is, found at a first look: a few files at
        most, and no network.

        ``gapcast check`` calls it instead of `open`. Raise `SourceError` where the run would.
        Default: nothing is looked at.
        """
        return {}

    @classmethod
    def propose(cls, host: str, topic: str, seconds: float) -> Proposal:
        """What a config would say of ``NAME://HOST/TOPIC``, where NAME is what the source is
        registered as, for ``gapcast init``.

        host: perhaps with a port. Looks for about `seconds` at a bounded number of records, and
        stores nothing. Raise `SourceError` when nothing answers. Default: SourceError.
        """
        raise SourceError(f"{cls.__name__} cannot be looked at by an address; write its config")

    resumable: ClassVar[frozenset[str]] = frozenset()
    """Parameters that may be others when a run is resumed, such as addresses, credentials, speeds:
    a position leads to the same records whatever they are."""

    @property
    def live(self) -> bool:
        """Whether readings come as they are made, so that forecasts must not wait for others to be
        delivered with. Default: no."""
        return False

    @abstractmethod
    def open(self, quantities: Collection[str] | None) -> None:
        """Get ready to read. Only `quantities` are wanted (``None``: all): leave out the rest."""

    @abstractmethod
    def partitions(self) -> list[str]:
        """Names of the partitions, in a fixed order.

        A live source may have more when it is asked again, which the engine does between calls of
        `read`: after those it gave before. They count from the moment they are seen, and a
        partition that was there when the run began is always read.
        """

    @abstractmethod
    def discover(self) -> Iterable[Series]:
        """The series found in the source as it stands now, each once, in any order.

        May read everything once, so the engine asks only when the config does not name the
        sensors. Raise `SourceError` when the source cannot know (a live topic).
        """

    @abstractmethod
    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """Read on from `position` (``None``: the beginning), about `limit` readings at most.

        Returns soon: a live source with nothing to give waits a fraction of a second at most
        and answers with no rows.
        """

    def checkpointed(self, positions: Mapping[str, Position]) -> None:
        """A checkpoint with these positions is durable: nothing before them is read again.

        For telling others how far the job is, and for removing what a source has stored itself; it
        never goes on from what it notes here.
        Called from a thread of the engine's, also while others read; must return at once. Default:
        does nothing.
        """

    def changed(self, positions: Mapping[str, Position]) -> list[Change]:
        """What of the partitions that ended at these positions is not as it was when it was read,
        and which partitions have come since.

        A run tells it at its end, and goes on from there when it is resumed. Called between calls
        of `read`. Default: nothing changes.
        """
        return []

    def close(self) -> None:
        """Let go of files and connections. Default: nothing to let go of."""
