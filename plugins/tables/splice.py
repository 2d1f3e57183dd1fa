"""New text in cells of an old one, all other bytes as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.filling.file import Answers
from gapcast.engine.forecaster import Ints
from gapcast.plugins.sources.text.split import NEWLINE, QUOTE, RETURN, Fields
from gapcast.plugins.tables.numbers import written

Edit = tuple[int, int, bytes]
"""Begin and end of what is replaced, and by what."""


@dataclass(frozen=True)
class Style:
    """How numbers are written: the delimiter, the decimal mark, and (series, columns) decimals."""

    delimiter: str
    decimal: str
    decimals: Ints

    def number(self, value: float, series: int, column: int) -> str:
        """A number of a series and column."""
        return written(value, int(self.decimals[series, column]), self.decimal)

    def cell(self, text: str, quoted: bool = False) -> bytes:
        """A text as a cell, in quotes where it needs them and has none."""
        if not quoted and (self.delimiter in text or '"' in text):
            text = '"' + text.replace('"', '""') + '"'
        return text.encode()


def spliced(text: NDArray[np.uint8], edits: Sequence[Edit]) -> bytes:
    """`text` with edits, which are in order and do not overlap."""
    raw = memoryview(text)  # type: ignore[arg-type]
    pieces: list[bytes | memoryview] = []
    at = 0
    for begin, end, new in edits:
        pieces += (raw[at:begin], new)
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces)


def filled(
    split: Fields, lines: Ints, slots: Sequence[int], series: Ints, answers: Answers, style: Style
) -> Iterator[Edit]:
    """Edits that put values where there is none. lines: of the rows. slots: of the columns."""
    rows, columns = np.nonzero(np.isfinite(answers.values))
    line, slot = lines[rows], np.array(slots, np.int64)[columns]
    starts, ends = split.starts[line, slot], split.ends[line, slot]
    quoted = split.text[np.maximum(starts - 1, 0)] == QUOTE
    there = starts >= 0
    of = zip(
        answers.values[rows, columns].tolist(), series[rows].tolist(), columns.tolist(),
        starts.tolist(), ends.tolist(), quoted.tolist(), strict=True,
    )  # fmt: skip
    short: dict[int, dict[int, bytes]] = {}
    for k, (value, one, column, start, end, has_quote) in enumerate(of):
        new = style.cell(style.number(value, one, column), has_quote and start >= 0)
        if there[k]:
            yield start, end, new
        else:
            short.setdefault(int(line[k]), {})[int(slot[k])] = new
    for number, cells in short.items():
        yield (
            line_end(split, number),
            line_end(split, number),
            _appended(split, number, cells, style),
        )


def added(
    split: Fields, lines: Ints, slots: Sequence[int], series: Ints, width: int, answers: Answers,
    style: Style,
) -> Iterator[Edit]:  # fmt: skip
    """Edits that put bounds and origins at the end of rows, behind as many delimiters as a row
    lacks cells to have `width` of them, when `filled` has put its own there."""
    parts = []
    for column in range(answers.values.shape[1]):
        for bound in (answers.lower, answers.upper):
            if bound is not None:
                parts.append(_bound(bound[:, column], series, column, style))
        if answers.origin is not None:
            parts.append(answers.origin[column])
    new = np.where(np.isfinite(answers.values), np.array(slots, np.int64) + 1, 0)
    have = np.maximum(split.counts[lines], new.max(axis=1, initial=1))
    lacks = np.maximum(width - have, 0).tolist()
    mark = style.delimiter
    for line, lack, cells in zip(lines.tolist(), lacks, zip(*parts, strict=True), strict=True):
        end = line_end(split, line)
        yield end, end, (mark * lack + mark + mark.join(cells)).encode()


def headed(
    split: Fields, lines: Sequence[int], names: Sequence[str], width: int, style: Style
) -> Iterator[Edit]:
    """Edits that put names, or empty cells, at the end of lines that are no rows."""
    new = style.delimiter + style.delimiter.join(style.cell(name).decode() for name in names)
    for line in lines:
        lacks = max(0, width - int(split.counts[line]))
        end = line_end(split, line)
        yield end, end, (style.delimiter * lacks + new).encode()


def _bound(values: NDArray[np.float64], series: Ints, column: int, style: Style) -> list[str]:
    texts = [""] * len(values)
    for row in np.flatnonzero(np.isfinite(values)).tolist():
        number = style.number(float(values[row]), int(series[row]), column)
        texts[row] = style.cell(number).decode()
    return texts


def line_end(split: Fields, line: int) -> int:
    """Where a line's text ends, before its line end."""
    end = int(split.lines[line + 1]) - 1
    assert split.text[end] == NEWLINE
    return end - 1 if end > split.lines[line] and split.text[end - 1] == RETURN else end


def _appended(split: Fields, line: int, cells: dict[int, bytes], style: Style) -> bytes:
    mark = style.delimiter.encode()
    places = range(max(1, int(split.counts[line])), max(cells) + 1)
    return b"".join(mark + cells.get(place, b"") for place in places)
