"""The bench on unlike networks: gaps, scores, peers that do not look ahead, the command."""

from __future__ import annotations

import ast
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from gapcast.engine.errors import ConfigError

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "bench"


def of_bench(name):
    """A module of bench/, which is on the path only meanwhile: it has a `services` of its own."""
    sys.path.insert(0, str(BENCH))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCH))


sets, patterns, scores, methods, ours, table, cells = (
    of_bench(f"suite.{name}")
    for name in ("sets", "patterns", "scores", "methods", "ours", "table", "cells")
)
naive, ahead = of_bench("suite.peers.naive"), of_bench("suite.peers.ahead")


def network(steps=200, series=6, name="tiny", missing=0.1, interval=3600.0):
    rng = np.random.default_rng(3)
    common = np.cumsum(rng.normal(size=(steps, 1)), axis=0)
    values = common * rng.uniform(0.5, 2, series) + rng.normal(size=(steps, series))
    values[rng.random(values.shape) < missing] = np.nan
    return sets.Network(name, values, interval, np.full(series, np.nan))


# Gaps


def test_gaps_are_always_the_same_and_hide_nothing_that_is_missing():
    once, again = patterns.patterns(network()), patterns.patterns(network())
    assert list(once) == ["single", "block", "overlap", "blackout", "alone", "ahead"]
    for name, parts in once.items():
        for part, same in zip(parts, again[name], strict=True):
            np.testing.assert_array_equal(part.columns, same.columns)
            np.testing.assert_array_equal(part.withheld, same.withheld)
            assert part.withheld.any()
            assert not np.isnan(network().values[:, part.columns][part.withheld]).any()


def test_another_set_has_other_gaps():
    one, other = (patterns.patterns(network(name=name)) for name in ("lab", "pipes"))
    assert (one["single"][0].withheld != other["single"][0].withheld).any()


def test_what_each_pattern_hides():
    found = patterns.patterns(network(missing=0))
    withheld = {name: parts[0].withheld for name, parts in found.items()}
    assert not withheld["single"][:100].any()
    assert withheld["single"][100:].mean() == pytest.approx(0.2, abs=0.05)
    assert withheld["block"].sum(axis=1).max() == 1
    assert withheld["block"].sum() == 6 * 10
    assert withheld["overlap"].sum(axis=1).max() == 3
    blackout = withheld["blackout"].any(axis=1)
    assert (withheld["blackout"][blackout]).all()
    assert blackout.sum() == 24
    assert [part.withheld.shape[1] for part in found["alone"]] == [1, 1, 1]
    assert not withheld["ahead"][:133].any()


def test_few_series_have_no_gaps_together_and_one_has_none_alone():
    assert "overlap" not in patterns.patterns(network(series=3))
    assert "alone" not in patterns.patterns(network(series=1))


def test_what_is_kept_is_of_the_same_values_and_gaps():
    one, other = network(), network(missing=0.05)
    parts = patterns.patterns(one)
    assert patterns.digest(one, parts["blackout"]) == patterns.digest(one, parts["blackout"])
    assert patterns.digest(one, parts["blackout"]) != patterns.digest(one, parts["block"])
    assert patterns.digest(one, parts["blackout"]) != patterns.digest(other, parts["blackout"])


def test_the_longest_gap_goes_on_where_values_are_missing():
    values, withheld = np.zeros((12, 2)), np.zeros((12, 2), bool)
    withheld[3:6, 0] = True
    values[withheld] = values[6, 0] = np.nan
    values[:, 1] = np.nan
    assert cells.longest(values, withheld) == 4
    values[6:, 0] = np.nan
    assert cells.longest(values, withheld) == 6


# Scores


def told(mean, lower, upper, truth, withheld=None, held=None, spread=(1.0,), circle=(np.nan,)):
    columns = (np.array(a, float)[:, None] for a in (mean, lower, upper))
    truth = np.array(truth, float)[:, None]
    withheld = np.ones(truth.shape, bool) if withheld is None else np.array(withheld)[:, None]
    held = np.zeros(truth.shape) if held is None else np.array(held, float)[:, None]
    found = scores.errors(
        scores.Filled(*columns), truth, withheld, held, np.array(spread), np.array(circle)
    )
    return scores.told([found])


