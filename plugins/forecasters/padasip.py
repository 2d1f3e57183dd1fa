"""The `padasip` forecaster: an adaptive filter of the library padasip for each target."""

from __future__ import annotations

from typing import Any

from gapcast.engine.extras import extra
from gapcast.engine.forecaster import Floats
from gapcast.plugins.forecasters.leaves import Learner
from gapcast.plugins.forecasters.regression import Regression, RegressionParams, build

with extra("padasip"):
    from padasip.filters.base_filter import AdaptiveFilter


class _Learner(Learner):
    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, x: Floats) -> float:
        return float(self.model.predict(x))

    def learn(self, x: Floats, y: float) -> None:
        self.model.adapt(y, x.copy())


class PadasipParams(RegressionParams):
    """Parameters of the forecaster ``padasip``. Weights begin at zero unless `w` says otherwise."""

    def learner(self, inputs: int) -> Learner:
        """See `RegressionParams.learner`."""
        own = {"w": "zeros", **self.parameters, "n": inputs}
        return _Learner(build({"type": self.model, **own}, AdaptiveFilter))


class Padasip(Regression):
    """Any padasip filter, as ``model: padasip.filters.FilterRLS``, ``parameters: {mu: 0.99}``.

    `n` is set to the number of inputs; see `Regression` for these, the state and the cost.
    """

    Params = PadasipParams
