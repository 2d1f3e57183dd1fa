"""From the scores of runs, one row a series, to those of a backtest, one row a case and model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from gapcast.engine.backtesting.cases import Case
from gapcast.engine.metrics import METRICS

_CASE = [
    ("pattern", pa.string()), ("share", pa.float64()), ("steps", pa.int64()),
    ("repeat", pa.int64()), ("seed", pa.int64()),
]  # fmt: skip
_KEY = [("model", pa.string()), ("quantity", pa.string()), ("horizon", pa.int32())]
_FIELDS = [("n", pa.int64()), *((metric.name, pa.float64()) for metric in METRICS)]
BACKTEST = pa.schema([*_CASE, *_KEY, *_FIELDS])
BACKTEST_BY_GAP = pa.schema([*_CASE, *_KEY, ("gap", pa.string()), *_FIELDS])
"""The files' columns. Scores are of all withheld values of a case that were forecast."""

Row = dict[str, Any]


def pool(rows: Iterable[Row], key: Sequence[str]) -> list[Row]:
    """One row for each value of `key`, in order of appearance: `n` added up, scores pooled by it.
    Does not depend on the order of rows."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in key), []).append(row)
    found = []
    for values, group in groups.items():
        one: Row = dict(zip(key, values, strict=True)) | {"n": sum(row["n"] for row in group)}
        for metric in METRICS:
            one[metric.name] = metric.pooled((row[metric.name], row["n"]) for row in group)
        found.append(one)
    return found


def table(
    cases: Sequence[Case],
    played: Sequence[Mapping[str, list[Any]]],
    seed: int,
    names: Sequence[str],
    schema: pa.Schema,
) -> pa.Table:
    """Rows of all cases. played: the scores of each, columns by name, models `m0`, `m1` ...,
    which are called `names`."""
    key = [name for name in schema.names if name in ("model", "quantity", "horizon", "gap")]
    rows = []
    for case, scores in zip(cases, played, strict=True):
        about = {
            "pattern": case.pattern, "share": case.share, "steps": case.steps,
            "repeat": case.repeat, "seed": seed,
        }  # fmt: skip
        series = [dict(zip(scores, row, strict=True)) for row in zip(*scores.values(), strict=True)]
        rows += [
            about | row | {"model": names[int(row["model"].removeprefix("m"))]}
            for row in pool(series, key)
        ]
    return pa.Table.from_pylist(rows, schema)
