"""Whole runs on the local backend, from config to what is left in the folder."""

from __future__ import annotations

import json
import os
import signal
import threading
from datetime import UTC, datetime, timedelta

import doubles
import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Keeps, place

from gapcast import RunConfig, read_config, run
from gapcast.engine.errors import ConfigError, RunError, SinkError, SourceError
from gapcast.engine.redaction import remember
from gapcast.engine.sink import FORECASTS, Rejected, Retry


def wave(hours=60, sensors=("1", "2", "3"), start=0):
    """One reading a half-hour and sensor: a daily wave, a little apart for each sensor."""
    return [
        (30.0 * i + start, s, "temperature", 20 + int(s) + 3 * np.sin(2 * np.pi * i / 48))
        for i in range(2 * hours)
        for s in sensors
    ]


@pytest.fixture
def script():
    def play(**partitions):
        SCRIPTS["test"] = partitions
        return partitions

    yield play
    SCRIPTS.clear()
    Keeps.answers.clear()


def config(sinks=None, **more) -> RunConfig:
    data = {
        "name": "test",
        "source": {"type": "doubles:Played", "script": "test", **more.pop("source", {})},
        "grid": {"interval": "30min"},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "models": {"last": {"type": "persistence"}},
        "sinks": sinks or {"kept": {"type": "doubles:Keeps"}},
        **more,
    }
    return read_config(data)


def test_a_run_leaves_what_it_promises(script, tmp_path):
    rows = wave()
    script(a=[*rows, rows[-1], (1.0, "1", "temperature", 20.0), (0.0, "x", "temperature", 1e9)])
    result = run(
        config(
            {"files": {"type": "files"}},
            network={"sensors": [1, 2, 3]},
            models={"last": {"type": "persistence"}, "day": {"type": "seasonal", "period": "1d"}},
        ),
        tmp_path / "r",
    )
    assert result.complete
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["state"] == "complete"
    counts = manifest["counts"]
    assert counts == {
        "read": 363, "used": 360, "late": 1, "duplicate": 1, "rejected": 0, "invalid": 1,
    }  # fmt: skip
    forecasts = pq.read_table(tmp_path / "r/forecasts", partitioning=None)
    assert forecasts.column_names == FORECASTS.names
    keys = {tuple(r[k] for k in FORECASTS.names[:5]) for r in forecasts.to_pylist()}
    assert len(keys) == len(forecasts) == 2 * (360 - 3)
    assert result.forecasts == len(forecasts)
    letters = pq.read_table(tmp_path / "r/dead_letters").to_pylist()
    assert sorted(map(place, letters)) == ["a:361", "a:362", "a:363"]
    scores = pcsv.read_csv(tmp_path / "r/scores.csv").to_pylist()
    assert [s["model"] for s in scores] == ["last"] * 3 + ["day"] * 3
    rows = [r for r in forecasts.to_pylist() if r["sensor"] == "2" and r["model"] == "last"]
    errors = [r["forecast"] - r["truth"] for r in rows]
    assert scores[1]["mse"] == pytest.approx(np.mean(np.square(errors)), rel=1e-12)
    assert scores[1]["bias"] == pytest.approx(np.mean(errors), rel=1e-12)
    windows = pq.read_table(tmp_path / "r/scores_by_window").to_pylist()
    assert sum(w["n"] for w in windows) == sum(s["n"] for s in scores)


def table():
    """Everything the keeping sink got, strings plain, in the order of the keys."""
    whole = pa.concat_tables(Keeps.epochs.values())
    plain = [
        pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type)
        for f in FORECASTS
    ]
    return whole.cast(pa.schema(plain)).sort_by([(k, "ascending") for k in FORECASTS.names[:5]])


@pytest.mark.parametrize("release", ["end", "never"])
def test_nothing_depends_on_threads_or_batches(script, tmp_path, release):
    rng = np.random.default_rng(3)
    rows = [r for r in wave(sensors=("1", "2", "3", "4", "5")) if rng.random() > 0.1]
    script(a=rows)
    spans = [{"from": "2004-03-02T03:00:00Z", "to": "2004-03-02T15:00:00Z"}]
    seen = []
    for threads, at_once in ((1, 1), (2, 7), (3, 500)):
        run(
            config(
                source={"at_once": at_once},
                models={
                    "ema": {"type": "ema"},
                    "day": {"type": "seasonal", "horizons": [0, 2]},
                },
                evaluation={"mode": "blackout", "spans": spans, "release": release},
                backend={"type": "local", "threads": threads},
            ),
            tmp_path / f"{threads}",
        )
        scores = [(tmp_path / f"{threads}" / n).read_bytes() for n in SCORES]
        seen.append((table(), scores))
    for other in seen[1:]:
        assert other[0].equals(seen[0][0])
        assert other[1] == seen[0][1]


SCORES = ("scores.csv", "scores_by_window/part-000000.parquet", "scores_by_gap.csv")


