"""``csv``: a header, then a line for each row; long or wide (see `columns`).

Fields may stand in double quotes, within which the delimiter is itself and a quote is doubled; a
line break always ends a row. A row of more fields than the header is malformed; a row of fewer
lacks its last cells. An empty cell, nan, NA or null is a value reported as missing.
"""

from __future__ import annotations

import csv
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gapcast.engine.errors import SourceError
from gapcast.engine.units import expecting
from gapcast.plugins.sources.formats.columns import Names, Table, TableOptions, labels, table
from gapcast.plugins.sources.formats.format import Parsed, TextFormat
from gapcast.plugins.sources.formats.rows import (
    BAD_LINE,
    BAD_NAME,
    BAD_TIME,
    GOOD,
    SKIPPED,
    Rows,
)
from gapcast.plugins.sources.text.decimals import decimals
from gapcast.plugins.sources.text.names import names, unquoted
from gapcast.plugins.sources.text.patterns import reader
from gapcast.plugins.sources.text.split import Fields, fields


def _delimiter(value: str | None) -> str | None:
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
        raise expecting("one ASCII character other than a quote or a line end")
    return value


class CsvOptions(TableOptions):
    """Keys of the format ``csv``."""

    delimiter: Annotated[str | None, AfterValidator(_delimiter)] = Field(
        default=None,
        description="What stands between two fields. Default: a comma; in files .tsv a tab.",
    )


class Csv(TextFormat):
    """Rows of text under a header."""

    Options = CsvOptions
    HEADER = True

    options: CsvOptions
    _table: Table
    _width: int
    _delimiter: str

    def header(self, line: bytes) -> None:
        """Find the columns by their names. Raises SourceError if one is not there, or the line is
        no header."""
        text = line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
        tabs = self.file.path.endswith((".tsv", ".tsv.gz", ".tsv.zst"))
        self._delimiter = self.options.delimiter or ("\t" if tabs else ",")
        try:
            columns = [c.strip() for c in next(csv.reader([text], delimiter=self._delimiter), [])]
        except csv.Error as error:
            why = str(error).partition(" - ")[0]
            raise SourceError(
                f"{self.file.path}: its first line is no header ({why}); "
                "expected the names of columns, and lines that end with \\n or \\r\\n"
            ) from None
        self._table = table(self.options, columns, self.quantities, self.file.path)
        self._width = len(columns)
        self._parse_times = reader(self.options.time_format, self.options.timezone)

    def parse(self, text: NDArray[np.uint8]) -> Parsed:
        """See `TextFormat.parse`."""
        found = self._table
        columns = [found.time, found.sensor, found.quantity, *found.values]
        used = sorted({c for c in columns if c >= 0})
        split = fields(text, self._delimiter, used, quoted=True)
        slots = [used.index(c) for c in found.values]
        state, time = self._states(split, used.index(found.time))
        if found.quantity >= 0:
            state[(state == GOOD) & (split.starts[:, slots[0]] < 0)] = BAD_LINE
        sensor = self._names(split, used, found.sensor, state)
        quantity = self._names(split, used, found.quantity, state)
        of = labels(found, sensor, quantity, self.wanted)
        values, cells = decimals(
            split, slots, np.where(of.unwanted, SKIPPED, state).astype(np.int8)
        )
        return Parsed(Rows(state, time, values, cells, of), split, slots)

    def _states(self, split: Fields, slot: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        state = np.zeros(len(split.counts), np.int8)
        starts, ends = split.starts[:, slot].copy(), split.ends[:, slot].copy()
        state[(split.counts < 0) | (split.counts > self._width) | (starts < 0)] = BAD_LINE
        state[split.counts == 0] = SKIPPED
        starts[state != GOOD] = ends[state != GOOD] = 0
        time, good = self._parse_times(split.text, starts, ends)
        state[(state == GOOD) & ~good] = BAD_TIME
        return state, time

    def _names(self, split: Fields, used: list[int], column: int, state: NDArray[np.int8]) -> Names:
        """The names in a column, -1 where there is none; a row without its name is not read."""
        if column < 0:
            return Names.none(len(state))
        slot = used.index(column)
        ids, found = names(split, slot, state)
        bad = (state == GOOD) & (ids < 0)
        state[bad] = np.where(split.starts[bad, slot] < 0, BAD_LINE, BAD_NAME)
        return Names(ids, unquoted(found))
