"""Which sensor and which quantity the columns of a table are of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.errors import DataError
from gapcast.engine.filling.file import TableFile, Written
from gapcast.engine.filling.keys import QUANTITY, SENSOR
from gapcast.engine.forecaster import Floats

KNOWN = {
    "temperature": r"°\s*[CF]|º\s*C|deg\s*[CF]|degrees? C.*|celsius|[CFK]|kelvin|fahrenheit",
    "pressure": r"hPa|mbar|kPa|Pa",
}
"""Quantities whose units are no other's."""
_WORDS = (
    r"temp|hum|\brh\b|press|baro|wind|rain|precip|solar|radiation|co2|pm\d|volt|current|power|"
    r"energy|flow|level|dew|lux|light|feucht|druck|strom|leistung|moist|noise|no2|o3"
)
_TIME = re.compile(r"time|stamp|epoch|unix|date|\bts\b", re.I)
_NUMBERED = re.compile(r"(.*?)[ _.#-]*([0-9]+|[A-Za-z])")


class Known(NamedTuple):
    """source: the keys that say sensors and quantities. quantities: all there are. unsure: by
    key."""

    source: Mapping[str, Any]
    quantities: tuple[str, ...]
    unsure: Mapping[str, str]


def series(file: TableFile, name: str | None) -> Known:
    """What is said of the columns of a file. name: of the sensor of all rows, where columns are
    quantities; None: the path says it. Raises DataError where a run cannot read it."""
    written = measured(file)
    keys = [*written.keys]
    if len(keys) > 2 or (len(keys) == 2 and len(written.values) > 1):
        raise DataError(
            f"{file.path}: a run reads one column of sensors, found {', '.join(map(repr, keys))}; "
            "--sensor names one of them"
        )
    if len(keys) == 2:
        return _long(written, keys)
    if keys:
        source = {"sensor": keys[0], "wide": [*written.values]}
        unsure = {}
        if QUANTITY.search(keys[0]) and not SENSOR.search(keys[0]):
            unsure["sensor"] = "this column may name quantities, which a run takes for sensors here"
        return Known(source, written.values, unsure)
    if name is None:
        return Known({"wide": [*written.values]}, written.values, {})
    at = [file.written().values.index(column) for column in written.values]
    return _wide(written, file.rows.values[:, at], name)


def measured(file: TableFile) -> Written:
    """How a file is written, without columns of values that are another time of the rows."""
    written, values = file.written(), file.rows.values
    keep = [
        k
        for k, name in enumerate(written.values)
        if not (_TIME.search(name) and len(values) > 1 and (np.diff(values[:, k]) >= 0).all())
    ]
    return replace(written, values=tuple(written.values[k] for k in keep)) if keep else written


def _long(written: Written, keys: Sequence[str]) -> Known:
    """A row has a sensor, a quantity and a value."""
    one, other = keys
    unsure = {}
    if QUANTITY.search(one) and not QUANTITY.search(other):
        one, other = other, one
    elif not QUANTITY.search(other):
        if len(written.keys[one]) < len(written.keys[other]):
            one, other = other, one
        unsure["quantity"] = f"the sensor may be {other!r} and the quantity {one!r}"
    source = {"sensor": one, "quantity": other, "value": written.values[0]}
    return Known(source, tuple(sorted(written.keys[other])), unsure)


def _wide(written: Written, values: Floats, name: str) -> Known:
    """Each column is a series: of one quantity each, or all of one."""
    columns = written.values
    quantity, sure = _shared(written, values)
    if quantity is None:
        wide = {column: {"sensor": name, "quantity": column} for column in columns}
        why = "columns are taken for quantities of one sensor; if they are sensors, give them one "
        why += "quantity"
        unsure = {} if sure else {"wide": why}
        return Known({"wide": wide}, columns, unsure)
    wide = {column: {"sensor": column, "quantity": quantity} for column in columns}
    why = "columns are taken for sensors of one quantity; if they are quantities, give each its "
    why += "own, and all one sensor"
    return Known({"wide": wide}, (quantity,), {} if sure else {"wide": why})


def _shared(written: Written, values: Floats) -> tuple[str | None, bool]:
    """The quantity that all columns are of, None where each is of its own; and whether it is
    sure."""
    columns, units = written.values, {written.units.get(c, "") for c in written.values}
    plain = [re.sub(r"[\[(].*?[\])]", "", c).strip() for c in columns]
    if len(columns) == 1:
        return plain[0] or columns[0], True
    if len(units) > 1 and "" not in units:
        return None, True
    of_unit = next((q for q, of in KNOWN.items() if re.fullmatch(of, next(iter(units)))), None)
    stems = {m[1].strip(" _.#-").lower() if (m := _NUMBERED.fullmatch(c)) else c for c in plain}
    if len(stems) == 1:
        stem = next(iter(stems))
        return of_unit or (stem if re.search(_WORDS, stem) else "value"), True
    words = [m[0].lower() if (m := re.search(_WORDS, c, re.I)) else "" for c in plain]
    if len({*words}) > 1 and "" not in words:
        return None, True
    if len(units) == 1 and units != {""}:
        return of_unit or "value", bool(of_unit)
    if any(words):
        return (None, False) if len({*words}) > 1 else (words[0], False)
    return ("value" if _alike(values) else None), False


def _alike(values: Floats) -> bool:
    """Whether columns hold numbers of one range."""
    low, high = np.nanquantile(values, [0.05, 0.95], axis=0)
    return bool(high.min() >= low.max())
