"""Cut a block of text into points of InfluxDB's line protocol; only places are noted.

    measurement,tag=value field=1.5,other=2i 1700000000000000000

A comma, equals sign or space after a backslash is part of a name; within quotes everything is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import njit_part
from gapcast.plugins.sources.text.split import NEWLINE, QUOTE, RETURN, SPACE, TAB, Bytes

POINT, NO_POINT, BROKEN = range(3)
"""What a line is: a point, one without any (blank, or a comment), or neither."""

NUMBER, TRUE, FALSE = range(3)
"""What the value of a field is: perhaps a number, or one of two words."""

_COMMA, _EQUALS, _BACKSLASH, _HASH, _MINUS = 44, 61, 92, 35, 45
_I, _U = 105, 117


class Points(NamedTuple):
    """n lines with k fields.

    lines: (n + 1,) where each line begins, then the end of the text. state: (n,) what it is. head,
    time: (n, 2) begin and end of its measurement and tags, and of its time, which may be empty. of:
    (k,) the line of each field; key, value: (k, 2) its begin and end, whole numbers without their
    ``i`` or ``u``; kind: (k,) what it is.
    """

    lines: NDArray[np.int64]
    state: NDArray[np.int8]
    head: NDArray[np.int32]
    time: NDArray[np.int32]
    of: NDArray[np.int64]
    key: NDArray[np.int32]
    value: NDArray[np.int32]
    kind: NDArray[np.int8]


def points(text: Bytes) -> Points:
    """The points of whole lines; `text` ends with a newline and is shorter than 2 GiB."""
    n = int(np.count_nonzero(text == NEWLINE))
    most = int(np.count_nonzero(text == _EQUALS))
    lines, state = np.zeros(n + 1, np.int64), np.empty(n, np.int8)
    head, time = np.zeros((n, 2), np.int32), np.zeros((n, 2), np.int32)
    of, kind = np.empty(most, np.int64), np.empty(most, np.int8)
    key, value = np.empty((most, 2), np.int32), np.empty((most, 2), np.int32)
    k = _points(text, lines, state, head, time, of, key, value, kind)
    return Points(lines, state, head, time, of[:k], key[:k], value[:k], kind[:k])


@njit(cache=True, nogil=True, error_model="numpy")
def _points(text, lines, state, head, time, of, key, value, kind):
    k = 0
    begin = 0
    for i in range(state.size):
        end = begin
        while text[end] != NEWLINE:
            end += 1
        lines[i + 1] = end + 1
        a, b = _trimmed(text, begin, end)
        begin = end + 1
        if a == b or text[a] == _HASH:
            state[i] = NO_POINT
            continue
        head[i, 0] = a
        head[i, 1] = _until(text, a, b, SPACE, SPACE)
        first = k
        at = _blank(text, head[i, 1], b)
        more = at < b and head[i, 1] > a
        while more:
            k, at, more = _field(text, at, b, i, k, of, key, value, kind)
        if at < 0 or k == first:
            state[i], k = BROKEN, first
            continue
        state[i] = POINT
        time[i, 0], time[i, 1] = _blank(text, at, b), b
    return k


@njit_part
def _field(text, at, b, line, k, of, key, value, kind):
    """Note the field that begins at `at`: the number of fields then, where it ends (-1 if it is
    none), and whether there is another one."""
    equals = _until(text, at, b, _EQUALS, SPACE)
    if equals in (at, b) or text[equals] != _EQUALS:
        return k, -1, False
    end = _value_end(text, equals + 1, b)
    if end <= equals + 1 or (end < b and text[end] != _COMMA and text[end] != SPACE):
        return k, -1, False
    of[k] = line
    key[k, 0], key[k, 1] = at, equals
    value[k, 0] = equals + 1
    kind[k] = _kind(text, equals + 1, end)
    value[k, 1] = end - _whole(text, equals + 1, end)
    more = end < b and text[end] == _COMMA
    return k + 1, end + more, more


@njit_part
def _trimmed(text, a, b):
    """``[a, b)`` without blanks at its ends and a carriage return before the newline."""
    while b > a and (text[b - 1] == SPACE or text[b - 1] == RETURN or text[b - 1] == TAB):
        b -= 1
    return _blank(text, a, b), b


@njit_part
def _blank(text, a, b):
    while a < b and (text[a] == SPACE or text[a] == TAB):
        a += 1
    return a


@njit_part
def _until(text, a, b, one, other):
    """Where the first of two marks stands that is not behind a backslash; `b` if none does."""
    i = a
    while i < b and (
        (text[i] != one and text[i] != other) or (i > a and text[i - 1] == _BACKSLASH)
    ):
        i += 1
    return i


@njit_part
def _value_end(text, a, b):
    """Where the value ends that begins at `a`; -1 if it is a text whose quote is not closed."""
    if a == b or text[a] != QUOTE:
        while a < b and text[a] != _COMMA and text[a] != SPACE:
            a += 1
        return a
    a += 1
    while a < b and text[a] != QUOTE:
        a += 2 if text[a] == _BACKSLASH else 1
    return a + 1 if a < b else -1


@njit_part
def _whole(text, a, b):
    """1 if ``text[a:b]`` is a whole number and the letter that says so, else 0."""
    unsigned = text[b - 1] == _U
    if text[b - 1] != _I and not unsigned:
        return 0
    a += text[a] == _MINUS and not unsigned
    if a >= b - 1:
        return 0
    for i in range(a, b - 1):
        if text[i] < 48 or text[i] > 57:
            return 0
    return 1


@njit_part
def _kind(text, a, b):
    if _says(text, a, b, b"t") or _says(text, a, b, b"true"):
        return TRUE
    return FALSE if _says(text, a, b, b"f") or _says(text, a, b, b"false") else NUMBER


@njit_part
def _says(text, a, b, letters):
    same = b - a == len(letters)
    for k in range(len(letters)):
        same = same and (text[a + k] | 32) == letters[k]
    return same
