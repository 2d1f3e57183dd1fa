"""A shard: a set of targets whose models are stepped together. The pure core of every backend.

Frames of closed steps go in, in order; forecasts aligned with their truths come out. Whatever
runs a job only carries the frames here and the results away.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine import scoring
from gapcast.engine.errors import ContractError
from gapcast.engine.evaluation import Segment
from gapcast.engine.forecaster import Floats, Forecast, Frame, Ints, Layout, State
from gapcast.engine.grid import GridFrame
from gapcast.engine.kept import cut
from gapcast.engine.kernels import score as kernel
from gapcast.engine.sink import STATUSES

if TYPE_CHECKING:
    from gapcast.engine.plan import Plan

OBSERVED, MISSING, HIDDEN, REJECTED = range(4)


@dataclass(frozen=True)
class ModelRows:
    """One model's forecasts for the steps of a frame: (T, N, H) each, [t, n, h] *for* step t."""

    mean: Floats
    lower: Floats
    upper: Floats


@dataclass
class StepResult:
    """What a shard made of one frame: truth and status (T, N), one `ModelRows` a model, and the
    score windows that ended: (model, window index, sums (N, H, FIELDS))."""

    first: int
    truth: Floats
    status: NDArray[np.uint8]
    rows: list[ModelRows]
    windows: list[tuple[int, int, Floats]] = field(default_factory=list)


@dataclass
class Ending:
    """What a shard leaves at the end of a run: the windows in progress, as in `StepResult`; sums
    of the whole run (N, H, FIELDS) and by gap age, one a model; seconds spent in each model."""

    windows: list[tuple[int, int, Floats]]
    totals: list[NDArray[Any]]
    by_gap: list[NDArray[Any]]
    seconds: list[float]


