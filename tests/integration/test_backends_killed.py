"""Backends on clusters of real processes: workers and drivers are killed, numbers stay the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import clusters
import psutil
import pytest
from faults import life

from gapcast import read_config, run
from gapcast.backends import dask_worker
from gapcast.engine.testing.backend import CUTS, MODELS
from gapcast.engine.testing.played import REFERENCE, config, once, play, same
from gapcast.engine.testing.stage import STEPS, Stage

LIFE = Path(life.__file__)
LOCAL = {"type": "local", "threads": 2}
DASK = {"type": "dask", "workers": 2, "threads": 1, "linger": 0}
SPARK = {"type": "spark", "master": "local[2]", "linger": 0.2}

MINE = """
import numpy as np
from pydantic import Field
from gapcast.engine import plugin
from gapcast.engine.forecaster import Forecast, Forecaster


class Mine(Forecaster):
    class Params(plugin.Params):
        weight: float = Field(default=0.5, description="Of the newest value.")

    def start(self, layout):
        return {"level": np.full(layout.n, 20.0)}

    def step(self, state, frame):
        out, level = Forecast.empty(frame), state["level"]
        for t in range(frame.t):
            out.mean[t] = level[:, None]
            seen = ~np.isnan(frame.own[t])
            level[seen] += self.params.weight * (frame.own[t, seen] - level[seen])
        return out
"""


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with clusters.dask(tmp_path_factory.mktemp("dask"), workers=2, threads=2) as cluster:
        yield cluster


@pytest.fixture
def java():
    return clusters.java_or_skip()


@pytest.fixture(autouse=True)
def _stage():
    life.set_stage()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What a run leaves that nothing has disturbed, in this process."""
    folder = tmp_path_factory.mktemp("wanted") / "run"
    life.doubles.SCRIPTS["faults"] = {"a": life.script()}
    run(read_config(life.config({"type": "local", "threads": 1})), folder, bounds=life.OFTEN)
    return life.left_behind(folder)


FORKED = """
import os
import sys
from pathlib import Path

os.register_at_fork(after_in_child=lambda: os._exit(7))

from faults import life
from gapcast import read_config, run

life.set_stage()
run(read_config(life.config({"type": "spark", "master": "local[2]"})), Path(sys.argv[1]))
"""


def test_spark_starts_whatever_libraries_do_in_a_forked_child(java, wanted, tmp_path):
    """Some wait there for ever, for threads that are not in the child."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, tmp_path / "run"],
        env=os.environ | {"PYTHONPATH": str(LIFE.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert life.left_behind(tmp_path / "run") == wanted


def running(cluster):
    return {"type": "dask", "address": cluster.address, "linger": 0}


def differing(folder, wanted):
    found = life.left_behind(folder)
    return [part for part in wanted if found[part] != wanted[part]]


def test_a_run_outlives_a_worker_of_a_running_cluster(tmp_path):
    with clusters.dask(tmp_path / "cluster", workers=2, threads=2) as cluster:
        kill = once(
            lambda step: step >= STEPS // 2, lambda: os.kill(cluster.workers[0], signal.SIGKILL)
        )
        runs = [
            play(config(backend, MODELS, "each", tmp_path / name, "1us"), tmp_path / name, stage)
            for name, backend, stage in (
                ("reference", REFERENCE, Stage(CUTS["each"])),
                ("dask", running(cluster), Stage(CUTS["each"], kill)),
            )
        ]
        assert not clusters.alive(cluster.workers[0])
        same(*(r.sound() for r in runs), "with one worker of two killed")
        assert runs[1].stage.lives == 2


def test_the_same_bytes_on_a_running_cluster(tmp_path, dask, wanted):
    run(read_config(life.config(running(dask))), tmp_path / "run", bounds=life.OFTEN)
    assert differing(tmp_path / "run", wanted) == []


@pytest.mark.usefixtures("java")
def test_the_same_bytes_on_spark(tmp_path, wanted):
    run(read_config(life.config(SPARK)), tmp_path / "run", bounds=life.OFTEN)
    assert differing(tmp_path / "run", wanted) == []


def lives(folder, backends, moment):
    """Runs from the command line on one backend after the other, each killed but the last."""
    statuses = []
    for number, backend in enumerate(backends):
        file = folder / f"{number}.json"
        file.write_text(json.dumps(life.config(backend)))
        last = number == len(backends) - 1
        command = [sys.executable, str(LIFE), str(folder / "run"), str(-1 if last else moment)]
        command += [str(file), str(folder / "run")]
        command += ["--resume"] if number else []
        driver = subprocess.Popen(
            command, cwd=folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        session = driver.pid
        _, said = driver.communicate()
        assert last or driver.returncode == -signal.SIGKILL, said[-2000:]
        clusters.wait_until(lambda of=session: not members(of), "the driver's processes to end")
        statuses.append(driver.returncode)
    return statuses, said


def members(session):
    """Pids of what still runs of a driver and the processes it has started."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and clusters.alive(pid):
                found.append(pid)
        except (ProcessLookupError, PermissionError):
            continue
    return found


@pytest.mark.parametrize("first", [0, 1])
def test_killed_on_one_backend_finished_on_another(tmp_path, wanted, first):
    ring = [LOCAL, DASK] * 2
    statuses, said = lives(tmp_path, ring[first : first + 3], 150)
    assert statuses[-1] == 0, said[-2000:]
    assert differing(tmp_path / "run", wanted) == []


def test_what_a_killed_driver_has_left_on_workers_goes_when_its_run_goes_on(tmp_path, dask):
    from distributed import Client

    statuses, said = lives(tmp_path, [running(dask)] * 2, 150)
    assert statuses[-1] == 0, said[-2000:]
    with Client(dask.address, set_as_default=False) as client:
        assert set(client.run(lambda: len(dask_worker._held)).values()) == {0}


@pytest.mark.usefixtures("java")
def test_killed_round_the_ring(tmp_path, wanted):
    statuses, said = lives(tmp_path, [LOCAL, DASK, SPARK, LOCAL], 80)
    assert statuses[-1] == 0, said[-2000:]
    assert differing(tmp_path / "run", wanted) == []


def command(folder, backend, forecaster=MINE):
    """Run a config with a forecaster of the current directory, as a user would."""
    written = life.config(backend) | {"models": {"mine": {"type": "mine:Mine", "weight": 0.25}}}
    written |= {"checkpoint": {"interval": "1h"}}
    (folder / "mine.py").write_text(forecaster)
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(written))
    done = subprocess.run(
        [sys.executable, str(LIFE), str(folder), "-1", file.name, file.stem],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return life.left_behind(folder / file.stem)


def test_a_forecaster_in_a_file_of_ones_own_runs_on_dask(tmp_path, dask):
    here = command(tmp_path, LOCAL)
    assert command(tmp_path, DASK) == here
    assert command(tmp_path, running(dask)) == here


def test_an_edited_forecaster_is_sent_again(tmp_path, dask):
    backend = running(dask)
    before = command(tmp_path, backend)
    edited = MINE.replace("20.0)", "30.0)")
    after = command(tmp_path, backend, edited)
    assert after == command(tmp_path, LOCAL, edited)
    assert after["scores"] != before["scores"]


@pytest.mark.usefixtures("java")
def test_a_forecaster_in_a_file_of_ones_own_runs_on_spark(tmp_path):
    assert command(tmp_path, SPARK) == command(tmp_path, LOCAL)
