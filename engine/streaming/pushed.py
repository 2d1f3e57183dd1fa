"""The source of a stream: it has series, and nothing to read, since readings are pushed."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gapcast.engine import plugin
from gapcast.engine.forecaster import Series
from gapcast.engine.readings import DEAD_LETTERS, READINGS, empty
from gapcast.engine.source import Position, Read, Source

PARTITION = "pushed"
TYPE = f"{__name__}:Pushed"
"""How a config names it."""


class Pushed(Source):
    """One partition, whose readings somebody else brings.

    series: those that were named, or seen first. joining: whether others may come.
    """

    class Params(plugin.Params):
        series: list[tuple[str, str]]
        joining: bool = False

    params: Params

    @property
    def live(self) -> bool:
        """See `Source.live`."""
        return self.params.joining

    def open(self, quantities: Collection[str] | None) -> None:
        """Nothing to open."""

    def partitions(self) -> list[str]:
        """See `Source.partitions`."""
        return [PARTITION]

    def discover(self) -> Iterable[Series]:
        """The series that were named, or seen first."""
        return [Series(*of) for of in self.params.series]

    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """Nothing more."""
        return Read(empty(READINGS), empty(DEAD_LETTERS), position or {}, ended=True)
