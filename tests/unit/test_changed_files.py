"""Files that change while they are read, or after a run has ended: told, and read on."""

from __future__ import annotations

import gzip
import json
import os
import signal
from functools import partial

import pyarrow.parquet as pq
import pytest
from command import gapcast
from doubles import Keeps, place

from gapcast import read_config, run
from gapcast.engine.errors import RunError, SourceError
from gapcast.engine.run.bounds import Bounds
from gapcast.plugins.sources.replay import ReplaySource


def rows(first, last, sensor="a"):
    """A line for each half-hour of a range."""
    return "".join(
        f"2024-03-{1 + k // 48:02}T{k % 48 // 2:02}:{k % 2 * 30:02}:00Z,{sensor},temperature,{k}\n"
        for k in range(first, last)
    )


HEADER = "time,sensor,quantity,value\n"


def config(path, sinks=None, batch=1000, **source):
    return read_config(
        {
            "name": "changes",
            "source": {"type": "replay", "path": str(path), **source},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"last": {"type": "persistence"}},
            "sinks": sinks or {"files": {"type": "files"}},
            "backend": {"type": "local", "batch": batch},
        }
    )


def forecasts(folder):
    table = pq.read_table(folder / "forecasts", partitioning=None)
    return table.sort_by([(key, "ascending") for key in ("time", "sensor")])


def letters(folder):
    if not (folder / "dead_letters").exists():
        return []
    return pq.read_table(folder / "dead_letters").to_pylist()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


# --- a run that was complete ------------------------------------------------------------------


def test_a_complete_run_reads_on_where_its_file_ended(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 60))
    first = run(config(path), tmp_path / "r")
    assert (first.complete, first.counts.used, first.changed) == (True, 60, [])
    append(path, rows(60, 100))
    second = run(config(path), tmp_path / "r", resume=True)
    assert (second.complete, second.counts.used, second.counts.late) == (True, 100, 0)
    run(config(path), tmp_path / "straight")
    assert forecasts(tmp_path / "r").equals(forecasts(tmp_path / "straight"))
    for name in ("scores.csv", "scores_by_gap.csv"):
        assert (tmp_path / "r" / name).read_text() == (tmp_path / "straight" / name).read_text()


@pytest.mark.parametrize("touched", [False, True])
def test_with_nothing_new_there_is_nothing_to_resume(tmp_path, touched):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20))
    run(config(path), tmp_path / "r")
    before = (tmp_path / "r/manifest.json").read_text()
    if touched:
        os.utime(path, (1, 1))
    with pytest.raises(RunError, match="is complete, there is nothing to resume"):
        run(config(path), tmp_path / "r", resume=True)
    assert (tmp_path / "r/manifest.json").read_text() == before


def test_files_that_have_come_since_are_read(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/day-1.csv").write_text(HEADER + rows(0, 48))
    run(config(f"{tmp_path}/d/*.csv"), tmp_path / "r")
    (tmp_path / "d/day-2.csv").write_text(HEADER + rows(48, 96))
    again = run(config(f"{tmp_path}/d/*.csv"), tmp_path / "r", resume=True)
    assert (again.counts.used, again.counts.late) == (96, 0)


def test_a_reading_of_a_step_that_the_end_had_closed_is_late(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20))
    run(config(path), tmp_path / "r")
    append(path, rows(19, 20).replace(":30:00Z", ":45:00Z") + rows(20, 30))
    again = run(config(path), tmp_path / "r", resume=True)
    assert (again.counts.used, again.counts.late) == (30, 1)


def test_a_file_that_is_another_by_then_stops_with_the_choice(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20))
    run(config(path), tmp_path / "r")
    path.write_text(HEADER + rows(5, 40))
    with pytest.raises(SourceError, match="begins differently: bring that one back, or begin a ne"):
        run(config(path), tmp_path / "r", resume=True)


def test_a_file_that_is_sorted_and_has_grown_stops_with_the_choice(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(20, 40) + rows(0, 20))
    assert run(config(path), tmp_path / "r").counts.used == 40
    append(path, rows(40, 50))
    with pytest.raises(SourceError, match="has grown, and is sorted before it is read: bring that"):
        run(config(path), tmp_path / "r", resume=True)


def sorted_and_read(path, limit):
    """A source that has read so many readings of a file that is sorted, and where it stands."""
    source = ReplaySource(ReplaySource.Params(path=str(path)))
    source.open(None)
    return source, source.read(path.name, None, limit).position