def test_scores_of_a_hand_example():
    z = NormalDist().inv_cdf(0.95)
    found = told(
        [1, 5, 9], [1 - 2 * z, 4, 0], [1 + 2 * z, 6, 0], [1, 9, 0], [1, 1, 0], spread=[2.0]
    )
    assert found["n"] == 2
    assert found["rmse"] == pytest.approx(math.sqrt((0 + 2**2) / 2))
    assert found["coverage"] == 0.5
    sure, deviation = (math.sqrt(2) - 1) / math.sqrt(math.pi), 0.5 / z
    normal, x = NormalDist(), 2 / deviation
    off = deviation * (x * (2 * normal.cdf(x) - 1) + 2 * normal.pdf(x) - 1 / math.sqrt(math.pi))
    assert found["crps"] == pytest.approx((sure + off) / 2, rel=1e-6)


def test_a_cell_without_an_estimate_counts_as_held():
    nan = np.nan
    found = told([nan, 2], [nan, nan], [nan, nan], [3, 2], held=[1, 7])
    assert found["rmse"] == pytest.approx(math.sqrt(2))
    assert (found["unsaid"], found["coverage"], found["crps"]) == (1, None, None)


def test_directions_are_compared_by_the_shortest_arc():
    found = told([359, 10], [350, 5], [370, 15], [1, 352], circle=[360.0])
    assert found["rmse"] == pytest.approx(math.sqrt((2**2 + 18**2) / 2))
    assert found["coverage"] == 0.5
    north = sets.Network("n", np.array([[350.0], [10.0]]), 60, np.array([360.0]))
    assert north.spread == pytest.approx([10.0])


# Peers and models

STREAMING = [n for n, p in methods.PEERS.items() if p.kind == methods.STREAMING]


@pytest.mark.parametrize("name", STREAMING)
def test_streaming_peers_do_not_look_ahead(name):
    values, peer = network(80, 3).values, methods.PEERS[name]
    for what, play in (
        ("gaps", lambda of: peer.fill(of, 3600.0)),
        ("ahead", lambda of: peer.ahead(of, 5, 24)),
    ):
        if what == "gaps" or peer.ahead:
            np.testing.assert_array_equal(play(values[:60]), play(values)[:60])


@pytest.mark.parametrize("name", [n for n, p in methods.PEERS.items() if p.ahead])
def test_what_is_forecast_rests_on_what_was_known_then(name):
    """Values of the last five steps change no forecast of them made five steps before."""
    values = network(90, 3).values
    changed = values.copy()
    changed[-5:] += 100
    forecast = methods.PEERS[name].ahead
    np.testing.assert_array_equal(forecast(values, 5, 24), forecast(changed, 5, 24))


def test_regression_finds_a_relation_and_the_offline_peers_draw_lines():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    values = np.column_stack([x, 3 * x[:, 0] - x[:, 1] + 5])
    gaps = values.copy()
    gaps[200:220, 2] = np.nan
    for name in ("rls", "padasip", "river", "ridge", "iterative"):
        found = methods.PEERS[name].fill(gaps, 3600.0)
        error = (found - values)[200:220, 2]
        assert np.sqrt(np.mean(error**2)) < 0.1 * values[:, 2].std(), name
    ramp = np.arange(9.0)[:, None]
    ramp[3:6] = np.nan
    for name in ("line", "spline"):
        found = methods.PEERS[name].fill(ramp, 3600.0)
        np.testing.assert_allclose(found[3:6, 0], [3, 4, 5])


def test_a_season_is_repeated_and_filled_in():
    values = np.tile(np.arange(24.0), 4)[:, None]
    gaps = values.copy()
    gaps[30:90] = np.nan
    np.testing.assert_array_equal(naive.seasonal(gaps, 3600.0), values)
    assert naive.period(86_400) == 7
    np.testing.assert_array_equal(ahead.seasonal(values, 24, 24)[24:], values[24:])


def test_a_model_is_played_as_in_a_run_and_every_step_is_answered():
    values = network(120, 4).values
    found = ours.play({"type": "persistence"}, values, 3600.0, [-6, 0, 1, 24])
    np.testing.assert_array_equal(found[0].mean, naive.last(values))
    np.testing.assert_array_equal(found[1].mean, naive.last(values))
    np.testing.assert_array_equal(found[24].mean, ahead.hold(values, 24, 24))
    missing = np.isnan(values)
    missing[:10] = False
    assert not np.isnan(found[-6].mean[missing]).any()
    assert (found[0].lower <= found[0].upper)[20:].all()


def test_a_model_that_serves_no_horizon_ahead_says_nothing_of_it():
    values = network(60, 4).values
    assert methods.Ours({"type": "network-rls"}).forecast(values, 3600.0) == {}
    assert [*methods.Ours({"type": "persistence"}).forecast(values, 3600.0)] == [*methods.AHEAD]


