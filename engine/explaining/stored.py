"""Rows of forecasts: those in a run's files, and those just made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from gapcast.engine.errors import RunError
from gapcast.engine.explaining.replay import Asked
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.readings import plain
from gapcast.engine.report.drawings import forecasts_of
from gapcast.engine.report.scores import Run, open_run
from gapcast.engine.shard.scoring import GAP_SCORES, SCORES
from gapcast.engine.sink import FORECASTS

Row = Mapping[str, Any]
"""A row of schema `FORECASTS`, by column."""


def stored(
    folder: Path, manifest: Mapping[str, Any], asked: Asked, model: str, grid: GridSpec
) -> Row | None:
    """The row that the run in `folder` delivered to local files, if it did."""
    run = Run(folder, manifest, SCORES.empty_table(), GAP_SCORES.empty_table())
    files = forecasts_of(run)
    if files is None:
        return None
    time = pa.scalar(grid.begin(asked.step), FORECASTS.field("time").type)
    where = pc.field("time") == time
    for name, value in asked.key(model).items():
        where &= pc.field(name) == value
    try:
        found = ds.dataset(files, format="parquet", schema=plain(FORECASTS)).to_table(filter=where)
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{files} cannot be read: {error}") from None
    return found.to_pylist()[0] if len(found) else None


def row_at(rows: pa.Table, grid: GridSpec, step: int) -> Row | None:
    """Of rows the one for a step."""
    time = pa.scalar(grid.begin(step), FORECASTS.field("time").type)
    found = rows.filter(pc.equal(rows["time"], time))
    return found.to_pylist()[0] if len(found) else None


def scored_span(folder: Path) -> tuple[int, int] | None:
    """Steps [first, last) of a run that has ended; None while it goes on or if it failed."""
    try:
        first, last = open_run(folder).span
    except RunError:
        return None
    return (first, last) if last > first else None


def step_of(row: Row, grid: GridSpec) -> int:
    """The step that a row is for."""
    moment: datetime = row["time"]
    return int(grid.steps(np.array([round(moment.timestamp() * 1e6)]))[0])
