"""Times written in any other way: a pattern as for ``strptime``, or numbers since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from gapcast.engine.kernels.uncounted import njit_part
from gapcast.plugins.sources.text.decimals import FINE, decimal
from gapcast.plugins.sources.text.names import gather
from gapcast.plugins.sources.text.split import Bytes
from gapcast.plugins.sources.text.times import (
    DAY,
    DAY_LIMIT,
    LOCAL,
    NONE,
    PLACED,
    Parse,
    Times,
    days,
    iso,
    micros,
)

EXCEL = "excel"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXCEL = -25_569 * DAY  # day 0 is 1899-12-30
_HOUR_24 = r"([ T])24(:00(?::00(?:[.,]0+)?)?|$)"

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0}
"""Numbers since 1970 UTC, in microseconds each; a nanosecond is less than one."""

DIRECTIVES = "YmdHMSfyIp%"
_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2, "y": 2, "I": 2}
_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND, _SHORT, _CLOCK, _FRACTION, _HALF = range(10)
_SLOTS = {"Y": _YEAR, "m": _MONTH, "d": _DAY, "H": _HOUR, "M": _MINUTE, "S": _SECOND,
          "y": _SHORT, "I": _CLOCK, "f": _FRACTION, "p": _HALF}  # fmt: skip
_LITERAL = -1
_LOWEST = np.array([1, 1, 1, 0, 0, 0, 0, 1], np.int64)
_HIGHEST = np.array([9999, 12, 31, 23, 59, 59, 99, 12], np.int64)


def reader(written: str) -> Parse:
    """The parser of times `written` as ``iso``, as a number (s, ms, us, ns), as Excel's days, or by
    a pattern as for ``strptime``, whose ``%p`` may be ``a`` or ``p`` alone. Hour 24 is
    hour 0 of the next day.

    Raises ValueError if the pattern is none.
    """
    if written in UNITS:
        return _number(UNITS[written])
    if written == EXCEL:
        return _once(_excel)
    if written == "iso":
        return _with_hour_24(iso())
    if _is_ours(written):
        return _with_hour_24(_pattern(compiled(written)))
    _check_strptime(written)
    return _once(_strptime(written))


def _is_ours(pattern: str) -> bool:
    """Whether the kernel knows all that a pattern asks for."""
    return {*re.findall(r"%(.)", pattern.replace("%%", ""))} <= {*DIRECTIVES}


def _check_strptime(pattern: str) -> None:
    moment = datetime(2024, 12, 31, 23, 58, 59, tzinfo=UTC)
    try:
        found = datetime.strptime(moment.strftime(pattern), pattern)
    except (ValueError, re.error) as error:
        raise ValueError(f"is no pattern that strptime knows: {error}") from None
    if (found.year, found.month, found.day) != (2024, 12, 31):
        raise ValueError("must be iso, s, ms, us, ns, excel or a pattern with year, month and day")


Local = Callable[[pa.Array], Times]
"""Different texts to times."""


def _once(read: Local) -> Parse:
    """A parser that reads each different text once."""

    def parse(text: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Times:
        texts = gather(text, starts, ends).dictionary_encode()
        times, kinds = read(texts.dictionary)
        which = texts.indices.to_numpy()
        return times[which], kinds[which]

    return parse


def _strptime(pattern: str) -> Local:
    def read(texts: pa.Array) -> Times:
        times, kinds = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int8)
        for i, text in enumerate(texts.to_pylist()):
            with suppress(ValueError, OverflowError):
                moment = datetime.strptime(text.decode(), pattern)
                kinds[i] = LOCAL if moment.tzinfo is None else PLACED
                since = moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH
                times[i] = since // timedelta(microseconds=1)
        return times, kinds

    return read


def _excel(texts: pa.Array) -> Times:
    times, kinds = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int8)
    for i, text in enumerate(texts.to_pylist()):
        with suppress(ValueError):
            days = float(text)
            if 0 < days < 2_958_466:  # the year 10000
                times[i] = _EXCEL + round(days * 86_400_000) * 1000  # Excel shows milliseconds
                kinds[i] = LOCAL
    return times, kinds


def _with_hour_24(parse: Parse) -> Parse:
    """`parse`, and for what it cannot read because of hour 24, the day after."""

    def both(text: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Times:
        times, kinds = parse(text, starts, ends)
        bad = np.flatnonzero((kinds == NONE) & (ends > starts))
        if len(bad):
            texts = gather(text, starts[bad], ends[bad])
            late = pc.match_substring_regex(texts, _HOUR_24).to_numpy(zero_copy_only=False)
            if late.any():
                bad, texts = bad[late], texts.filter(pa.array(late))
                midnight = pc.replace_substring_regex(texts, _HOUR_24, r"\1" + "00" + r"\2")
                _, offsets, data = midnight.buffers()
                places = np.frombuffer(offsets, np.int32)[: len(midnight) + 1]
                found, kinds[bad] = parse(np.frombuffer(data, np.uint8), places[:-1], places[1:])
                times[bad] = found + DAY
        return times, kinds

    return both


def compiled(pattern: str) -> NDArray[np.int64]:
    """A pattern as rows of (what, letter or width). Raises ValueError, saying what is wrong."""
    steps = []
    letters = iter(pattern)
    for letter in letters:
        if letter != "%":
            steps += [(_LITERAL, byte) for byte in letter.encode()]
            continue
        directive = next(letters, "")
        if not directive or directive not in DIRECTIVES:
            known = " ".join("%" + d for d in DIRECTIVES)
            raise ValueError(f"unknown directive '%{directive}'; known are {known}")
        if directive == "%":
            steps.append((_LITERAL, ord("%")))
        else:
            steps.append((_SLOTS[directive], _WIDTHS.get(directive, 0)))
    slots = {slot for slot, _ in steps}
    if not ({_YEAR, _SHORT} & slots and {_MONTH, _DAY} <= slots):
        raise ValueError("must be iso, s, ms, us, ns or a pattern with year, month and day")
    if (_CLOCK in slots) != (_HALF in slots):
        raise ValueError("%I and %p go together")
    return np.array(steps, np.int64)


def _pattern(steps: NDArray[np.int64]) -> Parse:
    def parse(text: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Times:
        times = np.empty(len(starts), np.int64)
        kinds = np.empty(len(starts), np.int8)
        _patterned(text, starts, ends, steps, times, kinds)
        return times, kinds

    return parse


def _number(scale: int) -> Parse:
    def parse(text: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Times:
        times = np.empty(len(starts), np.int64)
        kinds = np.empty(len(starts), np.int8)
        _numbers(text, starts, ends, scale, times, kinds)
        return times, kinds

    return parse


@njit(cache=True, nogil=True, error_model="numpy")
def _numbers(text, starts, ends, scale, times, kinds):
    for i in range(starts.size):
        times[i], kinds[i] = _since(text, starts[i], ends[i], scale)


@njit_part
def _since(text, a, b, scale):
    """A number since 1970, whole or with a fraction, rounded down to microseconds."""
    whole = 0
    negative = a < b and text[a] == 45
    i = a + negative
    while i < b and 48 <= text[i] <= 57 and i - a < 19:
        whole = whole * 10 + np.int64(text[i] - 48)
        i += 1
    if i == a + negative or (scale > 0 and whole > 9_000_000_000_000_000_000 // scale):
        return 0, NONE
    if scale == 0:
        value = -whole if negative else whole
        return (value // 1000, PLACED) if i == b else (0, NONE)
    if i == b:
        return (-whole if negative else whole) * scale, PLACED
    if text[i] != 46:
        return 0, NONE
    value, kind = decimal(text, i, b)
    if kind != FINE:
        return 0, NONE
    part = np.int64(np.ceil(value * scale)) if negative else np.int64(np.floor(value * scale))
    value = whole * scale + part
    return -value if negative else value, PLACED


@njit(cache=True, nogil=True, error_model="numpy")
def _patterned(text, starts, ends, steps, times, kinds):
    parts = np.zeros(10, np.int64)
    for i in range(starts.size):
        parts[:] = 0
        parts[_YEAR] = -1
        times[i] = 0
        kinds[i] = NONE
        if _read(text, starts[i], ends[i], steps, parts):
            times[i], kinds[i] = _assembled(parts)


@njit_part
def _read(text, a, b, steps, parts):
    """Read all of ``text[a:b]`` by `steps` into `parts`; says whether it fits."""
    for k in range(steps.shape[0]):
        what, more = steps[k, 0], steps[k, 1]
        if a >= b:
            return False
        if what == _LITERAL:
            if text[a] != more:
                return False
            a += 1
        elif what == _FRACTION:
            parts[what], a = micros(text, a, b)
        elif what == _HALF:
            half = text[a] | 32
            if half != 97 and half != 112:
                return False
            parts[what] = half == 112
            a += 2 if a + 1 < b and (text[a + 1] | 32) == 109 else 1
        else:
            first = a
            parts[what] = 0
            while a < b and a - first < more and 48 <= text[a] <= 57:
                parts[what] = parts[what] * 10 + np.int64(text[a] - 48)
                a += 1
            if a == first or not _LOWEST[what] <= parts[what] <= _HIGHEST[what]:
                return False
    return a == b


@njit_part
def _assembled(parts):
    year = parts[_YEAR]
    if year < 0:
        year = parts[_SHORT] + (2000 if parts[_SHORT] < 69 else 1900)
    day = days(year, parts[_MONTH], parts[_DAY])
    if day < -DAY_LIMIT:
        return 0, NONE
    hour = parts[_HOUR]
    if parts[_CLOCK] > 0:
        hour = parts[_CLOCK] % 12 + 12 * parts[_HALF]
    seconds = (hour * 60 + parts[_MINUTE]) * 60 + parts[_SECOND]
    return day * DAY + seconds * 1_000_000 + parts[_FRACTION], LOCAL
