"""What a report says in numbers: the scores of runs, laid out by quantity, entry and sensor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from gapcast.engine.config.model import Grid
from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.metrics import METRICS
from gapcast.engine.network.series import natural, read_positions
from gapcast.engine.run.manifest import NAME
from gapcast.engine.run.prepare import grid_of
from gapcast.engine.shard.scoring import GAP_AGES, GAP_SCORES, SCORES
from gapcast.engine.units import read_duration

ERRORS = ("n", *(metric.name for metric in METRICS))
LOCATIONS = "mote_locs.txt"
"""Positions beside a source's file, under the name that the Intel lab's have."""


@dataclass(frozen=True)
class Run:
    """A run that has ended: its folder, its manifest, its scores by target and by gap age."""

    folder: Path
    manifest: Mapping[str, Any]
    scores: pa.Table
    by_gap: pa.Table

    @property
    def config(self) -> Mapping[str, Any]:
        """As run, without secrets."""
        config: Mapping[str, Any] = self.manifest["config"]
        return config

    @cached_property
    def interval(self) -> int:
        """Of its grid, in microseconds."""
        return read_duration(self.config["grid"]["interval"])

    @cached_property
    def grid(self) -> GridSpec:
        """How its steps lie."""
        return grid_of(Grid.model_validate(self.config["grid"]))

    @cached_property
    def span(self) -> tuple[int, int]:
        """Its steps [first, last), counted from 1970; empty if nothing was scored."""
        if not len(self.scores):
            return 0, 0
        start, end = (self.scores[c][0].cast(pa.int64()).as_py() for c in ("start", "end"))
        first, last = self.grid.steps(np.array([start, end])).tolist()
        return first, last

    @property
    def scored(self) -> str:
        """The status of the steps that count."""
        return "withheld" if self.config["evaluation"].get("spans") else "observed"


@dataclass(frozen=True)
class Entry:
    """A row of the score table: a model of a run at one of its horizons."""

    run: int
    model: str
    horizon: int
    kind: str
    level: float


@dataclass(frozen=True)
class Section:
    """One quantity: E entries, N sensors.

    errors: (E, N) of each of `ERRORS`, NaN where there is none. gaps: (E, classes) of ``n``,
    ``mse`` and ``coverage``, of all sensors' errors together.
    """

    quantity: str
    sensors: tuple[str, ...]
    entries: tuple[Entry, ...]
    errors: Mapping[str, Floats]
    gaps: Mapping[str, Floats]

    @cached_property
    def means(self) -> Mapping[str, list[float | None]]:
        """Of each entry: n in all, and the errors' means over the sensors that have them."""
        found: dict[str, list[float | None]] = {}
        for name, values in self.errors.items():
            there = [row[np.isfinite(row)] for row in values]
            mean = np.sum if name == "n" else np.mean
            found[name] = [float(mean(row)) if len(row) else None for row in there]
        return found

    @cached_property
    def best(self) -> int:
        """The entry of the least mean squared error."""
        mse = [np.inf if m is None else m for m in self.means["mse"]]
        return int(np.argmin(mse))


def open_run(folder: Path) -> Run:
    """The run in `folder`. Raises RunError if there is none or it has no scores yet."""
    try:
        manifest = json.loads((folder / NAME).read_bytes())
        return Run(
            folder, manifest, _csv(folder / "scores.csv", SCORES),
            _csv(folder / "scores_by_gap.csv", GAP_SCORES),
        )  # fmt: skip
    except FileNotFoundError as error:
        missing = Path(error.filename or "").name or "scores.csv"
        raise RunError(
            f"{folder} holds no {missing}: expected the folder of a run that has ended"
        ) from None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise RunError(f"{folder} cannot be read as the folder of a run: {error}") from None


def _csv(path: Path, schema: pa.Schema) -> pa.Table:
    """The table in a file; scores that the gapcast which wrote it did not know are null."""
    options = pcsv.ConvertOptions(column_types=schema, strings_can_be_null=False)
    table = pcsv.read_csv(path, convert_options=options)
    for name in {metric.name for metric in METRICS}.difference(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), pa.float64()))
    return table.select(schema.names)


