"""How times are written, found by looking at them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?( ?(Z|z|UTC|[+-]\d\d:?\d\d))?)?")
_DATE = re.compile(r"(\d{1,4})([-./ ])(\d{1,2}|[A-Za-z]{3})\2(\d{4}|\d{2}|\d)(?!\d)(.*)")
_CLOCK = re.compile(r"(\d{1,2}):\d\d(:\d\d)?(\.\d+)?( ?)([AaPp][Mm]?)?")
_COMPACT = re.compile(
    r"((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"([T_ ]?)(?:([01]\d|2[0-4])([0-5]\d)?([0-5]\d)?)?"
)
_SINCE = {"s": (9, 10), "ms": (12, 13), "us": (15, 16), "ns": (18, 19)}
WORDS = re.compile(
    r"time|date|datum|zeit|uhr|stamp|fecha|heure|horodat|\bdata\b|\bora\b|hora|tid\b|epoch|unix|utc",
    re.I,
)
"""What columns of times are called."""
NUMBERS = frozenset({*_SINCE, "excel"})
"""Times that look like numbers."""


def forms(text: str) -> list[str]:
    """Formats that a text may be written in, likely ones first; none where it is no time."""
    text = text.strip()
    if _ISO.fullmatch(text):
        return ["iso"]
    if found := _COMPACT.fullmatch(text):
        clock = "".join(
            d for d, part in zip(("%H", "%M", "%S"), found.groups()[4:], strict=True) if part
        )
        return [f"%Y%m%d{found[4]}{clock}"]
    if found := _DATE.fullmatch(text):
        clock = _clock(found[5])
        if clock is None:
            return []
        return [date + clock for date in _dates(found[1], found[2], found[3], found[4])]
    return _numbers(text)


def clock(text: str) -> str | None:
    """The format of a time of day; None where it is none."""
    return _clock(" " + text.strip(), "")


def _clock(rest: str, lead: str | None = None) -> str | None:
    """The format of what comes after a date."""
    if not rest:
        return ""
    blank = re.match(r"[T_ ,;-]+", rest)
    found = _CLOCK.fullmatch(rest[blank.end() :]) if blank else None
    if not (blank and found):
        return None
    half = f"{found[4]}%p" if found[5] else ""
    digits = found[4] if found[4] and not found[5] else ""
    seconds = (":%S" if found[2] else "") + (".%f" if found[3] else "")
    gap = blank[0] if lead is None else lead
    return f"{gap}{'%I' if half else '%H'}:%M{seconds}{half}{digits}"


def _dates(one: str, mark: str, two: str, three: str) -> Iterator[str]:
    month = "%b" if two.isalpha() else "%m"
    year = "%Y" if len(three) == 4 else "%y"
    if len(one) == 4:
        yield f"%Y{mark}{month}{mark}%d"
    elif len(one) <= 2 and len(three) > 1:
        yield f"%d{mark}{month}{mark}{year}"
        if month == "%m" and mark != ".":
            yield f"%m{mark}%d{mark}{year}"
        if month == "%m" and len(three) == 2 and len(one) == 2 and mark != "/":
            yield f"%y{mark}%m{mark}%d"


def _numbers(text: str) -> list[str]:
    found = re.fullmatch(r"(\d+)([.,]\d+)?", text)
    if not found:
        return []
    digits = len(found[1])
    since = [unit for unit, (low, high) in _SINCE.items() if low <= digits <= high]
    if since:
        return since
    return ["excel"] if digits == 5 and 20_000 < int(found[1]) < 80_000 else []


def likely(texts: Sequence[str], share: float = 0.9) -> list[str]:
    """Formats that at least such a share of the texts may be written in."""
    there = [text for text in texts if text.strip()]
    counts = Counter(form for text in there for form in forms(text))
    return [form for form, count in counts.items() if count >= share * len(there)]


def likely_clock(texts: Sequence[str]) -> str | None:
    """The format of times of day."""
    there = [text for text in texts if text.strip()]
    counts = Counter(clock(text) for text in there)
    form, count = counts.most_common(1)[0] if there else (None, 0)
    return form if count >= 0.9 * len(there) else None
