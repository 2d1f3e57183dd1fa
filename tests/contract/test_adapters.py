"""Regressors of other libraries pass the kit; those that cannot be kept as numbers are rejected."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError

from gapcast.engine.neighbours import Neighbours
from gapcast.engine.testing import forecaster
from gapcast.engine.testing.forecaster import Case
from gapcast.plugins.forecasters.padasip import Padasip
from gapcast.plugins.forecasters.persistence import Persistence
from gapcast.plugins.forecasters.river import River
from gapcast.plugins.forecasters.sklearn import Sklearn

SGD = "sklearn.linear_model.SGDRegressor"
LINEAR = "river.linear_model.LinearRegression"
ADAM = {"optimizer": {"type": "river.optim.Adam", "lr": 0.05}}
NEAR = Neighbours(nearest=2)

TestRiver = forecaster(River, River.Params(model=LINEAR, parameters=ADAM))
TestRiverBayes = forecaster(
    River, River.Params(model="river.linear_model.BayesianLinearRegression", neighbours=NEAR)
)
TestPadasipRls = forecaster(
    Padasip,
    Padasip.Params(model="padasip.filters.FilterRLS", parameters={"mu": 0.99}, neighbours=NEAR),
)
TestPadasipAp = forecaster(
    Padasip, Padasip.Params(model="padasip.filters.FilterAP", parameters={"mu": 0.1})
)
TestSklearn = forecaster(Sklearn, Sklearn.Params(model=SGD, lags=2), horizons=(0,))


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (River, {"model": "river.linear_model.BayesianLinearRegression"}),
        (Padasip, {"model": "padasip.filters.FilterRLS", "parameters": {"mu": 0.999}}),
    ],
)
def test_a_model_learns(cls, params):
    """On waves with little noise its second half is better than holding the last value."""
    made = cls(cls.Params(lags=6, **params))
    values = Case(lambda: made, (0,)).values(400, missing=0)

    def error(case):
        forecast, _ = case.run(values)
        truth = values[:, case.layout(case.make()).targets]
        return float(np.mean((forecast.mean[200:, :, 0] - truth[200:]) ** 2))

    held = Persistence(Persistence.Params())
    assert error(Case(lambda: made, (0,))) < 0.8 * error(Case(lambda: held, (0,)))


@pytest.mark.parametrize(
    ("cls", "model", "parameters", "why"),
    [
        (River, "river.tree.HoeffdingTreeRegressor", {}, "holds a set, which is not made of"),
        (River, "river.neighbors.KNNRegressor", {}, "holds a deque, which is not made of"),
        (River, LINEAR, {"initializer": {"type": "river.optim.initializers.Normal"}},
         "initializer._rng holds a RandomState"),
        (River, "river.linear_model.LogisticRegression", {}, "it is no Regressor of that library"),
        (River, "river.linear_model.Nosuch", {}, "there is no such class"),
        (Padasip, "padasip.filters.FilterNLMS", {"w": "random"}, "it begins at random"),
        (Sklearn, "sklearn.linear_model.Ridge", {}, "not a scikit-learn regressor with"),
        (Sklearn, SGD, {"etta0": 1}, "unexpected keyword argument 'etta0'"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_rejected_and_why(cls, model, parameters, why):
    with pytest.raises(ValidationError, match=f"{re.escape(model)} cannot be used: .*{why}"):
        cls.Params(model=model, parameters=parameters)


@pytest.mark.parametrize("cls", [River, Padasip, Sklearn])
@pytest.mark.parametrize(
    "name",
    [
        "os.system", "subprocess.Popen", "builtins.open", "river.os.system", "sklearn.utils.Popen",
        "river.datasets.base.os.system", "sklearn.datasets.fetch_openml", "padasip.np.save",
    ],
)  # fmt: skip
def test_a_config_that_is_read_calls_nothing_but_models_of_these_libraries(cls, name, tmp_path):
    evil = {"command": f"touch {tmp_path}/called", "args": ["touch", f"{tmp_path}/called"]}
    for parameters in (evil, {}):
        with pytest.raises(ValidationError, match="cannot be used"):
            cls.Params(model=name, parameters=parameters)
    good = {River: LINEAR, Padasip: "padasip.filters.FilterLMS", Sklearn: SGD}[cls]
    with pytest.raises(ValidationError, match="cannot be used"):
        cls.Params(model=good, parameters={"more": {"type": name, **evil}})
    assert not list(tmp_path.iterdir())


def test_neighbours_cannot_be_chosen_from_the_data():
    with pytest.raises(ValidationError, match="name nearest or all"):
        River.Params(model=LINEAR, neighbours=Neighbours(correlated=3))
