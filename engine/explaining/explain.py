"""From a run's folder and the names of a row to what is known of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gapcast.engine.config import RunConfig, read_config
from gapcast.engine.errors import CheckpointError, RunError, SourceError
from gapcast.engine.explaining.replay import Asked, Played, checkpoint_before, play, shown
from gapcast.engine.explaining.stored import Row, row_at, scored_span, stored
from gapcast.engine.explanation import Explanation
from gapcast.engine.forecaster import Forecaster, Series
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.horizon import NOWCAST, Horizon, Horizons
from gapcast.engine.network.series import natural
from gapcast.engine.run.job import Job
from gapcast.engine.run.manifest import NAME
from gapcast.engine.run.prepare import grid_of, prepare
from gapcast.engine.spelling import meant
from gapcast.engine.units import write_time

log = logging.getLogger("gapcast.explain")


@dataclass(frozen=True)
class Explained:
    """What is known of one forecast.

    asked, model, grid, level: which one it is, of which model, on which grid, with which coverage.
    row: of schema `FORECASTS`, by column, as the run makes it; None: it makes none. stored: the one
    in the run's files; None: there is none. played: what was seen on the way to it; None: the run
    cannot be played again, for the reason `trouble`.
    """

    asked: Asked
    model: str
    grid: GridSpec
    level: float
    row: Row | None
    stored: Row | None
    played: Played | None
    trouble: str | None = None

    @property
    def explanation(self) -> Explanation | None:
        """What the model says of the forecast, if it does."""
        return self.played.explanation if self.played else None


def explain(
    run_dir: Path,
    sensor: str,
    moment: int,
    quantity: str | None = None,
    model: str | None = None,
    horizon: int | None = None,
    overrides: Iterable[str] = (),
    progress: Callable[[str], None] = log.info,
) -> Explained:
    """Explain the forecast of `sensor` for the step in which `moment` lies, µs since 1970, UTC.

    quantity: may be left out where there is one. model: by default the first that explains itself.
    horizon: by default 0, or the model's least. overrides: of the config, such as where the source
    is now. progress: is told how far the run has been played again.
    Raises ConfigError, and RunError when there is no such run, series, model, horizon or step.
    """
    manifest = _manifest(run_dir)
    plain = {k: v for k, v in manifest["config"].items() if k not in ("sinks", "backend")}
    config = read_config(plain, overrides)
    name = _model(config, model)
    grid, ahead = grid_of(config.grid), _horizon(config.models[name].horizons, name, horizon)
    step = int(grid.steps(np.array([moment]))[0])
    # While a run goes on again, its scores are those of its last end.
    span = None if manifest["state"] == "running" else scored_span(run_dir)
    if span is not None and not span[0] <= step < span[1]:
        raise _outside(run_dir, grid, step, span[0], span[1] - 1)
    of = Asked(Series(sensor, quantity or ""), list(config.models).index(name), ahead, step)
    asked, played, trouble = _play_again(
        config, manifest["generation"], run_dir, of, span is not None, progress
    )
    kept = stored(run_dir, manifest, asked, name, grid)
    if played is None and kept is None:
        raise RunError(
            f"the run cannot be played again ({trouble}), and holds no such row in files"
        )
    row = row_at(played.rows, grid, step) if played else None
    level = config.models[name].level
    return Explained(asked, name, grid, level, row or kept, kept, played, trouble)


def _play_again(
    config: RunConfig, generation: str, run_dir: Path, asked: Asked, ended: bool,
    progress: Callable[[str], None],
) -> tuple[Asked, Played | None, str | None]:  # fmt: skip
    """The forecast meant, and what playing the run shows of it, or why that cannot be done.

    asked: its quantity may be empty. ended: the run, which had the step.
    """
    choose = partial(checkpoint_before, made=asked.made, steps=shown(config.grid.interval))
    try:
        job = prepare(config, run_dir, generation, choose=choose)
    except (SourceError, RunError, CheckpointError) as error:
        quantity = _quantity(config.targets.quantities, asked.series.quantity)
        series = asked.series._replace(quantity=quantity)
        return replace(asked, series=series), None, str(error)
    asked = replace(asked, series=_meant(job, config, asked.series))
    played = _played(job, asked, run_dir, ended, progress)
    if asked.series not in job.targets:  # nor has it joined
        _target(job, *asked.series)
    return asked, *played


def _played(
    job: Job, asked: Asked, run_dir: Path, ended: bool, progress: Callable[[str], None]
) -> tuple[Played | None, str | None]:
    """What playing shows, or why that cannot be done."""
    grid = job.grid

    def at(step: int) -> None:
        progress(f"playing the run again, at {_time(grid, step)}")

    try:
        played = play(job, asked, at)
    except (SourceError, RunError, CheckpointError) as error:
        return None, str(error)
    if played.first is None or played.last is None:
        begun = job.resume.grid[0]["next"] if job.resume else None
        if begun is None or ended:
            return None, "its source has nothing now"
        raise RunError(
            f"{_time(grid, asked.step)} has not come yet: the last step of the run in {run_dir} is "
            f"{_time(grid, begun - 1)}"
        )
    if played.first <= asked.made <= played.last:
        return played, None
    if ended:
        here = f"{_time(grid, played.first)} to {_time(grid, played.last)}"
        return None, f"its source has steps from {here} now"
    raise _outside(run_dir, grid, asked.step, played.first, played.last)


def _manifest(run_dir: Path) -> Mapping[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((run_dir / NAME).read_bytes())
        return {name: manifest[name] for name in ("config", "generation", "state")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run_dir} is not the folder of a run: {error}") from None


def _model(config: RunConfig, name: str | None) -> str:
    models = config.models
    if name is None:
        silent = Forecaster.explain
        speaking = [n for n, chosen in models.items() if chosen.plugin.explain is not silent]
        return [*speaking, *models][0]
    if name not in models:
        raise RunError(f"no model {name!r}{meant(name, models)} (there: {', '.join(models)})")
    return name


def _horizon(there: Horizons, model: str, horizon: int | None) -> Horizon:
    if horizon is None:
        return NOWCAST if NOWCAST in there else there[0]
    if horizon not in there:
        known = ", ".join(str(int(h)) for h in there)
        raise RunError(f"model {model!r} has no horizon {horizon} (there: {known}, in steps)")
    return Horizon(horizon)


def _quantity(there: Sequence[str], quantity: str) -> str:
    """The quantity meant where only the config says what there is; empty: the only one."""
    if not quantity and len(there) != 1:
        raise RunError(f"the run has the quantities {', '.join(there)}: name one")
    return quantity or there[0]


def _meant(job: Job, config: RunConfig, series: Series) -> Series:
    """The target meant, which may be one that joins the run later."""
    known = series.sensor in {t.sensor for t in job.targets}
    if known or not job.network.joining:
        return _target(job, *series)
    return Series(series.sensor, _quantity(config.targets.quantities, series.quantity))


def _target(job: Job, sensor: str, quantity: str) -> Series:
    """The target meant. Raises RunError, the source closed, when there is none or more than one."""
    try:
        there = sorted({t.quantity for t in job.targets})
        if quantity and quantity not in there:
            raise RunError(
                f"no quantity {quantity!r}{meant(quantity, there)} (there: {', '.join(there)})"
            )
        sensors = sorted({t.sensor for t in job.targets}, key=natural)
        if sensor not in sensors:
            among = f", from {sensors[0]} to {sensors[-1]}" if sensors else ""
            raise RunError(
                f"no sensor {sensor!r}{meant(sensor, sensors)}; there are {len(sensors)}{among}"
            )
        found = [t for t in job.targets if t.sensor == sensor and quantity in ("", t.quantity)]
        if len(found) != 1:
            has = sorted(t.quantity for t in job.targets if t.sensor == sensor)
            raise RunError(f"sensor {sensor!r} has the quantities {', '.join(has)}: name one")
        return found[0]
    except RunError:
        job.source.close()
        raise


def _outside(run_dir: Path, grid: GridSpec, step: int, first: int, last: int) -> RunError:
    return RunError(
        f"{_time(grid, step)} lies outside the run in {run_dir}, whose steps are from "
        f"{_time(grid, first)} to {_time(grid, last)}"
    )


def _time(grid: GridSpec, step: int) -> str:
    return write_time(grid.begin(step))
