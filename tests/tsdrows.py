"""Forecasts read back from the points that the sink `opentsdb` makes of them by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from gapcast.engine.sink import AHEAD, FORECASTS, STATUSES

Points = dict[tuple[str, ...], dict[int, float]]
"""The points of one metric: by the values of its tags in order of their names, by second."""

ERRORS = ("residual", "squared_error")
LACKS = ("gap_age", "regressors", "experts", "flag", "made")
"""Columns of `FORECASTS` that are not made points of."""
STORED = [f for f in FORECASTS if f.name not in LACKS]


def rows(series: Callable[[str], Points], quantity: str = "temperature") -> list[dict[str, Any]]:
    """The rows behind the points of one quantity, their errors with them.

    `series` gives the points of a metric.
    """
    of = {n: series(f"{quantity}.{n}") for n in ("forecast", "lower", "upper", *ERRORS)}
    known = {n: series(f"{quantity}.{n}") for n in ("truth", "status")}
    found = []
    for (horizon, model, sensor), moments in of["forecast"].items():
        for second in moments:
            here = {n: of[n].get((horizon, model, sensor), {}).get(second) for n in of}
            truth, status = (known[n].get((sensor,), {}).get(second) for n in known)
            found.append(
                {
                    **here,
                    "time": second * 1_000_000,
                    "sensor": sensor,
                    "quantity": quantity,
                    "model": model,
                    "horizon": int(horizon),
                    "truth": truth,
                    "status": AHEAD if status is None else STATUSES[int(status)],
                }
            )
    return found


def table(found: list[dict[str, Any]]) -> pa.Table:
    """Rows with the columns of `FORECASTS`, names as plain text."""
    columns = {
        f.name: pa.array([r[f.name] for r in found], _plain(f.type)).cast(_type(f.type))
        for f in STORED
    }
    return pa.table(columns)


def expected(forecasts: pa.Table) -> list[dict[str, Any]]:
    """What `rows` should find of these, where all that is observed is scored."""
    plain = {f.name: forecasts[f.name].cast(_plain(f.type)).to_pylist() for f in STORED}
    made = [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]
    for row in made:
        error = None if row["truth"] is None else row["truth"] - row["forecast"]
        row["residual"] = error
        row["squared_error"] = error * error if row["status"] == "observed" else None
    return made


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """The key of a row."""
    return tuple(row[n] for n in ("time", "sensor", "quantity", "model", "horizon"))


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else _type(kind)


def _type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(kind) else kind
