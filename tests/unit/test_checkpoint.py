"""Checkpoints: whole or passed over, loudly; and a run goes on from one as if never stopped."""

from __future__ import annotations

import errno
import json
import os
import zlib
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS, Stopping
from faulty import Died, Faulty
from typer.testing import CliRunner

from gapcast import read_config, run
from gapcast.engine.checkpoint import format as checkpoint
from gapcast.engine.checkpoint.format import (
    Snapshot,
    about,
    newest,
    numbers,
    read,
    write,
)
from gapcast.engine.cli import app
from gapcast.engine.errors import CheckpointError, RunError
from gapcast.engine.forecaster import Forecaster
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.storage import open_folder
from gapcast.plugins.forecasters.persistence import Persistence

SNAPSHOT = Snapshot(
    {"grid": {"next": 7}, "positions": [{"line": 3}, None]},
    {
        "shards/0/state/last": np.array([1.5, np.nan]),
        "shards/0/none": np.empty((0, 3)),
        "grid/open": np.array([True, False]),
    },
)


def same(one: Snapshot, other: Snapshot) -> bool:
    return (
        one.meta == other.meta
        and one.arrays.keys() == other.arrays.keys()
        and all(
            a.dtype == other.arrays[k].dtype
            and np.array_equal(a, other.arrays[k], equal_nan=a.dtype.kind == "f")
            for k, a in one.arrays.items()
        )
    )


def test_what_is_written_is_read(tmp_path):
    for number in range(5):
        write(tmp_path, number, SNAPSHOT)
    assert numbers(tmp_path) == [2, 3, 4]
    number, found = newest(tmp_path)
    assert number == 4
    assert same(found, SNAPSHOT)
    assert list(found.below("shards/0/state")) == ["last"]


def test_every_flipped_bit_and_every_torn_byte_is_found(tmp_path, caplog):
    write(tmp_path, 1, SNAPSHOT)
    write(tmp_path, 2, SNAPSHOT)
    place = tmp_path / "00000002"
    for path in sorted(place.iterdir()):
        whole = path.read_bytes()
        for i in range(len(whole)):
            for damaged in (whole[:i], whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :]):
                path.write_bytes(damaged)
                with pytest.raises(CheckpointError, match=place.name):
                    read(place)
        path.write_bytes(whole)
    (place / "0000.bin").write_bytes(b"")
    number, found = newest(tmp_path)
    assert number == 1
    assert same(found, SNAPSHOT)
    assert "checkpoint skipped" in caplog.text


def test_another_version_is_rejected(tmp_path, monkeypatch):
    newer = checkpoint.VERSION + 1
    write(tmp_path, 0, SNAPSHOT)
    monkeypatch.setattr(checkpoint, "VERSION", newer)
    write(tmp_path, 1, SNAPSHOT)
    monkeypatch.undo()
    for reading in (lambda: read(tmp_path / "00000001"), lambda: newest(tmp_path)):
        with pytest.raises(
            CheckpointError, match=rf"has version {newer}, this gapcast reads version {newer - 1};"
        ):
            reading()


def test_a_checkpoint_of_version_1_is_rejected_not_passed_over(tmp_path):
    content = {"version": 1, "meta": {}, "arrays": {}}
    crc = zlib.crc32(json.dumps(content, sort_keys=True).encode())
    (tmp_path / "00000004").mkdir()
    (tmp_path / "00000004/meta.json").write_text(json.dumps({"crc32": crc, "content": content}))
    with pytest.raises(
        CheckpointError, match=f"has version 1, this gapcast reads version {checkpoint.VERSION};"
    ):
        newest(tmp_path)


def test_a_full_disk_leaves_the_one_before(tmp_path, monkeypatch):
    write(tmp_path, 1, SNAPSHOT)
    fsync, left = os.fsync, 3

    def full(handle):
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, 2, SNAPSHOT)
    monkeypatch.undo()
    assert newest(tmp_path)[0] == 1
    write(tmp_path, 2, SNAPSHOT)
    assert newest(tmp_path)[0] == 2


@pytest.fixture
def faulty(monkeypatch):
    """A folder on a filesystem that fails when told to; small parts, so that there are some."""
    monkeypatch.setattr(checkpoint, "PART", 7)
    Faulty.clear()
    yield open_folder("faulty://states")
    Faulty.clear()


def labelled(number):
    return Snapshot({"number": number}, SNAPSHOT.arrays)