def test_partitions_one_a_sensor_or_one_a_day_or_one(script, tmp_path):
    rows = wave()
    seen = []
    for name, parts in {
        "one": {"a": rows},
        "sensor": {s: [r for r in rows if r[1] == s] for s in ("1", "2", "3")},
        "day": {str(d): [r for r in rows if r[0] // 1440 == d] for d in range(3)},
    }.items():
        script(**parts)
        result = run(config(), tmp_path / name)
        assert result.counts.used == len(rows)
        seen.append(table())
    assert seen[0].equals(seen[1])
    assert seen[0].equals(seen[2])


def test_a_pause_delivers_what_waits(script, tmp_path):
    rows = wave()
    script(a=[*rows[:40], "pause", *rows[40:]])
    run(config(), tmp_path / "r")
    ends = [max(epoch["time"].to_pylist()) for epoch in Keeps.epochs.values()]
    newest = max(minute for minute, *_ in rows[:40])  # its own step is open still
    assert datetime(2004, 3, 1, tzinfo=UTC) + timedelta(minutes=newest - 30) in ends
    assert len(table()) == len(rows) - 3


def test_a_failing_source_stops_the_run_with_its_words(script, tmp_path):
    script(a=[*wave()[:30], "fail"])
    with pytest.raises(SourceError, match="a: the script says so"):
        run(config(), tmp_path / "r")
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert (manifest["state"], "script says" in manifest["error"]) == ("failed", True)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("gapcast")]


def test_a_secret_in_an_error_is_hidden_in_the_manifest_too(script, tmp_path):
    remember("s3cr3t-part", "${PART}")
    script(**{"s3cr3t-part": [*wave()[:30], "fail"]})
    with pytest.raises(SourceError, match="s3cr3t-part: the script says so"):
        run(config(), tmp_path / "r")
    written = (tmp_path / "r/manifest.json").read_text()
    assert "${PART}: the script says so" in written
    assert "s3cr3t-part" not in written


def test_a_failing_sink_stops_the_run(script, tmp_path):
    script(a=wave())
    Keeps.answers.append(SinkError("disk full"))
    with pytest.raises(SinkError, match="disk full"):
        run(config(), tmp_path / "r")
    assert not [t.name for t in threading.enumerate() if t.name.startswith("gapcast")]


def test_a_sink_may_ask_for_patience(script, tmp_path, caplog):
    script(a=wave())
    Keeps.answers += [Retry("busy"), Retry("still busy")]
    run(config(), tmp_path / "r")
    assert "sink kept asks to be tried again: still busy" in caplog.text
    assert sum(map(len, Keeps.epochs.values())) == 357


def test_rejected_rows_become_dead_letters_and_the_rest_is_kept(script, tmp_path):
    script(a=wave())
    Keeps.answers.append(Rejected([0, 5], ["no such tag", "NaN"]))
    run(config(), tmp_path / "r")
    letters = pq.read_table(tmp_path / "r/dead_letters").to_pylist()
    assert {(d["partition"], d["offset"]) for d in letters} == {("sink kept", None)}
    assert [d["reason"] for d in letters] == ["sink kept: no such tag", "sink kept: NaN"]
    assert sum(map(len, Keeps.epochs.values())) == 355


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_early_with_valid_files(script, tmp_path, number):
    rows = wave(hours=2000)

    class Interrupting(list):
        def __getitem__(self, i):
            if i == 6000:
                os.kill(os.getpid(), number)
            return super().__getitem__(i)

    script(a=Interrupting(rows))
    result = run(config({"files": {"type": "files"}}), tmp_path / "r")
    assert not result.complete
    stored = pq.read_table(tmp_path / "r/forecasts", partitioning=None)
    assert len(stored) == result.forecasts < len(rows)
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["state"] == "interrupted"
    counts = manifest["counts"]
    assert counts["read"] == sum(counts.values()) - counts["read"] > 0


def test_a_folder_is_used_once(script, tmp_path):
    script(a=wave())
    run(config(), tmp_path / "r")
    with pytest.raises(RunError, match="already holds a run"):
        run(config(), tmp_path / "r")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            {"sensors": [1, 9], "quantities": ["temperature"]},
            "targets.sensors: no sensor 9 for temperature; there are 3, from 1 to 3",
        ),
        (
            {"sensors": "all", "quantities": ["light"]},
            "targets.quantities: the source has no 'light'",
        ),
    ],
)
def test_what_cannot_be_run_says_why(script, tmp_path, targets, message):
    script(a=wave())
    with pytest.raises(RunError, match=message):
        run(config(targets=targets), tmp_path / "r")


def test_a_model_that_is_none_is_told_by_its_key():
    with pytest.raises(ConfigError, match=r"models\.e\.type: .*does not extend .*Forecaster"):
        config(models={"e": {"type": "doubles:Played", "script": "x"}})


def test_doubles_keep_to_the_contract(script):
    script(a=wave(hours=10))
    source = doubles.Played(doubles.Played.Params(script="test"))
    source.open({"temperature"})
    first = source.read("a", None, 3)
    again, rest = (source.read("a", at, 5) for at in (None, first.position))
    assert again.readings[:3].equals(first.readings)
    assert rest.readings[:2].equals(again.readings[3:])