# Table


def test_figures_of_merit_of_a_hand_example():
    def cell(task, rmse):
        return {"scores": {task: {"rmse": rmse}}}

    found = {
        "lab/blackout/locf": cell("nowcast", 2.0),
        "lab/blackout/rls": cell("nowcast", 1.0),
        "lab/blackout/gapcast m": cell("nowcast", 0.5),
        "lab/block/locf": cell("nowcast", 0.5),
        "lab/block/rls": {"scores": "not run: slow"},
        "lab/block/gapcast m": cell("nowcast", 2.0),
    }
    places = [("lab", "blackout"), ("lab", "block")]
    (row,) = (r for r in table.merit(found, places, ["gapcast m"]) if r["peers"] == "streaming")
    assert (row["half"], row["cells"], row["not worse"]) == ("tune", 2, "50%")
    assert (row["blackout"], row["block"]) == (0.5, pytest.approx(4.0))
    assert row["gaps"] == pytest.approx(math.sqrt(0.5 * 4))
    assert (row["worst"], row["where"]) == (pytest.approx(4.0), "lab block")
    assert table.notes(found, places) == ["[rls] not run: slow (lab block)"]


def test_every_set_is_built_and_both_halves_are_there():
    built = {
        node.name
        for path in (BENCH / "suite" / "building").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or node.args) == "Built"
    }
    assert built == {*sets.SETS}
    assert {about.half for about in sets.SETS.values()} == {"tune", "held"}


# Cells


def stored(folder, of):
    names = np.array([f"s{i}" for i in range(of.values.shape[1])])
    np.savez(folder / f"{of.name}.npz", values=of.values, interval_s=of.interval, names=names)


def test_a_peer_that_is_slow_or_fails_has_words_for_scores(tmp_path, monkeypatch):
    def slow(values, interval):
        while True:
            pass

    def wrong(values, interval):
        raise ValueError("no solution")

    stored(tmp_path, network(60, 4))
    monkeypatch.setattr(cells, "LIMIT", 0.05)
    for fill, most, words in (
        (slow, 9, "not run: slow"),
        (wrong, 9, "failed: ValueError('no solution')"),
        (slow, 3, "not run: above 3 series"),
    ):
        monkeypatch.setitem(methods.PEERS, "peer", methods.Peer(methods.STREAMING, fill, most=most))
        cell = cells.Cell(tmp_path, "tiny", "block", "peer")
        assert cells.play(cell)["scores"] == words


def test_a_model_that_fails_ends_the_bench(tmp_path):
    stored(tmp_path, network(60, 4))
    model = methods.Ours({"type": "no-such-model"})
    with pytest.raises(ConfigError, match="no-such-model"):
        cells.play(cells.Cell(tmp_path, "tiny", "block", "m", model))


# The command


@pytest.fixture
def command(tmp_path):
    stored(tmp_path, network(120, 4))

    def play(*arguments):
        line = [sys.executable, "bench/networks.py", "--data", tmp_path]
        line += ["--out", tmp_path / "found.json", "--patterns", "block,ahead"]
        return subprocess.run(
            [*line, "--peers", "locf,rls", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return play


def test_the_command_adds_models_to_what_is_there(command, tmp_path):
    section = 'slow={"type": "ema"}'
    first = command("--jobs", "2", "--models", "persistence", section)
    assert first.returncode == 0, first.stderr
    assert "8/8" in first.stdout
    rows = [line for line in first.stdout.splitlines() if line.startswith("tiny")]
    assert len(rows) == 8
    found = json.loads((tmp_path / "found.json").read_text())["cells"]
    assert found["tiny/block/gapcast slow"]["scores"].keys() == {"nowcast", "smoothed"}
    assert found["tiny/block/rls"]["scores"]["nowcast"]["n"] > 0
    again = command("--models", "persistence", 'slow={"type": "ema", "horizons": [0]}')
    assert "2/2" in again.stdout
    assert "locf:" not in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--models", "m={type"), "--models m: not JSON"),
        (("--peers", "none"), "--peers: no 'none'; there are locf"),
        (("--sets", "lab"), "--sets: no 'lab'; there are tiny"),
        (("--data", "nowhere"), "run 'make suite'"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, arguments, words):
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(threads, "1")  # which the command sets
    stored(tmp_path, network(60, 4))
    line = ["networks.py", "--data", tmp_path, "--out", tmp_path / "found.json", *arguments]
    monkeypatch.setattr(sys, "argv", [*map(str, line)])
    with pytest.raises(SystemExit, match=words):
        of_bench("networks").main()
