"""``gapcast explain``: a run of the sample's first sensors, whose rows are explained afterwards."""

from __future__ import annotations

import gzip
import json
import shutil
from datetime import datetime
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from command import gapcast

from gapcast import read_config, run
from gapcast.engine.checkpoint.format import about, numbers
from gapcast.engine.errors import RunError
from gapcast.engine.explaining import explain
from gapcast.engine.explaining import replay as replaying
from gapcast.engine.explaining.words import words
from gapcast.engine.units import read_time

SAMPLE = Path(__file__).parents[2] / "data/intel-lab-3days.txt.gz"
SENSORS = [str(n) for n in range(1, 9)]
PAUSE = datetime(2004, 3, 3)
"""The run is interrupted here and goes on when the rest of its file is there."""
GAP = datetime(2004, 3, 3, 6), datetime(2004, 3, 3, 12)
"""Sensor 3 reports no temperature."""
SPAN = {"from": "2004-03-02T12:00:00Z", "to": "2004-03-02T18:00:00Z"}


def lines():
    """(time, line) of the sample's first sensors as they are written here."""
    with gzip.open(SAMPLE, "rt") as file:
        for line in file:
            day, clock, _, mote, temperature, humidity, *_ = line.split()
            time = datetime.fromisoformat(f"{day} {clock}")
            if mote not in SENSORS:
                continue
            for quantity, value in (("temperature", temperature), ("humidity", humidity)):
                if (mote, quantity) == ("3", "temperature") and GAP[0] <= time < GAP[1]:
                    continue
                yield time, f"{time.isoformat()}Z,{mote},{quantity},{value}\n"


def settings(path):
    return {
        "name": "explained",
        "source": {"type": "replay", "path": str(path), "order": "time"},
        "grid": {"interval": "30min"},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "evaluation": {"mode": "blackout", "hide": "each", "spans": [SPAN]},
        "models": {
            "last": {"type": "persistence", "horizons": [0, 2]},
            "auto": {"type": "auto", "horizons": [-4, 0, 6]},
        },
        "screen": {"stuck": "6h"},
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder of a run that was interrupted once, its source), with all its checkpoints."""
    base = tmp_path_factory.mktemp("explained")
    source, folder, written = base / "a.csv", base / "run", sorted(lines())
    source.write_text("time,sensor,quantity,value\n")
    for here in (True, False):
        with source.open("a") as file:
            file.writelines(line for time, line in written if (time < PAUSE) == here)
        run(read_config(settings(source)), folder, resume=not here)
    return folder, source


@pytest.fixture
def copy(finished, tmp_path):
    """A run of one's own."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def asked(folder, sensor, time, **more):
    return explain(folder, sensor, read_time(time), **more)


def delivered(folder, sensor, time, model, horizon):
    table = ds.dataset(folder / "forecasts").to_table().to_pylist()
    (row,) = (
        row for row in table
        if (row["sensor"], row["model"], row["horizon"]) == (sensor, model, horizon)
        and row["time"] == datetime.fromisoformat(f"{time}Z")
    )  # fmt: skip
    return row


ROWS = {
    "observed": ("3", "2004-03-02T05:00", 0, "observed"),
    "in a gap": ("3", "2004-03-03T09:30", 0, "missing"),
    "beside a gap": ("4", "2004-03-03T09:30", 0, "observed"),
    "withheld": ("5", "2004-03-02T16:30", 0, "withheld"),
    "ahead": ("3", "2004-03-03T09:30", 6, "missing"),
    "ahead, into what is withheld": ("5", "2004-03-02T13:30", 6, "withheld"),
    "smoothed": ("3", "2004-03-03T11:00", -4, "missing"),
    "at the beginning": ("3", "2004-03-01T01:00", 0, "observed"),
}


