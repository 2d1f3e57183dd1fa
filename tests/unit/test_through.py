"""Nowcasts through a derived quantity: by an oracle, without leaks, wherever frames are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from waves import waves

from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Model, Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.parallel import wire
from gapcast.engine.shard.derived import Link, Through
from gapcast.engine.shard.evaluation import Evaluation, Span
from gapcast.engine.shard.plan import Plan, of_parcel
from gapcast.engine.shard.shard import Shard
from gapcast.engine.testing import forecaster
from gapcast.engine.testing.forecaster import view
from gapcast.engine.testing.reference import Plain
from gapcast.plugins.derivations.dew_point.derivation import DewPoint
from gapcast.plugins.forecasters.ema.forecaster import Ema
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls
from gapcast.plugins.forecasters.spatial_rls.forecaster import SpatialRls

HALF_HOUR = 1_800_000_000
DAY = 48 * HALF_HOUR
COLUMNS = ("mean", "lower", "upper")
LINK = Link(DewPoint(DewPoint.Params()), "temperature", "humidity")


def through(inner, links=(LINK,)):
    return Through.of(inner, links)


def network_rls(**params):
    return NetworkRls(NetworkRls.Params(**params))


def ema():
    return Ema(Ema.Params(alpha=0.3, neighbours=Neighbours(nearest=3)))


def kit(inner):
    made = through(inner)
    return forecaster(Through, made.params, horizons=(0,))


TestThroughNetwork = kit(network_rls())
TestThroughNetworkInBlocks = kit(network_rls(block=4))
TestThroughEma = forecaster(Through, through(ema()).params, horizons=(0, 1, 3))
TestThroughPlain = forecaster(Through, through(Plain(Plain.Params())).params, horizons=(0, 3))


def air(T=150, N=9, seed=0, missing=0.1):
    """(T, 2 N) humidity and temperature of each sensor in turn, of air with one dew point."""
    temperature, dew = waves(T, N, seed, missing), waves(T, N, seed + 1) - 12
    dew = dew.mean(1, keepdims=True) + 0.1 * (dew - dew.mean(1, keepdims=True))
    humidity = 100 * np.exp(17.62 * dew / (243.12 + dew) - 17.62 * temperature / (
        243.12 + temperature))  # fmt: skip
    gone = np.random.default_rng(seed + 2).random(humidity.shape) < missing
    both = np.stack([np.where(gone, np.nan, humidity), temperature], axis=2)
    return both.reshape(T, 2 * N)


def network(N=9, other=()):
    found = [Series(str(i), q) for i in range(N) for q in ("humidity", "temperature")]
    where = {str(i): (i % 3, i // 3) for i in range(N)}
    return Network.of([*found, *other], where)


def laid_out(model, N=9, quantities=("temperature",), horizons=(0,)):
    net = network(N)
    targets = [s for s in net.series if s.quantity in quantities]
    return lay_out(net, targets, Model("m", model, horizons), HALF_HOUR)


def dew_point(temperature, humidity):
    x = np.log(humidity / 100) + 17.62 * temperature / (243.12 + temperature)
    return 243.12 * x / (17.62 - x)


def temperature_of(dew, humidity):
    x = 17.62 * dew / (243.12 + dew) - np.log(humidity / 100)
    return 243.12 * x / (17.62 - x)


def test_agrees_with_dew_points_worked_out_by_hand():
    values = air()
    model, layout = through(network_rls()), laid_out(through(network_rls()))
    own = values[:, layout.targets].copy()
    own[60:90] = np.nan
    frame = view(layout, 500, values, own)
    found = model.step(model.start(layout), frame)

    inner, plain_layout = network_rls(), laid_out(network_rls())
    humidity = values[:, 0::2]
    dew = values.copy()
    dew[:, 1::2] = dew_point(values[:, 1::2], humidity)
    alone = inner.step(inner.start(plain_layout), view(plain_layout, 500, values, own))
    derived = inner.step(
        inner.start(plain_layout), view(plain_layout, 500, dew, dew_point(own, humidity))
    )
    back = [temperature_of(getattr(derived, n)[..., 0], humidity) for n in COLUMNS]
    there = [getattr(alone, n)[..., 0] for n in COLUMNS]
    deviation = (there[2] - there[1]) / 2 / 1.6448536
    use = ~np.isnan(back[0]) & ~(back[2] - back[1] >= there[2] - there[1])
    use &= ~(np.abs(back[0] - there[0]) > 10 * deviation)
    assert 0.5 < use.mean() < 1
    for name, one, other in zip(COLUMNS, back, there, strict=True):
        got = getattr(found, name)[..., 0]
        np.testing.assert_allclose(got, np.where(use, one, other), rtol=1e-6, err_msg=name)
        np.testing.assert_array_equal(got[~use], other[~use])
    back = temperature_of(derived.reference, humidity)
    expected = np.where(use, back, alone.reference)
    np.testing.assert_allclose(found.reference, expected, rtol=1e-6)


class Looks(Plain):
    """Keeps what it was given."""

    frames: ClassVar[list[Frame]] = []

    def step(self, state, frame):
        self.frames.append(frame)
        return super().step(state, frame)


def test_the_inner_forecaster_sees_what_it_would_see_alone():
    inner = Looks(Looks.Params())
    model, seen = through(inner), Looks.frames
    layout, alone = laid_out(model, horizons=(0, 2)), laid_out(inner, horizons=(0, 2))
    values = air(T=5)
    model.step(model.start(layout), view(layout, 1, values))
    for frame in seen:
        for name in ("targets", "regressors", "companions", "units", "members", "partners"):
            np.testing.assert_array_equal(getattr(frame.layout, name), getattr(alone, name))
        np.testing.assert_array_equal(frame.companions, view(alone, 1, values).companions)
    np.testing.assert_array_equal(seen[0].values, values)
    np.testing.assert_array_equal(seen[1].values[:, 0::2], values[:, 0::2])


@pytest.mark.parametrize("horizons", [(0, 2), (2,)])
def test_later_horizons_and_other_targets_are_the_plain_ones(horizons):
    both = ("temperature", "humidity")
    inner, model = ema(), through(ema())
    layout, alone = laid_out(model, 9, both, horizons), laid_out(inner, 9, both, horizons)
    values = air()
    found = model.step(model.start(layout), view(layout, 1, values))
    plain = inner.step(inner.start(alone), view(alone, 1, values))
    np.testing.assert_array_equal(found.mean[..., -1], plain.mean[..., -1])
    np.testing.assert_array_equal(found.mean[:, 0::2], plain.mean[:, 0::2])
    changed = (found.mean[:, 1::2, 0] != plain.mean[:, 1::2, 0]).mean()
    assert changed > 0.7 if horizons[0] == 0 else changed < 0.2


def test_sensors_without_the_companion_are_forecast_as_they_are():
    net = network(5, [Series("x", "temperature")])
    targets = [s for s in net.series if s.quantity == "temperature"]
    model = through(network_rls())
    layout = lay_out(net, targets, Model("m", model), HALF_HOUR)
    values = np.column_stack([air(N=5, missing=0), waves(T=150, N=1)])
    found = model.step(model.start(layout), view(layout, 1, values))
    inner = network_rls()
    alone = lay_out(net, targets, Model("m", inner), HALF_HOUR)
    plain = inner.step(inner.start(alone), view(alone, 1, values))
    np.testing.assert_array_equal(found.mean[:, -1], plain.mean[:, -1])
    assert (found.mean[5:, :-1] != plain.mean[5:, :-1]).all()


class Two(Forecaster):
    """Says 20 ± 40 where it sees a temperature of 20, and what it is told of anything else."""

    class Params(Forecaster.Params):
        mean: float
        lower: float | None = None
        upper: float | None = None

    def start(self, layout):
        return {}

    def step(self, state, frame):
        out = Forecast.empty(frame)
        plain = bool(frame.values[0, 1] == 20)
        for name, value in zip(COLUMNS, (20, -20, 60), strict=True):
            value = value if plain else getattr(self.params, name)
            getattr(out, name)[:] = np.nan if value is None else value
        n = np.full(out.mean.shape, int(plain))
        return replace(out, regressors=n, experts=n)


@pytest.mark.parametrize(
    ("said", "back"),
    [
        ((9.0, 8.0, 10.0), True),
        ((9.0, None, None), True),
        ((9.0, 8.0, 90.0), False),
        ((90.0, 80.0, 95.0), False),
        ((9.0, -40.0, 45.0), False),
    ],
)
def test_it_is_turned_back_whole_and_narrower_or_not_at_all(said, back):
    model = through(Two(Two.Params(**dict(zip(COLUMNS, said, strict=True)))))
    layout = laid_out(model, 1)
    frame = view(layout, 0, np.array([[50.0, 20.0]]))
    found = model.step(model.start(layout), frame)
    for name, value, plain in zip(COLUMNS, said, (20, -20, 60), strict=True):
        expected = temperature_of(np.nan if value is None else value, 50.0) if back else plain
        np.testing.assert_allclose(getattr(found, name), [[[expected]]], err_msg=name)
    assert (found.regressors.item(), found.experts.item()) == ((0, 0) if back else (1, 1))


@settings(deadline=None, max_examples=25)
@given(
    hnp.arrays(float, 20, elements=st.floats(-1e30, 1e30)), st.sampled_from(["each", "each-sensor"])
)
def test_what_is_withheld_from_a_target_never_reaches_it(truths, hide):
    """Only that there is one does: joint models learn nothing while a truth is withheld."""
    values, model = air(T=120), through(network_rls())
    layout = laid_out(model)
    own = values[:, layout.targets].copy()
    own[80:100, 4] = np.nan
    means = []
    changed = values.copy()
    column = layout.targets[4]
    changed[80:100, column] = np.where(np.isnan(values[80:100, column]), np.nan, truths)
    for shown in (values, changed):
        frame = view(layout, 7, shown, own)
        if hide == "each-sensor":
            frame.companions[80:100, 4] = np.nan
        means.append(model.step(model.start(layout), frame).mean[:, 4])
    np.testing.assert_array_equal(*means)


def plan(hide="each", N=9, model=None):
    model = Model("m", model or through(network_rls(block=4)))
    net = network(N)
    targets = [s for s in net.series if s.quantity == "temperature"]
    layout = lay_out(net, targets, model, HALF_HOUR)
    how = Evaluation(hide, True, (Span(60, 84), Span(100, 120)))
    return Plan((model,), (layout,), how, DAY, layout.targets)


def steps(shard, values, cuts=()):
    """Means (T, N) of a shard stepped over `values`."""
    pieces = np.split(np.arange(len(values)), cuts)
    results = [
        shard.step(GridFrame(int(at[0]), values[at], np.full((len(at), values.shape[1]), np.nan)))
        for at in pieces
    ]
    return np.concatenate([r.rows[0].mean[..., 0] for r in results])


def test_with_the_whole_sensor_dark_it_is_the_plain_model_bit_for_bit():
    values = air(missing=0.05)
    derived = steps(Shard(plan("each-sensor")), values)
    alone = steps(Shard(plan("each-sensor", model=network_rls(block=4))), values)
    masked = np.r_[60:84, 100:120]
    np.testing.assert_array_equal(derived[masked], alone[masked])
    assert (derived[:60] != alone[:60]).mean() > 0.5


def test_with_the_companion_known_it_is_better():
    values = air(missing=0.0)
    errors = [
        np.square(steps(Shard(plan(model=m)), values) - values[:, 1::2])[60:84].mean()
        for m in (through(network_rls()), network_rls())
    ]
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize("when", ["always", "now"])
def test_a_bad_hygrometer_is_not_believed(when):
    values = air(missing=0.0)
    at = slice(None) if when == "always" else slice(60, None)
    noise = np.random.default_rng(0).normal(0, 10, 150)
    values[at, 8] += np.abs(noise[at]) if when == "always" else 40
    found, alone = (
        steps(Shard(plan(model=m)), values)[60:84, 4]
        for m in (through(network_rls()), network_rls())
    )
    assert (found == alone).mean() > 0.9


@pytest.mark.parametrize("hide", ["each", "each-sensor", "together"])
def test_cuts_shards_and_a_journey_change_no_bit(hide):
    whole, values = plan(hide), air()
    expected = steps(Shard(whole), values)
    np.testing.assert_array_equal(steps(Shard(whole), values, (1, 30, 70, 71, 110)), expected)
    units = whole.layouts[0].units
    assert units.max() > 1
    for unit in range(units.max() + 1):
        targets = np.flatnonzero(units == unit)
        part = whole.for_targets(targets)
        columns = part.columns()
        assert {part.layouts[0].series[c].quantity for c in columns} == {"humidity", "temperature"}
        carried = of_parcel(wire.unpack(wire.pack(part.narrow(columns).parcel()).to_pybytes()))
        found = steps(Shard(carried), values[:, columns].copy(), (50,))
        np.testing.assert_array_equal(found, expected[:, targets])


def test_a_snapshot_goes_on_as_if_nothing_had_happened():
    values, whole = air(), plan()
    expected = steps(Shard(whole), values)
    first, second = Shard(whole), Shard(whole)
    steps(first, values[:70])
    second.restore(first.snapshot(), first.withheld)
    frames = [GridFrame(70, values[70:], np.full((80, values.shape[1]), np.nan))]
    found = second.step(frames[0]).rows[0].mean[..., 0]
    np.testing.assert_array_equal(found, expected[70:])


def test_an_older_state_is_migrated_by_the_forecaster():
    class Newer(Ema):
        state_version = 3

        def migrate(self, state, version):
            return {name: array + version for name, array in state.items()}

    model = through(ema())
    model.forecaster = Newer(ema().params)
    old = {"plain/a": np.zeros(2), "derived/a": np.ones(2)}
    new = model.migrate(old, 2)
    assert {k: a.tolist() for k, a in new.items()} == {"plain/a": [2, 2], "derived/a": [3, 3]}
    assert Through(through(ema()).params).state_version == Ema.state_version


def test_what_it_is_made_of_is_named_for_workers():
    model = through(SpatialRls(SpatialRls.Params(neighbours={"nearest": 2})))
    again = Through(Through.Params.model_validate(model.params.model_dump(mode="json")))
    assert again.params == model.params
    assert type(again.forecaster) is SpatialRls
    assert again.forecaster.params == model.forecaster.params
    assert [(type(a), b, c) for a, b, c in again.links] == [(DewPoint, "temperature", "humidity")]
    assert again.needs() == replace(
        model.forecaster.needs(), partners=(("temperature", "humidity"),)
    )


def test_a_loose_module_inside_is_found(tmp_path, monkeypatch):
    (tmp_path / "loosely.py").write_text(
        "from gapcast.plugins.forecasters.persistence import Persistence\n"
        "class Mine(Persistence):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import loosely

    inside = plan(model=through(loosely.Mine(loosely.Mine.Params())))
    assert [p.name for p in inside.loose_modules()] == ["loosely.py"]


def test_figures_of_the_sample(sample):
    """Those of docs/derived.md, with room for a last digit."""
    mean = [
        np.square(dark_error(sample, start, stop)).mean()
        for start, stop in ((96, 144), (48, 96), (48, 144))
    ]
    assert mean[0] < 0.018
    assert mean[1] < 0.04
    assert mean[2] < 0.04


def dark_error(values, start, stop):
    model = through(network_rls())
    layout = laid_out(model, 50)
    own = values[:, layout.targets].copy()
    own[start:stop] = np.nan
    found = model.step(model.start(layout), view(layout, 500, values, own)).mean[..., 0]
    return (found - values[:, layout.targets])[start:stop]
