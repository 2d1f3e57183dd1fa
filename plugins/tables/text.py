"""Delimited text: what is in it, and the same text with its gaps filled."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import DataError
from gapcast.engine.filling.file import Answers, Asked, Rows, TableFile, Written
from gapcast.engine.filling.keys import keys_of
from gapcast.engine.filling.tables import LOWER, ORIGIN, UPPER
from gapcast.engine.forecaster import Ints
from gapcast.engine.spelling import counted, meant
from gapcast.plugins.sources.text.split import Fields, fields
from gapcast.plugins.tables.columns import Columns, Read, numbers_of
from gapcast.plugins.tables.content import content
from gapcast.plugins.tables.dates import Dated, dated, zoned
from gapcast.plugins.tables.layout import Layout, layout_of
from gapcast.plugins.tables.numbers import decimals_of
from gapcast.plugins.tables.series import series_of
from gapcast.plugins.tables.splice import Style, added, filled, headed, spliced
from gapcast.plugins.tables.written import Understood, written

LOOK = 400
"""Lines at the beginning by which the table is found."""
_INFLUX = b"#group"
_NAMES = {"\t": "tab", " ": "blanks", ",": "comma", ";": "semicolon", "|": "bar"}


class Text(TableFile):
    """A text file of lines with cells."""

    def __init__(self, path: Path, asked: Asked) -> None:
        """See `TableFile`."""
        self.path = path
        self._content = content(path)
        self._layout = self._found(path, asked)
        layout = self._layout
        every = list(range(len(layout.names)))
        runs = layout.delimiter == " "
        self._split = fields(self._content.text, layout.delimiter, every, quoted=True, runs=runs)
        self._state(path)
        self._dated: Dated = dated(path, self._split, self._good, layout, asked)
        self._lines: Ints = self._good[self._dated.fine]
        self._columns = Columns(self._split, self._lines, layout, asked)
        keys = self._by = self._keys(asked)
        self._asked = asked
        self._series = series_of(len(self._lines), [*map(self._columns.names, keys)])
        self._read: Read = numbers_of(path, self._columns, keys, asked)
        times, zone = zoned(self._dated, self._series.labels, asked)
        self.rows = Rows(
            times, self._series.ids, self._series.names,
            tuple(layout.names[c] for c in self._read.slots), self._read.values, self._read.foreign,
            self._facts(keys, zone), self._unused(),
        )  # fmt: skip

    def _keys(self, asked: Asked) -> list[int]:
        """The columns that say of which series a row is."""
        names = self._layout.names
        if asked.sensor:
            return [names.index(name) for name in asked.sensor]
        columns, times = self._columns, self._dated.times[self._dated.fine]
        may = [names[c] for c in columns.keys]
        return [
            names.index(n) for n in keys_of(times, may, lambda n: columns.codes(names.index(n)))
        ]

    def place(self, row: int) -> str:
        """See `TableFile`."""
        return f"line {self._lines[row] + 1:,}"

    def written(self) -> Written:
        """See `TableFile`."""
        if self._content.text[: len(_INFLUX)].tobytes() == _INFLUX:
            raise DataError(
                f"{self.path}: is annotated CSV of InfluxDB, for which docs/files.md has a config, "
                "source.format: influx-csv"
            )
        return written(
            Understood(
                self._layout, self._content, self._read, self._dated, self._asked, self._commented,
                self._open,
            ),
            {c: tuple(self._columns.names(c).found.to_pylist()) for c in self._by},
            self.rows.times,
        )  # fmt: skip

    def write(self, file: BinaryIO, answers: Answers) -> None:
        """See `TableFile`."""
        split, layout, slots = self._split, self._layout, self._read.slots
        series = self.rows.sensors
        decimals = decimals_of(
            _on(split, self._lines), slots, np.isfinite(self.rows.values), series,
            self._read.marks.decimal,
        )  # fmt: skip
        style = Style(layout.delimiter, self._read.marks.decimal, decimals)
        edits = [*filled(split, self._lines, slots, series, answers, style)]
        if names := self._added(answers):
            width = max(len(layout.names), int(split.counts[self._good].max()))
            heads = [*range(layout.header, layout.first)] if layout.header >= 0 else []
            others = [*heads[1:], *np.setdiff1d(self._good, self._lines).tolist()]
            edits += headed(split, heads[:1], names, width, style)
            edits += headed(split, others, [""] * len(names), width, style)
            edits += added(split, self._lines, slots, series, width, answers, style)
        edits.sort(key=lambda edit: edit[:1])
        self._content.write(file, spliced(split.text, edits))

    def _added(self, answers: Answers) -> list[str]:
        """Names of the columns behind the others."""
        bounds = [LOWER, UPPER] if answers.lower is not None else []
        ends = [*bounds, *([ORIGIN] if answers.origin is not None else [])]
        found = [f"{name}{end}" for name in self.rows.columns for end in ends]
        if twice := sorted({*found} & {*self._layout.names}):
            raise DataError(f"there is a column {twice[0]!r} already: rename it")
        return found

    def _found(self, path: Path, asked: Asked) -> Layout:
        lines = _first(self._content.text, LOOK)
        found = layout_of(lines, asked)
        if found is None:
            begin = next((line for line in lines if line.strip()), "")[:60]
            raise DataError(
                f"{path}: no column of times is found in its first {len(lines):,} lines (the first "
                f"is {begin!r}); expected lines with a time and numbers, apart by commas, "
                "semicolons, tabs, bars or blanks; --time names the column, --time-format says how "
                "it is written, --delimiter what is between cells"
            )
        for name in (*asked.time, *asked.values, *asked.sensor):
            if name not in found.names:
                there = ", ".join(map(repr, found.names[:20]))
                near = meant(name, found.names)
                raise DataError(f"{path}: no column {name!r}{near} (found: {there})")
        return found

    def _state(self, path: Path) -> None:
        """Find the lines that are rows."""
        split, layout = self._split, self._layout
        count = split.counts
        number = np.arange(len(count))
        below = (number >= layout.first) & (count != 0)
        first = split.text[np.minimum(split.lines[:-1], len(split.text) - 1)]
        comment = below & (first == ord("#"))
        extra = _trailing(split, len(layout.names))
        self._commented, self._open = bool(comment.any()), bool((below & ~comment & extra).any())
        self._broken: Ints = np.flatnonzero(
            below & ~comment & ((count < 0) | ((count > len(layout.names)) & ~extra))
        )
        self._good: Ints = np.setdiff1d(np.flatnonzero(below & ~comment), self._broken)
        if not len(self._good):
            raise DataError(f"{path}: has no row of {len(layout.names)} cells")

    def _facts(self, keys: list[int], zone: str) -> dict[str, str]:
        layout, text = self._layout, self._content
        of = self._read.marks
        packed = f", {text.codec}" if text.codec else ""
        ends = "CR" if text.old else "CR LF" if b"\r\n" in bytes(text.text[:100_000]) else "LF"
        marks = f"decimal {'comma' if of.decimal == ',' else 'point'}"
        marks += f", thousands {of.thousands!r}" if of.thousands else ""
        head = f"names in line {layout.header + 1}" if layout.header >= 0 else "no names"
        facts = {
            "file": f"{_NAMES.get(layout.delimiter, layout.delimiter)} between cells, {marks}, "
            f"{text.encoding}, {ends}{packed}; {head}, rows from line {layout.first + 1}",
            "times": f"{self._dated.fact}, {zone}",
        }
        if keys:
            by = " and ".join(repr(layout.names[c]) for c in keys)
            facts["sensors"] = f"{len(self._series.names):,}, by {by}: {_few(self._series.names)}"
        units = {layout.names[c]: layout.units[c] for c in self._read.slots if layout.units[c]}
        if units:
            facts["units"] = _few([f"{name} {unit}" for name, unit in units.items()])
        if self._read.notes:
            facts["missing"] = _few(self._read.notes)
        return facts

    def _unused(self) -> tuple[str, ...]:
        found = list(self._read.unused)
        if len(self._broken):
            first = int(self._broken[0]) + 1
            found.append(
                f"{counted(len(self._broken), 'line')}: not {len(self._layout.names)} cells "
                f"(line {first:,})"
            )
        bad = np.flatnonzero(~self._dated.fine)
        if len(bad):
            line = int(self._good[bad[0]])
            text = bytes(self._split.text[self._split.lines[line] : self._split.lines[line + 1]])
            shown = text.decode(errors="replace").strip()[:40]
            found.append(f"{counted(len(bad), 'row')}: no time, as line {line + 1:,}, {shown!r}")
        return tuple(found)


def _first(text: NDArray[np.uint8], count: int) -> list[str]:
    """The first lines."""
    head = bytes(text[: 1 << 20])
    return head.decode(errors="replace").splitlines()[:count]


def _trailing(split: Fields, width: int) -> NDArray[np.bool_]:
    """Lines whose only cell too many is empty: a delimiter at the end."""
    end = np.maximum(split.lines[1:] - 2, 0)
    last = split.text[end]
    last = np.where(last == 13, split.text[np.maximum(end - 1, 0)], last)
    return (split.counts == width + 1) & np.isin(last, [44, 59, 9, 124])


def _on(split: Fields, lines: Ints) -> Fields:
    return split._replace(starts=split.starts[lines], ends=split.ends[lines])


def _few(texts: list[str] | tuple[str, ...], most: int = 6) -> str:
    return ", ".join(texts[:most]) + (f", … {len(texts)} in all" if len(texts) > most else "")
