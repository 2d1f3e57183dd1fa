"""``intel-lab``: the real log of the Intel lab network if it is there, else a simulated one."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from gapcast.engine.data.simulate import Simulation, simulate
from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.network.series import read_positions
from gapcast.engine.plugin import Params
from gapcast.engine.source import Change, Position, Read, Source
from gapcast.plugins.sources.files import File, find
from gapcast.plugins.sources.replay import ReplaySource
from gapcast.plugins.sources.text.names import gather
from gapcast.plugins.sources.text.split import NEWLINE, fields
from gapcast.plugins.sources.text.times import NONE, iso

log = logging.getLogger("gapcast")


class Simulated(Params):
    """What to simulate when the real log is not there."""

    motes: int = Field(default=54, ge=1, description="Number of motes.")
    days: int = Field(default=9, ge=1, description="Days from 2004-02-28 on.")
    seed: int = Field(default=1, ge=0, description="The same seed gives the same readings.")


class IntelLabParams(Params):
    """Parameters of the source ``intel-lab``."""

    path: Path = Field(
        default=Path("data/intel-lab.txt"),
        description="The real log, plain or as .gz; `gapcast data fetch intel-lab` puts it there.",
    )
    simulate: Simulated | None = Field(
        default=None, description="What to read instead if it is not there. Default: an error."
    )


class IntelLabSource(Source):
    """Replays the log in order of time; the file itself is not in that order.

    The copy in order is made once, beside the log (``-by-time``), a simulated log in the folder
    ``simulated`` beside it, with the motes where ``mote_locs.txt`` there says.
    """

    Params = IntelLabParams

    params: IntelLabParams

    def open(self, quantities: Collection[str] | None) -> None:
        """See `Source.open`. Raises SourceError when the log is neither there nor simulated."""
        path = self._real() or self._simulated()
        self._replay = ReplaySource(ReplaySource.Params(path=str(path), format="intel-lab"))
        self._replay.open(quantities)

    def partitions(self) -> list[str]:
        """See `Source.partitions`."""
        return self._replay.partitions()

    def discover(self) -> Iterable[Series]:
        """See `Source.discover`."""
        return self._replay.discover()

    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """See `Source.read`."""
        return self._replay.read(partition, position, limit)

    def changed(self, positions: Mapping[str, Position]) -> list[Change]:
        """See `Source.changed`."""
        return self._replay.changed(positions)

    def close(self) -> None:
        """See `Source.close`."""
        self._replay.close()

    def _real(self) -> Path | None:
        plain = self.params.path
        there = [p for p in (plain, plain.with_name(plain.name + ".gz")) if p.exists()]
        if not there:
            return None
        ordered = plain.with_name(plain.name.split(".")[0] + "-by-time.txt")
        if not ordered.exists() or ordered.stat().st_mtime < there[0].stat().st_mtime:
            (file,) = find([str(there[0])])
            _in_order(file, ordered)
        return ordered

    def _simulated(self) -> Path:
        path, made = self.params.path, self.params.simulate
        fetch = f"gapcast data fetch intel-lab --out {path.parent}"
        if made is None:
            raise SourceError(
                f"{path}: no such file; get it with `{fetch}`, or have one simulated with "
                "`simulate: {motes: 54, days: 9, seed: 1}`"
            )
        name = f"intel-lab-{made.motes}-motes-{made.days}-days-seed-{made.seed}.txt"
        out = path.parent / "simulated" / name
        log.warning(
            "%s is not there: reading %s, simulated; for the real one: %s", path, out, fetch
        )
        if not out.exists():
            known = path.with_name("mote_locs.txt")
            positions = list(read_positions(known).values()) if known.exists() else []
            what = Simulation(
                motes=made.motes,
                days=made.days,
                seed=made.seed,
                positions=np.array(positions) if positions else None,
            )
            simulate(what, out)
        return out


def _in_order(file: File, out: Path) -> None:
    """Write the lines of `file` to `out`, by time; one without stays after the line before it.

    Holds all of the file in memory. `out` is either whole or not there.
    """
    with file.stream() as stream:
        try:
            text = np.frombuffer(stream.read() + b"\n", np.uint8)
        except OSError as error:
            raise file.unreadable(error) from error
    text = text[: len(text) - (len(text) > 1 and text[-2] == NEWLINE)]
    split = fields(text, " ", [0, 1])
    times, kinds = iso()(text, split.starts[:, 0].copy(), split.ends[:, 1].copy())
    last = np.maximum.accumulate(np.where(kinds != NONE, np.arange(len(kinds)), 0))
    order = np.argsort(times[last], kind="stable")
    lines = gather(
        text, split.lines[order].astype(np.int32), split.lines[order + 1].astype(np.int32)
    )
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    part.write_bytes(lines.buffers()[2] or b"")
    os.replace(part, out)
