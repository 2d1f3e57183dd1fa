"""A shard: a set of targets whose models are stepped together. The pure core of every backend.

Frames of closed steps go in, in order; forecasts aligned with their truths come out. Whatever
runs a job only carries the frames here and the results away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import ContractError
from gapcast.engine.explanation import Explanation
from gapcast.engine.forecaster import Floats, Forecast, Frame, Ints, Layout, State
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.horizon import Horizons
from gapcast.engine.shard import scoring
from gapcast.engine.shard.calibration import Intervals
from gapcast.engine.shard.evaluation import Segment, Span
from gapcast.engine.shard.horizons import Alignment
from gapcast.engine.shard.kernels import ages as kernel
from gapcast.engine.shard.results import Ending, StepResult, Steps
from gapcast.engine.shard.smoothing import Lagged
from gapcast.engine.shard.vectors import periods_of
from gapcast.engine.shard.withheld import cut
from gapcast.engine.state import Arrays, below, within

if TYPE_CHECKING:
    from gapcast.engine.shard.plan import Plan

OBSERVED, MISSING, WITHHELD, REJECTED = range(4)


class Shard:
    """Steps every model of a job over some of its targets.

    plan: cut to this shard's targets. All that changes is in `states` (one mapping a model),
    `scorers`, `alignments`, `intervals`, `lagged` and the withheld frames of a span in progress.
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
        period = periods_of(self.layouts[0], plan.periods)[self.targets]
        self.scorers = [
            scoring.Scorer(n, model, interval, plan.window, period) for model in self.models
        ]
        self.alignments = [
            Alignment(model, layout.horizons, n, interval, period)
            for model, layout in zip(self.models, self.layouts, strict=True)
        ]
        self.intervals = [
            Intervals(layout, model.forecaster, period)
            for model, layout in zip(self.models, self.layouts, strict=True)
        ]
        self.lagged = Lagged(n, Horizons(h for m in self.models for h in m.horizons).lags)
        self.seconds = [0.0] * len(self.models)
        self._last_seen: Ints | None = None
        self._saved: list[State] | None = None
        self._within: tuple[Span, NDArray[np.bool_]] | None = None
        self.withheld: list[GridFrame] = []

    def step(self, frame: GridFrame) -> StepResult:
        """Forecast, learn and score the steps of `frame`."""
        parts = [
            self._segment(segment, cut(frame, segment))
            for segment in self.how.segments(frame.first, frame.first + len(frame.values))
        ]
        result = StepResult.joined(parts, np.concatenate)
        result.windows = [w for p in parts for w in p.windows]
        return result

    def view(self, m: int, frame: GridFrame) -> Frame:
        """What model m will see of the one step of `frame`, the next one."""
        (segment,) = self.how.segments(frame.first, frame.first + len(frame.values))
        return self._views(frame, self._withheld_mask(segment))[m]

    def explain(self, m: int, view: Frame, target: int, horizon: int) -> Explanation | None:
        """What model m will forecast of a target at the one step of `view` is made of, if it says;
        nothing changes."""
        state = {name: array.copy() for name, array in self.states[m].items()}
        return self.models[m].forecaster.explain(state, view, target, horizon)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that changes, copied: arrays with the targets or units on the leading axis, so that
        those of shards can be joined and cut anew. The frames of a span in progress are not among
        them: they are the same for all shards (see `Withheld`)."""
        found: dict[str, NDArray[Any]] = {}
        if self._last_seen is not None:
            found["last_seen"] = self._last_seen
        for m, state in enumerate(self.states):
            parts = {
                "state": state,
                "score": self.scorers[m].state,
                "align": self.alignments[m].state,
                "interval": self.intervals[m].state,
            }
            parts |= {"saved": self._saved[m]} if self._saved is not None else {}
            for part, arrays in parts.items():
                found |= within(f"{m}/{part}", arrays)
        found |= within("lagged", self.lagged.state)
        return {name: a.copy() for name, a in found.items()}

    def restore(self, mine: Arrays, withheld: Sequence[GridFrame]) -> None:
        """Go on from a `snapshot` of the same targets, whose arrays become this shard's own, with
        the frames of the span in progress (in this shard's columns)."""
        self._last_seen = mine.get("last_seen")
        saved = [below(mine, f"{m}/saved") for m in range(len(self.models))]
        self._saved = saved if any(saved) else None
        for m in range(len(self.models)):
            self.states[m] = below(mine, f"{m}/state")
            self.scorers[m].state = below(mine, f"{m}/score")
            self.alignments[m].state = below(mine, f"{m}/align")
            self.intervals[m].state = below(mine, f"{m}/interval")
        self.lagged.state = below(mine, "lagged")
        self.withheld = list(withheld)

    def finish(self) -> Ending:
        """What is left to say at the end of a run."""
        windows = [(m, *done) for m, scorer in enumerate(self.scorers) for done in scorer.finish()]
        totals, by_gap = ([s.state[name] for s in self.scorers] for name in ("total", "by_gap"))
        return Ending(windows, totals, by_gap, self.seconds)

    def _segment(self, segment: Segment, frame: GridFrame) -> StepResult:
        if segment.opens and self.how.release:
            self._saved = [{k: a.copy() for k, a in state.items()} for state in self.states]
            self.withheld = []
            for intervals in self.intervals:
                intervals.open()
        mask = self._withheld_mask(segment)
        views = self._views(frame, mask)
        own = views[0].own
        steps = self._steps(frame, own, mask)
        lagged = self.lagged.push(steps)
        result = StepResult(frame.first, steps, [], [], lagged)
        by_lag = {0: steps} | dict(zip(self.lagged.lags, lagged, strict=True))
        withheld = np.where(steps.status == WITHHELD, steps.truth, np.nan)
        for m, view in enumerate(views):
            started = time.perf_counter()
            forecast = self.intervals[m].calibrate(self._run(m, view), view, withheld)
            self.seconds[m] += time.perf_counter() - started
            rows = self.alignments[m].rows(forecast, own, steps.age, frame.first)
            result.rows.append(rows)
            result.ahead.append(self.alignments[m].ahead(forecast))
            done = self.scorers[m].add(frame.first, rows, by_lag, self.how.scored)
            result.windows += [(m, *window) for window in done]
        if segment.withheld and self._saved is not None:
            self.withheld.append(frame)
            if segment.closes:
                self._release()
        return result

    def _release(self) -> None:
        """The end of a span: models go back to its beginning and learn it with its truths, so
        that they go on as if it had never been mask. What they forecast on the way is discarded;
        what they forecast in the mask tells how wide intervals have to be there."""
        assert self._saved is not None
        self.states, self._saved = self._saved, None
        for intervals in self.intervals:
            intervals.release()
        for frame in self.withheld:
            for m, view in enumerate(self._views(frame, None)):
                self._run(m, view)
                self.intervals[m].see(view.own, view.first)
        self.withheld = []

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

    def _withheld_mask(self, segment: Segment) -> NDArray[np.bool_] | None:
        """(T, targets of the job in sight) what is withheld in a segment; None: nothing."""
        if not segment.withheld:
            return None
        span = self.how.span_at(segment.start)
        if self._within is None or self._within[0] != span:
            series = self.layouts[0].series
            self._within = span, self.how.withheld([series[c] for c in self.job_targets], span)
        return self._within[1][segment.start - span.start : segment.stop - span.start]

    def _mine(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(T, N) of what is withheld, this shard's targets."""
        return mask[:, np.searchsorted(self.job_targets, self.targets)]

    def _views(self, frame: GridFrame, mask: NDArray[np.bool_] | None) -> list[Frame]:
        """The frame as each model may see it."""
        values = frame.values
        own = np.take(values, self.targets, axis=1)
        masked = None
        if mask is not None:
            mine = self._mine(mask)
            own = np.where(mine, np.nan, own)
            masked = mine if self.how.hide == "each-sensor" else None
            if self.how.hide == "together":
                values = values.copy()
                values[:, self.job_targets] = np.where(mask, np.nan, values[:, self.job_targets])
        return [
            Frame(layout, frame.first, values, own, _companions(layout, values, masked))
            for layout in self.layouts
        ]

    def _steps(self, frame: GridFrame, own: Floats, mask: NDArray[np.bool_] | None) -> Steps:
        truth = frame.truth(self.targets)
        status = np.full(truth.shape, OBSERVED, np.uint8)
        if mask is not None:
            status[self._mine(mask)] = WITHHELD
        missing = np.isnan(np.take(frame.values, self.targets, axis=1))
        status[missing] = MISSING
        status[missing & ~np.isnan(truth)] = REJECTED
        if self._last_seen is None:
            self._last_seen = np.full(len(self.targets), frame.first - 1)
        age = kernel.ages(own, frame.first, self._last_seen)
        return Steps(truth, status, age.astype(np.int32), frame.flag(self.targets))


STATES = ("state", "saved")
"""Parts of a snapshot that a forecaster's state makes: as it is, and as it was before a span."""


def units_of(name: str) -> int | None:
    """The model of whose units an array of a snapshot has one entry each; None: the targets."""
    m, _, rest = name.partition("/")
    part, _, array = rest.partition("/")
    return None if part not in STATES or "targets" in array.split("/")[:-1] else int(m)


def migrated(arrays: Arrays, m: int, migrate: Callable[[State], State]) -> Arrays:
    """A snapshot with the states of model `m` as `migrate` turns them out."""
    changed = dict(arrays)
    for part in STATES:
        old = below(arrays, f"{m}/{part}")
        if old:
            changed = {k: a for k, a in changed.items() if not k.startswith(f"{m}/{part}/")}
            changed |= within(f"{m}/{part}", migrate(old))
    return changed


def _companions(layout: Layout, values: Floats, masked: NDArray[np.bool_] | None) -> Floats:
    """(T, N, Q - 1) the other quantities of each target's sensor, NaN where there is none."""
    found = np.full((len(values), *layout.companions.shape), np.nan)
    n, q = np.nonzero(layout.companions >= 0)
    found[:, n, q] = values[:, layout.companions[n, q]]
    if masked is not None:
        found[masked] = np.nan
    return found