@pytest.mark.parametrize("pack", [bytes, partial(gzip.compress, mtime=0)])
def test_a_file_that_is_sorted_and_was_changed_within_stops_with_the_choice(tmp_path, pack):
    path = tmp_path / "a.csv"
    text = HEADER + rows(200, 400) + rows(0, 200)
    path.write_bytes(pack(text.encode()))
    _, position = sorted_and_read(path, 150)
    again = ReplaySource(ReplaySource.Params(path=str(path)))
    again.open(None)
    assert len(again.read("a.csv", position, 10).readings) == 10
    changed = text.replace(",temperature,333", ",temperature,334")
    assert len(changed) == len(text)
    path.write_bytes(pack(changed.encode()))
    again.close()
    again.open(None)
    with pytest.raises(SourceError, match="changed within, and is sorted before it is read: bring"):
        again.read("a.csv", position, 10)
    path.write_bytes(pack(text.encode()))
    assert len(again.read("a.csv", position, 10).readings) == 10


def test_so_does_a_complete_run(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(200, 400) + rows(0, 200))
    run(config(path), tmp_path / "r")
    os.utime(path, (1, 1))
    with pytest.raises(RunError, match="is complete, there is nothing to resume"):
        run(config(path), tmp_path / "r", resume=True)
    path.write_text(path.read_text().replace(",temperature,333", ",temperature,334"))
    with pytest.raises(SourceError, match="changed within, and is sorted before it is read: bring"):
        run(config(path), tmp_path / "r", resume=True)


def test_a_file_read_in_its_order_stays_so_whatever_follows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20))
    run(config(path), tmp_path / "r")
    append(path, rows(30, 40) + rows(20, 30))
    assert run(config(path), tmp_path / "r", resume=True).counts.read == 40


def test_a_file_that_was_empty_is_read_from_its_beginning(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + rows(0, 20))
    (tmp_path / "b.csv").write_text("")
    run(config(f"{tmp_path}/*.csv"), tmp_path / "r")
    (tmp_path / "b.csv").write_text(HEADER + rows(20, 30))
    assert run(config(f"{tmp_path}/*.csv"), tmp_path / "r", resume=True).counts.used == 30


# --- the last line, still being written -------------------------------------------------------


@pytest.mark.parametrize("rest", ["5.85", "5.85\r"])
def test_the_rest_of_a_line_that_was_used_is_told_and_no_record(tmp_path, rest):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20) + rows(20, 21).removesuffix("20\n") + "1")
    run(config(path), tmp_path / "r")
    append(path, rest + "\n" + rows(21, 30))
    again = run(config(path), tmp_path / "r", resume=True)
    counts = again.counts
    assert (counts.read, counts.used, counts.invalid) == (31, 30, 1)
    (letter,) = letters(tmp_path / "r")
    assert (place(letter), letter["raw"]) == ("a.csv:22", b"5.85")
    assert letter["reason"] == "rest of a line that had been read before its end was written"
    truth = forecasts(tmp_path / "r")["truth"].to_pylist()
    assert truth[19] == 1.0
    assert truth[20] == 21.0


def test_where_only_the_end_of_the_line_was_missing_nothing_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20).rstrip())
    run(config(path), tmp_path / "r")
    append(path, "\n" + rows(20, 30))
    assert run(config(path), tmp_path / "r", resume=True).counts.used == 30
    assert letters(tmp_path / "r") == []


def test_a_line_that_grows_again_and_again_is_never_a_record_of_its_own(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + rows(0, 20) + rows(20, 21).removesuffix("0\n"))
    run(config(path), tmp_path / "r")
    for more in ("0", "2024-03-02T00:00:00Z,a,temperature,1", "\n", rows(21, 25)):
        append(path, more)
        if more == "\n":
            continue
        again = run(config(path), tmp_path / "r", resume=True)
    assert [place(letter) for letter in letters(tmp_path / "r")] == ["a.csv:22"] * 2
    assert again.counts.used == 25


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_so_it_is_in_any_encoding(tmp_path, encoding):
    path = tmp_path / "a.csv"
    text = HEADER + rows(0, 20, "Süd").removesuffix("9\n")
    path.write_bytes(text.encode(encoding))
    source = ReplaySource(ReplaySource.Params(path=str(path)))
    source.open(None)
    ended = source.read("a.csv", None, 100)
    while not ended.ended:
        ended = source.read("a.csv", ended.position, 100)
    plain = encoding.replace("utf-16", "utf-16-le")
    path.write_bytes(text.encode(encoding) + ("9\n" + rows(20, 22, "Süd")).encode(plain))
    position = json.loads(json.dumps(ended.position))
    (change,) = source.changed({"a.csv": position})
    assert (change.partition, change.how, change.more) == ("a.csv", "has grown", True)
    found, told = [], []
    while True:
        read = source.read("a.csv", position, 1)
        position = read.position
        found += read.readings["offset"].to_pylist()
        told += map(place, read.dead_letters.to_pylist())
        if read.ended:
            break
    assert (found, told) == ([22, 23], ["a.csv:21"])


# --- at the end of a run ----------------------------------------------------------------------


class Appends(Keeps):
    """Writes to files when it is given rows."""

    what: dict = {}  # noqa: RUF012 - tests write into it

    def write(self, epoch, forecasts):
        for path, text in Appends.what.items():
            append(path, text)
        Appends.what = {}
        return super().write(epoch, forecasts)


