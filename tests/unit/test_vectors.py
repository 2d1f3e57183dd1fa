"""Quantities that begin anew: forecast as vectors, scored the shorter way round."""

from __future__ import annotations

from math import tau

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast import read_config, run
from gapcast.engine.forecaster import Model
from gapcast.engine.metrics import BY_NAME
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.shard.results import ModelRows, Steps
from gapcast.engine.shard.scoring import Scorer
from gapcast.engine.shard.vectors import ByVector
from gapcast.engine.sink import residuals
from gapcast.engine.testing import forecaster
from gapcast.plugins.forecasters.ema.forecaster import Ema
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls
from gapcast.plugins.forecasters.persistence import Persistence


def kit(inner, *horizons):
    made = ByVector.of(inner, {"temperature": 7.0, "humidity": 100.0})
    return forecaster(ByVector, made.params, horizons=horizons)


TestByVectorEma = kit(Ema(Ema.Params(neighbours=Neighbours(nearest=3))), 0, 1, 3)
TestByVectorNetwork = kit(NetworkRls(NetworkRls.Params()), 0)


def wind(tmp_path, hours=24 * 12, sensors=4, missing=(), start=0.0):
    """A file of directions that swing around north, each sensor's a little apart."""
    random = np.random.default_rng(3)
    lines = ["time,sensor,quantity,value"]
    for k in range(hours):
        base = 25 * np.sin(tau * k / 24) + start
        for s in range(sensors):
            value = (base + 3 * s + random.normal(0, 4)) % 360
            if (k, s) not in missing:
                at = np.datetime64("2024-03-01T00") + np.timedelta64(k, "h")
                lines.append(f"{at}:00Z,s{s},wind_direction,{value:.1f}")
                lines.append(f"{at}:00Z,s{s},temperature,{10 + s + base / 10:.2f}")
    path = tmp_path / "wind.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


MODELS = {
    "last": {"type": "persistence", "horizons": [0, 1, 3]},
    "ema": {"type": "ema", "neighbours": "all"},
    "rls": {"type": "rls", "horizons": [-3, 0, 1]},
    "network": {"type": "network-rls", "horizons": [-3, 0]},
    "blend": {"type": "blend", "horizons": [-3, 0, 2]},
    "day": {"type": "seasonal", "period": "1d"},
}


def played(tmp_path, path, **more):
    made = {
        "name": "wind",
        "source": {"type": "replay", "path": str(path)},
        "grid": {"interval": "1h", "aggregate": {"wind_direction": {"circular": 360}}},
        "targets": {"sensors": "all", "quantities": ["wind_direction", "temperature"]},
        "models": MODELS,
        "sinks": {"files": {"type": "files"}},
        "screen": {"quantities": "none"},
        **more,
    }
    result = run(read_config(made), tmp_path)
    table = pq.read_table(tmp_path / "forecasts", partitioning=None)
    return result, [r for r in table.to_pylist() if r["quantity"] == "wind_direction"]


def apart(one, other):
    return abs((one - other + 180) % 360 - 180)


def test_directions_around_north_are_not_forecast_as_south(tmp_path, caplog):
    missing = {(k, 1) for k in range(200, 214)}
    result, rows = played(tmp_path / "r", wind(tmp_path, missing=missing))
    assert not [r for r in caplog.records if "wind_direction" in r.getMessage()]
    late = [r for r in rows if r["time"].day > 3]
    assert late
    for row in late:
        assert 0 <= row["forecast"] < 360
        assert apart(row["forecast"], 0) < 90, row
        assert row["lower"] <= row["forecast"] <= row["upper"]
        assert row["upper"] - row["lower"] <= 360
    assert {r["horizon"] for r in late if r["status"] == "missing"} >= {0, 1, -3}
    scores = [r for r in result.scores.to_pylist() if r["quantity"] == "wind_direction"]
    assert {s["model"] for s in scores} == {*MODELS}
    for score in scores:
        own = [r for r in rows if (r["model"], r["horizon"], r["sensor"], r["status"])
               == (score["model"], score["horizon"], score["sensor"], "observed")]  # fmt: skip
        errors = [apart(r["forecast"], r["truth"]) for r in own]
        assert score["n"] == len(own)
        assert score["mae"] == pytest.approx(np.mean(errors))
        assert score["mse"] == pytest.approx(np.mean(np.square(errors)))
        assert score["mae"] < 30
        assert score["coverage"] > 0.7