@pytest.mark.parametrize("protocol", ["faulty", "oci"])
@pytest.mark.parametrize("full", [False, True])
def test_whatever_fails_between_the_parts_and_the_meta_the_one_before_stands(
    faulty, caplog, full, protocol
):
    for moment in range(100):
        Faulty.clear()
        folder = open_folder(f"{protocol}://states")
        for number in (0, 1, 2):
            write(folder, number, labelled(number), keep=2, savepoint=number == 0)
        Faulty.begin(moment, full)
        try:
            write(folder, 3, labelled(3), keep=2)
            break
        except (Died, OSError):
            Faulty.begin()
        number, found = newest(folder)
        assert number in (2, 3)
        assert same(found, labelled(number))
        write(folder, number + 1, labelled(number + 1), keep=2)
        assert numbers(folder) == [0, number, number + 1]
        assert folder.names() == [f"{n:08d}" for n in (0, number, number + 1)]
    assert moment >= (4 if full else 9)
    assert "passed over" not in caplog.text


def test_parts_are_cut_and_joined_wherever_arrays_end(faulty, tmp_path):
    arrays = {
        "none": np.empty((0, 3)),
        "many": np.arange(24, dtype=np.int16).reshape(4, 6),
        "one": np.array(5.0),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "times": np.array(["2004-03-01"], "datetime64[us]"),
    }
    for folder in (faulty, open_folder(tmp_path)):
        place = write(folder, 0, Snapshot({}, arrays))
        assert same(read(place), Snapshot({}, arrays))
        assert {n: a.shape for n, a in read(place).arrays.items()} == {
            n: a.shape for n, a in arrays.items()
        }
        assert len(place.names()) == 1 + -(-about(place).size // 7)
    assert same(read(write(faulty, 1, Snapshot({}, {}))), Snapshot({}, {}))


def test_parts_torn_or_flipped_on_a_remote_filesystem_are_found(faulty, caplog):
    write(faulty, 1, SNAPSHOT)
    place = write(faulty, 2, SNAPSHOT)
    for name in place.names():
        whole = place.read(name)
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
        for damaged in (b"", whole[:-1], whole + b"x", flipped):
            place.put(name, lambda file, content=damaged: file.write(content))
            with pytest.raises(CheckpointError, match=r"faulty://states/00000002"):
                read(place)
        place.put(name, lambda file, content=whole: file.write(content))
    place.remove("0000.bin")
    assert newest(faulty)[0] == 1
    assert "checkpoint skipped: faulty://states/00000002/0000.bin" in caplog.text


def test_a_run_that_cannot_write_one_stops_and_goes_on_later(stops, tmp_path, monkeypatch):
    stops()
    only = {"models": {"last": {"type": "persistence"}}, "checkpoint": {"interval": "1us"}}
    straight = run(config(**only), tmp_path / "straight", bounds=EVERY_TURN)
    store, left = checkpoint._store, 5

    def full(*arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return store(*arguments)

    monkeypatch.setattr(checkpoint, "_store", full)
    with pytest.raises(CheckpointError, match="No space left on device; the one before it stands"):
        run(config(**only), tmp_path / "r", bounds=EVERY_TURN)
    monkeypatch.undo()
    result = run(config(**only), tmp_path / "r", resume=True, bounds=EVERY_TURN)
    assert result.counts == straight.counts
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))


def test_the_epoch_log_knows_what_it_has_forgotten(tmp_path):
    log = EpochLog(tmp_path / "epochs")
    assert list(log.since(0)) == []
    for epoch in (*range(8, 12), *range(8)):
        log.append(epoch, 10 * epoch - 20)
    (tmp_path / "epochs/.0000000012-110.tmp").touch()
    assert list(EpochLog(tmp_path / "epochs").since(9)) == [(9, 70), (10, 80), (11, 90)]
    assert len(list(log.folder.names())) == 12
    log.forget(3)
    assert next(log.since(3)) == (3, 10)
    with pytest.raises(CheckpointError, match=r"begins with epoch 3, .* from epoch 2:"):
        log.since(2)
    log.forget(12)
    assert list(log.since(11)) == [(11, 90)]
    assert list(log.since(12)) == []
    with pytest.raises(CheckpointError, match="begins with epoch 11"):
        log.since(0)


EVERY_TURN = Bounds(checkpoints_beside=False)
"""Checkpoints at 1 us come after every turn of the source, none left out because a disk is slow."""


def wave(hours=60):
    return [
        (30.0 * i, s, "temperature", 20 + int(s) + 3 * np.sin(2 * np.pi * i / 48))
        for i in range(2 * hours)
        for s in "123456789"
    ]


