"""What a run derives: from its config, from what its source carries, for which of its models."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from doubles import SCRIPTS
from packages import install

from gapcast import read_config, run
from gapcast.engine.errors import RunError, SourceError
from gapcast.engine.run.prepare import prepare
from gapcast.engine.shard.derived import Through
from gapcast.plugins.derivations.dew_point.derivation import DewPoint

NAMED = {"sensors": ["1", "2", "3"]}
OTHERS = """
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.derivation import Derivation


class Lifted(Derivation):
    quantities = ("temperature", "humidity")
    domain = ((-50.0, 50.0), (0.0, 100.0))

    def forward(self, value, companion):
        return value + companion

    def inverse(self, derived, companion):
        return derived - companion


class Pressed(Lifted):
    quantities = ("temperature", "pressure")


class Asking(Lifted):
    class Params(plugin.Params):
        by: float = Field(description="No default.")
"""
GROUP = {
    "gapcast.derivations": {
        "a-lifted": "others:Lifted",
        "asking": "others:Asking",
        "broken": "others:Nowhere",
        "pressed": "others:Pressed",
    }
}


def readings(hours, quantities):
    """Half-hourly readings of three sensors: waves around 20."""
    return [
        (30.0 * i, s, q, 20 + int(s) + 3 * np.sin(2 * np.pi * i / 48 + len(q)))
        for i in range(2 * hours)
        for s in NAMED["sensors"]
        for q in quantities
    ]


@pytest.fixture
def play():
    def play(*quantities):
        SCRIPTS["test"] = {"a": readings(60, quantities)}

    yield play
    SCRIPTS.clear()


def config(model=None, **more):
    data = {
        "name": "test",
        "source": {"type": "doubles:Played", "script": "test"},
        "grid": {"interval": "30min"},
        "targets": {"quantities": ["temperature"]},
        "models": {"m": model or {"type": "network-rls"}},
        "sinks": {"kept": {"type": "doubles:Keeps"}},
    }
    return read_config(data | more)


def prepared(tmp_path, model=None, **more):
    """The model's links, if it works through any, and the quantities that the run reads."""
    job = prepare(config(model, **more), tmp_path)
    (model,) = job.models
    found = model.forecaster
    links = [(type(a).__name__, b, c) for a, b, c in found.links] if (
        isinstance(found, Through)
    ) else []  # fmt: skip
    return links, {s.quantity for s in job.network.series}


DEW = ("DewPoint", "temperature", "humidity")
BOTH = {"temperature", "humidity"}


def test_by_default_what_can_be_derived_is_for_models_that_like_it(play, tmp_path):
    play("temperature", "humidity", "light")
    assert prepared(tmp_path) == ([DEW], BOTH)
    assert prepared(tmp_path, {"type": "ema", "alpha": 0.2}) == ([], {"temperature"})
    assert prepared(tmp_path, {"type": "ema", "alpha": 0.2, "derive": True}) == ([DEW], BOTH)


def test_a_stream_of_temperature_alone_is_read_as_ever(play, tmp_path):
    play("temperature", "light")
    assert prepared(tmp_path) == ([], {"temperature"})


@pytest.mark.parametrize(
    "off",
    [
        {"derive": {}},
        {"model": {"type": "network-rls", "derive": False}},
        {"model": {"type": "rls", "horizons": [1]}},
        {"targets": {"quantities": ["humidity"]}},
    ],
    ids=str,
)
def test_it_can_be_off(off, play, tmp_path):
    play("temperature", "humidity")
    links, quantities = prepared(tmp_path, **off)
    assert (links, len(quantities)) == ([], 1)


def test_smoothed_forecasts_are_derived_too(play, tmp_path):
    play("temperature", "humidity")
    assert prepared(tmp_path, {"type": "network-rls", "horizons": [-3]})[0] == [DEW]


def test_a_source_that_is_not_asked_carries_what_the_config_says(play, tmp_path):
    play("temperature", "humidity")
    (tmp_path / "where.txt").write_text("1 0 0\n2 0 1\n3 1 0\n")
    for network in (NAMED, {"positions": str(tmp_path / "where.txt")}):
        assert prepared(tmp_path, network=network) == ([], {"temperature"})
        said = prepared(tmp_path, network=network, derive={"dew_point": {}})
        assert said == ([DEW], BOTH)


def test_other_quantities_can_be_named(play, tmp_path):
    play("indoors", "moisture")
    said = {"dew": {"type": "dew-point", "from": ["indoors", "moisture"]}}
    found = prepared(tmp_path, derive=said, targets={"quantities": ["indoors"]})
    assert found == ([("DewPoint", "indoors", "moisture")], {"indoors", "moisture"})


def test_what_is_named_and_not_there_is_an_error(play, tmp_path):
    play("temperature")
    message = "derive.dew_point: the source has no 'humidity', only temperature"
    with pytest.raises(RunError, match=message):
        prepare(config(derive={"dew_point": {}}), tmp_path)


def test_a_model_that_insists_is_told_that_there_is_nothing(play, tmp_path):
    play("temperature")
    with pytest.raises(RunError, match=r"models\.m\.derive: nothing is known to be derived"):
        prepare(config({"type": "network-rls", "derive": True}), tmp_path)


def test_others_derivations_come_after_gapcasts(site, play, tmp_path, caplog):
    install(site, "gapcast-others", "1.0", GROUP, {"others": OTHERS})
    play("temperature", "humidity", "pressure")
    assert prepared(tmp_path) == ([DEW], BOTH)
    play("temperature", "pressure")
    with caplog.at_level(logging.WARNING):
        found = prepared(tmp_path)
    assert found == ([("Pressed", "temperature", "pressure")], {"temperature", "pressure"})
    assert "Nowhere" in caplog.text
    play("temperature", "humidity")
    said = prepared(tmp_path, derive={"a_lifted": {}})
    assert said == ([("Lifted", "temperature", "humidity")], BOTH)


def test_a_run_is_written_down_as_it_was_asked_for(play, tmp_path):
    play("temperature", "humidity")
    chosen = config(derive={"dew_point": {}})
    assert chosen.derive["dew_point"].plugin is DewPoint
    assert chosen.derive["dew_point"].inputs == ("temperature", "humidity")
    assert run(chosen, tmp_path / "run").counts.used == 2 * 60 * 3 * 2
    assert run(config(derive={}), tmp_path / "off").counts.used == 60 * 3 * 2


def test_a_run_cut_short_goes_on_to_the_same_scores(play, tmp_path):
    play("temperature", "humidity")
    files = {
        "sinks": {"files": {"type": "files"}},
        "checkpoint": {"interval": "1us"},
        "backend": {"type": "local", "threads": 2},
        "evaluation": {
            "mode": "blackout",
            "spans": [{"from": "2004-03-01T20:00:00Z", "to": "2004-03-02T12:00:00Z"}],
        },
    }
    run(config(**files), tmp_path / "straight")
    SCRIPTS["test"]["a"].insert(500, "fail")
    with pytest.raises(SourceError, match="the script says so"):
        run(config(**files), tmp_path / "cut")
    SCRIPTS["test"]["a"][500:501] = ["pause"]
    run(config(**files), tmp_path / "cut", resume=True)
    straight, cut = (
        (tmp_path / name / "scores.csv").read_text().splitlines() for name in ("straight", "cut")
    )
    assert cut == straight
    assert len(cut) == 4
    assert "nan" not in "".join(cut)
