"""The columns of a text table: which hold numbers, which say the series, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import DataError
from gapcast.engine.filling.file import Asked
from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.spelling import counted
from gapcast.plugins.sources.text.cells import Cells
from gapcast.plugins.sources.text.decimals import MALFORMED
from gapcast.plugins.sources.text.names import Names, names, unquoted
from gapcast.plugins.sources.text.split import Fields
from gapcast.plugins.tables.layout import Layout
from gapcast.plugins.tables.numbers import (
    Marks,
    is_missing,
    marks,
    sample,
    share_of_numbers,
    stand_ins,
    words,
)

EMPTY = "empty"
_READ = " is read as missing"
NUMBERS = 0.5
"""Share of the texts of a column that must be numbers, so that it is one of numbers."""


class Columns:
    """The columns beside those of the time. lines: those that are rows."""

    def __init__(self, split: Fields, lines: Ints, layout: Layout, asked: Asked) -> None:
        self.lines, self.layout = lines, layout
        self.split = split
        own = {*layout.times, *layout.others}
        self.others = [c for c in range(len(layout.names)) if c not in own]
        self.samples = {c: sample(split, lines, c) for c in self.others}
        given = [text for texts in self.samples.values() for text in texts]
        self.marks: Marks = marks(given, asked.decimal)
        self.share = {c: share_of_numbers(t, self.marks) for c, t in self.samples.items()}

    @cached_property
    def keys(self) -> list[int]:
        """Columns that may say of which series a row is: words or whole numbers that come again."""
        found = [c for c in self.others if self._is_key(self.samples[c], self.share[c])]
        numbers = [c for c in self.others if self.share[c] >= NUMBERS]
        return [c for c in found if c not in numbers or len(numbers) > 1]

    def _is_key(self, texts: Sequence[str], share: float) -> bool:
        there = [text for text in texts if text]
        few = 0 < len({*there}) <= max(1, len(there) // 2)
        return few and (share < NUMBERS or all(text.isdigit() for text in texts))

    def names(self, column: int) -> Names:
        """The texts of a column in all rows, each different one once."""
        skip = np.ones(len(self.split.counts), np.int8)
        skip[self.lines] = 0
        ids, found = names(self.split, column, skip)
        return Names(ids[self.lines], unquoted(found))

    def codes(self, column: int) -> Ints:
        """The number of each row's text, 0 where there is none."""
        return self.names(column).ids.astype(np.int64) + 1


class Read(NamedTuple):
    """slots: columns of values. values: (n, slots), NaN where there is no number; foreign: where
    there is something else that is not missing. notes: what stands for a missing value; words: the
    texts and numbers that do. unused: columns that are not read, and why."""

    slots: list[int]
    values: Floats
    foreign: NDArray[np.bool_]
    marks: Marks
    notes: list[str]
    words: list[str]
    unused: list[str]


def numbers_of(path: Path, columns: Columns, keys: Sequence[int], asked: Asked) -> Read:
    """The numbers of the columns that hold some, or those asked for. Raises DataError."""
    of = columns.layout.names
    asked_for = [of.index(name) for name in asked.values]
    may = asked_for or [c for c in columns.others if c not in keys and _may_hold(columns, c)]
    unused = [f"{_named(of, c)}: no numbers" for c in columns.others if c not in (*keys, *may)]
    unused += [f"{_named(of, c)}: times" for c in columns.layout.others]
    values, foreign, notes, words_ = _values(columns, may, asked)
    if not any(text.strip("-").isdigit() for text in asked.missing):
        words_ += _without(values, [of[c] for c in may], notes, unused)
    idle = [_idle(values[:, k]) if c not in asked_for else "" for k, c in enumerate(may)]
    if all(idle):
        idle = [why if why == EMPTY else "" for why in idle]
    keep = [k for k, why in enumerate(idle) if not why]
    unused += [f"{_named(of, c)}: {why}" for c, why in zip(may, idle, strict=True) if why]
    if not keep or not np.isfinite(values[:, keep]).any():
        raise DataError(
            f"{path}: no column of numbers is found beside the times; there are "
            f"{', '.join(map(repr, of[:20]))}; --values names them, --decimal the decimal mark"
        )
    for k in keep:
        if foreign[:, k].any():
            unused.append(_foreign(columns, may[k], np.flatnonzero(foreign[:, k])))
    slots = [may[k] for k in keep]
    return Read(slots, values[:, keep], foreign[:, keep], columns.marks, notes, words_, unused)


def _values(
    columns: Columns, may: list[int], asked: Asked
) -> tuple[Floats, NDArray[np.bool_], list[str], list[str]]:
    """Values of columns, where something else stands, what is read in an unusual way, and the texts
    that are read as missing."""
    told: dict[str, None] = {}
    cells = Cells(
        columns.marks.decimal, columns.marks.thousands, words(asked),
        lambda note: told.setdefault(note.removesuffix(" (source.missing)")),
    )  # fmt: skip
    split = columns.split._replace(
        starts=columns.split.starts[columns.lines][:, may],
        ends=columns.split.ends[columns.lines][:, may],
    )
    values, found = cells.read(split, [*range(len(may))], np.zeros(len(columns.lines), np.int8))
    read = [note.removesuffix(_READ)[1:-1] for note in told if note.endswith(_READ)]
    return values, found == MALFORMED, [note.removesuffix(_READ) for note in told], read


def _may_hold(columns: Columns, column: int) -> bool:
    texts = columns.samples[column]
    return columns.share[column] >= NUMBERS or all(map(is_missing, texts))


def _without(values: Floats, of: Sequence[str], notes: list[str], unused: list[str]) -> list[str]:
    """Take out numbers that stand for missing values, and name them."""
    seen: dict[float, list[str]] = {}
    for k, name in enumerate(of):
        sure, perhaps = stand_ins(values[:, k])
        for number in sure:
            seen.setdefault(number, []).append(name)
            values[values[:, k] == number, k] = np.nan
        for number in perhaps:
            unused.append(f"{name}: {number:g} is taken for a value (--missing={number:g} if not)")
    for number, names_ in seen.items():
        where = names_[0] if len(names_) == 1 else f"{len(names_)} columns"
        notes.append(f"'{number:g}' in {where}, far from all other values")
    return [f"{number:g}" for number in seen]


def _idle(values: Floats) -> str:
    """Why a column is nothing to fill or to learn from; empty if it is."""
    there = np.isfinite(values)
    if not there.any():
        return EMPTY
    if there.all() and len(values) > 3:
        if values.min() == values.max():
            return "the same in all rows"
        if (np.diff(values) == 1).all():
            return "counts the rows"
    return ""


def _foreign(columns: Columns, column: int, rows: Ints) -> str:
    line = int(columns.lines[rows[0]])
    begin, end = columns.split.starts[line, column], columns.split.ends[line, column]
    text = bytes(columns.split.text[begin:end]).decode(errors="replace")
    return (
        f"{columns.layout.names[column]}: {counted(len(rows), 'cell')} without a number, as they "
        "were, as "
        f"{text[:30]!r} in line {line + 1:,} (--missing={text[:30]} if it is to be filled)"
    )


def _named(of: Sequence[str], column: int) -> str:
    return of[column] if of[column] else f"column {column + 1}"
