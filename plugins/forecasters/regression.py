"""What the adapters of other libraries' regressors share: inputs, scaling, one object a target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gapcast.engine import plugin
from gapcast.engine.forecaster import Floats, Forecast, Forecaster, Frame, Layout, Needs, State
from gapcast.engine.neighbours import Neighbours
from gapcast.plugins.forecasters.leaves import Learner, primed, read, trial, write

WARM_UP = 10
"""Values of a target before its model learns; until then the last value is the forecast."""
LIBRARIES = ("river", "padasip", "sklearn")
"""Classes are taken from these only: a config is checked, and nothing else run by that."""
BOUND = 5.0
"""Standard deviations beyond which an input or a forecast counts as just so far."""


def build(parameters: Any, kind: type[Any] | None = None) -> Any:
    """`parameters` with every ``{type: package.Class, ...}`` in them made: ``type(**rest)``; the
    whole of them is to be a `kind`.

    Raises ValueError when there is no such class of `LIBRARIES` or it does not take them.
    """
    if isinstance(parameters, list):
        return [build(p) for p in parameters]
    if not isinstance(parameters, dict):
        return parameters
    made = {key: build(value) for key, value in parameters.items()}
    if "type" not in made:
        return made
    name = str(made.pop("type"))
    found = _named(name)
    if kind is not None and not issubclass(found, kind):
        raise ValueError(f"{name}: it is no {kind.__name__} of that library")
    try:
        return found(**made)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _named(name: str) -> type[Any]:
    """The class of that name. Looked up, not called: whoever writes a config chooses it."""
    module, _, cls = name.rpartition(".")
    root = name.partition(".")[0]
    if root not in LIBRARIES:
        raise ValueError(f"{name}: it is not below {', '.join(LIBRARIES)}")
    try:
        found = getattr(import_module(module), cls)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name}: there is no such class") from error
    if not isinstance(found, type) or found.__module__.partition(".")[0] != root:
        raise ValueError(f"{name}: it is no class of {root}")
    return found


class RegressionParams(plugin.Params):
    """Parameters of the forecasters ``river``, ``padasip`` and ``sklearn``."""

    model: str = Field(description="The class, by its dotted name.")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="What the class is called with; `{type: a.dotted.Name, ...}` is made likewise.",
    )
    lags: int = Field(default=3, ge=1, le=1000, description="Own past values it reads.")
    neighbours: Neighbours | None = Field(
        default=None, description="Other sensors it reads, each the value of the same step."
    )

    @model_validator(mode="after")
    def _goes(self) -> RegressionParams:
        if self.neighbours is not None and self.neighbours.correlated is not None:
            raise ValueError("neighbours: this forecaster cannot choose; name nearest or all")
        inputs = self.lags + 2
        try:
            with np.errstate(all="ignore"):
                trial(partial(self.learner, inputs), inputs)
        except ValueError as error:
            said = str(error).removeprefix(f"{self.model}: ")
            raise ValueError(f"{self.model} cannot be used: {said}") from error
        return self

    @abstractmethod
    def learner(self, inputs: int) -> Learner:
        """A fresh model. Raises ValueError when there is none of that name and parameters."""


class Regression(Forecaster):
    """One regressor a target, on its own last values and the neighbours' of the same step.

    Every series is brought to mean 0 and variance 1 by its own past; values beyond five standard
    deviations count as five. A lag in a gap is the nowcast made for it; a neighbour that is
    missing counts as at its mean. Horizons above 0 are iterated, neighbours held as they are.

    State: the numbers within the library's object (weights, covariance, steps done), never the
    object. A model whose numbers have no fixed places (trees, neighbours, ensembles, any with a
    hidden generator of random numbers) is rejected when the config is read.

    Cost: one Python call of the library a target and step, two where something is learnt, and a
    dozen small NumPy ones around it: about 70 µs with River's linear models and padasip's filters,
    500 µs with scikit-learn's, hundreds of times what the built-in forecasters take; one call more
    for every step of the greatest horizon. For comparing models, or some hundred targets.
    Interval: the engine's, from what holding a value has cost at the gap's age.
    """

    params: RegressionParams
    horizons = (0, 1000)
    state_version = 2

    def needs(self) -> Needs:
        """The neighbours the config names, if any."""
        return Needs(self.params.neighbours)

    def start(self, layout: Layout) -> State:
        """Nothing seen. ``scale`` is (targets, own and neighbours, [count, mean, squares])."""
        series = 1 + layout.regressors.shape[2]
        size = len(read(self._primed(self.params.lags + series - 1).model))
        return {
            "past": np.full((layout.n, self.params.lags), np.nan),
            "scale": np.zeros((layout.n, series, 3)),
            "model": np.zeros((layout.n, size)),
            "learnt": np.zeros(layout.n, np.bool_),
        }

    def step(self, state: State, frame: Frame) -> Forecast:
        """Each target in turn: its numbers into a model, its steps, its numbers out again."""
        layout = frame.layout
        mean = np.full((frame.t, layout.n, len(layout.horizons)), np.nan)
        inputs = self.params.lags + layout.regressors.shape[2]
        make: Callable[[], Learner] = partial(self.params.learner, inputs)
        zeros = np.zeros(inputs)
        with np.errstate(all="ignore"):
            old = primed(make, inputs)
            for n in range(layout.n):
                learner = old if state["learnt"][n] else make()
                if state["learnt"][n]:
                    write(learner.model, state["model"][n])
                one = _One(learner, state, n, self.params.lags)
                columns = layout.regressors[n, 0]
                seen = np.where(columns >= 0, frame.values[:, columns], np.nan)
                for t in range(frame.t):
                    one.step(frame.own[t, n], seen[t], layout.horizons, mean[t, n])
                state["learnt"][n] = one.learnt
                if one.learnt:
                    learner.predict(zeros)  # makes what it makes when it is first asked
                    state["model"][n] = read(learner.model)
        return Forecast(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))

    def migrate(self, state: Mapping[str, NDArray[np.generic]], version: int) -> State:
        """Version 1 also held its own errors, for an interval."""
        return {name: a for name, a in state.items() if not name.startswith("spread_")}

    def _primed(self, inputs: int) -> Learner:
        with np.errstate(all="ignore"):
            return primed(partial(self.params.learner, inputs), inputs)


class _One:
    """One target's model in motion; `past` and `scale` are views of the state."""

    def __init__(self, learner: Learner, state: State, n: int, lags: int) -> None:
        self.learner, self.lags = learner, lags
        self.past, self.scale = state["past"][n], state["scale"][n]
        self.learnt = bool(state["learnt"][n])

    def step(self, own: float, neighbours: Floats, horizons: Floats, out: Floats) -> None:
        """Forecast, learn, forecast further; see `Forecaster.step`."""
        mean, deviation = self._scales()
        x = np.empty(self.lags + len(neighbours))
        x[: self.lags] = _bounded((self.past - mean[0]) / deviation[0])
        x[self.lags :] = _bounded((neighbours - mean[1:]) / deviation[1:])
        nowcast = self._forecast(x, mean[0], deviation[0])
        values = np.concatenate(([own], neighbours))
        seen = not np.isnan(own)
        if seen and self.scale[0, 0] >= WARM_UP:
            self.learner.learn(x, float(_bounded((own - mean[0]) / deviation[0])))
            self.learnt = True
        self._rescale(values)
        self.past[1:] = self.past[:-1].copy()
        self.past[0] = own if seen else nowcast
        self._further(x, horizons, nowcast, out)

    def _further(self, x: Floats, horizons: Floats, nowcast: float, out: Floats) -> None:
        ahead = [nowcast]
        mean, deviation = self._scales()
        past, x = self.past.copy(), x.copy()
        for _ in range(int(horizons[-1])):
            x[: self.lags] = _bounded((past - mean[0]) / deviation[0])
            ahead.append(self._forecast(x, mean[0], deviation[0], past[0]))
            past[1:] = past[:-1].copy()
            past[0] = ahead[-1]
        for i, h in enumerate(horizons):
            out[i] = ahead[h]

    def _forecast(
        self, x: Floats, mean: float, deviation: float, last: float | None = None
    ) -> float:
        if not self.learnt:
            return float(self.past[0] if last is None else last)
        z = float(self.learner.predict(x))
        return float(mean + deviation * min(max(z, -BOUND), BOUND)) if z == z else np.nan

    def _scales(self) -> tuple[Floats, Floats]:
        count, mean, squares = self.scale.T
        deviation = np.sqrt(squares / np.maximum(count - 1, 1))
        return mean.copy(), np.where(deviation > 0, deviation, 1.0)

    def _rescale(self, values: Floats) -> None:
        """Welford's running mean and sum of squares, of what is seen."""
        there = ~np.isnan(values)
        self.scale[there, 0] += 1
        off = values - self.scale[:, 1]
        self.scale[there, 1] += (off / np.maximum(self.scale[:, 0], 1))[there]
        self.scale[there, 2] += (off * (values - self.scale[:, 1]))[there]


def _bounded(z: Any) -> Any:
    return np.where(np.isnan(z), 0.0, np.clip(z, -BOUND, BOUND))
