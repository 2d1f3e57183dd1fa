"""Decimal numbers to float64, correctly rounded: the same bits as Python's ``float``.

A number of at most 2^53 with a decimal exponent within ±22 is one exact multiplication or
division (Clinger, "How to read floating point numbers accurately", 1990). The few others are
checked here and converted by Arrow, which rounds correctly too.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import njit_part
from gapcast.plugins.sources.text.names import gather
from gapcast.plugins.sources.text.split import ONE, Bytes, Fields

FINE, NULL, ABSENT, MALFORMED, INFINITE, _LONG = range(6)
"""What became of a cell: a number, one reported as missing, none, no number, not finite."""

_EXACT = np.uint64(1 << 53)
_POWERS = 10.0 ** np.arange(23)
_DIGITS = 19  # as many decimal digits always fit a uint64
_FAR = 100_000  # beyond any exponent of a float64, and far from overflowing


def decimals(
    fields: Fields, slots: list[int], skip: NDArray[np.int8]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Values and what became of them, both (n lines, len(slots)).

    Only lines where `skip` is 0 are looked at; elsewhere the cells are ABSENT. An empty field, or
    nan, NA or null in any case, is NULL.
    """
    shape = len(skip), len(slots)
    values = np.empty(shape)
    cells = np.empty(shape, np.int8)
    text, starts, ends = fields.text, fields.starts, fields.ends
    long = _decimals(text, starts, ends, np.array(slots, np.int64), skip, values, cells)
    if long:
        _finish(text, starts[:, slots], ends[:, slots], values, cells)
    return values, cells


def _finish(
    text: Bytes,
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    values: NDArray[np.float64],
    cells: NDArray[np.int8],
) -> None:
    where = cells == _LONG
    numbers = gather(text, starts[where], ends[where]).cast(pa.string()).cast(pa.float64())
    values[where] = numbers.to_numpy(zero_copy_only=False)
    cells[where] = np.where(np.isfinite(values[where]), FINE, INFINITE)


@njit(cache=True, nogil=True, error_model="numpy")
def _decimals(text, starts, ends, slots, skip, values, cells):
    long = 0
    for i in range(skip.size):
        for j in range(slots.size):
            a = starts[i, slots[j]]
            values[i, j] = np.nan
            cells[i, j] = ABSENT
            if skip[i] == 0 and a >= 0:
                values[i, j], cells[i, j] = decimal(text, a, ends[i, slots[j]])
                long += cells[i, j] == _LONG
    return long


@njit_part
def decimal(text, a, b):
    """The number in ``text[a:b]`` and what became of it; `_LONG` leaves it to `_finish`."""
    # One loop without calls for the common case; unsigned places need no test for negative ones.
    i, end = np.uint64(a), np.uint64(b)
    if i < end and (text[i] == 45 or text[i] == 43):
        i += ONE
    mantissa = np.uint64(0)
    significant = digits = places = 0
    point = False
    while i < end:
        digit = text[i] - np.uint8(48)
        if digit <= 9:
            mantissa = mantissa * np.uint64(10) + np.uint64(digit)
            significant += significant > 0 or digit > 0
            digits += 1
            places += point
        elif text[i] == 46 and not point:
            point = True
        else:
            break
        i += ONE
    exponent = 0
    if digits > 0 and i < end and (text[i] | 32) == 101:
        exponent, i = _exponent(text, i + ONE, end)
    if digits == 0 or i != end:
        return np.nan, word(text, a, b)
    if significant > _DIGITS:
        return np.nan, _LONG
    exponent -= places
    if mantissa == 0:
        exponent = 0
    if mantissa > _EXACT or exponent < -22 or exponent > 22:
        return np.nan, _LONG
    value = float(np.int64(mantissa))
    value = value / _POWERS[-exponent] if exponent < 0 else value * _POWERS[exponent]
    return -value if text[a] == 45 else value, FINE


@njit_part
def _exponent(text, i, b):
    """The exponent written from `i` on and where it ends; nowhere if there are no digits."""
    negative = i < b and text[i] == 45
    if i < b and (text[i] == 45 or text[i] == 43):
        i += ONE
    first = i
    shift = 0
    while i < b and 48 <= text[i] <= 57:
        shift = min(shift * 10 + np.int64(text[i] - np.uint8(48)), _FAR)
        i += ONE
    if i == first:
        return 0, b + ONE
    return -shift if negative else shift, i


@njit_part
def word(text, a, b):
    """What a field that is no number says: NULL, INFINITE or MALFORMED."""
    if a == b:
        return NULL
    if text[a] == 45 or text[a] == 43:
        a += 1
    if _says(text, a, b, b"nan") or _says(text, a, b, b"na") or _says(text, a, b, b"null"):
        return NULL
    if _says(text, a, b, b"inf") or _says(text, a, b, b"infinity"):
        return INFINITE
    return MALFORMED


@njit_part
def _says(text, a, b, letters):
    same = b - a == len(letters)
    for k in range(len(letters)):
        same = same and (text[a + k] | 32) == letters[k]
    return same
