"""A first look at messages: how they are written, and what readings they give."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gapcast.engine.drafting.steps import usual
from gapcast.engine.filling.file import Asked
from gapcast.engine.filling.keys import QUANTITY, SENSOR
from gapcast.engine.network.series import natural
from gapcast.plugins.kafka.records import Decoded
from gapcast.plugins.tables.layout import layout_of
from gapcast.plugins.tables.moments import NUMBERS, WORDS, likely
from gapcast.plugins.tables.numbers import marks

LOOKED = 2000
"""Messages that are looked at, at most."""
_VALUE = ("value", "val", "reading", "v", "wert", "measurement")
_STREAM = b"\xff\xff\xff\xff"
"""How a stream of Arrow begins."""


class Shape(NamedTuple):
    """keys: of the source, for messages like these, but those in `same`, which have their default
    value. unsure: what may be otherwise, by key."""

    keys: Mapping[str, Any]
    unsure: Mapping[str, str]
    same: frozenset[str] = frozenset()


def shape_of(values: Sequence[bytes], key: bool, live: bool = False) -> Shape:
    """How messages are written: JSON, lines of text or Arrow. key: whether they have keys. live:
    whether the time of one that says none is that of its arrival, without a key for it."""
    if not values:
        return Shape({}, {"format": "no message was seen; JSON with time, sensor, quantity and "
                          "value is assumed"})  # fmt: skip
    if sum(value.startswith(_STREAM) for value in values) > len(values) / 2:
        return Shape({"format": "arrow"}, {})
    objects = [found for value in values for found in _objects(value)]
    if objects:
        return _json(objects, key, live)
    return _lines(values)


@dataclass(frozen=True)
class Tally:
    """What readings were made of messages."""

    sensors: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    interval: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def tally(made: Decoded) -> Tally:
    """Sensors, quantities and interval of readings."""
    readings, letters = made
    if not len(readings):
        why = f"; {letters['reason'][0]}" if len(letters) else ""
        return Tally(facts={"readings": f"none{why}"})
    names = [readings[name].cast(pa.string()).to_pylist() for name in ("sensor", "quantity")]
    sensors = tuple(sorted({*names[0]}, key=natural))
    quantities = tuple(sorted({*names[1]}))
    known = {of: n for n, of in enumerate(dict.fromkeys(zip(*names, strict=True)))}
    series = np.array([known[of] for of in zip(*names, strict=True)], np.int64)
    times = readings["time"].cast(pa.int64()).to_numpy()
    facts = {
        "readings": f"{len(readings):,}, {len(letters):,} records cannot be read",
        "sensors": _few(sensors),
    }
    return Tally(sensors, quantities, usual(times, series), facts)


def _objects(value: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a message, flat, names of those within after a dot."""
    try:
        found = json.loads(value)
    except ValueError:
        return
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict):
            yield dict(_flat(one, ""))


def _flat(of: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in of.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield above + key, value


def _json(objects: Sequence[Mapping[str, Any]], key: bool, live: bool) -> Shape:
    names = Counter(name for found in objects for name in found)
    columns = {name: [found[name] for found in objects if name in found] for name in names}
    keys: dict[str, Any] = {}
    unsure: dict[str, str] = {}
    time, form = _time(columns)
    if time is not None:
        keys |= {"time": time} | ({"time_format": form} if form != "iso" else {})
    elif not live:
        keys["timestamp_is_time"] = True
        unsure["timestamp_is_time"] = "no field of a time was seen: the records' own is taken"
    texts = [n for n, of in columns.items() if n != time and not all(map(is_number, of))]
    whole = [n for n, of in columns.items() if all(isinstance(x, int) for x in of)]
    sensor = next((n for n in [*texts, *whole] if n != time and SENSOR.search(n)), None)
    quantity = next((n for n in texts if n != sensor and QUANTITY.search(n)), None)
    sensor = sensor or next((n for n in texts if n != quantity), None)
    if sensor is not None:
        keys["sensor"] = sensor
    elif key:
        keys["key_is_sensor"] = True
    elif not live:
        unsure["sensor"] = "no field of a sensor was seen"
    numbers = [
        n for n, of in columns.items() if n not in (time, sensor) and all(map(is_number, of))
    ]
    numbers = [n for n in numbers if not isinstance(columns[n][0], str)] or numbers
    if quantity is not None or (live and numbers == ["value"]):
        value = next((n for n in numbers if n.lower() in _VALUE), None)
        value = value or (numbers[0] if numbers else "value")
        keys |= {"quantity": quantity} if quantity else {}
        keys["value"] = value
    else:
        keys["wide"] = numbers
    same = frozenset(k for k, v in keys.items() if k == v and not (live and k == "time"))
    return Shape({k: v for k, v in keys.items() if k not in same}, unsure, same)


def _time(columns: Mapping[str, Sequence[Any]]) -> tuple[str | None, str]:
    """The field of the time, and how it is written."""
    found = []
    for name, values in columns.items():
        for form in likely([str(value) for value in values]):
            named = bool(WORDS.search(name)) or name.lower() in ("ts", "t")
            if named or form not in NUMBERS:
                found.append((not named, name, form))
                break
    return min(found)[1:] if found else (None, "")


def _lines(values: Sequence[bytes]) -> Shape:
    """Lines of cells, apart by a delimiter."""
    lines = [line for value in values for line in value.decode(errors="replace").splitlines()]
    layout = layout_of(lines, Asked())
    if layout is None or len(layout.times) != 1:
        return Shape(
            {}, {"format": "messages are neither JSON nor lines with a time; see `format`"}
        )
    table = [line.split(layout.delimiter) for line in lines]
    width = len(layout.names)
    columns = [[row[c].strip() for row in table if len(row) == width] for c in range(width)]
    comma = marks([text for column in columns for text in column], None).decimal
    names = [str(c + 1) for c in range(width)]
    rest = [c for c in range(width) if c != layout.times[0]]
    texts = [c for c in rest if not all(is_number(t.replace(comma, ".")) for t in columns[c])]
    numbers = [c for c in rest if c not in texts]
    names[layout.times[0]] = "time"
    for c, role in zip(texts, ("sensor", "quantity"), strict=False):
        names[c] = role
    keys: dict[str, Any] = {"format": "csv", "columns": names, "delimiter": layout.delimiter}
    if layout.formats[0] != "iso":
        keys["time_format"] = layout.formats[0]
    if comma != ".":
        keys["decimal"] = comma
    if len(texts) > 1 and numbers:
        names[numbers[0]] = "value"
    else:
        keys["wide"] = [names[c] for c in numbers]
    return Shape(keys, {"columns": "no line names the columns: give each its name"})


def is_number(value: Any) -> bool:
    """Whether a value, or the text of one, is a number."""
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _few(names: Sequence[str]) -> str:
    return f"{len(names):,}: " + ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
