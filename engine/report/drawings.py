"""What a report draws: one pass over the forecasts, for the few targets that are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.report.scores import Run, Section
from gapcast.engine.sink import STATUSES

MOST = 50
"""Targets that are drawn of a quantity, at most."""
FEWEST = 3
"""Rather than fewer targets, fewer steps are drawn: the last ones."""
NUMBERS = 600_000
"""That a report draws in all, at most; a hundred thousand are half a megabyte of the file."""
HOUR = 3_600_000_000
NAMES = ["sensor", "quantity", "model", "status"]
COLUMNS = ["time", *NAMES, "horizon", "forecast", "lower", "upper", "truth"]
NONE = len(STATUSES)
"""Status of a step without a forecast."""


@dataclass(frozen=True)
class Drawing:
    """One quantity of one run: D targets, T steps from `first` on, the E entries of its section.
    The last of them may lie beyond the run's end: what was said ahead of it.

    truth (D, T); status (D, T), indices into `STATUSES`, or `NONE`; forecast, lower, upper
    (E, D, T), NaN for the entries of other runs.
    """

    first: int
    truth: Floats
    status: NDArray[np.uint8]
    forecast: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True)
class Drawings:
    """chosen: by section, the sensors that are drawn. of: drawings by run and section. hours:
    by section, (E, 24, 2) number and sum of the squared errors by hour of day, UTC. statuses: by
    run, the number of forecasts of each status; none for a run whose forecasts are not in files.
    """

    chosen: list[Ints]
    of: dict[tuple[int, int], Drawing]
    hours: list[Floats]
    statuses: list[Ints | None]


def draw(
    runs: Sequence[Run], sections: Sequence[Section], only: Sequence[Ints] | None = None
) -> Drawings:
    """Read the runs' forecasts once. only: draw these sensors of each section, at every step."""
    longest = max((b - a for a, b in (run.span for run in runs)), default=0)
    share = NUMBERS // max(1, len(sections))
    chosen, steps = [], []
    for s, section in enumerate(sections):
        width = len(runs) + 3 * len(section.entries)
        fit = max(FEWEST, min(MOST, share // max(1, longest * width)))
        chosen.append(choose(section, fit) if only is None else only[s])
        most = share // (width * max(1, len(chosen[s])))
        steps.append(longest if only is not None else max(1, most))
    found = Drawings(chosen, {}, [np.zeros((len(s.entries), 24, 2)) for s in sections], [])
    for r, run in enumerate(runs):
        folder = forecasts_of(run)
        for s, section in enumerate(sections) if folder else ():
            furthest = max([0, *(e.horizon for e in section.entries if e.run == r)])
            found.of[r, s] = _blank(run, section, len(chosen[s]), steps[s], furthest)
        over = _Pass(r, run, sections, found)
        found.statuses.append(over.over(folder) if folder else None)
        if folder and (ahead := ahead_of(run)):
            over.beyond(ahead)
    return found


def choose(section: Section, most: int) -> Ints:
    """All sensors if they are not too many, else a third of the places for those with the
    greatest errors of the best entry, the rest spread evenly over the others' ranks."""
    N = len(section.sensors)
    if most >= N:
        return np.arange(N)
    order = np.argsort(section.errors["mse"][section.best], kind="stable")
    known = order[: np.count_nonzero(~np.isnan(section.errors["mse"][section.best]))]
    order = known if len(known) >= most else order
    worst = max(1, most // 3)
    even = np.linspace(0, len(order) - worst - 1, most - worst).astype(np.int64)
    return np.sort(np.concatenate([order[-worst:], order[even]]))


def forecasts_of(run: Run) -> Path | None:
    """The local folder of a run's final forecasts, if it has one."""
    return _first([run.folder / "forecasts", *(Path(s["path"]) for s in _sinks(run))])


def ahead_of(run: Run) -> Path | None:
    """The local folder of a run's forecasts ahead, if it has one."""
    beside = (Path(s.get("ahead") or s["path"].rstrip("/") + "-ahead") for s in _sinks(run))
    return _first([run.folder / "ahead", *beside])


def _first(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_dir()), None)


def _sinks(run: Run) -> list[dict[str, Any]]:
    return [sink for sink in (run.config.get("sinks") or {}).values() if _local(sink)]


def _local(sink: dict[str, object]) -> bool:
    return sink.get("type") == "files" and isinstance(sink.get("path"), str)


def _blank(run: Run, section: Section, targets: int, steps: int, furthest: int) -> Drawing:
    """Without anything; furthest: the greatest horizon."""
    first, last = run.span
    first = max(first, last - steps)
    last += furthest if ahead_of(run) else 0
    shape = (targets, last - first)
    forecast, lower, upper = np.full((3, len(section.entries), *shape), np.nan)
    status = np.full(shape, NONE, np.uint8)
    return Drawing(first, np.full(shape, np.nan), status, forecast, lower, upper)


class _Pass:
    """Over the forecasts of run `r`, filling in `found` as it goes."""

    def __init__(self, r: int, run: Run, sections: Sequence[Section], found: Drawings) -> None:
        self.r, self.run, self.sections, self.found = r, run, sections, found
        self.places = [
            {section.sensors[n]: d for d, n in enumerate(chosen.tolist())}
            for section, chosen in zip(sections, found.chosen, strict=True)
        ]
        self.entries = [
            {(e.model, e.horizon): i for i, e in enumerate(section.entries) if e.run == r}
            for section in sections
        ]

    def over(self, folder: Path) -> Ints:
        """Read the final rows in `folder`; returns the number of forecasts of each status."""
        counts = np.zeros(len(STATUSES), np.int64)
        for batch in _batches(folder):
            status = _statuses(batch)
            counts += np.bincount(status, minlength=len(STATUSES))
            for s in range(len(self.sections)):
                entry = self._entry(s, batch)
                self._count(s, batch, entry, status)
                self._draw(s, batch, entry, status)
        return counts

    def beyond(self, folder: Path) -> None:
        """Read the rows ahead in `folder`, of steps that had not come when the run ended."""
        end = pa.scalar(self.run.grid.begin(self.run.span[1]), pa.timestamp("us", "UTC"))
        for batch in _batches(folder, pc.field("time") >= end):
            for s in range(len(self.sections)):
                self._draw(s, batch, self._entry(s, batch), _statuses(batch))

    def _entry(self, s: int, batch: pa.RecordBatch) -> Ints:
        """The entry of section `s` that each row is of, or -1."""
        own = _translate(_codes(batch, "quantity"), {self.sections[s].quantity: 0}) == 0
        entry = np.full(len(batch), -1)
        horizon = batch["horizon"].to_numpy()
        code = _codes(batch, "model")
        of = {m: _translate(code, {m: 0}) == 0 for m in {model for model, _ in self.entries[s]}}
        for (model, h), e in self.entries[s].items():
            entry[own & of[model] & (horizon == h)] = e
        return entry

    def _count(self, s: int, batch: pa.RecordBatch, entry: Ints, status: Ints) -> None:
        rows = np.flatnonzero((entry >= 0) & (status == STATUSES.index(self.run.scored)))
        with np.errstate(over="ignore"):
            error = _floats(batch, "forecast")[rows] - _floats(batch, "truth")[rows]
            if period := self.run.grid.periods.get(self.sections[s].quantity):
                error = (error + period / 2) % period - period / 2
            error = error**2
        rows, error = rows[~np.isnan(error)], error[~np.isnan(error)]
        hour = batch["time"].cast(pa.int64()).to_numpy()[rows] // HOUR % 24
        sums = self.found.hours[s]
        cell, size = entry[rows] * 24 + hour, len(sums) * 24
        sums[..., 0] += np.bincount(cell, minlength=size).reshape(-1, 24)
        sums[..., 1] += np.bincount(cell, error, minlength=size).reshape(-1, 24)

    def _draw(self, s: int, batch: pa.RecordBatch, entry: Ints, status: Ints) -> None:
        into = self.found.of[self.r, s]
        place = _translate(_codes(batch, "sensor"), self.places[s])
        step = self.run.grid.steps(batch["time"].cast(pa.int64()).to_numpy()) - into.first
        inside = (step >= 0) & (step < into.truth.shape[1])
        rows = np.flatnonzero((place >= 0) & (entry >= 0) & inside)
        at = place[rows], step[rows]
        into.truth[at] = _floats(batch, "truth")[rows]
        into.status[at] = status[rows]
        for name in ("forecast", "lower", "upper"):
            getattr(into, name)[entry[rows], *at] = _floats(batch, name)[rows]


def _batches(folder: Path, where: pc.Expression | None = None) -> Iterator[pa.RecordBatch]:
    reading = ds.ParquetFileFormat(dictionary_columns=NAMES)
    forecasts = ds.dataset(folder, format=reading)
    if forecasts.files:
        yield from forecasts.to_batches(
            columns=COLUMNS,
            filter=where,
            batch_size=1 << 17,
            batch_readahead=2,
            fragment_readahead=1,
        )


def _statuses(batch: pa.RecordBatch) -> Ints:
    return _translate(_codes(batch, "status"), {name: i for i, name in enumerate(STATUSES)})


def _codes(batch: pa.RecordBatch, name: str) -> tuple[Ints, list[str]]:
    column = batch[name]
    return column.indices.to_numpy(), column.dictionary.to_pylist()


def _translate(codes: tuple[Ints, list[str]], to: dict[str, int]) -> Ints:
    """Of each row the number that `to` gives its name, or -1."""
    of = np.array([to.get(name, -1) for name in codes[1]], np.int64)
    return of[codes[0]] if len(of) else np.full(len(codes[0]), -1)


def _floats(batch: pa.RecordBatch, name: str) -> Floats:
    column: Floats = np.asarray(batch[name].to_numpy(zero_copy_only=False), np.float64)
    return column