@pytest.mark.parametrize(("sensor", "time", "horizon", "status"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_what_is_explained_is_the_row_that_was_delivered(
    copy, sensor, time, horizon, status, with_checkpoint
):
    if not with_checkpoint:
        shutil.rmtree(copy / "checkpoint")
    found = asked(copy, sensor, time, horizon=horizon)
    assert found.model == "auto"
    assert found.row == found.stored == delivered(copy, sensor, time, "auto", horizon)
    assert found.row["status"] == status
    made = found.explanation
    assert made.mixture == pytest.approx(made.mean, abs=1e-9)
    if horizon >= 0 and made.derived is None:
        assert made.mean == found.row["forecast"]
    told = {said.name for said in made.experts if said.weight >= 0.05}
    assert horizon < 0 or told == {*found.row["experts"].split()}


def test_the_play_begins_at_a_checkpoint_and_says_the_same_as_one_from_the_beginning(copy):
    folder = copy / "checkpoint"
    first = numbers(folder)[0]
    (folder / "savepoint").mkdir(exist_ok=True)  # what is no checkpoint is no trouble
    beginning = about(folder / f"{first:08d}").meta["grid"]["next"]
    late = "2004-03-03T09:30"
    some = asked(copy, "3", late, horizon=0)
    assert some.played.first == beginning
    assert len(some.played.values) < replaying.shown(1_800_000_000)
    shutil.rmtree(folder)
    whole = asked(copy, "3", late, horizon=0)
    assert whole.played.first < beginning
    assert repr(whole.explanation) == repr(some.explanation)
    assert whole.row == some.row


def test_nothing_in_the_runs_folder_is_touched(copy):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in copy.rglob("*")}

    before = state()
    asked(copy, "3", "2004-03-03T09:30")
    assert state() == before


def test_a_time_within_a_step_means_that_step(finished):
    found = asked(finished[0], "3", "2004-03-03T09:59:59")
    assert f"{found.row['time']:%H:%M}" == "09:30"


def test_words_say_what_was_known_of_a_step_in_a_gap(finished):
    done = gapcast("explain", finished[0], "--sensor", "3", "--time", "2004-03-03T09:30")
    assert done.returncode == 0, done.stderr
    row = delivered(finished[0], "3", "2004-03-03T09:30", "auto", 0)
    first, *lines = done.stdout.splitlines()
    assert first == "temperature of sensor 3, 2004-03-03 09:30 UTC: nowcast of model auto"
    said = dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)
    value = said["forecast"].split(",")[0]
    assert float(value) == pytest.approx(row["forecast"], abs=0.006)
    assert said["truth"] == "missing"
    assert said["last"].endswith("at 2004-03-03 05:30, 8 steps (4h) before")
    assert said["together"].endswith("100%")
    assert any(line.startswith("What ") and " made of the others" in line for line in lines)


def test_a_model_that_does_not_explain_itself_has_its_row_shown(finished):
    done = gapcast(
        "explain", finished[0], "--sensor", "3", "--time", "2004-03-03T09:30", "--model", "last",
        "--horizon", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "made 2 steps (1h) before" in done.stdout
    assert "Model last does not say what this forecast was made of." in done.stdout


def test_a_step_without_a_row_is_said_to_have_none(finished):
    found = asked(finished[0], "3", "2004-03-02T05:00", horizon=-4)
    assert (found.row, found.stored) == (None, None)
    assert "The run has no such row: a step with a value has none" in "\n".join(words(found))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sensor": "33"}, r"no sensor '33'; did you mean '3'\?; there are 8, from 1 to 8"),
        ({"quantity": "temperatur"}, r"no quantity 'temperatur'; did you mean 'temperature'\?"),
        ({"model": "auot"}, r"no model 'auot'; did you mean 'auto'\? \(there: last, auto\)"),
        ({"horizon": 1}, r"model 'auto' has no horizon 1 \(there: -4, 0, 6, in steps\)"),
        (
            {"time": "2004-03-09"},
            r"2004-03-09T00:00:00Z lies outside .* from 2004-03-01T00:00:00Z to 2004-03-03T23:30",
        ),
        ({"time": "2004-02-28"}, "outside the run"),
    ],
)
def test_errors_name_what_there_is(finished, arguments, message):
    asked_for = {"sensor": "3", "time": "2004-03-03T09:30"} | arguments
    with pytest.raises(RunError, match=message):
        asked(finished[0], **asked_for)


def test_one_of_several_quantities_has_to_be_named(finished, tmp_path):
    several = settings(finished[1]) | {
        "targets": {"quantities": ["humidity", "temperature"]},
        "models": {"last": {"type": "persistence"}},
    }
    run(read_config(several), tmp_path / "run")
    with pytest.raises(RunError, match="sensor '4' has the quantities humidity, temperature: name"):
        asked(tmp_path / "run", "4", "2004-03-03T09:30")
    found = asked(tmp_path / "run", "4", "2004-03-03T09:30", quantity="humidity")
    assert found.row["quantity"] == "humidity"
    assert found.row == found.stored
    gone = [f"source.path={tmp_path}/gone.csv"]
    with pytest.raises(RunError, match="has the quantities humidity, temperature: name one"):
        asked(tmp_path / "run", "4", "2004-03-03T09:30", overrides=gone)