def sections(runs: Sequence[Run]) -> list[Section]:
    """The runs' scores by quantity, in the order in which the configs name them."""
    names: dict[str, None] = {}
    for run in runs:
        scored = pc.unique(run.scores["quantity"]).to_pylist()
        names |= {q: None for q in run.config["targets"]["quantities"] if q in scored}
    return [_section(runs, name) for name in names]


def _section(runs: Sequence[Run], quantity: str) -> Section:
    own = [run.scores.filter(pc.equal(run.scores["quantity"], quantity)) for run in runs]
    sensors = sorted({s for t in own for s in pc.unique(t["sensor"]).to_pylist()}, key=natural)
    entries, errors = [], []
    places = pa.array(sensors, pa.string())
    for r, (run, table) in enumerate(zip(runs, own, strict=True)):
        at = pc.index_in(table["sensor"], places).to_numpy()
        columns = {name: np.asarray(table[name].to_numpy(), np.float64) for name in ERRORS}
        for (model, horizon), rows in _by_entry(table).items():
            settings = run.config["models"].get(model, {})
            level = settings.get("level", np.nan)
            entries.append(Entry(r, model, horizon, settings.get("type", ""), level))
            errors.append(
                {name: _spread(at[rows], columns[name][rows], sensors) for name in ERRORS}
            )
    return Section(
        quantity, tuple(sensors), tuple(entries),
        {name: np.array([e[name] for e in errors]) for name in ERRORS},
        _gaps(runs, quantity, entries),
    )  # fmt: skip


def _by_entry(table: pa.Table) -> dict[tuple[str, int], Ints]:
    """Rows of each model and horizon, models in the order in which they come."""
    models = pc.unique(table["model"])
    model = pc.index_in(table["model"], models).to_numpy()
    horizon = table["horizon"].to_numpy()
    found = {}
    for m, name in enumerate(models.to_pylist()):
        for h in np.unique(horizon[model == m]).tolist():
            found[name, h] = np.flatnonzero((model == m) & (horizon == h))
    return found


def _spread(at: Ints, values: Floats, over: Sequence[str]) -> Floats:
    found = np.full(len(over), np.nan)
    found[at] = values
    return found


def _gaps(runs: Sequence[Run], quantity: str, entries: Sequence[Entry]) -> dict[str, Floats]:
    classes = pa.array(list(GAP_AGES))
    found = {
        name: np.full((len(entries), len(classes)), np.nan) for name in ("n", "mse", "coverage")
    }
    for r, run in enumerate(runs):
        table = run.by_gap.filter(pc.equal(run.by_gap["quantity"], quantity))
        gap = pc.index_in(table["gap"], classes).to_numpy()
        columns = {name: np.asarray(table[name].to_numpy(), np.float64) for name in found}
        for key, rows in _by_entry(table).items():
            e = next(i for i, x in enumerate(entries) if (x.run, x.model, x.horizon) == (r, *key))
            for g in np.unique(gap[rows]):
                of = {name: column[rows[gap[rows] == g]] for name, column in columns.items()}
                found["n"][e, g] = of["n"].sum()
                for name in ("mse", "coverage"):
                    there = ~np.isnan(of[name])
                    if there.any():
                        found[name][e, g] = np.average(of[name][there], weights=of["n"][there])
    return found


def positions_of(
    runs: Sequence[Run], path: Path | None = None
) -> Mapping[str, tuple[float, float]]:
    """Where the sensors stand, in metres, as far as it is known: from `path`, from the file that
    a run's config names, or from ``mote_locs.txt`` beside its source's file."""
    if path:
        return read_positions(path)
    for run in runs:
        named = (run.config.get("network") or {}).get("positions")
        source = run.config["source"].get("path")
        beside = Path(source).parent / LOCATIONS if isinstance(source, str) else None
        for place in (Path(named) if named else None, beside):
            if place and place.is_file():
                return read_positions(place)
    return {}