def config(**more):
    return read_config(
        {
            "name": "test",
            "source": {"type": "doubles:Played", "script": "test", "at_once": 20},
            "grid": {"interval": "30min"},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "evaluation": {
                "mode": "blackout",
                "spans": [{"from": "2004-03-02T03:00:00Z", "to": "2004-03-02T15:00:00Z"}],
            },
            "models": {
                "last": {"type": "persistence", "horizons": [0, 5]},
                "spatial": {"type": "spatial-rls"},
                "rls": {"type": "rls"},
            },
            **more,
        }
    )


@pytest.fixture
def stops():
    """Plays a script that asks its run to stop after so many readings, once."""

    def play(*moments):
        SCRIPTS["test"] = {"a": Stopping(wave(), *moments)}

    yield play
    SCRIPTS.clear()


def forecasts(folder):
    table = pq.read_table(folder / "forecasts", partitioning=None)
    keys = ["time", "sensor", "quantity", "model", "horizon"]
    return table.sort_by([(k, "ascending") for k in keys])


def windows(folder):
    table = pa.concat_tables(
        pq.read_table(p) for p in sorted((folder / "scores_by_window").iterdir())
    )
    return sorted(map(str, table.to_pylist()))


@pytest.mark.parametrize("moments", [(300,), (150, 500, 650, 900), (20,)])
def test_stopped_and_resumed_with_other_threads_nothing_differs(stops, tmp_path, moments):
    stops()
    straight = run(config(), tmp_path / "straight")
    assert straight.complete
    stops(*moments)
    for life in range(len(moments) + 1):
        backend = {"type": "local", "threads": 1 + life % 3}
        result = run(config(backend=backend), tmp_path / "r", resume=life > 0)
        assert result.complete == (life == len(moments))
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    assert windows(tmp_path / "r") == windows(tmp_path / "straight")
    for name in ("scores.csv", "scores_by_gap.csv"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert result.counts == straight.counts
    assert result.forecasts == straight.forecasts


DIRECTIONS = {
    "grid": {"interval": "30min", "aggregate": {"temperature": {"circular": 24}}},
    "models": {"rls": {"type": "rls", "horizons": [-3, 0, 2]}, "blend": {"type": "blend"}},
}
LOCAL_DAYS = {
    "grid": {"interval": "1d", "zone": "America/New_York"},
    "evaluation": {"mode": "prequential"},
    "models": {"last": {"type": "persistence", "horizons": [0, 1]}},
}


@pytest.mark.parametrize("more", [DIRECTIONS, LOCAL_DAYS])
def test_directions_and_days_of_a_zone_go_on_as_they_were(stops, tmp_path, more):
    stops()
    straight = run(config(**more), tmp_path / "straight")
    stops(150, 500, 900)
    for life in range(4):
        result = run(config(**more), tmp_path / "r", resume=life > 0)
    assert result.complete
    assert forecasts(tmp_path / "r").num_rows == straight.forecasts > 0
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    assert windows(tmp_path / "r") == windows(tmp_path / "straight")
    assert (tmp_path / "r/scores.csv").read_bytes() == (
        tmp_path / "straight/scores.csv"
    ).read_bytes()


def test_a_run_goes_on_from_checkpoints_far_away(stops, tmp_path, monkeypatch):
    monkeypatch.setenv("GAPCAST_STATES", "states-of-tests")
    stops()
    straight = run(config(), tmp_path / "straight")
    far = {"checkpoint": {"path": "memory://${GAPCAST_STATES}", "interval": "1us", "keep": 2}}
    stops(200, 500)
    for life in range(3):
        result = run(config(**far), tmp_path / "r", resume=life > 0)
    assert result.counts == straight.counts
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    assert not (tmp_path / "r/checkpoint").exists()
    written = (tmp_path / "r/manifest.json").read_text()
    assert "states-of-tests" not in written
    states = open_folder("memory://states-of-tests")
    (name,) = states.names()
    assert name == f"test-{json.loads(written)['generation']}"
    assert len(numbers(states / name)) == 2
    gapcast = partial(CliRunner().invoke, app)
    for command in ("list", "show", "verify"):
        done = gapcast(["checkpoint", command, str(tmp_path / "r")])
        assert done.exit_code == 0
    monkeypatch.delenv("GAPCAST_STATES")
    lost = gapcast(["checkpoint", "list", str(tmp_path / "r")])
    assert "path: the environment has no variable GAPCAST_STATES" in str(lost.exception)
    states.drop()


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_run_goes_on_from_an_older_one_when_the_newest_are_damaged(
    stops, tmp_path, caplog, damaged
):
    often = {"checkpoint": {"interval": "1us"}}
    stops()
    run(config(**often), tmp_path / "straight", bounds=EVERY_TURN)
    stops(500)
    run(config(**often), tmp_path / "r", bounds=EVERY_TURN)
    for number in numbers(tmp_path / "r/checkpoint")[-damaged:]:
        (tmp_path / f"r/checkpoint/{number:08d}/0000.bin").write_bytes(b"torn")
    assert run(config(**often), tmp_path / "r", resume=True, bounds=EVERY_TURN).complete
    assert caplog.text.count("checkpoint skipped") == damaged
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))


