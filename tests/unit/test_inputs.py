"""Inputs: series that are read and not forecast, from the config to what models make of them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Stopping

from gapcast import read_config, run
from gapcast.engine.config import redact
from gapcast.engine.errors import ConfigError, RunError
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.leads import Leads
from gapcast.engine.network.layouts import for_targets, halo, lay_out, narrow
from gapcast.engine.network.series import Network
from gapcast.engine.run.prepare import look, prepare
from gapcast.engine.shard.derived import Through
from gapcast.engine.testing.forecaster import view
from gapcast.plugins.forecasters.auto.forecaster import Auto
from gapcast.plugins.forecasters.blend.forecaster import Blend
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls

HALF_HOUR = 1_800_000_000
WEATHER = {"weather": ["roof/temperature"]}
DAYS = 12


def rows(days=DAYS, meters=("a", "b"), missing=0.0):
    """Power of meters, each by the temperature outside alone, which jumps about."""
    rng = np.random.default_rng(11)
    outside = 10 + 5 * rng.normal(size=48 * days)
    found = []
    for i, x in enumerate(outside):
        if rng.random() >= missing:
            found.append((30.0 * i, "roof", "temperature", float(x)))
        for k, meter in enumerate(meters):
            value = 100 + 20 * k - (3 + k) * x + 0.1 * rng.normal()
            found.append((30.0 * i, meter, "power", float(value)))
    return found


@pytest.fixture
def play():
    def play(of):
        SCRIPTS["test"] = {"all": of}

    yield play
    SCRIPTS.clear()


def config(inputs=WEATHER, **more):
    data = {
        "name": "test",
        "source": {"type": "doubles:Played", "script": "test", "at_once": 500},
        "grid": {"interval": "30min"},
        "targets": {"quantities": ["power"]},
        "inputs": inputs,
        "evaluation": {
            "mode": "blackout",
            "hide": "together",
            "spans": [{"from": "2004-03-09", "to": "2004-03-11"}],
        },
        "models": {"auto": {"type": "auto"}},
        "sinks": {"files": {"type": "files"}},
    }
    return read_config(data | more)


def forecasts(folder):
    table = pq.read_table(folder / "forecasts", partitioning=None)
    return table.sort_by([(k, "ascending") for k in table.column_names[:5]])


def error(result):
    """RMSE of what was withheld, all targets, in the units of the readings."""
    return float(np.sqrt(np.mean(result.scores["mse"].to_numpy())))


def test_what_depends_on_an_input_alone_is_found_by_it(play, tmp_path):
    play(rows())
    without = run(config({}), tmp_path / "without")
    given = run(config(), tmp_path / "with")
    assert error(without) > 10
    assert error(given) < 1
    assert {*forecasts(tmp_path / "with")["quantity"].to_pylist()} == {"power"}
    assert given.counts.used == given.counts.read == 3 * 48 * DAYS


def test_one_target_alone_has_an_input(play, tmp_path):
    play(rows(meters=("a",)))
    assert error(run(config(), tmp_path / "r")) < 1


def test_an_input_may_be_missing(play, tmp_path):
    play(rows(missing=0.2))
    run(config(), tmp_path / "r")
    found = {k: np.array(v) for k, v in forecasts(tmp_path / "r").to_pydict().items()}
    hidden = found["status"] == "withheld"
    assert hidden.sum() == 2 * 2 * 48
    off = np.abs(found["forecast"].astype(float) - found["truth"].astype(float))[hidden]
    seen = found["regressors"][hidden] == 1
    assert np.isfinite(off).all()
    assert 0.6 < seen.mean() < 0.95
    assert np.sqrt((off[seen] ** 2).mean()) < 2
    assert off[~seen].mean() > 5


def test_they_are_members_of_every_block_of_those_who_ask():
    meters = [str(i) for i in range(9)]
    network = Network.of(
        [Series(m, "power") for m in meters], inputs={Series("z", "sun"): 0, Series("3", "wind"): 0}
    )
    targets = [s for s in network.series if s.quantity == "power"]
    model = Model("auto", Auto(Auto.Params(block=4)))
    layout = lay_out(network, targets, model, HALF_HOUR)
    assert [network.series[c] for c in layout.inputs] == [Series("3", "wind"), Series("z", "sun")]
    assert layout.u > 1
    for members, of in zip(layout.members, layout.of_members, strict=True):
        there = members[members >= 0]
        assert list(there[-2:]) == list(layout.inputs)
        assert list(of[len(there) - 2 : len(there)]) == [-1, -1]
        assert 1 <= len(there) - 2 <= 4
    last = for_targets(layout, np.flatnonzero(layout.units == layout.u - 1))
    cut = narrow(last, halo(last))
    assert {cut.series[c] for c in cut.inputs} == network.inputs.keys()
    assert set(cut.inputs) < set(cut.members.ravel())
    alone = lay_out(network, targets, Model("n", NetworkRls(NetworkRls.Params(block=4))), HALF_HOUR)
    stripped = layout.without_inputs()
    np.testing.assert_array_equal(stripped.members, alone.members)
    assert len(stripped.inputs) == len(alone.inputs) == 0


def test_nobody_else_reads_an_input_as_if_it_were_a_neighbour():
    network = Network.of(
        [Series(m, "t") for m in "abc"], {m: (i, 0) for i, m in enumerate("abc")},
        {Series("roof", "t"): 0},
    )  # fmt: skip
    assert network.sensors("t") == ["a", "b", "c"]
    targets = [s for s in network.series if s.sensor != "roof"]
    for forecaster in (NetworkRls(NetworkRls.Params()), Blend(Blend.Params())):
        layout = lay_out(network, targets, Model("m", forecaster), HALF_HOUR)
        assert network.column[Series("roof", "t")] not in halo(layout)


def test_an_expert_of_a_blend_reads_inputs(play, tmp_path):
    play(rows())
    experts = {"auto": {"type": "auto"}, "network": {"type": "network-rls"}}
    model = {"type": "blend", "experts": experts}
    assert error(run(config(models={"b": model}), tmp_path / "r")) < 1


def test_inputs_of_the_targets_quantity_pass_through_what_is_derived(play, tmp_path):
    found = []
    for minute, sensor, _, value in rows():
        found.append((minute, sensor, "temperature", value if sensor == "roof" else value / 10))
        if sensor != "roof":
            found.append((minute, sensor, "humidity", 40 + minute % 7))
    play(found)
    names = {"sensors": ["a", "b"], "quantities": ["temperature"]}
    (model,) = prepare(config(targets=names), tmp_path / "r").models
    assert isinstance(model.forecaster, Through)
    assert error(run(config(targets=names), tmp_path / "r")) < 0.3


def test_inputs_are_screened_where_their_quantity_is_named(play, tmp_path):
    play([(*r[:3], 1e4) if r[:2] == (6000.0, "roof") else r for r in rows(5)])
    plain = {"evaluation": {"mode": "prequential"}}
    for name, screen, rejected in (
        ("default", {"outliers": True}, 0),
        ("named", {"outliers": True, "quantities": ["temperature", "power"]}, 1),
    ):
        result = run(config(screen=screen, **plain), tmp_path / name)
        assert result.counts.rejected == rejected


def test_nothing_depends_on_threads_batches_or_a_stop(play, tmp_path):
    of = rows(6, ("a", "b", "c", "d", "e"), missing=0.2)
    spans = [{"from": "2004-03-04", "to": "2004-03-05"}]
    more = {
        "models": {"auto": {"type": "auto", "block": 3, "horizons": [0, 2]}},
        "evaluation": {"mode": "blackout", "hide": "each", "spans": spans},
    }
    play(of)
    run(config(**more), tmp_path / "straight")
    play(Stopping(of, len(of) * 3 // 5))
    script = {"type": "doubles:Played", "script": "test", "at_once": 7}
    other = config(source=script, backend={"type": "local", "threads": 3}, **more)
    assert not run(other, tmp_path / "r").complete
    with pytest.raises(RunError, match=r"another inputs\.weather\.series"):
        run(config({"weather": ["b/sun"]}, source=script, **more), tmp_path / "r", resume=True)
    assert run(other, tmp_path / "r", resume=True).complete
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    for name in ("scores.csv", "scores_by_gap.csv"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_a_config_with_inputs_is_read_back_the_same():
    for inputs in (WEATHER, AHEAD, {}):
        written = config(inputs)
        assert read_config(json.loads(json.dumps(redact(written)))) == written


def test_they_are_written_down(play, tmp_path):
    play(rows(2, missing=0.0))
    run(config(evaluation={"mode": "prequential"}), tmp_path / "r")
    assert json.loads((tmp_path / "r/manifest.json").read_text())["config"]["inputs"] == {
        "weather": {"series": ["roof/temperature"], "ahead": None}
    }


def test_a_network_that_is_named_has_inputs_beside_it(play, tmp_path):
    play(rows(2))
    job = prepare(config(network={"sensors": ["a", "b"]}), tmp_path)
    assert Series("roof", "temperature") in job.network.series
    assert {t.sensor for t in job.targets} == {"a", "b"}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"weather": ["roof/temprature"]}, "inputs.weather: the source has no 'roof/temprature'; "
         "did you mean 'roof/temperature'?"),
        ({"x": ["roof/temperature", "roof/sun"]}, "inputs.x: the source has no 'roof/sun', only "
         "a/power, b/power, roof/temperature"),
    ],
)  # fmt: skip
def test_an_input_that_is_not_there_is_named_with_the_nearest(play, tmp_path, inputs, message):
    play(rows(1))
    with pytest.raises(RunError) as raised:
        run(config(inputs), tmp_path / "r")
    assert str(raised.value) == message


def test_an_input_that_nobody_reads_is_a_mistake(play, tmp_path):
    play(rows(1))
    deaf = config(models={"n": {"type": "network-rls"}})
    for ask in (lambda: run(deaf, tmp_path / "r"), lambda: look(deaf)):
        with pytest.raises(RunError, match=r"^inputs: none of the models reads any; add one"):
            ask()


def test_what_is_to_be_hidden_with_its_sensor_is_no_input(play, tmp_path):
    play([*rows(1), (1430.0, "a", "sun", 1.0)])
    spans = [{"from": "2004-03-09", "to": "2004-03-11"}]
    hiding = {"evaluation": {"mode": "blackout", "hide": "each-sensor", "spans": spans}}
    prepare(config(**hiding), tmp_path)
    with pytest.raises(RunError, match="'a/sun' is of a sensor with targets, from which evaluat"):
        prepare(config({"mine": ["a/sun"]}, **hiding), tmp_path)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"weather": ["temperature"]}, r"inputs.weather\[0\]: must be a sensor and a quantity such "
         "as roof/temperature, got 'temperature'"),
        ({"weather": []}, "inputs.weather: must not be empty"),
        ({"weather": "roof/temperature"}, "inputs.weather: must be a list"),
        ({"a b": ["roof/sun"]}, "must be a name of letters"),
        ({"weather": ["a/power"]}, r"inputs.weather\[0\]: 'a/power' is a target, too: list "
         "targets.sensors without 'a'"),
        ({"a": ["roof/sun"], "b": ["c/d/sun", "roof/sun"]},
         r"inputs.b\[1\]: 'roof/sun' is named twice"),
        ({"weather": ["roof/wind"]}, r"inputs.weather\[0\]: 'roof/wind' begins anew \(grid"),
    ],
)  # fmt: skip
def test_mistakes_are_told_when_the_config_is_read(inputs, message):
    with pytest.raises(ConfigError, match=message):
        config(inputs, grid={"interval": "30min", "aggregate": {"wind": {"circular": 360}}})


AHEAD = {"weather": {"series": ["roof/temperature"], "ahead": "3h"}}


def early(of, minutes=180.0):
    """Rows in the order in which they are there: those of the roof so long before their time."""
    return sorted(of, key=lambda r: r[0] - minutes * (r[1] == "roof"))


def error_ahead(folder, horizon):
    """RMSE of forecasts made so many steps ahead, of the last days."""
    found = forecasts(folder).to_pydict()
    off = [
        f - t
        for f, t, h, when in zip(
            *(found[k] for k in ("forecast", "truth", "horizon", "time")), strict=True
        )
        if h == horizon and t is not None and when.day > DAYS - 3
    ]
    assert len(off) > 200
    return float(np.sqrt(np.mean(np.square(off))))


def fading(rng, steps, n, left):
    """(steps, n) random walks of which so much is left after a step."""
    found = np.zeros((steps, n))
    for t in range(1, steps):
        found[t] = left * found[t - 1] + rng.normal(size=n)
    return found


def test_useless_inputs_cost_little_though_they_are_all_that_is_seen():
    """Though neighbours, where they are seen, tell nearly all."""
    rng, steps, n = np.random.default_rng(0), 2000, 8
    truth = fading(rng, steps, 1, 0.98) + 0.3 * fading(rng, steps, n, 0.9)
    hidden = (np.arange(steps) % 200 >= 100) & (np.arange(steps) % 200 < 140)
    seen = np.where(hidden[:, None], np.nan, truth)
    useless = fading(rng, steps, 3, 0.98)
    errors = []
    for inputs in ({}, {Series(name, "x"): 0 for name in ("x", "y", "z")}):
        network = Network.of([Series(str(i), "v") for i in range(n)], inputs=inputs)
        model = Model("auto", Auto(Auto.Params()))
        targets = [s for s in network.series if s.quantity == "v"]
        layout = lay_out(network, targets, model, HALF_HOUR)
        values = np.column_stack([seen, useless[:, : len(inputs)]])
        frame = view(layout, 48_000, values)
        mean = model.forecaster.step(model.forecaster.start(layout), frame).mean
        off = (mean[..., 0] - truth)[400:][hidden[400:]]
        errors.append(np.sqrt(np.mean(np.square(off))))
    assert errors[1] < 1.1 * errors[0]


@pytest.mark.parametrize("blended", [False, True])
def test_what_is_known_ahead_is_used_as_far_as_it_is(play, tmp_path, blended):
    more = {
        "models": {"auto": {"type": "auto", "horizons": [0, 2, 6, 7]}},
        "evaluation": {"mode": "prequential"},
    }
    if blended:
        more["models"]["auto"] = {
            "type": "blend", "horizons": [0, 2, 6, 7], "experts": {"auto": {"type": "auto"}},
        }  # fmt: skip
    play(early(rows()))
    result = run(config(AHEAD, **more), tmp_path / "r")
    assert result.counts.used == result.counts.read
    errors = [error_ahead(tmp_path / "r", h) for h in (0, 2, 6, 7)]
    assert max(errors[:3]) < 1
    assert errors[3] > 10


def test_of_what_is_known_ahead_nothing_depends_on_threads_batches_or_a_stop(play, tmp_path):
    of = early(rows(6, ("a", "b", "c", "d", "e"), missing=0.2))
    spans = [{"from": "2004-03-04", "to": "2004-03-05"}]
    more = {
        "models": {
            "auto": {"type": "auto", "block": 3, "horizons": [0, 2, 5]},
            "other": {"type": "auto", "horizons": [3, 9]},
        },
        "evaluation": {"mode": "blackout", "hide": "together", "spans": spans},
        "screen": {"quantities": ["temperature", "power"], "outliers": True},
    }
    play(of)
    run(config(AHEAD, **more), tmp_path / "straight")
    play(Stopping(of, len(of) // 2, len(of) * 3 // 5))
    script = {"type": "doubles:Played", "script": "test", "at_once": 7}
    for life in range(3):
        backend = {"type": "local", "threads": 3 - life}
        written = config(AHEAD, source=script, backend=backend, **more)
        assert run(written, tmp_path / "r", resume=life > 0).complete == (life == 2)
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    for name in ("scores.csv", "scores_by_gap.csv"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_lateness_lets_what_is_known_ahead_stand_beside_what_is_seen(play, tmp_path):
    grid = {"interval": "30min", "lateness": "3h"}
    models = {"auto": {"type": "auto", "horizons": [6]}}
    play(rows())
    plain = {"evaluation": {"mode": "prequential"}, "models": models}
    waits = run(config(AHEAD, grid=grid, **plain), tmp_path / "waits")
    assert waits.counts.used == waits.counts.read
    assert error_ahead(tmp_path / "waits", 6) < 1
    hasty = run(config(AHEAD, **plain), tmp_path / "hasty")
    assert hasty.counts.late > 0.8 * 48 * DAYS


def test_directions_are_forecast_with_inputs_too(play, tmp_path):
    play(early([(m, s, q, v % 360 if q == "power" else v) for m, s, q, v in rows()]))
    grid = {"interval": "30min", "aggregate": {"power": {"circular": 360}}}
    models = {"auto": {"type": "auto", "horizons": [0, 6]}}
    spans = {"evaluation": {"mode": "prequential"}}
    run(config(AHEAD, grid=grid, models=models, **spans), tmp_path / "r")
    assert error_ahead(tmp_path / "r", 0) < 5
    assert error_ahead(tmp_path / "r", 6) < 5


def test_a_reading_that_comes_less_ahead_is_late_as_it_was_written(play, tmp_path):
    of = early(rows(3))
    of.insert(len(of) // 2, of.pop(next(i for i, r in enumerate(of) if r[:2] == (1500.0, "roof"))))
    play(of)
    result = run(config(AHEAD, evaluation={"mode": "prequential"}), tmp_path / "r")
    assert result.counts.late == 1
    (letter,) = pq.read_table(tmp_path / "r/dead_letters").to_pylist()
    assert (letter["sensor"], letter["time"].isoformat()[:16]) == ("roof", "2004-03-02T01:00")


def test_frames_have_every_value_at_its_own_step():
    network = Network.of(
        [Series("a", "v")], inputs={Series("x", "v"): 3, Series("y", "v"): 0}, leads=[1, 3, 4]
    )
    assert [h for _, h in network.leads] == [1, 3]
    truth = np.arange(20.0)
    early_x = np.column_stack([truth, np.append(truth[3:] * 10, [200, 210, 220]), -truth])
    for cuts in ([20], [1] * 20, [2, 7, 11]):
        leads, found = Leads(network), []
        for first, steps in zip(np.cumsum([0, *cuts]), cuts, strict=False):
            other = Leads(network)
            other.restore(leads.snapshot())
            leads = other
            values = early_x[first : first + steps]
            nothing = np.broadcast_to(np.nan, values.shape)
            found.append(leads.add(GridFrame(int(first), values, nothing)))
        values = np.concatenate([f.values for f in found])
        assert all(f.rejected.shape == f.values.shape for f in found)
        np.testing.assert_array_equal(values[:, 0], truth)
        np.testing.assert_array_equal(values[3:, 1], truth[3:] * 10)
        assert np.isnan(values[:3, 1]).all()
        np.testing.assert_array_equal(values[:, 2], -truth)
        np.testing.assert_array_equal(values[2:, 3], 10 * (truth[2:] + 1))
        np.testing.assert_array_equal(values[:, 4], 10 * (truth + 3))


def test_how_far_ahead_is_checked():
    with pytest.raises(ConfigError, match=r"inputs\.weather\.ahead: must be a multiple of grid"):
        config({"weather": {"series": ["roof/sun"], "ahead": "45min"}})
    with pytest.raises(ConfigError, match=r"inputs\.weather\.ahed: unknown key; did you mean 'ah"):
        config({"weather": {"series": ["roof/sun"], "ahed": "1h"}})
    with pytest.raises(ConfigError, match=r"inputs\.weather\.series\[1\]: 'a/power' is a target"):
        config({"weather": {"series": ["roof/sun", "a/power"], "ahead": "1h"}})