def test_directions_are_forecast_alike_wherever_north_is(tmp_path):
    """The same swings around 200 degrees: the same errors."""
    found = []
    for start in (0, 200):
        folder = tmp_path / str(start)
        folder.mkdir()
        models = {name: MODELS[name] for name in ("last", "rls", "blend")}
        result, _ = played(folder / "r", wind(folder, start=start), models=models)
        found.append(
            {
                (s["model"], s["horizon"], s["sensor"]): s["mae"]
                for s in result.scores.to_pylist()
                if s["quantity"] != "temperature"
            }
        )
    for key, mae in found[0].items():
        assert found[1][key] == pytest.approx(mae, rel=0.25), key


@pytest.mark.cluster
@pytest.mark.parametrize("backend", [{"type": "dask"}, {"type": "spark", "master": "local[2]"}])
def test_every_backend_gives_the_same(tmp_path, backend):
    path = wind(tmp_path, hours=24 * 5)
    one = played(tmp_path / "a", path)[1]
    assert played(tmp_path / "b", path, backend=backend)[1] == one


def test_directions_are_not_screened_by_default(tmp_path):
    path = wind(tmp_path, hours=24 * 6)
    result, _ = played(tmp_path / "r", path, models={"last": MODELS["last"]}, screen={})
    assert result.counts.rejected == 0


def test_residuals_of_rows_go_the_shorter_way_round():
    rows = pa.table(
        {"quantity": pa.array(["w", "w", "t", "w"]).dictionary_encode(),
         "truth": [1.0, 359.0, 1.0, None], "forecast": [359.0, 2.0, 359.0, 5.0]}
    )  # fmt: skip
    assert residuals(rows, {"w": 360.0}).tolist()[:3] == [2.0, -3.0, -358.0]
    assert np.isnan(residuals(rows, {"w": 360.0})[3])


def test_withheld_directions_are_scored_when_released(tmp_path):
    how = {"mode": "blackout", "hide": "each", "release": "end",
           "spans": [{"from": "2024-03-09T00:00Z", "to": "2024-03-10T00:00Z"}]}  # fmt: skip
    result, rows = played(tmp_path / "r", wind(tmp_path), evaluation=how)
    withheld = [r for r in rows if r["status"] == "withheld"]
    assert withheld
    for score in result.scores.to_pylist():
        if score["quantity"] == "wind_direction" and score["model"] != "last":
            assert score["mae"] < 40, score


@settings(deadline=None)
@given(st.floats(0, 359.9), st.floats(0, 359.9), st.floats(0, 180))
def test_errors_are_the_shorter_way_round(forecast, truth, half):
    model = Model("m", Persistence(Persistence.Params()), (0,))
    scorer = Scorer(2, model, 3_600_000_000, 86_400_000_000, np.array([360.0, 0.0]))
    both = np.full((1, 2, 1), forecast)
    rows = ModelRows(both, both - half, both + half)
    steps = Steps(
        np.full((1, 2), truth),
        np.zeros((1, 2), np.uint8),
        np.ones((1, 2), np.int32),
        np.zeros((1, 2), np.uint8),
    )
    scorer.add(0, rows, {0: steps}, "observed")
    way, plain = scorer.state["total"][:, 0]
    mae, mse, inside = (BY_NAME[name].of(way) for name in ("mae", "mse", "coverage"))
    assert mae == pytest.approx(apart(forecast, truth), abs=1e-9)
    assert mse == pytest.approx(apart(forecast, truth) ** 2, abs=1e-6)
    if abs(apart(forecast, truth) - half) > 1e-6:
        assert inside == (apart(forecast, truth) < half)
    assert BY_NAME["mae"].of(plain) == abs(forecast - truth)
