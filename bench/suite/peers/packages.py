"""Peers as packages have them: River, padasip, scikit-learn, statsmodels. Imported where used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np

from suite.peers.naive import last
from suite.peers.recursion import CLIP, MEMORY, Scale
from suite.sets import Floats

FORGETTING = 1 - 1 / MEMORY


class Learner(Protocol):
    """One regression that learns a step at a time."""

    def predict(self, x: Floats) -> float:
        """The target's value by the inputs."""

    def learn(self, x: Floats, y: float) -> None:
        """Take in a target's value with its inputs."""


class _River:
    def __init__(self, inputs: int) -> None:
        from river.linear_model import BayesianLinearRegression

        self._model = BayesianLinearRegression(smoothing=FORGETTING, beta=MEMORY)

    def predict(self, x: Floats) -> float:
        return float(self._model.predict_one(dict(enumerate(x.tolist()))))

    def learn(self, x: Floats, y: float) -> None:
        self._model.learn_one(dict(enumerate(x.tolist())), y)


class _Padasip:
    def __init__(self, inputs: int) -> None:
        from padasip.filters import FilterRLS

        self._model = FilterRLS(inputs, mu=FORGETTING, eps=1.0, w="zeros")

    def predict(self, x: Floats) -> float:
        return float(self._model.predict(x))

    def learn(self, x: Floats, y: float) -> None:
        self._model.adapt(y, x)


def river(values: Floats, interval: float) -> Floats:
    """A Bayesian linear regression of River a series, on all the others."""
    return _one_each(values, _River)


def padasip(values: Floats, interval: float) -> Floats:
    """A recursive least squares filter of padasip a series, on all the others."""
    return _one_each(values, _Padasip)


def _one_each(values: Floats, make: Callable[[int], Learner]) -> Floats:
    """These know no missing inputs: they are given the last value instead. Everything is
    standardised by what was seen so far; there is a constant."""
    steps, series = values.shape
    filled, held = np.full_like(values, np.nan), last(values)
    models, scale = [make(series) for _ in range(series)], Scale(series)
    for t in range(steps):
        seen = ~np.isnan(values[t])
        mean, deviation = scale.mean, scale.deviation
        now = np.nan_to_num((np.where(seen, values[t], held[t]) - mean) / deviation)
        now = np.clip(now, -CLIP, CLIP)
        for i, model in enumerate(models):
            x = np.append(np.delete(now, i), 1.0)
            if seen[i]:
                model.learn(x, float(now[i]))
            else:
                filled[t, i] = model.predict(x) * deviation[i] + mean[i]
        scale.learn(values[t])
    return filled


def iterative(values: Floats, interval: float) -> Floats:
    """The IterativeImputer of scikit-learn on standardised rows, with its defaults."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ten rounds were not enough
        found = IterativeImputer(random_state=0).fit_transform((values - mean) / deviation)
    filled: Floats = found * deviation + mean
    return filled


def arima(values: Floats, interval: float) -> Floats:
    """An autoregression of three steps and a moving average of one, of each series alone, fitted
    on the first half and run on as a Kalman filter."""
    return _autoregressions(values, smooth=False)


def kalman(values: Floats, interval: float) -> Floats:
    """The same as a Kalman smoother, fitted on the whole record."""
    return _autoregressions(values, smooth=True)


def _autoregressions(values: Floats, smooth: bool) -> Floats:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    filled = np.full_like(values, np.nan)
    for j, column in enumerate(values.T):
        known = column if smooth else column[: len(column) // 2]
        mean, deviation = np.nanmean(known), np.nanstd(known) + 1e-9
        z = (column - mean) / deviation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SARIMAX(z[: len(known)], order=(3, 0, 1), trend="c")
            fitted = model.fit(disp=False, maxiter=50).params
            whole = SARIMAX(z, order=(3, 0, 1), trend="c")
            state = whole.smooth(fitted) if smooth else whole.filter(fitted)
        said = state.smoother_results.smoothed_forecasts[0] if smooth else state.fittedvalues
        filled[:, j] = said * deviation + mean
    return filled
