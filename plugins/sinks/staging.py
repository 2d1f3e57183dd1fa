"""Files that shards put aside, and how an epoch of them comes into its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gapcast.engine.errors import SinkError
from gapcast.engine.storage import Folder
from gapcast.plugins.sinks.parts import Part

STAGED = "_staged"
"""The folder of what shards have put and nobody has committed."""

Move = tuple[str, str, str]
"""Folder of the day, name in `STAGED`, name there."""


def moves(epoch: int, committables: Sequence[Any]) -> list[Move]:
    """What becomes of the files [day, name, rows] that each shard has staged."""
    days: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for staged in committables:
        for day, name, rows in staged:
            days[day].append((name, rows))
    return [
        (day, name, Part(epoch, epoch, rows, piece if len(files) > 1 else None).name)
        for day, files in days.items()
        for piece, (name, rows) in enumerate(files)
    ]


def move(folder: Folder, of: Sequence[Move]) -> None:
    """Move files into their places; those that are there are done. Raises OSError, or SinkError
    when a file is in neither place."""
    staged = folder / STAGED
    for day, name, to in of:
        try:
            staged.move(name, folder / day, to)
        except FileNotFoundError:
            if to not in (folder / day).names():
                raise SinkError(
                    f"{folder.url}: {STAGED}/{name} is gone before it became {day}/{to}; "
                    "nothing but the run may remove files there"
                ) from None
