"""Files that shards put aside, and how an epoch of them comes into its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from gapcast.engine.errors import SinkError
from gapcast.engine.storage import Folder
from gapcast.plugins.sinks.parts import Part


class Day(NamedTuple):
    """One day's folder, of the rows ahead if `early`, else of final ones."""

    early: bool
    name: str


STAGED = "_staged"
"""The folder of what shards have put and nobody has committed."""

Move = tuple[Day, str, str]
"""Where to, name in `STAGED`, name there."""


def moves(epoch: int, committables: Sequence[Any]) -> list[Move]:
    """What becomes of the files [early, day, name, rows] that each shard has staged."""
    days: dict[Day, list[tuple[str, int]]] = defaultdict(list)
    for staged in committables:
        for early, day, name, rows in staged:
            days[Day(early, day)].append((name, rows))
    return [
        (day, name, Part(epoch, epoch, rows, piece if len(files) > 1 else None).name)
        for day, files in days.items()
        for piece, (name, rows) in enumerate(files)
    ]


def move(final: Folder, ahead: Folder, of: Sequence[Move]) -> None:
    """Move files into their places; those that are there are done. Raises OSError, or SinkError
    when a file is in neither place."""
    for day, name, to in of:
        folder = ahead if day.early else final
        try:
            (folder / STAGED).move(name, folder / day.name, to)
        except FileNotFoundError:
            if to not in (folder / day.name).names():
                raise SinkError(
                    f"{folder.url}: {STAGED}/{name} is gone before it became {day.name}/{to}; "
                    "nothing but the run may remove files there"
                ) from None
