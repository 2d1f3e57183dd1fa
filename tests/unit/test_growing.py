"""Networks that grow: who appears while a run runs belongs to it from its first reading on."""

from __future__ import annotations

import logging
import random

import numpy as np
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, START, Stopping

from gapcast import read_config, run
from gapcast.engine.errors import RunError
from gapcast.engine.explaining.explain import explain
from gapcast.engine.run.bounds import Bounds

STEP = 30 * 60_000_000
STEPS = 80
JOINS = {"b": 0, "a": 0, "d": 20, "c": 20, "e": 31, "f": 33, "g": 50}
"""Steps of first readings; the first two are known when the run begins."""
SPAN = {"from": "2004-03-01T13:00:00Z", "to": "2004-03-01T19:00:00Z"}
ALONE = {
    "last": {"type": "persistence", "horizons": [-2, 0, 3]},
    "rls": {"type": "rls", "lags": 3, "period": "4h", "horizons": [0, 2]},
    "diurnal": {"type": "diurnal"},
}
TOGETHER = {
    "auto": {"type": "auto", "horizons": [-2, 0, 1]},
    "network": {"type": "network-rls"},
    "spatial": {"type": "spatial-rls"},
    "ema": {"type": "ema", "neighbours": "all"},
    "blend": {"type": "blend"},
    "joint": {"type": "gapcast.engine.testing.reference:Joint"},
}


def value(sensor, i):
    rng = np.random.default_rng([ord(sensor), i])
    return 20 + (ord(sensor) - ord("a")) + 3 * np.sin(i / 7.6) + rng.normal(0, 0.1)


def script(joins=JOINS, steps=STEPS):
    """Readings of each sensor from its step on, some missing, some late or impossible."""
    chance, rows = random.Random(3), []
    for i in range(steps):
        there = [s for s in joins if joins[s] <= i and (joins[s] == i or chance.random() > 0.1)]
        rows += [(30.0 * i, s, "temperature", value(s, i)) for s in there]
        if i % 9 == 4:
            rows.append((30.0 * i, "g", "temperature", 200.0))  # beyond its limits
            rows.append((30.0 * (i - 3), "z", "temperature", 1.0))  # late, whoever it is
    return rows


@pytest.fixture(autouse=True)
def played():
    SCRIPTS["test"] = {"p": script()}
    yield
    SCRIPTS.clear()


def config(models=ALONE | TOGETHER, known=("a", "b"), at_once=7, **more):
    return read_config(
        {
            "name": "test",
            "source": {
                "type": "doubles:Unannounced",
                "script": "test",
                "known": list(known),
                "at_once": at_once,
            },
            "grid": {"interval": "30min"},
            "limits": {"temperature": {"max": 60}},
            "targets": {"quantities": ["temperature"]},
            "models": models,
            "sinks": {"files": {"type": "files"}},
            **more,
        }
    )


def left(folder):
    """All rows, and the scores."""
    order = [(n, "ascending") for n in ("model", "horizon", "time", "sensor")]
    stages = [pq.read_table(folder / name, partitioning=None) for name in ("forecasts", "ahead")]
    return [table.sort_by(order).to_pylist() for table in stages] + [
        pcsv.read_csv(folder / name).to_pylist() for name in ("scores.csv", "scores_by_gap.csv")
    ]


def first(rows, sensor, model):
    times = [r["time"] for r in rows if (r["sensor"], r["model"]) == (sensor, model)]
    return (min(times).timestamp() * 1e6 - START) / STEP


def test_a_sensor_that_appears_is_forecast_from_the_step_after_its_first_reading(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="gapcast")
    result = run(config(), tmp_path / "r")
    rows = left(tmp_path / "r")[0]
    for sensor, step in JOINS.items():
        assert first(rows, sensor, "last") == step + 1
        assert first(rows, sensor, "auto") <= step + 1
    assert "c (temperature), d (temperature) joined: 4 series, 4 targets" in caplog.text
    letters = pq.read_table(tmp_path / "r" / "dead_letters").to_pylist()
    assert {r["reason"].partition(":")[0] for r in letters} == {"late", "rejected"}
    counts = result.counts
    assert counts.read == len(SCRIPTS["test"]["p"])
    assert counts.read == counts.used + counts.late + counts.rejected
    assert counts.rejected == sum(r[3] > 60 for r in SCRIPTS["test"]["p"])


