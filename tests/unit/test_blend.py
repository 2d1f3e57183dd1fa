"""`blend`: its weights against a plain reckoning; broken experts, networks without a value."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from gapcast.engine.description import created, describe
from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Model, Needs, Series
from gapcast.engine.network.layouts import for_targets, lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.parallel.shares import Shares
from gapcast.engine.plugin import Params
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.blend.forecaster import Blend

HALF_HOUR = 1_800_000_000
HERE = f"{__name__}:"


class OffParams(Params):
    off: float = 0.0
    broken: str = "no"


class Off(Forecaster):
    """The last truth plus something, at horizon 0; broken from step 60 of a frame's index on."""

    Params = OffParams

    def start(self, layout):
        return {"last": np.full(layout.n, np.nan)}

    def step(self, state, frame):
        made = Forecast.empty(frame)
        for t in range(frame.t):
            mean = state["last"] + self.params.off
            if frame.first + t >= 60:
                mean = mean * 0 + {"no": mean, "nan": np.nan, "inf": np.inf, "far": 1e9}.get(
                    self.params.broken, mean
                )
            made.mean[t, :, 0] = mean
            made.lower[t], made.upper[t] = made.mean[t] - 1, made.mean[t] + 2
            seen = ~np.isnan(frame.own[t])
            state["last"][seen] = frame.own[t, seen]
        return made


def waves(T=144, N=8, seed=1):
    rng = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(T) / 48)[:, None] * (2 + np.arange(N) / N)
    return 20 + np.arange(N) + day + rng.normal(0, 0.05, (T, N))


def prepared(N=8, experts=None, horizons=(0,), quantities=("t",)):
    params = Blend.Params() if experts is None else Blend.Params(experts=experts)
    model = Blend(params)
    network = Network.of(Series(str(i), q) for i in range(N) for q in quantities)
    targets = [s for s in network.series if s.quantity == quantities[0]]
    return model, lay_out(network, targets, Model("m", model, horizons), HALF_HOUR)


def forecast(values, own=None, experts=None, horizons=(0,)):
    model, layout = prepared(values.shape[1], experts, horizons)
    own = values if own is None else own
    frame = Frame(layout, 0, values, own.copy(), np.empty((*own.shape, layout.companions.shape[1])))
    return model.step(model.start(layout), frame)


def off(amount, broken="no"):
    return {"type": HERE + "Off", "off": amount, "broken": broken}


def test_weights_are_inverse_powers_of_errors_and_who_is_three_times_worse_has_none():
    values = waves()
    found = forecast(values, experts={"a": off(0.2), "b": off(0.25), "c": off(3.0)})
    keep, weight = np.exp(-HALF_HOUR / (4 * 86_400_000_000)), 0.0
    error = np.zeros((2, values.shape[1]))
    offs = np.array([0.2, 0.25])[:, None]
    for t in range(2, len(values)):
        weight = keep * weight + 1
        error += ((values[t - 1] - values[t - 2] - offs) ** 2 - error) / weight
        w = error**-4.0
        w[error > 3 * error.min(axis=0)] = 0
        mean = values[t - 1] + (w * offs).sum(axis=0) / w.sum(axis=0)
        if t > 20:  # so that what is absurd has been settled
            np.testing.assert_allclose(found.mean[t, :, 0], mean, rtol=1e-9)
            assert (found.experts[t, :, 0] & 4 == 0).all()
    width = (found.upper - found.lower)[3:]
    np.testing.assert_allclose(width, 3.0)


@pytest.mark.parametrize("broken", ["nan", "inf", "far"])
def test_an_expert_that_breaks_is_left_at_once(broken):
    values = waves()
    own = values.copy()
    own[100:] = np.nan
    sound = forecast(values, own, {"a": off(0.2), "b": off(0.2)})
    found = forecast(values, own, {"a": off(0.2), "b": off(0.2), "c": off(0.1, broken)})
    np.testing.assert_allclose(found.mean[60:], sound.mean[60:], atol=1e-9)
    assert (found.experts[60:] == 3).all()


def test_a_dark_network_is_left_to_who_needs_none_and_then_comes_back():
    values = waves()
    masked = values.copy()
    masked[110:120] = np.nan
    model, _ = prepared()
    experts = {name: 1 << e for e, name in enumerate(model.experts)}
    found = forecast(masked)
    assert (found.experts[100:110, :, 0] & experts["network"] > 0).all()
    assert (found.experts[110:120, :, 0] & ~(experts["diurnal"] | experts["seasonal"]) == 0).all()
    assert np.isnan(found.reference[110:120]).all()
    assert (found.regressors[110:120] == 0).all()
    assert (found.experts[120:, :, 0] & experts["network"] > 0).all()
    persisted = forecast(masked, experts={"persistence": {"type": "persistence"}})
    errors = [np.square(f.mean - values[..., None])[110:120].mean() for f in (found, persisted)]
    assert errors[0] < errors[1]


