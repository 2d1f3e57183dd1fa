"""How the columns of a table are readings: what CSV and Parquet have in common.

Long: a row is one reading, with its sensor and its quantity in columns of their own. Wide: a row
is several readings of one time, one in each column that `wide` names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gapcast.engine.errors import SourceError
from gapcast.engine.plugin import Params
from gapcast.engine.spelling import meant
from gapcast.engine.units import Sensor, expecting
from gapcast.engine.zones import known
from gapcast.plugins.sources.formats.rows import Labels
from gapcast.plugins.sources.text.names import Names
from gapcast.plugins.sources.text.patterns import reader

REST = "*"
"""In `wide`: every column that is not named otherwise."""

_ONE_QUANTITY = ", or, where all rows are of one quantity, wide: {value: {quantity: its name}}"


class Column(Params):
    """What the values of a column are readings of."""

    sensor: Sensor | None = Field(
        default=None,
        description="Default: what the row's sensor column says; without one, the column's name.",
    )
    quantity: str | None = Field(default=None, description="Default: the column's name.")


def _listed(value: Any) -> Any:
    return {name: {} for name in value} if isinstance(value, list) else value


def _zone(value: str) -> str:
    if not known(value):
        raise expecting("a time zone such as UTC or Europe/Berlin")
    return value


def _time_format(value: str) -> str:
    reader(value)
    return value


class TableOptions(Params):
    """Keys that name a table's columns."""

    time: str | list[str] = Field(
        default="time",
        description="Column of the time; or several, such as [Date, Time], joined by a space.",
    )
    sensor: str = Field(default="sensor", description="Column of the sensor.")
    quantity: str = Field(default="quantity", description="Column of the quantity (long tables).")
    value: str = Field(default="value", description="Column of the value (long tables).")
    wide: Annotated[
        dict[str, Column] | None,
        BeforeValidator(_listed, json_schema_input_type=dict[str, Column] | list[str] | None),
    ] = Field(
        default=None,
        description="Columns of values: a list of them, or of each its sensor and quantity; "
        "'*' stands for all others. Makes the table a wide one.",
    )
    time_format: Annotated[str, AfterValidator(_time_format)] = Field(
        default="iso",
        description="How times are written: iso, s, ms, us, ns (since 1970), excel (days since "
        "1900) or as for strptime, %d.%m.%Y %H:%M.",
    )
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC",
        description="Zone of times that do not say theirs. In the hour that comes twice when "
        "clocks are set back, the records of a file are told apart by their order.",
    )

    @property
    def times(self) -> list[str]:
        """The columns of the time."""
        return [self.time] if isinstance(self.time, str) else self.time

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """What `table` would reject of any file: two columns that are surely one series."""
        by_row = self.sensor != TableOptions.model_fields["sensor"].default
        known: dict[tuple[str | None, str], str] = {}
        for name, column in (self.wide or {}).items():
            series = column.sensor, column.quantity or name
            if REST in name or (column.sensor is None and not by_row):
                continue
            if (other := known.setdefault(series, name)) != name:
                raise ValueError(_collision(other, name, *series))
        return self


@dataclass(frozen=True)
class Table:
    """The columns that are read, by their numbers among `columns`, all that the file has.

    sensor: -1 if no column of values needs it. quantity: -1 if the table is wide. values: columns
    of values; sensors, quantities: of each, its sensor and quantity, or ``None`` for the row's.
    implicit: sensors that nothing but the names of columns says.
    """

    times: tuple[int, ...]
    sensor: int
    quantity: int
    values: tuple[int, ...]
    sensors: tuple[str | None, ...]
    quantities: tuple[str | None, ...]
    columns: tuple[str, ...]
    implicit: frozenset[str]

    @property
    def time(self) -> int:
        """The column of the time, of a table that has one only."""
        (time,) = self.times
        return time


def table(
    options: TableOptions,
    columns: Sequence[str],
    wanted: frozenset[str] | None,
    where: str,
    said: Mapping[str, str] | None = None,
) -> Table:
    """Find the columns that `options` name; said: the sensor and quantity of all rows, where the
    file's path says them, ``None`` where there is no file. A file without the columns of a long
    table is a wide one.

    Raises SourceError naming columns that are not there or there twice, and columns of values that
    would be one series.
    """
    wide = options.wide
    in_file = said is not None
    said = said or {}
    if in_file and wide is None and not ({options.value, options.quantity} & {*columns}):
        wide = {REST: Column()}
    if wide is None:
        return _long(options, columns, where, said)
    roles = [("time", name) for name in options.times]
    if options.sensor != TableOptions.model_fields["sensor"].default:
        roles.append(("sensor", options.sensor))
    _check([*roles, *(("wide", name) for name in wide if name != REST)], columns, where)
    by_row = options.sensor in columns and options.sensor not in wide and "sensor" not in said
    if by_row:
        _check_once([options.sensor], columns, where)
    chosen = []
    for number, name in enumerate(columns):
        own = name in options.times or (by_row and name == options.sensor)
        column = wide.get(name, None if own else wide.get(REST))
        if column is None:
            continue
        quantity_name = column.quantity or said.get("quantity") or name
        sensor_name = column.sensor or said.get("sensor") or (None if by_row else name)
        if wanted is None or quantity_name in wanted:
            chosen.append((number, sensor_name, quantity_name))
    if not chosen and options.wide is None:
        asked = ", ".join(map(repr, sorted(wanted or ())))
        raise SourceError(
            f"{where}: no column of values {asked} {_found(columns)}; say in source.wide which "
            "columns are values of which quantity"
        )
    _check_apart([(columns[number], s, q) for number, s, q in chosen], columns, where)
    return Table(
        times=tuple(columns.index(name) for name in options.times),
        sensor=columns.index(options.sensor) if any(s is None for _, s, _ in chosen) else -1,
        quantity=-1,
        values=tuple(number for number, _, _ in chosen),
        sensors=tuple(name for _, name, _ in chosen),
        quantities=tuple(name for _, _, name in chosen),
        columns=tuple(columns),
        implicit=frozenset(
            s for n, s, _ in chosen if s == columns[n] and not (by_row or said or _named(wide, s))
        ),
    )


