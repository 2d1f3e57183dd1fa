"""Savepoints: asked of a run in progress, whoever runs it, and kept; one process a folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command import gapcast
from doubles import SCRIPTS

from gapcast import read_config, run
from gapcast.engine.checkpoint.format import about, numbers
from gapcast.engine.checkpoint.savepoints import Requests, ask, claim, running
from gapcast.engine.errors import RunError
from gapcast.engine.run.bounds import Bounds

LIVE = """
import json, sys, time
from pathlib import Path
import doubles
from gapcast import read_config, run

class Endless(list):
    def __len__(self):
        return 10**9
    def __getitem__(self, i):
        if i < 400:
            return (30.0 * (i // 4), "abcd"[i % 4], "temperature", float(i % 7))
        time.sleep(0.005)
        return "pause"
    def __iter__(self):
        return (self[i] for i in range(400))

doubles.SCRIPTS["live"] = {"a": Endless()}
run(read_config(json.loads(sys.argv[1])), Path(sys.argv[2]))
"""


def config(script, **checkpoint):
    return {
        "name": "test",
        "source": {"type": "doubles:Played", "script": script},
        "grid": {"interval": "30min"},
        "targets": {"quantities": ["temperature"]},
        "models": {"last": {"type": "persistence"}},
        "checkpoint": checkpoint,
    }


def until(true, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def live(tmp_path):
    """A run in a process of its own whose source never ends; its folder and the process."""
    folder = tmp_path / "r"
    given = [json.dumps(config("live", interval="1h")), str(folder)]
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", LIVE, *given],
        env={**os.environ, "PYTHONPATH": tests}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            until(lambda: running(folder) or process.poll() is not None)
            assert process.poll() is None, process.stderr.read()
            yield folder, process
        finally:
            process.kill()


def test_a_run_in_another_process_takes_one_when_asked(live, monkeypatch):
    folder, process = live
    monkeypatch.setitem(SCRIPTS, "live", {"a": [(0.0, s, "temperature", 1.0) for s in "abcd"]})
    for number in range(2):
        saved = gapcast("checkpoint", "save", folder)
        assert (saved.returncode, saved.stdout) == (0, f"{number}\n"), saved.stderr
        assert about(folder / f"checkpoint/{number:08d}").savepoint
    with pytest.raises(RunError, match=rf"in use by another process \(pid {process.pid}\)"):
        run(read_config(config("live", interval="1h")), folder, resume=True)
    assert json.loads((folder / "manifest.json").read_text())["state"] == "running"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    listed = gapcast("checkpoint", "list", folder).stdout.splitlines()
    assert [re.findall("savepoint|checkpoint", line) for line in listed] == [
        ["savepoint"], ["savepoint"], ["checkpoint"],
    ]  # fmt: skip
    again = gapcast("checkpoint", "save", folder)
    assert again.returncode == 1
    assert f"{folder} is not running" in again.stderr


def test_whoever_waits_is_told_that_the_run_was_killed(live):
    folder, process = live
    process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        number = pool.submit(ask, folder)
        until(Requests(folder).waiting)
        process.kill()
        process.wait(60)
        with pytest.raises(RunError, match="ended before the savepoint was written"):
            number.result(60)
    assert Requests(folder).waiting() == []


@pytest.fixture
def played():
    rows = [(30.0 * i, s, "temperature", float(i % 9)) for i in range(60) for s in "1234"]
    SCRIPTS["test"] = {"a": rows}
    yield
    SCRIPTS.clear()


def test_a_savepoint_stays_when_later_checkpoints_come(played, tmp_path):
    (tmp_path / "savepoint").mkdir()
    (tmp_path / "savepoint/me.wanted").touch()
    (tmp_path / "savepoint/you.wanted").touch()
    every_turn = Bounds(checkpoints_beside=False)
    result = run(read_config(config("test", interval="1us", keep=2)), tmp_path, bounds=every_turn)
    assert result.complete
    found = numbers(tmp_path / "checkpoint")
    assert len(found) == 3
    assert found[1] > 2
    kinds = [about(tmp_path / f"checkpoint/{n:08d}").savepoint for n in found]
    assert kinds == [True, False, False]
    answers = {p.name: p.read_text() for p in (tmp_path / "savepoint").iterdir()}
    assert answers == {"me.written": str(found[0]), "you.written": str(found[0])}
    assert not running(tmp_path)


def test_a_folder_is_held_by_one_process_until_it_lets_go(tmp_path):
    assert not running(tmp_path)
    held = claim(tmp_path)
    assert running(tmp_path)
    with pytest.raises(RunError, match=f"another process .pid {os.getpid()}.; stop that one"):
        claim(tmp_path)
    held.close()
    assert not running(tmp_path)
    claim(tmp_path).close()


def test_a_request_that_is_withdrawn_gets_no_answer(tmp_path):
    requests = Requests(tmp_path)
    requests.answer(["gone"], 3)
    assert requests.waiting() == []
    assert list(tmp_path.iterdir()) == []
