"""The `sklearn` forecaster: a scikit-learn regressor with `partial_fit` for each target."""

from __future__ import annotations

from typing import Any

from gapcast.engine.extras import extra
from gapcast.engine.forecaster import Floats
from gapcast.plugins.forecasters.leaves import Learner
from gapcast.plugins.forecasters.regression import Regression, RegressionParams, build

with extra("sklearn"):
    from sklearn.base import BaseEstimator, is_regressor


class _Learner(Learner):
    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, x: Floats) -> float:
        return float(self.model.predict(x[None])[0])

    def learn(self, x: Floats, y: float) -> None:
        self.model.partial_fit(x[None], [y])


class SklearnParams(RegressionParams):
    """Parameters of the forecaster ``sklearn``."""

    def learner(self, inputs: int) -> Learner:
        """See `RegressionParams.learner`."""
        model = build({"type": self.model, **self.parameters}, BaseEstimator)
        if not (is_regressor(model) and hasattr(model, "partial_fit")):
            raise ValueError("it is not a scikit-learn regressor with partial_fit")
        return _Learner(model)


class Sklearn(Regression):
    """Any scikit-learn regressor with `partial_fit` whose numbers have fixed places.

    As ``model: sklearn.linear_model.SGDRegressor``, ``parameters: {eta0: 0.05}``; see `Regression`
    for the inputs, the state and the cost.
    """

    Params = SklearnParams
