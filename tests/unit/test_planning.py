"""What a job of another size would need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gapcast import load_config
from gapcast.engine.cli import app
from gapcast.engine.planning.costs import Costs, measured
from gapcast.engine.planning.needs import SPARE, Size, needs

ROOT = Path(__file__).parents[2]
COSTS = Costs(reading=1e-7, step=1e-6, row=5e-7, rows=2, state=1000.0, stored=40.0)
SIZE = Size(sensors=1e6, rate=0.1, interval=10.0)


def test_what_is_needed_adds_up():
    found = needs(COSTS, SIZE, shards_write=True)
    assert found.coordinator * SPARE == pytest.approx(1e5 * 1e-7)
    assert found.workers * SPARE == pytest.approx(1e5 * (1e-6 + 2 * 5e-7))
    assert found.network == 8 * 1e5
    assert found.disk == pytest.approx(2e5 * 40 * 86_400)
    assert found.checkpoint == 1e9
    here = needs(COSTS, SIZE, shards_write=False)
    assert here.coordinator + here.workers == pytest.approx(found.coordinator + found.workers)
    assert here.coordinator > found.coordinator


@given(st.floats(1, 1e9), st.booleans())
def test_it_grows_with_the_network(times, parallel):
    one = needs(COSTS, replace(SIZE, sensors=1.0), parallel)
    many = needs(COSTS, replace(SIZE, sensors=times), parallel)
    assert many.sensors == pytest.approx(one.sensors)
    for name in ("coordinator", "workers", "worker_memory", "network", "disk"):
        assert getattr(many, name) == pytest.approx(times * getattr(one, name))


def test_costs_are_measured():
    told = []
    found = measured(load_config(ROOT / "configs/quickstart.yaml"), told.append)
    assert told == ["the grid", "the models", "rows"]
    assert found.rows >= len(load_config(ROOT / "configs/quickstart.yaml").models)
    assert 0 < found.reading < 1e-3
    assert 0 < found.step < 1
    assert found.state > 100
    assert 5 < found.stored < 1000


@pytest.mark.parametrize(
    ("sensors", "says"),
    [
        ("10", "backend local is enough"),
        ("1e9", "Memory is used up first"),
    ],
)
def test_the_command_says_what_is_used_up_first(sensors, says):
    path = str(ROOT / "configs/quickstart.yaml")
    done = CliRunner().invoke(app, ["plan", path, "--sensors", sensors, "--rate", "6/min"])
    assert done.exit_code == 0
    assert says in " ".join(done.output.split())
    assert "coordinator" in done.output


def test_a_rate_that_is_none_is_told():
    path = str(ROOT / "configs/quickstart.yaml")
    done = CliRunner().invoke(app, ["plan", path, "--rate", "often"])
    assert done.exit_code == 2
    assert "expected 1Hz, 6/min, 4/h or 1/d" in " ".join(done.output.split())
