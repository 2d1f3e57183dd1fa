"""Plays cases of a backtest, each a run whose folder is thrown away, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv

from gapcast.engine.config import read_config
from gapcast.engine.run.run import run
from gapcast.engine.shard.scoring import GAP_SCORES
from gapcast.engine.sink import Committed, Delivery, JobInfo, Sink

Plain = Mapping[str, Any]
Scores = tuple[dict[str, list[Any]], dict[str, list[Any]]]
"""Columns of a run's scores and of those by gap age."""


class Nowhere(Sink):
    """Takes forecasts and keeps none: scores are all that is wanted."""

    delivery = Delivery.IDEMPOTENT

    def open(self, job: JobInfo, generation: str) -> None:
        """Nothing to open."""

    def write(self, epoch: int, forecasts: pa.Table) -> Committed:
        """Let them go."""
        return Committed()


def play(plain: Plain, scratch: str) -> Scores:
    """Run the config `plain` in a folder of its own in `scratch`, removed at the end.

    Raises KeyboardInterrupt where a signal ended it early.
    """
    with TemporaryDirectory(dir=scratch) as folder:
        result = run(read_config(plain), Path(folder) / "run")
        if not result.complete:
            raise KeyboardInterrupt
        types = pcsv.ConvertOptions(column_types=GAP_SCORES)
        by_gap = pcsv.read_csv(Path(folder) / "run/scores_by_gap.csv", convert_options=types)
        return result.scores.to_pydict(), by_gap.to_pydict()


def play_all(
    plains: Sequence[Plain], jobs: int, played: Callable[[int], None] = lambda i: None
) -> list[Scores]:
    """What each of `plains` gave, in their order, `jobs` at a time; 1: in this process.

    played: is told of each that is done. Processes are spawned, so that a script that calls this
    needs its ``if __name__ == "__main__"``. An error or interruption ends them all.
    """
    found: dict[int, Scores] = {}
    with TemporaryDirectory(prefix="gapcast-") as scratch:
        if jobs == 1:
            for i, plain in enumerate(plains):
                found[i] = play(plain, scratch)
                played(i)
        else:
            with _pool(min(jobs, len(plains))) as pool:
                running = {pool.submit(_play, plain, scratch): i for i, plain in enumerate(plains)}
                for done in as_completed(running):
                    found[running[done]] = done.result()
                    played(running[done])
    return [found[i] for i in range(len(plains))]


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, at once if anything goes wrong."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.kill()  # a run that is asked to end would go on writing for a while
            child.join()
        raise
    finally:
        pool.shutdown()


def _begin() -> None:
    """In a new process: watch that it does not outlive the one it works for."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _play(plain: Plain, scratch: str) -> Scores:
    try:
        return play(plain, scratch)
    except KeyboardInterrupt:
        os._exit(130)  # whatever else waits for this process is not wanted either
