"""A run goes on with other models, other settings, more sensors: what was learnt stays."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Stopping
from typer.testing import CliRunner

from gapcast import read_config, run
from gapcast.engine.cli import app
from gapcast.engine.config import redact
from gapcast.engine.errors import RunError
from gapcast.engine.run.bounds import Bounds

STEPS, STOP = 100, 60
SPAN = {"from": "2004-03-02T01:00:00Z", "to": "2004-03-02T14:00:00Z"}  # around the stop
MODELS = {
    "last": {"type": "persistence", "horizons": [0, 3]},
    "auto": {"type": "auto", "horizons": [-2, 0]},
    "rls": {"type": "rls"},
}
OTHERS = {
    "blend": {"type": "blend", "horizons": [-5, 0]},
    "auto": MODELS["auto"],
    "last": MODELS["last"],
    "rls": {"type": "rls", "lags": 2},
}


def value(sensor, i):
    return 20 + ord(sensor) % 7 + 3 * np.sin(i / 7.6) + (i * 7 + ord(sensor)) % 5 / 20


def script(sensors="abc"):
    return [
        (30.0 * i, s, "temperature", value(s, i))
        for i in range(STEPS)
        for s in sensors
        if (i + ord(s)) % 11
    ]


@pytest.fixture(autouse=True)
def played():
    yield
    SCRIPTS.clear()


def config(models=MODELS, sensors=None, hide=False, **grid):
    blackout = {"evaluation": {"mode": "blackout", "spans": [SPAN]}} if hide else {}
    return read_config(
        {
            "name": "test",
            "source": {"type": "doubles:Played", "script": "test"},
            "grid": {"interval": "30min"} | grid,
            "network": {"sensors": sensors} if sensors else {},
            "targets": {"quantities": ["temperature"]},
            "models": models,
            "sinks": {"files": {"type": "files"}},
            "checkpoint": {"interval": "1h"},
            **blackout,
        }
    )


def stop_at_half():
    rows = script()
    SCRIPTS["test"] = {"p": Stopping(rows, sum(r[0] < 30 * STOP for r in rows))}


def rows(folder, model):
    found = pq.read_table(folder / "forecasts", partitioning=None).to_pylist()
    order = sorted((r["horizon"], r["time"], r["sensor"], r) for r in found if r["model"] == model)
    return [r for *_, r in order]


@pytest.mark.parametrize("hide", [False, True])
def test_models_that_stay_go_on_and_others_begin(hide, tmp_path):
    SCRIPTS["test"] = {"p": script()}
    run(config(hide=hide), tmp_path / "straight")
    stop_at_half()
    assert not run(config(hide=hide), tmp_path / "r").complete
    result = run(config(OTHERS, hide=hide), tmp_path / "r", resume=True)
    assert result.complete
    for name in ("last", "auto"):
        assert rows(tmp_path / "r", name) == rows(tmp_path / "straight", name)
    begun = min(r["time"] for r in rows(tmp_path / "r", "blend"))
    before, after = rows(tmp_path / "straight", "rls"), rows(tmp_path / "r", "rls")
    assert [r for r in before if r["time"] < begun] == [r for r in after if r["time"] < begun]
    assert [r for r in before if r["time"] >= begun] != [r for r in after if r["time"] >= begun]
    assert {*result.scores["model"].to_pylist()} >= {"auto", "blend", "last"}
    assert {r["horizon"] for r in rows(tmp_path / "r", "blend")} == {-5, 0}


def test_the_order_of_models_is_no_matter(tmp_path):
    SCRIPTS["test"] = {"p": script()}
    run(config(), tmp_path / "straight")
    stop_at_half()
    run(config(), tmp_path / "r")
    run(config(dict(reversed(MODELS.items()))), tmp_path / "r", resume=True)
    for name in MODELS:
        assert rows(tmp_path / "r", name) == rows(tmp_path / "straight", name)


def test_other_models_wait_until_what_a_crash_left_has_been_made_again(tmp_path):
    SCRIPTS["test"] = {"p": [*script()[:100], "fail", *script()[100:]]}
    often = Bounds(epoch_seconds=0.0)
    with pytest.raises(Exception, match="the script says so"):
        run(config(), tmp_path / "r", bounds=often)
    SCRIPTS["test"] = {"p": script()}
    with pytest.raises(RunError, match="resume it with the models as they were, stop it, then"):
        run(config(OTHERS), tmp_path / "r", resume=True, bounds=often)
    assert run(config(), tmp_path / "r", resume=True, bounds=often).complete


def test_sensors_may_be_added_to_the_list(tmp_path):
    SCRIPTS["test"] = {"p": script()}
    closed = config(sensors=["a", "b"])
    run(closed, tmp_path / "straight")
    stop_at_half()
    run(closed, tmp_path / "r")
    assert run(config(sensors=["a", "b", "c"]), tmp_path / "r", resume=True).complete
    for name in ("last", "rls"):
        both = [rows(tmp_path / folder, name) for folder in ("r", "straight")]
        ours, straight = ([r for r in of if r["sensor"] in "ab"] for of in both)
        assert ours == straight
    assert {r["sensor"] for r in rows(tmp_path / "r", "auto")} == {*"abc"}
    with pytest.raises(RunError, match=r"network\.sensors"):
        run(config(sensors=["a", "b"]), tmp_path / "r", resume=True)


def test_what_would_go_on_is_told_before_anything_runs(tmp_path, monkeypatch):
    stop_at_half()
    run(config(), tmp_path / "r")
    monkeypatch.chdir(tmp_path)
    about = redact(config(OTHERS, lateness="1h"))
    told = {}
    for interval in ("30min", "1h"):
        about["grid"]["interval"] = interval
        (tmp_path / "c.json").write_text(json.dumps(about))
        done = CliRunner().invoke(app, ["run", "c.json", "--run-dir", "r", "--resume", "--check"])
        told[interval] = done.exit_code, " ".join(done.stdout.split())
    status, text = told["30min"]
    assert status == 0
    for line in (
        "models.blend new: begins to learn",
        "models.auto goes on",
        "models.rls begins to learn anew: lags changed",
        "grid.lateness changes: ",
    ):
        assert line in text
    status, text = told["1h"]
    assert status == 1
    assert "grid.interval may not change: 30min, now 1h" in text
    assert not SCRIPTS["test"]["p"].moments


def test_a_shadow_is_scored_and_delivered_where_it_is_asked_for_and_may_be_promoted(tmp_path):
    shadow = MODELS | {"rls": MODELS["rls"] | {"role": "shadow"}}
    asked = {"type": "files", "path": str(tmp_path / "all"), "deliver": {"shadow": True}}

    def of(models):
        about = redact(config(models))
        about["sinks"]["all"] = asked
        return read_config(about)

    stop_at_half()
    run(of(shadow), tmp_path / "r")
    assert rows(tmp_path / "r", "rls") == []
    result = run(of(MODELS), tmp_path / "r", resume=True)
    assert {*result.scores["model"].to_pylist()} == {*MODELS}
    SCRIPTS["test"] = {"p": script()}
    run(config(), tmp_path / "straight")
    straight = rows(tmp_path / "straight", "rls")
    promoted = rows(tmp_path / "r", "rls")
    since = min(r["time"] for r in promoted)
    assert promoted == [r for r in straight if r["time"] >= since]
    table = pq.read_table(tmp_path / "all", partitioning=None)
    table = table.filter(pc.equal(table["model"].cast("string"), "rls"))
    assert len(table) == len(straight)