@pytest.mark.parametrize("at_once", [1, 1000])
def test_how_readings_are_read_changes_nothing(at_once, tmp_path):
    run(config(), tmp_path / "7")
    run(config(at_once=at_once), tmp_path / "r", bounds=Bounds(epoch_seconds=0.0))
    assert left(tmp_path / "r") == left(tmp_path / "7")


def test_of_models_by_themselves_all_say_what_they_would_in_a_network_known_from_the_start(
    tmp_path,
):
    run(config(ALONE), tmp_path / "grown")
    run(config(ALONE, known=JOINS), tmp_path / "known")
    grown, known = (left(tmp_path / name) for name in ("grown", "known"))
    there = {(r["sensor"], r["model"], r["horizon"], r["time"]) for r in grown[0]}

    def told(rows):
        """What does not depend on when a sensor joined: its intervals and ages do at first."""
        names = ("time", "sensor", "model", "horizon", "forecast", "truth", "status", "made")
        found = [tuple(r[n] for n in names) for r in rows if r["model"] != "diurnal"]
        return [r for r in found if (r[1], r[2], r[3], r[0]) in there]

    assert len(told(grown[0])) > 1000
    assert told(grown[0]) == told(known[0])


def test_others_change_nothing_for_the_old_ones_until_they_have_told_something(tmp_path):
    models = {n: TOGETHER[n] for n in ("auto", "network", "spatial", "blend")}
    run(config(models), tmp_path / "grown")
    SCRIPTS["test"] = {"p": [r for r in script() if r[1] in "ab"]}
    run(config(models), tmp_path / "alone")
    grown, alone = (
        [r for r in left(tmp_path / name)[0] if r["sensor"] in "ab" and before(r, 20)]
        for name in ("grown", "alone")
    )
    assert grown == alone
    assert len(grown) > 200


def before(row, step):
    return row["made"].timestamp() * 1e6 < START + step * STEP


@pytest.mark.parametrize("hide", [None, {"mode": "blackout", "spans": [SPAN]}])
@pytest.mark.parametrize("often", ["1us", "1h"])
def test_stopped_anywhere_and_resumed_it_is_the_same(hide, often, tmp_path):
    more = {"evaluation": hide} if hide else {}
    more |= {"checkpoint": {"interval": often}}
    run(config(**more), tmp_path / "straight")
    rows = script()
    SCRIPTS["test"] = {"p": Stopping(rows, *random.Random(5).sample(range(10, len(rows)), 9))}
    resume = False
    while not run(config(**more), tmp_path / "r", resume=resume).complete:
        resume = True
    assert resume
    assert left(tmp_path / "r") == left(tmp_path / "straight")


def test_series_found_while_it_stood_still_join_when_it_goes_on(tmp_path):
    rows = script()
    SCRIPTS["test"] = {"p": Stopping(rows, 60)}
    assert not run(config(), tmp_path / "r").complete
    result = run(config(known=JOINS), tmp_path / "r", resume=True)
    assert result.complete
    run(config(), tmp_path / "straight")
    assert left(tmp_path / "r") == left(tmp_path / "straight")


def test_a_network_whose_sensors_are_named_stays_closed(tmp_path):
    result = run(config(ALONE, network={"sensors": ["a", "b", "c"]}), tmp_path / "r")
    assert {r["sensor"] for r in left(tmp_path / "r")[0]} == {"a", "b", "c"}
    unknown = [r for r in SCRIPTS["test"]["p"] if r[1] not in "abc"]
    assert result.counts.invalid == len(unknown)


def test_only_targets_that_are_named_are_forecast_and_others_are_read(tmp_path):
    targets = {"quantities": ["temperature"], "sensors": ["a"]}
    run(config(TOGETHER, targets=targets), tmp_path / "r")
    rows = left(tmp_path / "r")[0]
    assert {r["sensor"] for r in rows} == {"a"}
    read = [r["regressors"] for r in rows if r["model"] == "spatial"]
    assert max(read) > 3


def test_a_network_may_begin_with_nobody(tmp_path):
    run(config(known=()), tmp_path / "r")
    rows = left(tmp_path / "r")[0]
    for sensor, step in JOINS.items():
        assert first(rows, sensor, "last") == step + 1


