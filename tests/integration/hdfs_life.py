"""One life of a run with forecasts and checkpoints on HDFS, killed at an operation on it.

python tests/integration/hdfs_life.py ADDRESS FOLDER MOMENT   (0: never)
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from doubles import SCRIPTS
from hdfs_native.fsspec import HdfsFileSystem

from gapcast import read_config, run
from gapcast.engine.run.bounds import Bounds
from gapcast.plugins.sinks.hdfs import HdfsSink

STEPS = 150


def played():
    """Three days of four sensors with gaps."""
    rng = np.random.default_rng(11)
    return [
        (30.0 * i, s, "temperature", float(20 + 3 * np.sin(i / 7.6) + rng.normal(0, 0.1)))
        for i in range(STEPS)
        for s in "1234"
        if rng.random() > 0.1
    ]


def config(sink, checkpoint, at_once=8):
    """Epochs and checkpoints as often as can be; two horizons bring two days into an epoch."""
    return read_config(
        {
            "name": "life",
            "source": {"type": "doubles:Played", "script": "life", "at_once": at_once},
            "network": {"sensors": [1, 2, 3, 4]},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"ema": {"type": "ema"}, "last": {"type": "persistence", "horizons": [0, 3]}},
            "sinks": {"out": sink},
            "checkpoint": {"interval": "1us", **checkpoint},
        }
    )


OFTEN = Bounds(epoch_seconds=0.0)
"""An epoch a frame."""


class Eager(HdfsSink):
    """Merges small files at the least occasion."""

    many = 5


def eager(address):
    """Its section in a config."""
    return {"type": "hdfs_life:Eager", "url": address}


def die_at(moment):
    """Kill this process at its n-th change of the file system: before it, or after if n is odd."""
    numbers = count(1)

    def dying(method):
        def change(*arguments, **more):
            number = next(numbers)
            if number == moment and moment % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = method(*arguments, **more)
            if number == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return change

    for name in ("mkdir", "mv", "rm", "_open"):
        setattr(HdfsFileSystem, name, dying(getattr(HdfsFileSystem, name)))


if __name__ == "__main__":
    address, folder = sys.argv[1], Path(sys.argv[2])
    SCRIPTS["life"] = {"a": played()}
    die_at(int(sys.argv[3]))
    run(
        config(eager(f"{address}/life/out"), {"path": f"{address}/life/states"}),
        folder,
        resume=(folder / "manifest.json").exists(),
        bounds=OFTEN,
    )
