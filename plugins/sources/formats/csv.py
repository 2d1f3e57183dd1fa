"""``csv``: a header, then a line for each row; long or wide (see `columns`).

Fields may stand in double quotes, within which the delimiter is itself and a quote is doubled; a
line break always ends a row. A row of more fields than the header is malformed; a row of fewer
lacks its last cells. A line that is the header again is passed over. How cells are read that are
no plain numbers is said in `cells`.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gapcast.engine.errors import SourceError
from gapcast.engine.units import expecting
from gapcast.plugins.sources.formats.columns import Table, TableOptions, described, labels, table
from gapcast.plugins.sources.formats.format import Parsed, TextFormat
from gapcast.plugins.sources.formats.rows import (
    BAD_LINE,
    BAD_NAME,
    BAD_TIME,
    GOOD,
    OFF_CLOCK,
    SKIPPED,
    Rows,
)
from gapcast.plugins.sources.text.cells import Cells
from gapcast.plugins.sources.text.clock import Clock
from gapcast.plugins.sources.text.names import Names, joined, names, unquoted
from gapcast.plugins.sources.text.patterns import reader
from gapcast.plugins.sources.text.split import Fields, fields
from gapcast.plugins.sources.text.times import LOCAL, NONE, Times


def _delimiter(value: str | None) -> str | None:
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
        raise expecting("one ASCII character other than a quote or a line end")
    return value


def _headings(line: str, delimiter: str) -> list[str]:
    """The fields of a header."""
    runs = delimiter == " "
    line = line.strip(" ") if runs else line
    split = csv.reader([line], delimiter=delimiter, skipinitialspace=runs)
    return [cell.strip() for cell in next(split, [])]


_DELIMITERS = (",", ";", "\t", "|")


def _mark(value: str | None) -> str | None:
    if value is not None and (len(value) != 1 or not value.isascii() or value.isalnum()):
        raise expecting("one ASCII character that is neither a letter nor a digit")
    return value


def _encoding(value: str | None) -> str | None:
    try:
        return None if value is None else codecs.lookup(value).name
    except LookupError:
        raise expecting("an encoding such as utf-8, utf-16 or latin-1") from None


class LineOptions(TableOptions):
    """Keys of lines of fields, wherever they come from."""

    delimiter: Annotated[str | None, AfterValidator(_delimiter)] = Field(
        default=None,
        description="What stands between two fields; ' ' is any number of spaces. Default: that of "
        ", ; tab and | under which the header has the columns that are asked for; without a header "
        "a comma.",
    )
    decimal: Annotated[str, AfterValidator(_mark)] = Field(
        default=".", description="The decimal mark: ',' in much of Europe."
    )
    thousands: Annotated[str | None, AfterValidator(_mark)] = Field(
        default=None, description="The mark between thousands: '.', ',' or ' '."
    )
    missing: list[str | float] | None = Field(
        default=None,
        description="Texts and numbers that say that a value is missing, besides an empty cell, "
        "nan, NA and null. Default: what many loggers write, such as ---, M and -9999.",
    )


class CsvOptions(LineOptions):
    """Keys of the format ``csv``."""

    columns: list[str] | None = Field(
        default=None, min_length=1, description="Names of the columns, where no line says them."
    )
    skip: int = Field(default=0, ge=0, description="Lines before the header.")
    skip_after: int = Field(default=0, ge=0, description="Lines after it, such as one of units.")
    comment: Annotated[str | None, AfterValidator(_mark)] = Field(
        default=None, description="Lines that begin with it are passed over: '#'."
    )
    encoding: Annotated[str | None, AfterValidator(_encoding)] = Field(
        default=None, description="Such as latin-1. Default: UTF-8, or what the file looks like."
    )


class Csv(TextFormat):
    """Rows of text under a header."""

    Options = CsvOptions

    options: CsvOptions
    clock: Clock
    _table: Table
    _width: int
    _delimiter: str

    @property
    def encoding(self) -> str | None:
        """See `TextFormat.encoding`."""
        return self.options.encoding

    def start(self, head: list[bytes]) -> int | None:
        """Find the columns by their names. Raises SourceError if one is not there."""
        options = self.options
        lines = [line.decode(errors="replace") for line in head]
        at = options.skip
        while at < len(lines) and self._no_header(lines[at]):
            at += 1
        columns, self._header = options.columns, b""
        sample = lines[at : at + 1] or [""]
        self._delimiter = options.delimiter or self._sniffed(sample[0])
        if columns is None and at < len(lines):
            self._header = head[at]
            columns = self._split(sample[0])
            at += 1
        if self.growing and (not columns or at + options.skip_after > len(lines)):
            return None
        if not columns and lines:
            raise SourceError(
                f"{self.file.path}: its first line is no header (it is blank); expected the "
                "names of columns; source.columns says them where no line does"
            )
        self._columns = columns or []
        self._width = len(self._columns)
        if self._columns:
            self._table = self._found(head, at)
        self._parse_times = reader(options.time_format)
        self.clock = Clock(options.timezone)
        missing = None if options.missing is None else [str(text) for text in options.missing]
        self._cells = Cells(
            options.decimal, options.thousands, missing, lambda note: self.file.tell(f": {note}")
        )
        return min(at + options.skip_after, len(lines))

    def _no_header(self, line: str) -> bool:
        comment = self.options.comment
        return not line.strip() or (comment is not None and line.startswith(comment))

    def _split(self, header: str) -> list[str]:
        try:
            return _headings(header, self._delimiter)
        except csv.Error as error:
            why = str(error).partition(" - ")[0]
            raise SourceError(
                f"{self.file.path}: its first line is no header ({why}); expected the names of "
                "columns; source.skip passes over lines before them"
            ) from None

    def _found(self, head: list[bytes], line: int) -> Table:
        """The columns of a file whose header is that line."""
        columns, times = self._columns, self.options.times
        try:
            return table(self.options, columns, self.quantities, self.file.path, self.said(head))
        except SourceError as error:
            if self.options.columns or {*times} & {*columns}:
                raise
            raise SourceError(
                f"{error}; if line {line} is not the header, see source.skip, source.comment, "
                "source.delimiter, source.columns"
            ) from None

    def said(self, head: list[bytes]) -> Mapping[str, str]:
        """The sensor and the quantity of all rows, where they are known. Default: by the path."""
        return self.file.said

    def _sniffed(self, line: str) -> str:
        """The delimiter under which a header has a column of the time, else the most columns."""
        if self.file.path.endswith((".tsv", ".tsv.gz", ".tsv.zst")):
            return "\t"
        times = {*self.options.times}

        def fits(delimiter: str) -> tuple[bool, int]:
            with suppress(csv.Error):
                columns = _headings(line, delimiter)
                return times <= {*columns}, len(columns)
            return False, 0

        return max(_DELIMITERS, key=fits)

    def implicit(self) -> Set[str]:
        """See `Format.implicit`."""
        return self._table.implicit if self.begin() and self._columns else frozenset()

    def facts(self) -> dict[str, str]:
        """See `Format.facts`."""
        options, said = self.options, super().facts()
        said["format"] += f", delimiter {self._delimiter!r}, decimal {options.decimal!r}"
        if options.thousands:
            said["format"] += f", thousands {options.thousands!r}"
        return said | (described(options, self._table) if self._columns else {})

    def parse(self, text: NDArray[np.uint8]) -> Parsed:
        """See `TextFormat.parse`."""
        found = self._table
        columns = [*found.times, found.sensor, found.quantity, *found.values]
        used = sorted({c for c in columns if c >= 0})
        split = fields(text, self._delimiter, used, quoted=True, runs=self._delimiter == " ")
        slots = [used.index(c) for c in found.values]
        state, (time, kinds) = self._states(split, [used.index(c) for c in found.times])
        if found.quantity >= 0:
            state[(state == GOOD) & (split.starts[:, slots[0]] < 0)] = BAD_LINE
        sensor = self._names(split, used, found.sensor, state)
        quantity = self._names(split, used, found.quantity, state)
        local = (state == GOOD) & (kinds == LOCAL)
        time, never = self.clock.utc(time, local, sensor, quantity)
        state[never] = OFF_CLOCK
        of = labels(found, sensor, quantity, self.wanted)
        values, cells = self._cells.read(
            split, slots, np.where(of.unwanted, SKIPPED, state).astype(np.int8)
        )
        return Parsed(Rows(state, time, values, cells, of, self.clock.zone), split, slots)

    def _states(self, split: Fields, slots: list[int]) -> tuple[NDArray[np.int8], Times]:
        state = np.zeros(len(split.counts), np.int8)
        absent = (split.starts[:, slots] < 0).any(axis=1)
        state[(split.counts < 0) | (split.counts > self._width) | absent] = BAD_LINE
        state[split.counts == 0] = SKIPPED
        self._pass_over(split, state)
        text, starts, ends = joined(split, slots)
        starts[state != GOOD] = ends[state != GOOD] = 0
        time, kinds = self._parse_times(text, starts, ends)
        bad = (state == GOOD) & (kinds == NONE)
        if bad.any():
            state[bad] = BAD_TIME
            self._pass_over(split, state, again=True)
        return state, (time, kinds)

    def _pass_over(self, split: Fields, state: NDArray[np.int8], again: bool = False) -> None:
        """Skip comments; and, of lines that hold no time, those that are the header again."""
        if self.options.comment:
            first = split.text[np.minimum(split.lines[:-1], len(split.text) - 1)]
            state[first == ord(self.options.comment)] = SKIPPED
        for i in np.flatnonzero(state == BAD_TIME) if again and self._header else ():
            line = split.text[split.lines[i] : split.lines[i + 1]].tobytes()
            if line.rstrip(b"\r\n") == self._header:
                state[i] = SKIPPED

    def _names(self, split: Fields, used: list[int], column: int, state: NDArray[np.int8]) -> Names:
        """The names in a column, -1 where there is none; a row without its name is not read."""
        if column < 0:
            return Names.none(len(state))
        slot = used.index(column)
        ids, found = names(split, slot, state)
        bad = (state == GOOD) & (ids < 0)
        state[bad] = np.where(split.starts[bad, slot] < 0, BAD_LINE, BAD_NAME)
        return Names(ids, unquoted(found))
