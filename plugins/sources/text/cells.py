"""Cells as people write numbers: with decimal commas, units, signs and words for what is missing.

Plain numbers are left to the kernel (`decimals`). What it does not understand is looked at here,
each different text once.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.plugins.sources.text.decimals import FINE, INFINITE, MALFORMED, NULL, decimals
from gapcast.plugins.sources.text.names import gather
from gapcast.plugins.sources.text.split import Fields

log = logging.getLogger("gapcast.files")

WORDS = frozenset(
    "n/a #n/a none nil missing unavailable unknown m null ? . - -- --- * ***".split()  # noqa: SIM905
)
"""Texts that say that a value is missing, in any case, where the config does not say which do."""

NUMBERS = (-9999.0, -99999.0)
"""Numbers that say so."""

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_UNIT = r"\s+[^0-9\s]\S{0,15}|[°%‰µμ]\S{0,15}"
_WRITTEN = re.compile(rf"([<>≤≥~]?)\s*({_NUMBER})({_UNIT})?")


@dataclass
class Cells:
    """Reads cells, and says once of every word and unit what it took them for.

    missing: texts and numbers that say that a value is missing; None: `WORDS` and `NUMBERS`.
    decimal, thousands: the marks in numbers. tell: where that is said.
    """

    decimal: str = "."
    thousands: str | None = None
    missing: Collection[str] | None = None
    tell: Callable[[str], None] = log.warning
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        given = None if self.missing is None else [text.strip() for text in self.missing]
        self._words = WORDS if given is None else {text.lower() for text in given}
        numbers = map(_number, given or ())
        self._numbers = NUMBERS if given is None else [x for x in numbers if x is not None]
        self._highest = max(self._numbers, default=-math.inf)

    def read(
        self, fields: Fields, slots: list[int], skip: NDArray[np.int8]
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """As `decimals`: values and what became of them, both (n lines, len(slots))."""
        if slots and (self.decimal != "." or self.thousands is not None):
            fields, slots = self._plain(fields, slots), list(range(len(slots)))
        values, cells = decimals(fields, slots, skip)
        least = np.fmin.reduce(values, axis=None, initial=np.inf)
        for number in self._numbers if least <= self._highest else ():
            gone = values == number
            if gone.any():
                values[gone], cells[gone] = np.nan, NULL
                self._tell(f"{number:g}", "missing", "missing")
        if cells.max(initial=0) >= MALFORMED and (cells == MALFORMED).any():
            row, column = np.nonzero(cells == MALFORMED)
            slot = np.array(slots, np.int64)[column]
            texts = gather(fields.text, fields.starts[row, slot], fields.ends[row, slot])
            self._lenient(texts.dictionary_encode(), values, cells, row, column)
        return values, cells

    def _plain(self, fields: Fields, slots: list[int]) -> Fields:
        """The same cells with the marks of plain numbers, in a text of their own."""
        starts, ends, texts, length = [], [], [], 0
        for slot in slots:
            there = np.maximum(fields.starts[:, slot], 0)
            column = gather(fields.text, there, np.maximum(fields.ends[:, slot], there))
            if self.thousands is not None:
                column = pc.replace_substring(column, self.thousands.encode(), b"")
            if self.decimal != ".":
                column = pc.replace_substring(column, self.decimal.encode(), b".")
            offsets = np.frombuffer(column.buffers()[1], np.int32)[: len(column) + 1] + length
            starts.append(np.where(fields.starts[:, slot] < 0, -1, offsets[:-1]))
            ends.append(offsets[1:])
            texts.append(
                np.frombuffer(column.buffers()[2] or b"", np.uint8)[: offsets[-1] - length]
            )
            length = int(offsets[-1])
        text = np.append(np.concatenate(texts), np.uint8(10))
        return fields._replace(
            text=text,
            starts=np.stack(starts, 1).astype(np.int32),
            ends=np.stack(ends, 1).astype(np.int32),
        )

    def _lenient(
        self,
        texts: pa.DictionaryArray,
        values: NDArray[np.float64],
        cells: NDArray[np.int8],
        row: NDArray[np.int64],
        column: NDArray[np.int64],
    ) -> None:
        of = [self._understood(t.decode(errors="replace")) for t in texts.dictionary.to_pylist()]
        which = texts.indices.to_numpy()
        values[row, column] = np.array([value for value, _ in of])[which]
        cells[row, column] = np.array([state for _, state in of], np.int8)[which]

    def _understood(self, text: str) -> tuple[float, int]:
        """A text that is no plain number: its value, and what became of it."""
        word = text.strip().strip('"').strip()
        if word.lower() in self._words:
            self._tell(word, "missing", "missing")
            return math.nan, NULL
        written = _WRITTEN.fullmatch(word)
        if not written:
            return math.nan, MALFORMED
        sign, number, unit = written.groups()
        if sign:
            self._tell(sign, f"the number after it, as in {word}", "missing")
        if unit:
            self._tell(unit.strip(), "a unit", "missing")
        value = float(number)
        return (value, FINE) if math.isfinite(value) else (math.nan, INFINITE)

    def _tell(self, text: str, what: str, key: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.tell(f"{text!r} is read as {what} (source.{key})")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