class Shard:
    """Steps every model of a job over some of its targets.

    plan: cut to this shard's targets. All that changes is in `states` (one mapping a model),
    `scorers`, `pending` and what is kept of a span in progress.
    """

    def __init__(self, plan: Plan) -> None:
        self.models = plan.models
        self.layouts = plan.layouts
        self.how = plan.how
        self.targets: Ints = plan.layouts[0].targets
        self.job_targets = plan.job_targets
        self.states: list[State] = [
            m.forecaster.start(layout) for m, layout in zip(self.models, self.layouts, strict=True)
        ]
        n, interval = len(self.targets), self.layouts[0].interval
        self.scorers = [
            scoring.Scorer(n, len(layout.horizons), interval, plan.window)
            for layout in self.layouts
        ]
        self.pending = [_Pending(layout) for layout in self.layouts]
        self.seconds = [0.0] * len(self.models)
        self._last_seen: Ints | None = None
        self._saved: list[State] | None = None
        self.kept: list[GridFrame] = []

    def step(self, frame: GridFrame) -> StepResult:
        """Forecast, learn and score the steps of `frame`."""
        parts = [
            self._segment(segment, cut(frame, segment))
            for segment in self.how.segments(frame.first, frame.first + len(frame.values))
        ]
        if len(parts) == 1:
            return parts[0]
        rows = [
            ModelRows(
                *(np.concatenate(a) for a in zip(*(vars(r).values() for r in m), strict=True))
            )
            for m in zip(*(p.rows for p in parts), strict=True)
        ]
        return StepResult(
            frame.first,
            np.concatenate([p.truth for p in parts]),
            np.concatenate([p.status for p in parts]),
            rows,
            [w for p in parts for w in p.windows],
        )

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that changes, copied: arrays with the targets or units on the leading axis, so that
        those of shards can be joined and cut anew. The frames of a span in progress are not among
        them: they are the same for all shards (see `Kept`)."""
        found: dict[str, NDArray[Any]] = {}
        if self._last_seen is not None:
            found["last_seen"] = self._last_seen.copy()
        for m, state in enumerate(self.states):
            parts = {"state": state, "score": self.scorers[m].state}
            parts |= {"saved": self._saved[m]} if self._saved is not None else {}
            for part, arrays in parts.items():
                found |= {f"{m}/{part}/{name}": a.copy() for name, a in arrays.items()}
            found[f"{m}/ahead"] = np.moveaxis(self.pending[m].ahead, 2, 0).copy()
        return found

    def restore(self, mine: Mapping[str, NDArray[Any]], kept: Sequence[GridFrame]) -> None:
        """Go on from a `snapshot` of the same targets, whose arrays become this shard's own, with
        the frames of the span in progress (in this shard's columns)."""
        self._last_seen = mine.get("last_seen")
        saved = [_below(mine, f"{m}/saved/") for m in range(len(self.models))]
        self._saved = saved if any(saved) else None
        for m in range(len(self.models)):
            self.states[m] = _below(mine, f"{m}/state/")
            self.scorers[m].state = _below(mine, f"{m}/score/")
            ahead = np.moveaxis(mine[f"{m}/ahead"], 0, 2)
            self.pending[m].ahead = np.ascontiguousarray(ahead)
        self.kept = list(kept)

    def finish(self) -> Ending:
        """What is left to say at the end of a run."""
        windows = [(m, *done) for m, scorer in enumerate(self.scorers) for done in scorer.finish()]
        totals, by_gap = ([s.state[name] for s in self.scorers] for name in ("total", "by_gap"))
        return Ending(windows, totals, by_gap, self.seconds)

    def _segment(self, segment: Segment, frame: GridFrame) -> StepResult:
        if segment.opens and self.how.release:
            self._saved = [{k: a.copy() for k, a in state.items()} for state in self.states]
            self.kept = []
        truth, status = self._truth(frame, segment.hidden)
        views = self._views(frame, segment.hidden)
        result = StepResult(frame.first, truth, status, [])
        bucket = self._gap_ages(views[0].own, frame.first)
        scored = status == STATUSES.index(self.how.scored)
        for m, view in enumerate(views):
            started = time.perf_counter()
            forecast = self._run(m, view)
            self.seconds[m] += time.perf_counter() - started
            rows = self.pending[m].align(forecast)
            result.rows.append(rows)
            columns = (rows.mean, rows.lower, rows.upper)
            done = self.scorers[m].add(frame.first, columns, truth, scored, bucket)
            result.windows += [(m, *window) for window in done]
        if segment.hidden and self._saved is not None:
            self.kept.append(frame)
            if segment.closes:
                self._release()
        return result

    def _release(self) -> None:
        """The end of a span: models go back to its beginning and learn it with its truths, so
        that they go on as if it had never been dark. What they forecast on the way is discarded."""
        assert self._saved is not None
        self.states, self._saved = self._saved, None
        for frame in self.kept:
            for m, view in enumerate(self._views(frame, hidden=False)):
                self._run(m, view)
        self.kept = []

    def _run(self, m: int, view: Frame) -> Forecast:
        forecast = self.models[m].forecaster.step(self.states[m], view)
        shape = (view.t, view.layout.n, len(view.layout.horizons))
        for name in ("mean", "lower", "upper"):
            found = getattr(forecast, name).shape
            if found != shape:
                raise ContractError(
                    f"model {self.models[m].name!r}: step returned {name} of shape {found}, "
                    f"expected (steps, targets, horizons) = {shape}"
                )
        return forecast

    def _views(self, frame: GridFrame, hidden: bool) -> list[Frame]:
        """The frame as each model may see it."""
        values = frame.values
        own = np.take(values, self.targets, axis=1)
        if hidden:
            own = np.full_like(own, np.nan)
            if self.how.hide == "together":
                values = values.copy()
                values[:, self.job_targets] = np.nan
        masked = hidden and self.how.hide == "each-sensor"
        return [
            Frame(layout, frame.first, values, own, _companions(layout, values, masked))
            for layout in self.layouts
        ]

    def _truth(self, frame: GridFrame, hidden: bool) -> tuple[Floats, NDArray[np.uint8]]:
        truth = frame.truth(self.targets)
        status = np.full(truth.shape, HIDDEN if hidden else OBSERVED, np.uint8)
        missing = np.isnan(np.take(frame.values, self.targets, axis=1))
        status[missing] = MISSING
        status[missing & ~np.isnan(truth)] = REJECTED
        return truth, status

    def _gap_ages(self, own: Floats, first: int) -> NDArray[np.int64]:
        if self._last_seen is None:
            self._last_seen = np.full(len(self.targets), first - 1)
        age = kernel.ages(own, first, self._last_seen)
        return scoring.buckets(age, self.layouts[0].interval)


class _Pending:
    """Forecasts made for steps that have not come yet: they wait for their truth."""

    def __init__(self, layout: Layout) -> None:
        self.horizons = [int(h) for h in layout.horizons]
        shape = (3, max([0, *self.horizons]), layout.n, len(self.horizons))
        self.ahead = np.full(shape, np.nan)

    def align(self, forecast: Forecast) -> ModelRows:
        """Turn forecasts made *at* the steps of a frame into forecasts *for* them."""
        depth = self.ahead.shape[1]
        if depth == 0:
            return ModelRows(forecast.mean, forecast.lower, forecast.upper)
        made = np.stack([forecast.mean, forecast.lower, forecast.upper])
        T = made.shape[1]
        # line[:, depth + t] was made at step t; horizon h at step t was made at t - h.
        line = np.concatenate([self.ahead, made], axis=1)
        out = np.empty_like(made)
        for i, h in enumerate(self.horizons):
            out[..., i] = line[:, depth - h : depth - h + T, :, i]
        self.ahead = line[:, -depth:].copy()
        return ModelRows(*out)


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _companions(layout: Layout, values: Floats, masked: bool) -> Floats:
    """(T, N, Q - 1) the other quantities of each target's sensor, NaN where there is none."""
    found = np.full((len(values), *layout.companions.shape), np.nan)
    if not masked:
        n, q = np.nonzero(layout.companions >= 0)
        found[:, n, q] = values[:, layout.companions[n, q]]
    return found
