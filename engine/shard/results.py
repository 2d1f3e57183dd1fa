"""What a shard makes of frames: what became of each step, and what every model said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats
from gapcast.engine.sink import AHEAD, STATUSES

Join = Callable[[Sequence[NDArray[Any]]], NDArray[Any]]


@dataclass(frozen=True)
class Steps:
    """What became of steps, (T, N) each: truth, NaN where none arrived; status, an index into
    `STATUSES`; age, steps since the target's own truth was last visible to its models; flag, what
    screening takes the truth for, an index into `FLAGS` plus one, 0: for nothing."""

    truth: Floats
    status: NDArray[np.uint8]
    age: NDArray[np.int32]
    flag: NDArray[np.uint8]

    @classmethod
    def joined(cls, parts: Sequence[Steps], join: Join) -> Steps:
        """One of several, each array joined by `join`."""
        return cls(*(join(a) for a in zip(*(vars(p).values() for p in parts), strict=True)))

    def cut(self, steps: slice) -> Steps:
        """Some of the steps."""
        return Steps(*(a[steps] for a in vars(self).values()))

    def ahead(self, horizon: int) -> Steps:
        """What is known, at the close of each of the steps, of the one `horizon` steps after it."""
        visible = self.status == STATUSES.index("observed")
        return Steps(
            np.full(self.truth.shape, np.nan),
            np.full(self.truth.shape, STATUSES.index(AHEAD), np.uint8),
            np.where(visible, 0, self.age) + np.int32(horizon),
            np.zeros(self.truth.shape, np.uint8),
        )


@dataclass(frozen=True)
class ModelRows:
    """One model's forecasts for the steps of a frame: (T, N, H) each, [t, n, h] *for* step t, or
    for the step -h steps before where the horizon h is negative. regressors, experts: int32, as in
    `Forecast`, -1 where not known; None where the model does not say."""

    mean: Floats
    lower: Floats
    upper: Floats
    regressors: NDArray[np.int32] | None = None
    experts: NDArray[np.int32] | None = None

    @classmethod
    def joined(cls, parts: Sequence[ModelRows], join: Join) -> ModelRows:
        """One of several, each array joined by `join`."""
        columns = zip(*(vars(p).values() for p in parts), strict=True)
        return cls(*(None if any(a is None for a in of) else join(of) for of in columns))  # type: ignore[arg-type]

    def cut(self, steps: slice) -> ModelRows:
        """The rows of some of the steps."""
        return replace(self, **{name: a[steps] for name, a in self.given().items()})

    def given(self) -> dict[str, NDArray[Any]]:
        """The arrays that are there, by name."""
        return {name: a for name, a in vars(self).items() if a is not None}


@dataclass
class StepResult:
    """What a shard made of one frame: its steps, one `ModelRows` a model, and the score windows
    that ended: (model, window index, sums (N, H, FIELDS)).

    lagged: for each negative horizon of any model, the nearest first, what became of the steps so
    far back. ahead: one `ModelRows` a model, (T, N, H) of its horizons above 0, ascending,
    [t, n, h] made *at* step t.
    """

    first: int
    steps: Steps
    rows: list[ModelRows]
    windows: list[tuple[int, int, Floats]] = field(default_factory=list)
    lagged: list[Steps] = field(default_factory=list)
    ahead: list[ModelRows] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.steps.truth)

    @property
    def forecasts(self) -> int:
        """How many there are, those of NaN too."""
        return sum(rows.mean.size for rows in self.rows)

    @classmethod
    def joined(cls, parts: Sequence[StepResult], join: Join) -> StepResult:
        """One of several, each array joined by `join`; windows are left out."""
        if len(parts) == 1:
            return replace(parts[0], windows=[])
        rows, ahead = (
            [ModelRows.joined(r, join) for r in zip(*of, strict=True)]
            for of in ([p.rows for p in parts], [p.ahead for p in parts])
        )
        lagged = [Steps.joined(s, join) for s in zip(*(p.lagged for p in parts), strict=True)]
        steps = Steps.joined([p.steps for p in parts], join)
        return cls(parts[0].first, steps, rows, [], lagged, ahead)

    def cut(self, at: int) -> tuple[StepResult, StepResult]:
        """The first `at` steps and the rest; windows go with the rest."""
        head, tail = (
            StepResult(
                first, self.steps.cut(of), [r.cut(of) for r in self.rows], windows,
                [s.cut(of) for s in self.lagged], [r.cut(of) for r in self.ahead],
            )
            for of, first, windows in (
                (slice(at), self.first, []),
                (slice(at, None), self.first + at, self.windows),
            )
        )  # fmt: skip
        return head, tail


@dataclass
class Stepped:
    """What comes back of a frame whose rows the shards make themselves: `steps` steps, with so many
    forecasts each, and the windows of `StepResult`."""

    first: int
    steps: int
    each: int
    windows: list[tuple[int, int, Floats]] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of steps."""
        return self.steps

    @property
    def forecasts(self) -> int:
        """How many there are, those of NaN too."""
        return self.steps * self.each

    @classmethod
    def of(cls, result: StepResult) -> Stepped:
        """What is left of a result without its forecasts."""
        return cls(result.first, len(result), result.forecasts // len(result), result.windows)

    def cut(self, at: int) -> tuple[Stepped, Stepped]:
        """The first `at` steps and the rest; windows go with the rest."""
        head = Stepped(self.first, at, self.each)
        return head, Stepped(self.first + at, self.steps - at, self.each, self.windows)


@dataclass
class Ending:
    """What a shard leaves at the end of a run: the windows in progress, as in `StepResult`; sums
    of the whole run (N, H, FIELDS) and by gap age, one a model; seconds spent in each model."""

    windows: list[tuple[int, int, Floats]]
    totals: list[NDArray[Any]]
    by_gap: list[NDArray[Any]]
    seconds: list[float]