def test_what_changed_while_a_run_went_on_is_told_at_its_end(tmp_path, caplog):
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text(HEADER + rows(0, 20, name))
    Appends.what = {tmp_path / "b.csv": rows(20, 22, "b"), tmp_path / "d.csv": HEADER}
    kept = {"kept": {"type": f"{__name__}:Appends"}}
    result = run(config(f"{tmp_path}/*.csv", kept), tmp_path / "r")
    assert result.counts.used == 60
    assert [(of.partition, of.how) for of in result.changed] == [
        ("b.csv", "has grown"), ("d.csv", "is new"),
    ]  # fmt: skip
    assert "b.csv has grown" in caplog.text
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["changed"] == [
        {"partition": "b.csv", "how": "has grown", "more": True},
        {"partition": "d.csv", "how": "is new", "more": True},
    ]


def test_a_file_that_is_gone_or_rewritten_is_told_and_ends_no_run(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(HEADER + rows(0, 20, name))
    source = ReplaySource(ReplaySource.Params(path=f"{tmp_path}/*.csv"))
    source.open(None)
    ended = {}
    for name in source.partitions():
        read = source.read(name, None, 100)
        while not read.ended:
            read = source.read(name, read.position, 100)
        ended[name] = read.position
    assert source.changed(ended) == []
    (tmp_path / "a.csv").unlink()
    (tmp_path / "b.csv").write_text(HEADER + rows(0, 20, "b").replace("00:00Z,b", "00:01Z,b"))
    os.utime(tmp_path / "b.csv", (1, 1))
    gone, rewritten = source.changed(ended)
    assert gone.partition == "a.csv"
    assert gone.how.startswith("cannot be read any more: ")
    assert (rewritten.partition, rewritten.more) == ("b.csv", True)


class Stops(Keeps):
    """Asks the run to stop when it is given rows for the first time."""

    left: list = []  # noqa: RUF012 - a test writes into it

    def write(self, epoch, forecasts):
        if Stops.left:
            os.kill(os.getpid(), Stops.left.pop())
        return super().write(epoch, forecasts)


def test_a_file_that_had_ended_before_a_run_was_stopped_is_read_on(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + rows(0, 10, "a"))
    (tmp_path / "b.csv").write_text(HEADER + rows(0, 1000, "b"))
    Stops.left = [signal.SIGTERM]
    made = partial(config, f"{tmp_path}/*.csv", {"kept": {"type": f"{__name__}:Stops"}}, batch=10)
    bounds = Bounds(epoch_rows=20)
    first = run(made(), tmp_path / "r", bounds=bounds)
    assert (first.complete, first.counts.read < 1010) == (False, True)
    append(tmp_path / "a.csv", rows(900, 1000, "a"))
    second = run(made(), tmp_path / "r", resume=True, bounds=bounds)
    assert (second.complete, second.counts.read) == (True, 1110)


def test_the_summary_of_a_run_tells_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(HEADER + rows(0, 20))
    Appends.what = {tmp_path / "a.csv": rows(20, 22)}
    (tmp_path / "c.yaml").write_text(
        "name: x\nsource: {type: replay, path: a.csv}\ngrid: {interval: 30min}\n"
        "targets: {quantities: [temperature]}\nmodels: {last: {type: persistence}}\n"
        f"sinks: {{kept: {{type: '{__name__}:Appends'}}}}\n"
    )
    done = gapcast("run", "c.yaml", "--run-dir", "r")
    assert done.returncode == 0, done.stderr
    assert "a.csv has grown" in done.stdout
    assert "gapcast run c.yaml --run-dir r --resume" in done.stdout


def test_the_rest_of_a_line_within_the_hour_that_comes_twice_is_told(tmp_path):
    path = tmp_path / "a.csv"
    hours = [f"2023-10-29 {h:02}:{m:02},a,temperature,{h}" for h in (0, 1, 2) for m in (0, 30)]
    path.write_text(HEADER + "\n".join(hours))  # the last line has no end yet
    local = config(path, timezone="Europe/Berlin")
    first = run(local, tmp_path / "r").counts
    append(path, "5\n2023-10-29 02:00,a,temperature,3\n2023-10-29 02:30,a,temperature,3\n")
    counts = run(local, tmp_path / "r", resume=True).counts
    assert (counts.used, counts.invalid) == (first.used + 2, 1)


def test_a_file_with_a_clock_change_that_was_only_touched_has_not_grown(tmp_path, caplog):
    path = tmp_path / "a.csv"
    hours = [
        f"2023-10-29 {h:02}:{m:02},a,temperature,{h}" for h in (0, 1, 2, 2, 3) for m in (0, 30)
    ]
    path.write_text(HEADER + "\n".join(hours) + "\n")
    local = config(path, timezone="Europe/Berlin")
    run(local, tmp_path / "r")
    os.utime(path, (1, 1))
    with pytest.raises(RunError, match="nothing"):
        run(local, tmp_path / "r", resume=True)
