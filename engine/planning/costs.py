"""What the stages of a job cost on this machine, measured on made-up readings."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gapcast.engine.config import RunConfig
from gapcast.engine.forecaster import Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.output.rows import Rows
from gapcast.engine.readings import READINGS
from gapcast.engine.run.prepare import grid_of, models_of
from gapcast.engine.run.rehearsal import without_collection
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.results import StepResult
from gapcast.engine.shard.shard import Shard

SENSORS, STEPS, ROUNDS = 512, 96, 3
"""Measured are so many sensors for so many steps, so many times; the least counts."""
FLAT = 8 * 3
"""Bytes of a cell while it waits in a step and in a frame on its way."""
NAME = 300
"""Bytes of a series' names and places in tables at the coordinator."""


@dataclass(frozen=True)
class Costs:
    """Seconds of one core, and bytes.

    reading: to judge and grid one, decoding left out. step: all models, one target and step.
    row: to make and store one. rows: of a target and step. state: bytes a target. stored: bytes a
    row, in Parquet.
    """

    reading: float
    step: float
    row: float
    rows: int
    state: float
    stored: float


def measured(config: RunConfig, progress: Callable[[str], None]) -> Costs:
    """The costs of the models and the grid of `config`. progress: is told what is measured."""
    spec = grid_of(config.grid)
    quantity = config.targets.quantities[0]
    network = Network.of(Series(f"s{n}", quantity) for n in range(SENSORS))
    models = models_of(config)
    placed = {s.sensor: (n % 23 + 0.0, n // 23 + 0.0) for n, s in enumerate(network.series)}
    network = replace(network, positions=placed)
    layouts = tuple(lay_out(network, network.series, m, spec.interval) for m in models)
    targets = np.arange(SENSORS)
    plan = Plan(models, layouts, Evaluation(), 86_400_000_000, targets, spec.periods)
    with without_collection():
        progress("the grid")
        reading = min(_gridded(network, spec) for _ in range(ROUNDS))
        progress("the models")
        step, state, result = _stepped(plan)
        progress("rows")
        rows, row, stored = _written(Rows(network.series, models, spec), result)
    cells = SENSORS * STEPS
    return Costs(reading, step, row, round(rows / cells), state, stored)


def _gridded(network: Network, spec: GridSpec) -> float:
    """Seconds a reading."""
    grid = Grid(spec, ["p"], network, {})
    steps = np.repeat(np.arange(STEPS), SENSORS)
    time_ = pa.array(steps * spec.interval + spec.offset).cast(READINGS.field("time").type)
    sensor = np.tile(np.arange(SENSORS, dtype=np.int32), STEPS)
    names = pa.array([s.sensor for s in network.series])
    quantity = pa.array([network.series[0].quantity])
    batch = pa.record_batch(
        [
            time_,
            pa.DictionaryArray.from_arrays(pa.array(sensor), names),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros_like(sensor)), quantity),
            pa.array(_waves().ravel()),
            pa.array(np.arange(len(steps))),
        ],
        schema=READINGS,
    )
    now = int(steps[-1] + 1) * spec.interval
    began = time.perf_counter()
    grid.add(0, batch, now)
    grid.end(0, now)
    for _ in grid.closed():
        pass
    return (time.perf_counter() - began) / len(steps)


def _stepped(plan: Plan) -> tuple[float, float, StepResult]:
    """Seconds a target and step, bytes of state a target, and a result."""
    shard, seconds = Shard(plan), []
    for number in range(ROUNDS + 1):  # the first one warms up
        frame = GridFrame(number * STEPS, _waves(), np.broadcast_to(np.nan, (STEPS, SENSORS)))
        began = time.perf_counter()
        result = shard.step(frame)
        seconds.append(time.perf_counter() - began)
    state = sum(array.nbytes for array in shard.snapshot().values())
    return min(seconds[1:]) / (SENSORS * STEPS), state / SENSORS, result


def _written(rows: Rows, result: StepResult) -> tuple[int, float, float]:
    """Number of rows of a result; seconds and bytes for each."""
    seconds, table = [], pa.table({})
    for _ in range(ROUNDS):
        began, file = time.perf_counter(), io.BytesIO()
        table = rows.table(result).unify_dictionaries()
        pq.write_table(table, file, compression="snappy")
        seconds.append(time.perf_counter() - began)
    number = max(1, len(table))
    return len(table), min(seconds) / number, len(file.getvalue()) / number


def _waves() -> np.ndarray:
    """(STEPS, SENSORS) daily waves, a twentieth missing."""
    chance = np.random.default_rng(0)
    steps, sensors = np.arange(STEPS)[:, None], np.arange(SENSORS)
    values = 20 + np.sin(steps / 7.6 + sensors) + chance.normal(0, 0.1, (STEPS, SENSORS))
    values[chance.random(values.shape) < 0.05] = np.nan
    return values
