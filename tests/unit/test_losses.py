"""Workers that are lost again and again: how often a run bears it, and that progress counts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS
from test_run import config, wave

from gapcast import run
from gapcast.engine import plugin
from gapcast.engine.backend import Backend
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.testing.reference import OneShard


class Mortal(Backend):
    """Workers that step a number of frames each time they are made, and are lost with the next."""

    class Params(plugin.Params):
        frames: int

    made: ClassVar = 0
    batch = 9

    @contextmanager
    def workers(self, work):
        Mortal.made += 1
        workers, left = OneShard(work), self.params.frames
        alive = workers.step

        def step(frame):
            nonlocal left
            left -= 1
            if left < 0:
                raise ShardsLost("the only worker is dead")
            return alive(frame)

        workers.step = step
        yield workers


@pytest.fixture(autouse=True)
def script():
    Mortal.made = 0
    SCRIPTS["test"] = {"a": wave()}
    yield
    SCRIPTS.clear()


def mortal(frames, interval):
    files = {"files": {"type": "files"}}
    backend = {"type": "test_losses:Mortal", "frames": frames}
    return config(files, backend=backend, checkpoint={"interval": interval})


def test_the_fourth_loss_without_a_checkpoint_in_between_ends_the_run(tmp_path):
    told = "workers were lost 4 times without a checkpoint in between; the last time: the only"
    with pytest.raises(RunError, match=told):
        run(mortal(2, "1h"), tmp_path / "r")
    assert Mortal.made == 4


def test_losses_after_a_checkpoint_are_counted_anew(tmp_path):
    run(config({"files": {"type": "files"}}), tmp_path / "straight")
    every = Bounds(checkpoints_beside=False)
    assert run(mortal(5, "1us"), tmp_path / "r", bounds=every).complete
    assert Mortal.made > 4
    keys = [(key, "ascending") for key in ("time", "sensor", "model", "horizon")]
    found, wanted = (
        pq.read_table(tmp_path / name / "forecasts", partitioning=None).sort_by(keys)
        for name in ("r", "straight")
    )
    assert found.equals(wanted)
