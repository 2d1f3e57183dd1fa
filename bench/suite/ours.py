"""Forecasters of the project over a grid in memory, with all that the engine adds to them.

As in a run: a shard steps the model, calibrates its intervals, lines up horizons, smooths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gapcast.engine.config import read_config
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.screening import Screener, ScreeningSpec
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.results import ModelRows
from gapcast.engine.shard.shard import Shard
from suite.scores import LEVEL, Filled
from suite.sets import Floats

SECOND, DAY = 1_000_000, 86_400_000_000
BEGIN = 19_723 * DAY
"""Records begin here, 2024-01-01, whenever they were made."""
QUANTITY = "value"


def created(section: Mapping[str, Any], horizons: list[int], level: float = LEVEL) -> Model:
    """The model of a config's section. Raises ConfigError where it is wrong."""
    config = {
        "name": "suite",
        "source": {"type": "replay", "path": "none", "format": "csv"},
        "grid": {"interval": "1h"},
        "targets": {"quantities": [QUANTITY]},
        "models": {"m": {**section, "horizons": sorted(horizons), "level": level}},
        "sinks": {"console": {"type": "console"}},
    }
    chosen = read_config(config).models["m"]
    return Model("m", chosen.create(), chosen.horizons, chosen.level)


def furthest(section: Mapping[str, Any]) -> int:
    """The greatest horizon that the model of a section can serve, in steps."""
    return created(section, [0]).forecaster.horizons[1]


def play(
    section: Mapping[str, Any],
    values: Floats,
    interval: float,
    horizons: list[int],
    screening: bool = False,
    level: float = LEVEL,
) -> dict[int, Filled]:
    """By horizon in steps, what the model says of every step of `values` (T, N), NaN where missing.

    interval: of a step, in seconds. Every series is a sensor of its own, all of one quantity. Of
    horizons below 0 every step is answered: the record is followed by steps without values.
    """
    series, step = values.shape[1], round(interval * SECOND)
    network = Network.of(Series(f"{i:04d}", QUANTITY) for i in range(series))
    model = created(section, horizons, level)
    layout = lay_out(network, network.series, model, step)
    shard = Shard(Plan((model,), (layout,), Evaluation(), DAY, layout.targets))
    beyond = max(0, -min(horizons))
    grid = np.vstack([values, np.full((beyond, series), np.nan)])
    if screening:
        Screener(network, step, ScreeningSpec()).judge(BEGIN // step, grid)
    nothing = np.broadcast_to(np.nan, grid.shape)
    rows = shard.step(GridFrame(BEGIN // step, grid, nothing)).rows[0]
    return {h: _for_steps(rows, i, h, len(values)) for i, h in enumerate(model.horizons)}


def _for_steps(rows: ModelRows, place: int, horizon: int, steps: int) -> Filled:
    """The forecasts of one horizon, each at the step that it is for."""
    late = max(0, -horizon)
    columns = (rows.mean, rows.lower, rows.upper)
    return Filled(*(a[late : late + steps, :, place] for a in columns))