def described(options: TableOptions, found: Table) -> dict[str, str]:
    """The columns of a table and what is read in them, in words."""
    names = found.columns
    at = [
        f"{names[n]} ({q or 'quantity in ' + names[found.quantity]}, "
        f"{'sensor in ' + names[found.sensor] if s is None else 'of ' + s})"
        for n, s, q in zip(found.values, found.sensors, found.quantities, strict=True)
    ]
    return {
        "time": f"{' '.join(options.times)}, as {options.time_format}; {options.timezone} where it "
        "does not say its zone",
        "columns": _found(names).strip("()").removeprefix("found: "),
        "values": ", ".join(at[:8]) + (f", … {len(at)} in all" if len(at) > 8 else ""),
    }


def _named(wide: Mapping[str, Column], column: str) -> bool:
    """Whether the config says the sensor of a column."""
    return bool((wide.get(column) or Column()).sensor)


def _long(
    options: TableOptions, columns: Sequence[str], where: str, said: Mapping[str, str]
) -> Table:
    names = {role: getattr(options, role) for role in ("sensor", "quantity") if role not in said}
    times = [("time", name) for name in options.times]
    _check([*times, *names.items(), ("value", options.value)], columns, where)
    at = {role: columns.index(name) for role, name in names.items()}
    return Table(
        times=tuple(columns.index(name) for name in options.times),
        sensor=at.get("sensor", -1),
        quantity=at.get("quantity", -1),
        values=(columns.index(options.value),),
        sensors=(said.get("sensor"),),
        quantities=(said.get("quantity"),),
        columns=tuple(columns),
        implicit=frozenset(),
    )


def _check(names: Iterable[tuple[str, str]], columns: Sequence[str], where: str) -> None:
    """Each name, with the key that says it, must be that of one column."""
    for key, name in names:
        if name not in columns:
            raise SourceError(
                f"{where}: no column {name!r}{meant(name, columns)} {_found(columns)}; say which "
                f"it is in source.{key}{_ONE_QUANTITY if key == 'quantity' else ''}"
            )
        _check_once([name], columns, where)


def _check_once(names: Iterable[str], columns: Sequence[str], where: str) -> None:
    times = Counter(columns)
    for name in names:
        if name and times[name] > 1:
            raise SourceError(
                f"{where}: {times[name]} columns are called {name!r}; pass over the header with "
                "source.skip and name the columns in source.columns"
            )


def _found(columns: Sequence[str]) -> str:
    return f"(found: {', '.join(columns[:20])}{', …' if len(columns) > 20 else ''})"


def _check_apart(
    chosen: Iterable[tuple[str, str | None, str]], columns: Sequence[str], where: str
) -> None:
    """Each column of values once, and no two of them one series."""
    known: dict[tuple[str | None, str], str] = {}
    for name, sensor, quantity in chosen:
        _check_once([name], columns, where)
        if (other := known.setdefault((sensor, quantity), name)) != name:
            raise SourceError(f"{where}: {_collision(other, name, sensor, quantity)}")


def _collision(first: str, second: str, sensor: str | None, quantity: str) -> str:
    of = "the row's sensor" if sensor is None else f"sensor {sensor!r}"
    return (
        f"columns {first!r} and {second!r} would both be {quantity!r} of {of}; "
        "in `wide`, give each a sensor or a quantity of its own"
    )


def labels(table: Table, sensor: Names, quantity: Names, wanted: Callable[[str], bool]) -> Labels:
    """The names of a table's cells, from those in its rows and those of its columns."""
    of_sensor, sensors = _numbered(table.sensors)
    of_quantity, quantities = _numbered(table.quantities)
    keep = np.array([wanted(name) for name in quantity.found.to_pylist()] + [False], np.bool_)
    kept = quantity.ids if keep[:-1].all() else np.where(keep[quantity.ids], quantity.ids, -1)
    return Labels(
        sensor=_after(len(sensors), sensor.ids),
        quantity=_after(len(quantities), kept.astype(np.int32)),
        of_sensor=of_sensor,
        of_quantity=of_quantity,
        sensors=pa.concat_arrays([pa.array(sensors, pa.string()), sensor.found]),
        quantities=pa.concat_arrays([pa.array(quantities, pa.string()), quantity.found]),
    )


def _after(n: int, ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """`ids` of names that stand after `n` others."""
    return np.where(ids >= 0, ids + np.int32(n), np.int32(-1)) if n else ids


def _numbered(names: Iterable[str | None]) -> tuple[NDArray[np.int32], list[str]]:
    """The number of each name among the different ones, -1 for ``None``, and these."""
    known: dict[str, int] = {}
    numbers = [-1 if n is None else known.setdefault(n, len(known)) for n in names]
    return np.array(numbers, np.int32), list(known)