def test_without_any_whole_one_a_run_does_not_write_other_rows(stops, tmp_path):
    often = {"checkpoint": {"interval": "1us"}}
    stops(500)
    run(config(**often), tmp_path / "r", bounds=EVERY_TURN)
    before = forecasts(tmp_path / "r")
    for number in numbers(tmp_path / "r/checkpoint"):
        (tmp_path / f"r/checkpoint/{number:08d}/0000.bin").unlink()
    with pytest.raises(CheckpointError, match="too late to go on from epoch 0"):
        run(config(**often), tmp_path / "r", resume=True, bounds=EVERY_TURN)
    assert forecasts(tmp_path / "r").equals(before)


def test_what_cannot_be_resumed_says_why(stops, tmp_path):
    with pytest.raises(RunError, match="holds no run to resume"):
        run(config(), tmp_path / "none", resume=True)
    stops(300)
    run(config(), tmp_path / "r")
    elsewhere = {"checkpoint": {"path": str(tmp_path / "elsewhere")}}
    with pytest.raises(RunError, match=r"started with another checkpoint\.path"):
        run(config(**elsewhere), tmp_path / "r", resume=True)
    run(config(), tmp_path / "r", resume=True)
    with pytest.raises(RunError, match="is complete"):
        run(config(), tmp_path / "r", resume=True)


def test_an_older_state_is_migrated(stops, tmp_path, monkeypatch):
    only = {"models": {"last": {"type": "persistence"}}}
    stops(300)
    run(config(**only), tmp_path / "r")
    monkeypatch.setattr(Persistence, "state_version", 3)
    monkeypatch.setattr(Persistence, "migrate", Forecaster.migrate)
    with pytest.raises(RunError, match=r"models\.last: .*state version 2 cannot be read"):
        run(config(**only), tmp_path / "r", resume=True)
    seen = []

    def migrate(self, state, version):
        seen.append((version, sorted(state)))
        return dict(state)

    monkeypatch.setattr(Persistence, "migrate", migrate)
    assert run(config(**only), tmp_path / "r", resume=True).complete
    assert seen[0][0] == 2
    assert "last" in seen[0][1]


def test_a_sensor_that_is_there_no_more_stays_in_the_network(stops, tmp_path):
    stops(300)
    run(config(), tmp_path / "r")
    SCRIPTS["test"] = {"a": [r for r in wave() if r[1] != "4"]}
    assert run(config(), tmp_path / "r", resume=True).complete
    rows = pq.read_table(tmp_path / "r/forecasts", partitioning=None).to_pylist()
    late = max(r["time"] for r in rows)
    assert {r["sensor"]: r["status"] for r in rows if r["time"] == late}["4"] == "missing"


def test_manifest_of_an_interrupted_run_says_so(stops, tmp_path):
    stops(300)
    run(config(), tmp_path / "r")
    assert json.loads((tmp_path / "r/manifest.json").read_text())["state"] == "interrupted"
    assert numbers(tmp_path / "r/checkpoint")


def test_the_command_line_lists_shows_and_verifies(stops, tmp_path):
    stops(300)
    run(config(), tmp_path / "r")

    def gapcast(*arguments):
        return CliRunner().invoke(app, ["checkpoint", *arguments, str(tmp_path / "r")])

    listed = gapcast("list")
    assert listed.exit_code == 0
    assert "epoch" in listed.stdout
    assert "checkpoint" in listed.stdout
    shown = gapcast("show").stdout
    assert "spatial (state version 1)" in shown
    assert "shards/0/state/last" in shown
    assert gapcast("verify").exit_code == 0
    (number,) = numbers(tmp_path / "r/checkpoint")
    (tmp_path / f"r/checkpoint/{number:08d}/0000.bin").write_bytes(b"torn")
    verified = gapcast("verify")
    assert verified.exit_code == 1
    assert "does not match its checksum" in verified.stdout
    nothing = CliRunner().invoke(app, ["checkpoint", "list", str(tmp_path)])
    assert isinstance(nothing.exception, CheckpointError)
