"""The `river` forecaster: a regressor of the library River for each target."""

from __future__ import annotations

from typing import Any

from gapcast.engine.extras import extra
from gapcast.engine.forecaster import Floats
from gapcast.plugins.forecasters.leaves import Learner
from gapcast.plugins.forecasters.regression import Regression, RegressionParams, build

with extra("river"):
    from river.base import Regressor


class _Learner(Learner):
    def __init__(self, model: Any, inputs: int) -> None:
        self.model = model
        self._names = [f"x{i}" for i in range(inputs)]

    def predict(self, x: Floats) -> float:
        return float(self.model.predict_one(dict(zip(self._names, x.tolist(), strict=True))))

    def learn(self, x: Floats, y: float) -> None:
        self.model.learn_one(dict(zip(self._names, x.tolist(), strict=True)), y)


class RiverParams(RegressionParams):
    """Parameters of the forecaster ``river``."""

    def learner(self, inputs: int) -> Learner:
        """See `RegressionParams.learner`."""
        return _Learner(build({"type": self.model, **self.parameters}, Regressor), inputs)


class River(Regression):
    """Any River regressor whose numbers have fixed places: its linear models with any optimizer.

    As ``model: river.linear_model.BayesianLinearRegression``; see `Regression` for the inputs, the
    state and the cost.
    """

    Params = RiverParams