def test_steps_down_as_neighbours_go():
    values = waves()
    own = values.copy()
    own[96:, 0] = np.nan
    few = values.copy()
    few[96:, 3:] = np.nan
    found = [forecast(v, own) for v in (values, few)]
    assert (found[0].regressors[100:130, 0, 0] == 7).all()
    assert (found[1].regressors[100:130, 0, 0] == 2).all()
    assert all(np.isfinite(f.mean[96:]).all() for f in found)


def test_long_gaps_are_rehearsed_while_the_target_is_seen():
    """Persistence wins at one step and loses at a whole day; no gap was ever there before."""
    rng = np.random.default_rng(3)
    values = waves(T=240) + np.cumsum(rng.normal(0, 0.02, (240, 8)), axis=0)
    own = values.copy()
    own[200:] = np.nan
    experts = {"last": {"type": "persistence"}, "day": {"type": "seasonal"}}
    found = forecast(values, own, experts)
    assert (found.experts[220:, :, 0] == 2).all()


def test_horizons_are_served_by_who_forecasts_ahead():
    values = waves()
    two = {"network": {"type": "network-rls"}, "diurnal": {"type": "diurnal"}}
    found = forecast(values, experts=two, horizons=(0, 4))
    alone = forecast(values, experts={"diurnal": {"type": "diurnal"}}, horizons=(0, 4))
    np.testing.assert_array_equal(found.mean[..., 1], alone.mean[..., 1])
    model, layout = prepared(experts={"network": {"type": "network-rls"}}, horizons=(0, 4))
    with pytest.raises(RunError, match="no expert forecasts 4 steps"):
        model.start(layout)


def test_each_expert_says_what_it_says_alone():
    rng = np.random.default_rng(5)
    values = np.repeat(waves(), 2, axis=1) + rng.normal(0, 0.1, (144, 16))
    one = {"type": "spatial-rls", "neighbours": {"correlated": 3}, "quantities": ["h"]}
    more = {"type": "spatial-rls", "neighbours": {"correlated": 5}, "quantities": ["x", "h"]}
    quantities = ("t", "h", "x")
    values = np.concatenate([values, waves(seed=9)], axis=1)
    model, layout = prepared(8, {"one": one, "more": more}, quantities=quantities)
    state = model.start(layout)
    model.step(state, view(layout, 0, values))
    alone, own_layout = prepared(8, {"one": one}, quantities=quantities)
    expected = alone.start(own_layout)
    alone.step(expected, view(own_layout, 0, values))
    mine = {name: array for name, array in expected.items() if "/one/" in name}
    assert len(mine) > 10
    for name, array in mine.items():
        np.testing.assert_array_equal(state[name], array, name)


def test_arrays_of_targets_and_of_units_are_shared_out_and_joined():
    model, layout = prepared(20, {"network": {"type": "network-rls", "block": 6},
                                  "day": {"type": "seasonal"}})  # fmt: skip
    assert layout.u > 2
    state = model.start(layout)
    model.step(state, view(layout, 0, waves(N=20)))
    snapshot = {f"0/state/{name}": array for name, array in state.items()}
    shares = Shares([layout], 3)
    parts = [shares.share(snapshot, shard) for shard in range(len(shares))]
    for targets, share in zip(shares.targets, parts, strict=True):
        for name, array in model.start(for_targets(layout, targets)).items():
            assert share[f"0/state/{name}"].shape[0] == array.shape[0], name
    joined = shares.join_snapshots(parts)
    for name, array in snapshot.items():
        np.testing.assert_array_equal(joined[name], array, name)


def test_travels_as_plain_data():
    model = Blend(Blend.Params(experts={"a": off(0.5), "b": {"type": "rls", "lags": 2}}))
    again = created(json.loads(json.dumps(describe(model))))
    assert again.params == model.params
    assert again.experts == ("a", "b")
    assert again.needs() == Needs()


@pytest.mark.parametrize(
    ("experts", "said"),
    [
        ({"a": {"type": "sesonal"}}, "did you mean 'seasonal'"),
        ({"a": {"type": "rls", "lags": 0}}, "lags"),
        ({"a": {"period": "1d"}}, "type of a forecaster"),
        ({"targets": {"type": "rls"}}, "must be a name"),
        ({"a": {"type": "network-rls", "block": 8}, "b": {"type": "diurnal"}}, "one size"),
        (
            {
                "a": {"type": "ema", "neighbours": {"nearest": 2}},
                "b": {"type": "spatial-rls"},
            },
            "one way",
        ),
        ({}, "at least 1"),
    ],
)
def test_what_cannot_be_is_rejected(experts, said):
    with pytest.raises(ValidationError, match=said):
        Blend.Params(experts=experts)


def test_the_samples_third_day_in_the_dark(lab):
    own = lab.copy()
    own[96:] = np.nan
    found = forecast(lab, own)
    assert np.square(found.mean[..., 0] - lab)[96:].mean() < 0.19
