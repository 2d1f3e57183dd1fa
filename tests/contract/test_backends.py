"""The built-in backends pass the kit, through the same line as anyone's."""

from __future__ import annotations

import os
import signal

import pytest

from gapcast.engine.testing import backend

MODELS = {
    "last": {"type": "persistence", "horizons": [0, 3]},
    "ema": {"type": "ema", "neighbours": {"nearest": 2}},
    "rls": {"type": "rls", "period": "6h"},
    "spatial": {"type": "spatial-rls", "quantities": ["humidity"]},
    "joint": {"type": "gapcast.engine.testing.reference:Joint"},
}
THREADS = "a thread is not lost but with its process"
NEVER_LOST = {
    "a_lost_worker_changes_nothing": THREADS,
    "losses_without_progress_end_the_run": THREADS,
}

TestLocalOne = backend(
    {"type": "local", "threads": 1}, {"type": "local", "threads": 3}, skip=NEVER_LOST
)
TestLocalTwo = backend(
    {"type": "local", "threads": 2}, {"type": "local", "threads": 1}, models=MODELS, skip=NEVER_LOST
)
TestLocalFour = backend(
    {"type": "local", "threads": 4}, {"type": "local", "threads": 2}, models=MODELS, skip=NEVER_LOST
)


def kill_dask_worker():
    """SIGKILL to one of the workers of the client in use."""
    from distributed import default_client

    pids = default_client().run(os.getpid)
    os.kill(pids[min(pids)], signal.SIGKILL)


TestDask = pytest.mark.cluster(
    backend(
        {"type": "dask", "workers": 2, "threads": 2, "linger": 0},
        {"type": "dask", "workers": 1, "threads": 3, "linger": 0},
        models=MODELS,
        kill=kill_dask_worker,
    )
)


def kill_spark_worker():
    """SIGKILL to the JVM of the session in use, whose threads are the workers."""
    from pyspark import SparkContext

    os.kill(SparkContext._gateway.proc.pid, signal.SIGKILL)


TestSpark = pytest.mark.cluster(
    backend(
        {"type": "spark", "master": "local[2]", "linger": 0},
        {"type": "spark", "master": "local[3]", "linger": 0},
        models=MODELS,
        kill=kill_spark_worker,
    )
)
