"""What columns hold: numbers, with which marks, and which numbers stand for a missing value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.filling.file import Asked
from gapcast.engine.forecaster import Floats
from gapcast.plugins.sources.text.cells import WORDS
from gapcast.plugins.sources.text.split import Bytes, Fields

SAMPLE = 2000
"""Rows that are looked at, from all of a file."""
STAND_INS = (-999.0, -9999.0, -99999.0, -6999.0, -7999.0)
"""Numbers that loggers write where a value is missing."""
_MISSING = WORDS | {"", "nan", "na", "null", "#na", "#value!", "#div/0!", "bad", "-inf", "inf"}
_PLAIN = re.compile(
    r"[<>≤≥~]?\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?(\s+\S{1,16}|[°%‰µμ]\S{0,15})?"
)
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(\s.*)?")
_GROUPED = {",": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?"),
              ".": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+")}  # fmt: skip


class Marks(NamedTuple):
    """The marks in numbers."""

    decimal: str = "."
    thousands: str | None = None


def sample(split: Fields, rows: NDArray[np.int64], column: int) -> list[str]:
    """Texts of a column in rows from all of the table."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]
    starts, ends = split.starts[chosen, column].tolist(), split.ends[chosen, column].tolist()
    raw = memoryview(split.text)  # type: ignore[arg-type]
    pairs = zip(starts, ends, strict=True)
    return [bytes(raw[a:b]).decode(errors="replace").strip() if a >= 0 else "" for a, b in pairs]


def is_missing(text: str) -> bool:
    """Whether a text says that a value is missing, for all that is known of files."""
    return text.lower() in _MISSING


def marks(texts: Iterable[str], decimal: str | None) -> Marks:
    """The marks in the cells of a table."""
    there = {text for text in texts if any(c.isdigit() for c in text)}
    comma = sum(
        1 for t in there if _COMMA.fullmatch(t) or (_GROUPED[","].fullmatch(t) and "," in t)
    )
    point = sum(
        1 for t in there if "." in t and (_PLAIN.fullmatch(t) or _GROUPED["."].fullmatch(t))
    )
    if decimal is None:
        decimal = "," if comma > point else "."
    grouped = any(_GROUPED[decimal].fullmatch(text) for text in there)
    other = {",": ".", ".": ","}[decimal]
    return Marks(decimal, other if grouped else None)


def share_of_numbers(texts: Sequence[str], of: Marks) -> float:
    """Share of the texts that are numbers, of those that are not missing; 0 where all are."""
    there = [text for text in texts if not is_missing(text)]
    plain = [t.replace(of.thousands, "") if of.thousands else t for t in there]
    good = sum(1 for t in plain if _PLAIN.fullmatch(t.replace(of.decimal, ".")))
    return good / len(there) if there else 0.0


def words(asked: Asked) -> list[str]:
    """Texts and numbers that stand for a missing value."""
    return [*_MISSING - {"nan", "-inf", "inf"}, *asked.missing]


def stand_ins(values: Floats) -> tuple[list[float], list[float]]:
    """Numbers in a column that stand for a missing value for sure, and those that might."""
    sure: list[float] = []
    perhaps: list[float] = []
    there = values[np.isfinite(values)]
    found = [x for x in STAND_INS if (there == x).any()] if there.min(initial=0) <= -999 else []
    rest = there[~np.isin(there, STAND_INS)]
    for number in found:
        low, high = (float(rest.min()), float(rest.max())) if len(rest) else (0.0, 0.0)
        far = low - number
        clear = (
            len(rest) >= 10 and far > (3 * (high - low) if low < 0 else high - low) and low > -300
        )
        (sure if clear else perhaps).append(number)
    return sure, perhaps


LONGEST = 18
"""Decimals at most."""
SCIENTIFIC = 32
"""Added to the decimals of a number with an exponent."""


def decimals_of(
    split: Fields,
    slots: Sequence[int],
    fine: NDArray[np.bool_],
    series: NDArray[np.int64],
    mark: str,
) -> NDArray[np.int64]:
    """(series, columns) how many decimals most of the numbers have that are there.

    fine: (n, columns) where there is a number. series: (n,) of each row.
    """
    counts = np.zeros((int(series.max(initial=0)) + 1, len(slots), 2 * SCIENTIFIC), np.int64)
    of = np.array(slots, np.int64)
    _count(split.text, split.starts, split.ends, of, fine, series, ord(mark), counts)
    found = counts.argmax(axis=2)
    of_column = counts.sum(axis=0).argmax(axis=1)
    return np.where(counts.any(axis=2), found, of_column)


@njit(cache=True, nogil=True, error_model="numpy")
def _count(text: Bytes, starts, ends, slots, fine, series, mark, counts) -> None:  # type: ignore[no-untyped-def]
    for i in range(series.size):
        for j in range(slots.size):
            if not fine[i, j]:
                continue
            places = 0
            point = False
            scientific = False
            for k in range(starts[i, slots[j]], ends[i, slots[j]]):
                if text[k] == mark:
                    point = True
                elif 48 <= text[k] <= 57:
                    places += point and not scientific
                elif (text[k] | 32) == 101:
                    scientific = True
            code = min(places, LONGEST) + (SCIENTIFIC if scientific else 0)
            counts[series[i], j, code] += 1


def written(value: float, code: int, decimal: str) -> str:
    """A number as its column has them."""
    text = f"{value:.{code % SCIENTIFIC}{'e' if code >= SCIENTIFIC else 'f'}}"
    if text.startswith("-") and not text.strip("-0."):
        text = text[1:]
    return text.replace(".", decimal) if decimal != "." else text
