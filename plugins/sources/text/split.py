"""Cut a block of text into lines and fields; nothing is copied, only places are noted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import inlined_part, njit_part

Bytes = NDArray[np.uint8]

NEWLINE, RETURN, SPACE, TAB, QUOTE = 10, 13, 32, 9, 34
ONE = np.uint64(1)
BROKEN = -1
"""`Fields.counts` of a line with a quote that is never closed."""


class Fields(NamedTuple):
    """Where the lines of a block and the wanted fields of each line stand in `text`.

    lines: (n + 1,) where each line begins, then the end of the text.
    counts: (n,) fields of each line; 0 for a blank line, `BROKEN` for an unclosed quote.
    starts, ends: (n, slots) of each wanted field; a start of -1 says that the line is shorter.
    """

    text: Bytes
    lines: NDArray[np.int64]
    counts: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]


def fields(
    text: Bytes, separator: str, wanted: list[int], quoted: bool = False, runs: bool = False
) -> Fields:
    """Split whole lines; of each, keep the fields with the numbers in `wanted`, in that order.

    `text` ends with a newline and is shorter than 2 GiB. With a space as the separator, spaces
    at a line's end are no fields, and two in a row have an empty field between them; with any
    other, blanks around a field are dropped. `quoted`: a field may stand in double quotes. `runs`:
    separators in a row are one, and at a line's begin they are none.
    """
    n = int(np.count_nonzero(text == NEWLINE))
    slots = np.full(max(wanted, default=-1) + 1, -1, np.int64)
    slots[wanted] = np.arange(len(wanted))
    lines = np.empty(n + 1, np.int64)
    counts = np.empty(n, np.int32)
    starts = np.full((n, len(wanted)), -1, np.int32)
    ends = np.full((n, len(wanted)), -1, np.int32)
    split = _split_quoted if quoted and bool(np.any(text == QUOTE)) else _split
    split(text, ord(separator), runs, slots, lines, counts, starts, ends)
    return Fields(text, lines, counts, starts, ends)


@njit(cache=True, nogil=True, error_model="numpy")
def _split(text, separator, runs, slots, lines, counts, starts, ends):
    # Unsigned places spare every access the test for one that counts from the end.
    n = field = filled = 0
    a = np.uint64(0)
    lines[0] = 0
    for b in range(np.uint64(text.size)):
        if text[b] != separator and text[b] != NEWLINE:
            continue
        if runs and a == b and text[b] == separator:
            a = b + ONE
            continue
        first, last = _trimmed(text, a, b, separator)
        if field < slots.size and slots[field] >= 0:
            starts[n, slots[field]] = first
            ends[n, slots[field]] = last
        field += 1
        if last > first:
            filled = field
        a = b + ONE
        if text[b] == NEWLINE:
            counts[n] = _ended(separator, slots, starts, n, field, filled)
            n += 1
            lines[n] = a
            field = filled = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _split_quoted(text, separator, runs, slots, lines, counts, starts, ends):
    n = field = filled = 0
    at = np.uint64(0)
    lines[0] = 0
    while at < np.uint64(text.size):
        if runs and text[at] == separator:
            at += ONE
            continue
        broken = False
        if text[at] == QUOTE:
            first, last, at, broken = _quoted(text, at, separator)
        else:
            first, last, at = _plain(text, at, separator)
        if field < slots.size and slots[field] >= 0:
            starts[n, slots[field]] = first
            ends[n, slots[field]] = last
        field += 1
        if last > first:
            filled = field
        if text[at] == NEWLINE:
            count = _ended(separator, slots, starts, n, field, filled)
            counts[n] = BROKEN if broken else count
            n += 1
            lines[n] = at + ONE
            field = filled = 0
        at += ONE


@inlined_part
def _ended(separator, slots, starts, n, count, filled):
    """The number of fields of a line of `count`, the last of them that is not empty `filled`."""
    if count == filled or (separator != SPACE and count > 1):
        return count
    for field in range(filled, min(count, slots.size)):
        if slots[field] >= 0:
            starts[n, slots[field]] = -1
    return filled


@inlined_part
def _trimmed(text, a, b, separator):
    """``[a, b)`` without a carriage return before the newline and without blanks around it."""
    if text[b] == NEWLINE and b > a and text[b - ONE] == RETURN:
        b -= ONE
    if separator != SPACE:
        while a < b and (text[a] == SPACE or (text[a] == TAB and separator != TAB)):
            a += ONE
        while a < b and (text[b - ONE] == SPACE or (text[b - ONE] == TAB and separator != TAB)):
            b -= ONE
    return a, b


@njit_part
def _plain(text, at, separator):
    """The field that begins at `at`: its start, its end, and where its terminator stands."""
    a = at
    while text[at] != separator and text[at] != NEWLINE:
        at += ONE
    first, last = _trimmed(text, a, at, separator)
    return first, last, at


@njit_part
def _quoted(text, at, separator):
    """As `_plain`, of a field in quotes, without them, and whether the line is broken by it."""
    at += ONE
    a = at
    while text[at] != NEWLINE and not (text[at] == QUOTE and text[at + ONE] != QUOTE):
        at += ONE
        if text[at - ONE] == QUOTE:
            at += ONE
    b = at
    if text[b] == QUOTE:
        rest, end, at = _plain(text, b + ONE, separator)
        if end == rest:
            return a, b, at, False
    while text[at] != NEWLINE:
        at += ONE
    return a, b, at, True
