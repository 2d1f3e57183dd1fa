"""What a checkpoint holds of a run, by its parts: taken together here, and here taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gapcast.engine.checkpoint.format import Snapshot
from gapcast.engine.source import Position
from gapcast.engine.state import Arrays, Parcel, within


@dataclass(frozen=True)
class Contents:
    """All that a run goes on from, as it stands between two turns of the source.

    job: what it must agree with (see `describe`). positions: where each of the grid's partitions
    has been read to. grid: its snapshot. shards: the joined snapshots of all shards. withheld: the
    frames of a span in progress. series: names of the network's (see `names`). layouts: of each
    model, arrays of `Layout`, where the network has grown. epoch, rows: how many were delivered.
    scores: what the score files go on from. dead_letters: how many files of them there are; unused:
    what is in them. silence: when there was nothing.
    """

    job: dict[str, Any]
    positions: list[Position | None]
    grid: Parcel
    shards: Arrays
    withheld: Arrays
    series: Arrays
    layouts: Arrays
    epoch: int
    rows: int
    scores: dict[str, Any]
    dead_letters: int
    unused: list[dict[str, Any]]
    silence: dict[str, Any]

    def read(self) -> dict[str, Position]:
        """How far each partition has been read, by its name."""
        names = self.grid[0]["partitions"]
        return {n: p for n, p in zip(names, self.positions, strict=True) if p}

    def ended(self) -> dict[str, Position]:
        """The same of those that had been read to their ends."""
        meta, arrays = self.grid
        open_still = dict(zip(meta["partitions"], arrays["open"], strict=True))
        return {name: at for name, at in self.read().items() if not open_still[name]}

    def snapshot(self) -> Snapshot:
        """The same as JSON values and arrays, to be written."""
        grid, grid_arrays = self.grid
        meta = {name: getattr(self, name) for name in _PLAIN} | {"grid": grid}
        arrays = within("grid", grid_arrays)
        for name in _ARRAYS:
            arrays |= within(name, getattr(self, name))
        return Snapshot(meta, arrays)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Contents:
        """What a snapshot holds."""
        meta = snapshot.meta
        return cls(
            grid=(meta["grid"], snapshot.below("grid")),
            **{name: snapshot.below(name) for name in _ARRAYS},  # type: ignore[arg-type]
            **{name: meta[name] for name in _PLAIN},
        )


_ARRAYS = ("shards", "withheld", "series", "layouts")
_PLAIN = ("job", "positions", "epoch", "rows", "scores", "dead_letters", "unused", "silence")