def test_errors_of_the_command_line(finished, tmp_path):
    wrong = gapcast("explain", finished[0], "--sensor", "3", "--time", "yesterday")
    assert wrong.returncode == 2
    assert "must be a time such as" in wrong.stderr
    none = gapcast("explain", tmp_path, "--sensor", "3", "--time", "2004-03-03")
    assert none.returncode == 1
    assert f"{tmp_path} is not the folder of a run" in none.stderr
    key = gapcast(
        "explain", finished[0], "--sensor", "3", "--time", "2004-03-03", "--set", "source.pth=x"
    )  # fmt: skip
    assert key.returncode == 2
    assert "did you mean 'path'" in key.stderr


def test_a_source_that_is_gone_leaves_what_the_row_says(copy, tmp_path):
    gone = [f"source.path={tmp_path}/gone.csv"]
    done = gapcast(
        "explain", copy, "--sensor", "3", "--time", "2004-03-03T09:30", "--set", gone[0]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "The run cannot be played again: " in done.stdout
    row = delivered(copy, "3", "2004-03-03T09:30", "auto", 0)
    assert row["experts"] in done.stdout
    with pytest.raises(RunError, match=r"cannot be played again .* holds no such row in files"):
        asked(copy, "33", "2004-03-03T09:30", overrides=gone)
    shutil.rmtree(copy / "forecasts")
    with pytest.raises(RunError, match=r"cannot be played again .* holds no such row in files"):
        asked(copy, "3", "2004-03-03T09:30", overrides=gone)


def test_a_source_that_says_something_else_now_is_told(copy, finished, tmp_path):
    head, *rows = finished[1].read_text().splitlines(keepends=True)
    other = tmp_path / "other.csv"
    other.write_text(head + "".join(r.replace(",temperature,1", ",temperature,2") for r in rows))
    shutil.rmtree(copy / "checkpoint")
    found = asked(copy, "3", "2004-03-03T09:30", overrides=[f"source.path={other}"])
    assert "it saw other readings than now" in "\n".join(words(found))
    short = tmp_path / "short.csv"
    short.write_text(head + "".join(rows[:400]))
    found = asked(copy, "3", "2004-03-03T09:30", overrides=[f"source.path={short}"])
    assert found.played is None
    assert "its source has steps from 2004-03-01T00:00:00Z to" in found.trouble


def test_a_step_that_has_not_come_yet_is_not_waited_for(copy, monkeypatch):
    monkeypatch.setattr(replaying, "PATIENCE", 0.0)
    (copy / "scores.csv").unlink()  # as while a run goes on
    follow = ["source.follow=true", "source.order=as-is"]
    with pytest.raises(RunError, match=r"has not come yet: the last step .* 2004-03-03T23:30:00Z"):
        asked(copy, "3", "2004-03-04T09:30", overrides=follow)
    shutil.rmtree(copy / "checkpoint")
    with pytest.raises(RunError, match="outside the run"):
        asked(copy, "3", "2004-03-04T09:30", overrides=follow)


def test_scores_of_an_earlier_end_say_nothing_of_a_run_that_goes_on(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"state": "running"}))
    scores = (copy / "scores.csv").read_text()
    (copy / "scores.csv").write_text(scores.replace("2004-03-04", "2004-03-03"))
    found = asked(copy, "3", "2004-03-03T09:30")
    assert found.row == found.stored
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="outside the run"):
        asked(copy, "3", "2004-03-03T09:30")


def test_what_the_end_of_a_run_has_not_smoothed_is_explained_as_far_as_it_is(finished, tmp_path):
    found = asked(finished[0], "3", "2004-03-03T23:00", horizon=-4)
    assert found.row is None
    assert found.explanation.mixture == pytest.approx(found.explanation.mean, abs=1e-9)
    assert "nor have the last of a run" in "\n".join(words(found))


def test_the_picture(finished, tmp_path):
    pytest.importorskip("matplotlib", reason="comes with gapcast[plot]")
    for name in ("a.svg", "a.png"):
        out = tmp_path / name
        done = gapcast(
            "explain", finished[0], "--sensor", "3", "--time", "2004-03-03T09:30", "--out", out
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == str(out)
    drawn = (tmp_path / "a.svg").read_text()
    for label in ("truth", "forecast", "90% interval", "missing", "neighbour ", "time, UTC"):
        assert label in drawn
    wrong = gapcast(
        "explain", finished[0], "--sensor", "3", "--time", "2004-03-03T09:30", "--out", "a.pdf"
    )  # fmt: skip
    assert wrong.returncode == 1
    assert "ends in .png or .svg" in wrong.stderr
