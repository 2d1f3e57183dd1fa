"""Where the table of a text file begins, what is between cells, and what columns are called."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from gapcast.engine.filling.file import Asked
from gapcast.plugins.tables.moments import NUMBERS, WORDS, forms, likely, likely_clock

DELIMITERS = ("\t", ";", "|", ",", " ")
"""As they are tried: a comma may also be a decimal mark, a space part of a time."""
_UNIT = re.compile(r"[\[(]\s*([^\])]{1,20}?)\s*[\])]\s*$")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Layout:
    """header: line of the names, from 0 on, -1: none. first: line of the first row. names: of the
    columns, numbers where there is no header. units: of the columns, empty where none is said.
    times: column of the time, or of date and time of day; formats: in which it may be written."""

    delimiter: str
    header: int
    first: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    times: tuple[int, ...]
    formats: tuple[str, ...]
    others: tuple[int, ...] = ()
    """Other columns that hold times."""


def cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line."""
    runs = delimiter == " "
    line = line.strip(" ") if runs else line
    with suppress(csv.Error):
        split = csv.reader([line], delimiter=delimiter, skipinitialspace=runs)
        return [cell.strip() for cell in next(split, [])]
    return [cell.strip() for cell in line.split(delimiter)]


def layout_of(lines: Sequence[str], asked: Asked) -> Layout | None:
    """What the first lines of a file are; None where no column is of times."""
    for mark in [asked.delimiter] if asked.delimiter else DELIMITERS:
        table = [cells(line, mark) for line in lines]
        if layout := _layout(table, mark, asked):
            return layout
    return None


def _layout(table: list[list[str]], mark: str, asked: Asked) -> Layout | None:
    lengths = Counter(len(row) for row in table[len(table) // 2 :] if any(row))
    width = lengths.most_common(1)[0][0] if lengths else 0
    if width < 2:
        return None
    width = max(n for n, count in lengths.items() if count >= 0.2 * lengths.total() or n == width)
    body = [row for row in table if len(row) == width]
    body = body[len(body) // 2 :] if len(body) > 3 else body[-1:]
    columns = [[row[j] for row in body] for j in range(width)]
    timed = [j for j, c in enumerate(columns) if likely(c) or likely_clock(c)]
    first = next((i for i, row in enumerate(table) if _is_row(row, width, timed)), -1)
    if first < 0:
        return None
    header, names, units = _header(table, width, timed, first)
    named = asked.time and {*asked.time} <= {*names}
    found = _asked(asked, names, columns) if named else _of_times(names, columns)
    text = [f for f in found if f[1][0] not in NUMBERS] or found
    if not text:
        return None
    times, formats = text[0]
    others = tuple(j for of, _ in text[1:] for j in of)
    return Layout(mark, header, first, names, units, times, tuple(formats), others)


Found = list[tuple[tuple[int, ...], list[str]]]
"""Columns that make a time, and formats in which it may be written."""


def _asked(asked: Asked, names: Sequence[str], columns: list[list[str]]) -> Found:
    at = tuple(names.index(name) for name in asked.time)
    texts = [" ".join(row) for row in zip(*(columns[j] for j in at), strict=True)]
    return [(at, [asked.time_format] if asked.time_format else likely(texts) or ["iso"])]


def _of_times(names: Sequence[str], columns: list[list[str]]) -> Found:
    found: Found = []
    for j, column in enumerate(columns):
        days = likely(column)
        days = [f for f in days if f not in NUMBERS and "%Y%m%d" not in f] or [
            f for f in days if WORDS.search(names[j]) or (j == 0 and _grows(column))
        ]
        hours = likely_clock(columns[j + 1]) if j + 1 < len(columns) else None
        dates = days and not any(re.search("%H|%I", form) for form in days)
        if dates and hours and not any(":" in text for text in column):
            found.append(((j, j + 1), [_with(form, hours) for form in days]))
        elif days and any(column):
            found.append(((j,), days))
    return found


def _with(form: str, hours: str) -> str:
    return f"{form} {hours}" if form != "iso" else f"%Y-%m-%d {hours}"


def _grows(column: Sequence[str]) -> bool:
    plain = [text.replace(",", ".") for text in column]
    numbers = [float(text) for text in plain if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)]
    up = all(a <= b for a, b in pairwise(numbers))
    return len(numbers) == len(column) > 1 and up and numbers[0] < numbers[-1]


def _header(
    table: list[list[str]], width: int, timed: list[int], first: int
) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Line of the names, names and units."""
    above = []
    for i in range(first - 1, -1, -1):
        row = table[i]
        if any(row) and (len(row) < min(width - 1, 2) or len(row) > width + 1):
            break
        if any(row):
            above.insert(0, i)
    above = [i for i in above if len(table[i]) >= min(width - 1, max(2, width - 1))]
    at = _names_at(table, above, timed)
    if at < 0:
        return -1, tuple(str(j + 1) for j in range(width)), ("",) * width
    names = [name.strip() for name in table[at][:width]]
    names[0] = names[0].lstrip("#%; ").strip()
    names += [""] * (width - len(names))
    below = table[at + 1][:width] if at + 1 < first else []
    below += [""] * (width - len(below))
    units = []
    for name, unit in zip(names, below, strict=True):
        found = _UNIT.search(name)
        units.append(found[1] if found else unit.strip("[]()"))
    return at, tuple(name or str(j + 1) for j, name in enumerate(names)), tuple(units)


def _names_at(table: list[list[str]], above: list[int], timed: list[int]) -> int:
    """The line of the names among those above the first row: the last that has the word for a time
    where times are, else the last."""
    named = [
        i for i in above if any(j < len(table[i]) and WORDS.search(table[i][j]) for j in timed)
    ]
    usable = named or [i for i in above if len(table[i]) > 1 and not any(map(_is_number, table[i]))]
    return usable[-1] if usable else -1


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def _is_row(row: list[str], width: int, timed: list[int]) -> bool:
    times = [row[j] for j in timed if j < len(row)]
    comment = bool(row and row[0].startswith("#"))
    return 1 < len(row) <= width and not comment and any(forms(text) for text in times)
