"""Values that carry their unit in the config, as types for the fields of any parameter model.

=========  ======================  ==========================================
type       written as              held as
=========  ======================  ==========================================
Duration   ``30s``, ``5min``       int, microseconds, 0 to 100 years
Time       ``2004-03-03T00:00Z``   int, microseconds since 1970, UTC
Size       ``64MiB``, ``10MB``     int, bytes
Speed      ``max``, ``60x``        float, times real time; ``max`` is infinity
Sensor     ``7`` or ``"kitchen"``  str
=========  ======================  ==========================================

A bare number is rejected where a unit belongs: ``interval: 30`` could mean anything. Each type
writes itself back in the form it is read in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
BYTES = {
    "B": 1,
    "kB": 1_000,
    "KiB": 1 << 10,
    "MB": 1_000_000,
    "MiB": 1 << 20,
    "GB": 1_000_000_000,
    "GiB": 1 << 30,
    "TB": 1_000_000_000_000,
    "TiB": 1 << 40,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = (1 << 63) - 1
LONGEST = 36_525 * MICROSECONDS["d"]
"""The longest duration, 100 years: added to any time of a calendar, it still fits 64 bits."""


def expecting(expected: str) -> PydanticCustomError:
    """The error of a value that is not what it `expected` to be; the value is shown elsewhere."""
    return PydanticCustomError("expected", "{must}", {"must": f"must be {expected}"})


def _scaled(units: Mapping[str, int], expected: str, most: int, bound: str) -> Callable[[Any], int]:
    form = re.compile(rf"([0-9]{{1,18}}) ?({'|'.join(units)})")

    def read(value: Any) -> int:
        match = form.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise expecting(expected)
        scaled = int(match[1]) * units[match[2]]
        if scaled > most:
            raise expecting(f"{expected}, {bound}")
        return scaled

    return read


def _written(value: int, units: Mapping[str, int]) -> str:
    largest = max((u for u in units if value % units[u] == 0), key=lambda u: units[u])
    return f"{value // units[largest]}{largest}" if value else f"0{next(iter(units))}"


read_duration = _scaled(
    MICROSECONDS, "a duration such as 30s, 5min, 1h or 1d", LONGEST, "36525d (100 years) at most"
)
"""Microseconds of a text such as ``5min``; raises PydanticCustomError."""
_read_size = _scaled(BYTES, "a size such as 10MB or 64MiB", _LARGEST, "below 2^63")


def write_duration(microseconds: int) -> str:
    """The shortest text that `read_duration` turns into `microseconds`."""
    return _written(microseconds, MICROSECONDS) if microseconds else "0s"


def read_time(value: Any) -> int:
    """Microseconds since 1970 of a time or date, UTC where it does not say; raises
    PydanticCustomError."""
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if not isinstance(moment, datetime):
        raise expecting("a time such as 2004-03-03T00:00:00Z")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def write_time(microseconds: int) -> str:
    """ISO 8601 in UTC of a time in microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def _read_speed(value: Any) -> float:
    if value == "max":
        return math.inf
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)x", value) if isinstance(value, str) else None
    if match is None or float(match[1]) == 0:
        raise expecting("max or a factor such as 60x")
    return float(match[1])


def _write_speed(speed: float) -> str:
    return "max" if math.isinf(speed) else f"{Decimal(repr(speed)):f}x"


def _read_sensor(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise expecting("a sensor's name (in quotes if it reads as something else)")
    return str(value)


Duration = Annotated[
    int,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^[0-9]+ ?({'|'.join(MICROSECONDS)})$",
            "examples": ["30s", "5min", "1d"],
        }
    ),
]
"""A length of time, in microseconds, at most `LONGEST`."""

Time = Annotated[
    int,
    BeforeValidator(read_time),
    PlainSerializer(write_time, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}",
            "examples": ["2004-03-03T00:00:00Z"],
        }
    ),
]
"""A moment, in microseconds since 1970 (UTC); a time without a zone is in UTC."""

Size = Annotated[
    int,
    BeforeValidator(_read_size),
    PlainSerializer(lambda size: _written(size, BYTES), return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^[0-9]+ ?({'|'.join(BYTES)})$",
            "examples": ["64MiB", "10MB"],
        }
    ),
]
"""An amount of data, in bytes."""

Speed = Annotated[
    float,
    BeforeValidator(_read_speed),
    PlainSerializer(_write_speed, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": "^(max|[0-9]+(\\.[0-9]+)?x)$", "examples": ["max", "60x"]}
    ),
]
"""How many times faster than recorded; infinity for as fast as possible."""

Sensor = Annotated[
    str,
    BeforeValidator(_read_sensor),
    WithJsonSchema({"type": ["string", "integer"]}),
]
"""A sensor's name; a whole number is taken as its digits."""