def test_nobody_known_and_stopped_at_once(tmp_path):
    rows = script()
    SCRIPTS["test"] = {"p": Stopping(rows, 0, 1, 30)}
    resume = False
    while not run(config(known=()), tmp_path / "r", resume=resume).complete:
        resume = True
    SCRIPTS["test"] = {"p": rows}
    run(config(known=()), tmp_path / "straight")
    assert left(tmp_path / "r") == left(tmp_path / "straight")


@pytest.mark.parametrize("sensor", ["a", "e"])
@pytest.mark.parametrize("hide", [False, True])
def test_what_is_explained_after_others_joined_is_the_row_that_was_delivered(
    sensor, hide, tmp_path, monkeypatch
):
    monkeypatch.setattr("gapcast.engine.explaining.replay.SHOWN", 40 * STEP)  # before they join
    more = {"evaluation": {"mode": "blackout", "spans": [SPAN]}} if hide else {}
    models = {n: (ALONE | TOGETHER)[n] for n in ("auto", "rls", "blend")}
    checkpoint = {"interval": "1us", "keep": 1000}
    run(config(models, checkpoint=checkpoint, **more), tmp_path / "r")
    rows = left(tmp_path / "r")[0]
    at = max(r["time"] for r in rows if r["made"].timestamp() * 1e6 <= START + 40 * STEP)
    (row,) = (
        r for r in rows
        if (r["sensor"], r["time"], r["model"], r["horizon"]) == (sensor, at, "auto", 0)
    )  # fmt: skip
    found = explain(tmp_path / "r", sensor, int(at.timestamp() * 1e6), model="auto")
    assert found.row == found.stored == row
    assert found.explanation.mixture == pytest.approx(row["forecast"], abs=1e-9)
    with pytest.raises(RunError, match="no sensor 'nobody'"):
        explain(tmp_path / "r", "nobody", int(at.timestamp() * 1e6))


EVERYTHING = {
    "auto": {"type": "auto", "horizons": [-3, 0, 2]},
    "spatial": {"type": "spatial-rls", "quantities": ["humidity"]},
    "ema": {"type": "ema", "neighbours": {"correlated": 2}},
}


@pytest.mark.parametrize("known", [("a",), ()])
@pytest.mark.parametrize("hide", [None, "each-sensor", "together"])
def test_quantities_that_come_later_directions_and_what_is_derived(hide, known, tmp_path):
    chance = random.Random(11)
    begins = {(s, q): chance.choice([0, 5, 20, 33]) for s in "abcd" for q in ("wind", "humidity")}
    begins |= {(s, "temperature"): 3 * i + 3 for i, s in enumerate("abcd")}
    begins["b", "humidity"] = 0  # before any target
    rows = [
        (30.0 * i, s, q, value(s, i) if q != "wind" else 18.0 * value(s, i) % 360)
        for i in range(60)
        for (s, q), first in begins.items()
        if i >= first and chance.random() > 0.1
    ]
    more = {
        "grid": {"interval": "30min", "aggregate": {
            "wind": {"circular": 360}, "temperature": "mean", "humidity": "last",
        }},
        "limits": {},
        "targets": {"quantities": ["temperature", "wind"]},
        "checkpoint": {"interval": "1us"},
    }  # fmt: skip
    if hide:
        more["evaluation"] = {"mode": "blackout", "hide": hide, "spans": [SPAN]}
    SCRIPTS["test"] = {"p": rows}
    run(config(EVERYTHING, known, **more), tmp_path / "straight")
    SCRIPTS["test"] = {"p": Stopping(rows, *chance.sample(range(5, len(rows)), 6))}
    resume = False
    while not run(config(EVERYTHING, known, **more), tmp_path / "r", resume=resume).complete:
        resume = True
    assert left(tmp_path / "r") == left(tmp_path / "straight")
    told = {(r["sensor"], r["quantity"]) for r in left(tmp_path / "r")[0]}
    assert told == {(s, q) for s in "abcd" for q in ("temperature", "wind")}


def test_a_run_that_began_with_nobody_goes_on_so_whatever_can_be_found_by_then(tmp_path):
    rows = script()
    SCRIPTS["test"] = {"p": Stopping(rows, 0)}
    assert not run(config(known=()), tmp_path / "r").complete
    run(config(known=JOINS), tmp_path / "r", resume=True)
    run(config(known=()), tmp_path / "straight")
    assert left(tmp_path / "r") == left(tmp_path / "straight")
