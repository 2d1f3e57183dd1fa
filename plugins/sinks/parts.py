"""The Parquet files of one day: their names say which epochs they hold, and so which to merge.

``part-00000010-00000057-000120000.parquet`` holds the day's rows of epochs 10 to 57, 120,000 of
them. A file whose epochs lie among those of another is superseded by it: both hold its rows, for
the moment between the other's appearing and its own removal. A reader that lists files in that
moment takes `current` of their names. A run killed in it removes what is left when it goes on; for
one that never does

    python -m gapcast.plugins.sinks.parts FOLDER_OR_URL

removes superseded files, at any time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gapcast.engine.storage import Folder, open_folder

DAYS = "day="
"""How the folder of a day begins; ISO 8601 follows."""
SMALL = 8
"""Files are merged that hold fewer rows than this part of the most a file may hold."""

_NAME = re.compile(r"part-(\d{8,})-(\d{8,})-(\d{9,})(?:-(\d+))?\.parquet")


@dataclass(frozen=True, order=True)
class Part:
    """A file with `rows` rows of the epochs `first` to `last`.

    piece: its number, if the rows of one epoch are in several files.
    """

    first: int
    last: int
    rows: int
    piece: int | None = None

    @property
    def name(self) -> str:
        """Of the file, in the folder of its day."""
        piece = "" if self.piece is None else f"-{self.piece}"
        return f"part-{self.first:08d}-{self.last:08d}-{self.rows:09d}{piece}.parquet"


def parts(names: Iterable[str]) -> list[Part]:
    """What the files of these names hold, in order; other files are passed over."""
    found = [match.groups() for name in names if (match := _NAME.fullmatch(name))]
    every = [
        Part(int(first), int(last), int(rows), None if piece is None else int(piece))
        for first, last, rows, piece in found
    ]
    return sorted(every, key=_order)


def superseded(of: Iterable[Part]) -> list[Part]:
    """Those whose epochs lie among the epochs of another one.

    For parts as the sink makes them: of any two, the epochs are the same, apart or nested.
    """
    found, over = [], None
    for part in sorted(of, key=lambda p: (p.first, -p.last)):
        if over and part.last <= over.last and (part.first, part.last) != (over.first, over.last):
            found.append(part)
        elif over is None or part.last > over.last:
            over = part
    return found


def current(names: Iterable[str]) -> list[str]:
    """Of the names of a day's files, those that hold every row once."""
    every = parts(names)
    gone = {*superseded(every)}
    return [part.name for part in every if part not in gone]


def due(
    of: Iterable[Part], following: int, most: int, many: int, quiet: int
) -> Iterator[list[Part]]:
    """Groups of a day's parts, each to be merged into one of at most `most` rows.

    following: the epoch that comes next. many: so many small files at the end of a day that still
    grows are merged. quiet: a day that so many epochs have brought nothing to is thought finished,
    and all its small files are merged. Neighbours only are merged, so that epochs stay apart or
    nested; every row is copied a logarithmic number of times.
    """
    files: dict[tuple[int, int], list[Part]] = {}
    for part in sorted(of, key=_order):
        files.setdefault((part.first, part.last), []).append(part)
    ordered = [Part(*epochs, sum(p.rows for p in group)) for epochs, group in files.items()]
    for group in _groups(ordered, following, most, many, quiet):
        yield [part for whole in group for part in files[whole.first, whole.last]]


def _groups(
    ordered: list[Part], following: int, most: int, many: int, quiet: int
) -> Iterator[list[Part]]:
    """The same of parts of which each has its epochs for itself."""
    runs = [list(run) for small, run in groupby(ordered, lambda p: p.rows * SMALL < most) if small]
    if ordered and ordered[-1].last + quiet < following:
        groups = (group for run in runs for group in _packed(run, most))
        yield from (group for group in groups if len(group) > 1)
    elif runs and runs[-1][-1] == ordered[-1] and len(runs[-1]) >= many:
        yield _newest(runs[-1], most)


def _order(part: Part) -> tuple[int, int]:
    return part.first, part.piece or 0


def _packed(run: Sequence[Part], most: int) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in run:
        if sum(p.rows for p in group) + part.rows > most:
            yield group
            group = []
        group.append(part)
    yield group


def _newest(run: Sequence[Part], most: int) -> list[Part]:
    """The end of a run, without older parts that are much larger than what would join them."""
    rows, taken = 0, 0
    for part in reversed(run):
        if (taken > 1 and part.rows > 2 * rows) or rows + part.rows > most:
            break
        rows, taken = rows + part.rows, taken + 1
    return list(run[len(run) - taken :])


def sweep(folder: Folder) -> list[str]:
    """Remove the superseded files below `folder`; returns their names. Raises OSError."""
    removed = []
    for day in folder.names():
        if day.startswith(DAYS):
            stale = [part.name for part in superseded(parts((folder / day).names()))]
            (folder / day).remove(*stale)
            removed += [f"{day}/{name}" for name in stale]
    return removed


if __name__ == "__main__":
    for place in sys.argv[1:]:
        for path in sweep(open_folder(place)):
            print(f"removed {path}")
