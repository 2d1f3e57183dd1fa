"""Backtests: what each pattern hides, what is compared, and that nothing depends on `jobs`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.csv as pcsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast import backtest, read_config
from gapcast.engine.backtesting import Ground, defaults, withheld
from gapcast.engine.backtesting.cases import cases, models
from gapcast.engine.backtesting.scores import pool
from gapcast.engine.config.backtest import Pattern
from gapcast.engine.errors import ConfigError, RunError
from gapcast.engine.forecaster import Series
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.run.prepare import _gaps
from gapcast.engine.shard.evaluation import Evaluation, spans_of

ROOT = Path(__file__).parents[2]
MAIN = "import sys; sys.argv[0] = 'gapcast'; from gapcast.engine.cli import main; main()"
HALF_HOUR = 1_800_000_000
START = 600_000


def land(steps=96, sensors=8, positions=None):
    return Ground(
        GridSpec(HALF_HOUR),
        START,
        START + steps,
        [f"s{i}" for i in range(sensors)],
        positions or {},
    )


def config(**more):
    data = {
        "name": "test",
        "source": {
            "type": "replay", "path": str(ROOT / "data/intel-lab-3days.txt.gz"),
            "format": "intel-lab",
        },
        "grid": {"interval": "30min"},
        "targets": {"sensors": [1, 2, 3, 4, 5, 6], "quantities": ["temperature"]},
        "models": {"last": {"type": "persistence"}, "mean": {"type": "ema"}},
        **more,
    }  # fmt: skip
    return read_config(data)


def withhold(section, ground):
    """(steps, sensors) what the engine withholds by a section, one quantity a sensor."""
    made = config(evaluation=section).evaluation
    bounds = [(s.start, s.end, s.sensors) for s in made.spans]
    how = Evaluation(
        made.hide, made.release == "end", spans_of(bounds, GridSpec(HALF_HOUR)), made.sensors,
        _gaps(config(evaluation=section)),
    )  # fmt: skip
    series = [Series(s, "temperature") for s in ground.sensors]
    found = np.zeros((ground.steps, len(series)), bool)
    for span in how.spans:
        assert ground.start <= span.start < span.stop <= ground.stop
        found[span.start - ground.start : span.stop - ground.start] = how.withheld(series, span)
    assert made.release == "never"
    return found


def runs(column):
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.r_[0, column, 0]))
    return (edges[1::2] - edges[::2]).tolist()


def pattern(**keys):
    return Pattern.model_validate(keys)


QUICK = settings(deadline=None, max_examples=25)
SEEDS = st.integers(0, 50)
SHARES = st.sampled_from([0.1, 0.2, 0.5, 0.8])
KINDS = st.sampled_from(
    ["mcar", "blackout", "disjoint", "overlap", "miss_perc", "sensor", "neighbours"]
)


@QUICK
@given(kind=KINDS, seed=st.integers(0, 9), steps=st.integers(8, 99), sensors=st.integers(5, 20))
def test_the_same_key_gives_the_same_gaps_within_the_span(kind, seed, steps, sensors):
    ground = land(steps, sensors)
    one, other = (withheld(pattern(type=kind), ground, f"{seed}") for _ in "ab")
    assert one == other
    found = withhold(one, ground)
    assert found.shape == (steps, sensors)
    assert found.any() or kind == "mcar"


@QUICK
@given(seed=SEEDS, share=SHARES, length=st.integers(1, 6))
def test_mcar_hides_the_share_in_blocks_of_the_length(seed, share, length):
    ground = land(4000, 10)
    found = withhold(
        withheld(pattern(type="mcar", share=share, length=length), ground, f"{seed}"), ground
    )
    assert found.mean() == pytest.approx(share, abs=0.03)
    lengths = [n for column in found.T[:, :-length] for n in runs(column)[:-1]]
    assert all(n % length == 0 for n in lengths)
    assert (found[:, 0] != found[:, 1]).any()


@QUICK
@given(seed=SEEDS, length=st.integers(1, 96))
def test_a_blackout_is_one_block_of_everybody(seed, length):
    ground = land()
    section = withheld(pattern(type="blackout", length=length), ground, f"{seed}")
    found = withhold(section, ground)
    assert section["hide"] == "together"
    assert [runs(column) for column in found.T] == [[length]] * 8


@QUICK
@given(seed=SEEDS, steps=st.integers(10, 200), sensors=st.integers(2, 9))
def test_disjoint_has_one_sensor_after_the_other_dark_and_never_two(seed, steps, sensors):
    ground = land(steps, sensors)
    found = withhold(withheld(pattern(type="disjoint"), ground, f"{seed}"), ground)
    length = steps // sensors
    assert [runs(column) for column in found.T] == [[length]] * sensors
    assert (found[: length * sensors].sum(1) == 1).all()


@QUICK
@given(seed=SEEDS, length=st.integers(2, 12))
def test_overlap_begins_each_block_half_way_into_the_one_before(seed, length):
    ground = land(200, 8)
    found = withhold(withheld(pattern(type="overlap", length=length), ground, f"{seed}"), ground)
    assert [runs(column) for column in found.T] == [[length]] * 8
    starts = np.sort(found.argmax(0))
    assert (np.diff(starts) == length // 2).all()


def test_of_more_sensors_than_steps_some_are_dark():
    ground = land(6, 20)
    found = withhold(withheld(pattern(type="disjoint"), ground, "0"), ground)
    assert found.sum() == 6
    assert (found.sum(1) == 1).all()


@pytest.mark.parametrize(
    ("keys", "hide", "length"),
    [
        ({"type": "miss_perc", "share": 0.25}, "each", 24),
        ({"type": "sensor"}, "each-sensor", 96),
        ({"type": "sensor", "length": 10}, "each-sensor", 10),
    ],
)
def test_each_in_turn(keys, hide, length):
    section = withheld(pattern(**keys), land(), "0")
    assert section["hide"] == hide
    assert [runs(column) for column in withhold(section, land()).T] == [[length]] * 8


@QUICK
@given(seed=SEEDS)
def test_neighbours_are_the_nearest_by_position(seed):
    at = {f"s{i}": (float((i * 5) % 8), 0.0) for i in range(8)}
    group = withheld(pattern(type="neighbours", count=3), land(positions=at), f"{seed}")["sensors"]
    places = sorted(at[s][0] for s in group)
    assert places[-1] - places[0] == 2 or set(places) & {0.0, 7.0}
    assert len(set(group)) == 3


@QUICK
@given(seed=SEEDS)
def test_neighbours_without_positions_follow_each_other(seed):
    group = withheld(pattern(type="neighbours"), land(), f"{seed}")["sensors"]
    first = int(group[0][1:])
    assert group == [f"s{i}" for i in range(first, first + 5)]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"type": "blackout", "length": 97},
            "97 steps is longer than the span, 96 steps",
        ),
        ({"type": "neighbours", "count": 9}, "9 neighbours are more than there are sensors, 8"),
    ],
)
def test_a_pattern_that_does_not_fit_is_rejected(keys, message):
    with pytest.raises(RunError, match=message):
        withheld(pattern(**keys), land(), "0")


@QUICK
@given(steps=st.integers(1, 400), sensors=st.integers(1, 30))
def test_the_default_patterns_fit_every_span(steps, sensors):
    ground = land(steps, sensors)
    sections = {name: withheld(p, ground, "0") for name, p in defaults(ground).items()}
    found = {name: withhold(section, ground) for name, section in sections.items()}
    assert found.keys() >= {"mcar-1", "miss_perc", "sensor"}
    by_chance = {name for name in found if name.startswith("mcar")}
    assert all(found[name].any() for name in found.keys() - by_chance)


def test_a_draw_that_is_as_the_one_before_is_left_out():
    patterns = {"all": {"type": "blackout"}, "some": {"type": "mcar", "share": 0.3}}
    wanted = config(backtest={"patterns": patterns, "repeats": 3})
    found = cases(wanted, land())
    assert [(c.pattern, c.repeat) for c in found] == [
        ("all", 0), ("some", 0), ("some", 1), ("some", 2),
    ]  # fmt: skip
    assert len({json.dumps(c.evaluation) for c in found}) == 4
    other = cases(config(backtest={"patterns": patterns, "repeats": 3, "seed": 1}), land())
    assert [c.evaluation == o.evaluation for c, o in zip(found, other, strict=True)] == [
        True, False, False, False,
    ]  # fmt: skip


def test_settings_multiply_the_models_they_name():
    grid = {"mean.alpha": [0.1, 0.2], "mean.neighbours": ["all", {"nearest": 2}]}
    found = models(config(backtest={"grid": grid}))
    assert list(found) == [
        "last",
        "mean[alpha=0.1,neighbours=all]",
        "mean[alpha=0.1,neighbours=nearest 2]",
        "mean[alpha=0.2,neighbours=all]",
        "mean[alpha=0.2,neighbours=nearest 2]",
    ]
    assert found["mean[alpha=0.2,neighbours=all]"]["alpha"] == 0.2


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"grid": {"meen.alpha": [1]}},
         "backtest.grid.meen.alpha: must be model.key; did you mean 'mean'?; models: last, mean"),
        ({"grid": {"mean.alpa": [1]}},
         "backtest.grid.mean.alpa[0]: unknown key; did you mean 'alpha'?"),
        ({"grid": {"mean.alpha": [0.1, "x"]}}, "backtest.grid.mean.alpha[1]: must be a number"),
        ({"grid": {"mean.alpha": []}},
         "backtest.grid.mean.alpha: must not be empty, got an empty list"),
        ({"patterns": {"a": {"type": "blackout", "share": 0.1}}},
         "backtest.patterns.a.share: must be left out: it is for mcar, miss_perc, got 0.1"),
        ({"patterns": {"a": {"type": "blackout", "length": "45min"}}},
         "backtest.patterns.a.length: must be a multiple of grid.interval, 30min, got '45min'"),
        ({"patterns": {"a": {"type": "overlap", "length": 1}}},
         "backtest.patterns.a.length: must be at least 2 steps, got 1"),
        ({"patterns": {"a": {"type": "mcar", "share": 1}}},
         "backtest.patterns.a.share: must be below 1, got 1"),
    ],
)  # fmt: skip
def test_mistakes_are_told_where_they_are(section, line):
    with pytest.raises(ConfigError) as error:
        config(backtest=section)
    assert str(error.value).removeprefix("config  ") == line


def test_pooled_scores_are_those_of_all_values():
    rows = [
        {"model": "a", "n": 1, "mse": 4.0, "mae": 2.0, "bias": 2.0, "coverage": None, "rmse": 2.0,
         "crps": None},
        {"model": "a", "n": 3, "mse": 0.0, "mae": 0.0, "bias": 0.0, "coverage": 1.0, "rmse": 0.0,
         "crps": 0.25},
    ]  # fmt: skip
    expected = {
        "model": "a", "n": 4, "mse": 1.0, "mae": 0.5, "bias": 0.5, "coverage": 1.0, "rmse": 1.0,
        "crps": 0.25,
    }  # fmt: skip
    assert pool(rows, ["model"]) == pool(rows[::-1], ["model"]) == [expected]


SMALL = {
    "patterns": {
        "single": {"type": "mcar"},
        "in-turn": {"type": "disjoint"},
        "mote": {"type": "sensor", "length": "6h"},
    },
    "repeats": 2,
    "grid": {"mean.alpha": [0.1, 0.5]},
}


def test_files_do_not_depend_on_jobs(tmp_path):
    wanted = config(backtest=SMALL)
    told = []
    one, two = (
        backtest(wanted, tmp_path / str(jobs), jobs, lambda *at: told.append(at)) for jobs in (1, 2)
    )
    for name in ("backtest.csv", "backtest_by_gap.csv"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert told == [(i, 6) for i in range(7)] * 2
    rows = one.scores.to_pylist()
    assert pcsv.read_csv(tmp_path / "1/backtest.csv").num_rows == len(rows) == 3 * 2 * 3
    assert {r["model"] for r in rows} == {"last", "mean[alpha=0.1]", "mean[alpha=0.5]"}
    assert {r["n"] for r in rows if r["pattern"] == "in-turn"} == {48}  # the last third: a day
    assert {r["n"] for r in rows if r["pattern"] == "mote"} == {6 * 12}
    about = json.loads((tmp_path / "1/backtest.json").read_text())
    assert about["span"] == {"from": "2004-03-03T00:00:00Z", "to": "2004-03-04T00:00:00Z"}
    with pytest.raises(RunError, match="already holds a backtest"):
        backtest(wanted, tmp_path / "1")


def command(folder, *more):
    """The command line, on few motes."""
    return [
        sys.executable, "-c", MAIN, "backtest", str(ROOT / "configs/backtest.yaml"),
        "--out", str(folder / "out"), "--set", "targets.sensors=[1,2,3,4,5,6]",
        "--set", f"source.path={ROOT / 'data/intel-lab-3days.txt.gz'}",
        "--set", "models={last: {type: persistence}, mean: {type: ema}}",
        "--set", "backtest.grid={mean.alpha: [0.1, 0.5]}", *more,
    ]  # fmt: skip


def test_the_command_line_shows_a_table(tmp_path):
    patterns = "backtest.patterns={a: {type: sensor}, b: {type: neighbours, count: 2}}"
    done = subprocess.run(
        command(tmp_path, "--set", patterns, "--jobs", "2"),
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["MSE"]
    assert lines[1] == ["pattern", "steps", "last", "mean[alpha=0.1]", "mean[alpha=0.5]"]
    assert [line[:2] for line in lines[2:4]] == [["a", "48"], ["b", "48"]]
    rows = pcsv.read_csv(tmp_path / "out/backtest.csv").to_pylist()
    mse = next(r["mse"] for r in rows if (r["pattern"], r["model"]) == ("a", "last"))
    assert lines[2][2] == f"{mse:.4f}"


def until(holds, patience=30):
    """Wait for something that comes from outside."""
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def ended(group):
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backtest_leaves_nothing(tmp_path, number):
    process = subprocess.Popen(
        command(tmp_path, "--jobs", "2", "--set", "backtest.repeats=200"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    until(lambda: list(tmp_path.glob("gapcast-*/*/run/manifest.json")))
    process.send_signal(number)
    _, notes = process.communicate(timeout=90)
    assert process.returncode == 130, notes
    assert "Traceback" not in notes
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("gapcast-*"))
    until(lambda: ended(process.pid))
