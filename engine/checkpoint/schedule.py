"""The checkpoints of a run in progress: when the next is due, and writing it beside the run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.checkpoint.format import numbers, write
from gapcast.engine.checkpoint.savepoints import Requests
from gapcast.engine.errors import CheckpointError
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.source import Position
from gapcast.engine.storage import Folder, open_folder


@dataclass(frozen=True)
class CheckpointSchedule:
    """Where the checkpoints of a run go, seconds between two by the clock, how many are kept."""

    folder: Folder
    interval: float
    keep: int


def folder_of(run_dir: Path, path: str | None, name: str, generation: str) -> Folder:
    """Where a run keeps its checkpoints: in its own folder, or below `path`, apart from others."""
    if path is None:
        return open_folder(run_dir / "checkpoint")
    return open_folder(path) / f"{name}-{generation}"


class Checkpoints:
    """Checkpoints taken on a schedule, or because a savepoint is asked for in `run_dir`.

    log: forgets the epochs that the checkpoints stand for. durable: is told the positions of a
    checkpoint by partition, from a thread of its own, once nothing before them is read again.
    beside: whether the run goes on while one is written. last: when the newest was whole, seconds
    since 1970, and how many seconds it took; None before the first.
    """

    last: tuple[float, float] | None = None

    def __init__(
        self,
        schedule: CheckpointSchedule,
        run_dir: Path,
        log: EpochLog,
        durable: Callable[[Mapping[str, Position]], None],
        beside: bool = True,
    ) -> None:
        self.schedule = schedule
        self._log = log
        self._durable = durable
        self._beside = beside
        self._requests = Requests(run_dir)
        self._number = max(numbers(schedule.folder), default=-1)
        self._ends: deque[int] = deque(maxlen=schedule.keep)
        self._since = time.monotonic()
        self._pool = ThreadPoolExecutor(1, "gapcast-checkpoint")
        self._pending: Future[None] | None = None

    def due(self) -> bool:
        """Whether it is time for the next one, or a savepoint is asked for. Raises what stopped
        the one before."""
        if self._pending is not None and self._pending.done():
            self._pending.result()
            self._pending = None
        if self._pending is not None:
            return False
        old = time.monotonic() - self._since >= self.schedule.interval
        return old or bool(self._requests.waiting())

    def take(self, contents: Contents, wait: bool) -> None:
        """Write the next checkpoint, in the background unless told to wait for it.

        It is a savepoint if one has been asked for.
        """
        if self._pending is not None:
            self._pending.result()
        self._number += 1
        self._since = time.monotonic()
        asked = self._requests.waiting()
        self._pending = self._pool.submit(self._write, self._number, contents, asked)
        if wait or not self._beside:
            self._pending.result()

    def close(self) -> None:
        """Wait for the one being written."""
        self._pool.shutdown()

    def _write(self, number: int, contents: Contents, asked: Sequence[str]) -> None:
        folder, keep = self.schedule.folder, self.schedule.keep
        began = time.monotonic()
        try:
            write(folder, number, contents.snapshot(), keep, savepoint=bool(asked))
            if not asked:
                self._ends.append(contents.epoch)
                if len(self._ends) == keep:
                    self._log.forget(self._ends[0])
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {number} cannot be written to {folder.url}: "
                f"{error.strerror or error}; the one before it stands, go on with --resume when "
                "it can be written again"
            ) from error
        self.last = time.time(), time.monotonic() - began
        self._durable(contents.read())
        self._requests.answer(asked, number)
