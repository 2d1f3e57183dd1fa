"""A shard: a set of targets whose models are stepped together. The pure core of every backend.

Frames of closed steps go in, in order; forecasts aligned with their truths come out. Whatever
runs a job only carries the frames here and the results away.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine import scoring
from gapcast.engine.errors import ContractError
from gapcast.engine.evaluation import Evaluation, Segment
from gapcast.engine.forecaster import Floats, Forecast, Frame, Ints, Layout, Model, State
from gapcast.engine.grid import GridFrame
from gapcast.engine.kernels import score as kernel
from gapcast.engine.sink import STATUSES

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


class Shard:
    """Steps every model of a job over some of its targets.

    layouts: one a model, over this shard's targets. window: length of a score window in µs.
    job_targets: columns of the whole job's targets, which ``hide: together`` blanks. All that
    changes is in `states` (one mapping a model), `scorers`, `pending` and what is kept of a span
    in progress.
    """

    def __init__(
        self,
        models: Sequence[Model],
        layouts: Sequence[Layout],
        how: Evaluation,
        window: int,
        job_targets: Ints,
    ) -> None:
        self.models = models
        self.layouts = layouts
        self.how = how
        self.targets: Ints = layouts[0].targets
        self.job_targets = job_targets
        self.states: list[State] = [
            m.forecaster.start(layout) for m, layout in zip(models, layouts, strict=True)
        ]
        n, interval = len(self.targets), layouts[0].interval
        self.scorers = [
            scoring.Scorer(n, len(layout.horizons), interval, window) for layout in layouts
        ]
        self.pending = [_Pending(layout) for layout in layouts]
        self.seconds = [0.0] * len(models)
        self._last_seen: Ints | None = None
        self._saved: list[State] | None = None
        self._kept: list[GridFrame] = []

    def step(self, frame: GridFrame) -> StepResult:
        """Forecast, learn and score the steps of `frame`."""
        parts = [
            self._segment(segment, _cut(frame, segment))
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
        """All that changes, copied: arrays with the targets on the leading axis, so that those of
        shards can be joined and cut anew; and the frames of a span in progress, under ``kept/``.
        """
        found: dict[str, NDArray[Any]] = {}
        if self._last_seen is not None:
            found["last_seen"] = self._last_seen.copy()
        for m, state in enumerate(self.states):
            parts = {"state": state, "score": self.scorers[m].state}
            parts |= {"saved": self._saved[m]} if self._saved is not None else {}
            for part, arrays in parts.items():
                found |= {f"{m}/{part}/{name}": a.copy() for name, a in arrays.items()}
            found[f"{m}/ahead"] = np.moveaxis(self.pending[m].ahead, 2, 0).copy()
        for i, frame in enumerate(self._kept):
            found[f"kept/{i}/first"] = np.array([frame.first])
            found[f"kept/{i}/values"], found[f"kept/{i}/refused"] = frame.values, frame.refused
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]], targets: slice) -> None:
        """Go on from the joined `snapshot` of all shards; this one owns `targets` of them."""
        mine = {k: a[targets].copy() for k, a in arrays.items() if not k.startswith("kept/")}
        self._last_seen = mine.get("last_seen")
        saved = [_below(mine, f"{m}/saved/") for m in range(len(self.models))]
        self._saved = saved if any(saved) else None
        for m in range(len(self.models)):
            self.states[m] = _below(mine, f"{m}/state/")
            self.scorers[m].state = _below(mine, f"{m}/score/")
            ahead = np.moveaxis(mine[f"{m}/ahead"], 0, 2)
            self.pending[m].ahead = np.ascontiguousarray(ahead)
        count = sum(k.startswith("kept/") for k in arrays) // 3
        self._kept = [
            GridFrame(
                int(arrays[f"kept/{i}/first"][0]),
                arrays[f"kept/{i}/values"],
                arrays[f"kept/{i}/refused"],
            )
            for i in range(count)
        ]

    def finish(self) -> list[tuple[int, int, Floats]]:
        """The score windows still in progress, at the end of a run."""
        return [(m, *done) for m, scorer in enumerate(self.scorers) for done in scorer.finish()]

    def _segment(self, segment: Segment, frame: GridFrame) -> StepResult:
        if segment.opens and self.how.release:
            self._saved = [{k: a.copy() for k, a in state.items()} for state in self.states]
            self._kept = []
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
            self._kept.append(frame)
            if segment.closes:
                self._release()
        return result

    def _release(self) -> None:
        """The end of a span: models go back to its beginning and learn it with its truths, so
        that they go on as if it had never been dark. What they forecast on the way is discarded."""
        assert self._saved is not None
        self.states, self._saved = self._saved, None
        for frame in self._kept:
            for m, view in enumerate(self._views(frame, hidden=False)):
                self._run(m, view)
        self._kept = []

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
        good = np.take(frame.values, self.targets, axis=1)
        bad = np.take(frame.refused, self.targets, axis=1)
        status = np.full(good.shape, HIDDEN if hidden else OBSERVED, np.uint8)
        missing = np.isnan(good)
        status[missing] = MISSING
        status[missing & ~np.isnan(bad)] = REJECTED
        return np.where(missing, bad, good), status

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


def _cut(frame: GridFrame, segment: Segment) -> GridFrame:
    cut = slice(segment.start - frame.first, segment.stop - frame.first)
    return GridFrame(segment.start, frame.values[cut], frame.refused[cut])
