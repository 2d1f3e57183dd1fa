"""Outlet: from the results of the shards to epochs in the sinks and scores in the run's folder."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv

from gapcast.engine.forecaster import Floats, Model, Series
from gapcast.engine.output.delivery import Delivery, remove_parts, write_parquet
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.output.rows import Rows
from gapcast.engine.shard import scoring
from gapcast.engine.shard.results import StepResult
from gapcast.engine.storage import replace

EPOCH_ROWS = 400_000
EPOCH_SECONDS = 1.0
"""An epoch is written when it has so many rows or is so old, or when the source pauses."""


SCORE_ROWS = 100_000
"""Scores of finished windows are written when so many have gathered."""


class Outlet:
    """Gathers results into epochs and hands them to a writer thread, at most two epochs ahead.

    Rows are made of a whole epoch, so that they do not depend on how it was cut into frames. The
    bound is what pushes back: when the sinks are slow, `add` waits and nothing is read.
    """

    def __init__(
        self,
        delivery: Delivery,
        targets: Sequence[Series],
        models: Sequence[Model],
        interval: int,
        window: int,
        run_dir: Path,
        epochs: EpochLog,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        """before: what `settle` gave when a checkpoint was taken, to go on from."""
        self.delivery = delivery
        self.epochs = epochs
        self.scores = ScoreFiles(targets, models, interval, window, run_dir, before)
        delivery.epoch, delivery.rows = (before["epoch"], before["rows"]) if before else (0, 0)
        self._fixed = deque(epochs.since(delivery.epoch))
        self._logged = max((epoch for epoch, _ in self._fixed), default=-1)
        self._rows = Rows(targets, models, interval)
        self._gathered: list[StepResult] = []
        self._count = 0
        self._since = time.monotonic()
        self._queue: queue.Queue[list[StepResult] | None] = queue.Queue(maxsize=2)
        self._failure: BaseException | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="gapcast-write", daemon=True)
        self._writer.start()

    def add(self, result: StepResult) -> None:
        """Take the joined result of one frame. Raises what a sink raised."""
        self.scores.add(result)
        while self._fixed and self._fixed[0][1] <= result.first + len(result):
            _, until = self._fixed.popleft()
            head, result = result.cut(until - result.first)
            self._gather(head)
            self._end_epoch()
        if len(result):
            self._gather(result)
        if self._count >= EPOCH_ROWS or time.monotonic() - self._since >= EPOCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """End the epoch in progress, if it has rows and its end was not fixed before a crash."""
        if not self._fixed:
            self._end_epoch()

    def settle(self) -> dict[str, Any] | None:
        """Deliver everything added so far and say what a checkpoint must know of it.

        None while epochs that a crash cut short are being made again: their ends are fixed.
        """
        if self._fixed:
            return None
        self._end_epoch()
        self._queue.join()
        if self._failure is not None:
            raise self._failure
        return {"epoch": self.delivery.epoch, "rows": self.delivery.rows, **self.scores.settle()}

    def _gather(self, result: StepResult) -> None:
        self._gathered.append(result)
        self._count += sum(rows.mean.size for rows in result.rows)

    def _end_epoch(self) -> None:
        if self._count:
            self._hand_over(self._gathered)
        self._gathered, self._count = [], 0
        self._since = time.monotonic()

    def close(self, deliver: bool) -> None:
        """Wait until every epoch has its outcome; `deliver` what is gathered, or drop it.

        Does nothing the second time.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if deliver and not self._fixed:
                self._end_epoch()
        finally:
            self._hand_over(None)
            self._writer.join()
            self.scores.close()
        if deliver and self._failure is not None:
            raise self._failure

    def _hand_over(self, epoch: list[StepResult] | None) -> None:
        self._queue.put(epoch)
        if epoch is not None and self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        while (epoch := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self._deliver(StepResult.joined(epoch, np.concatenate))
            except BaseException as error:
                self._failure = error
            finally:
                self._queue.task_done()

    def _deliver(self, epoch: StepResult) -> None:
        table = self._rows.table(epoch)
        if not len(table):
            return
        if self.delivery.epoch > self._logged:
            self.epochs.append(self.delivery.epoch, epoch.first + len(epoch))
        self.delivery.write(table)


class ScoreFiles:
    """``scores.csv``, ``scores_by_gap.csv`` of the whole run, Parquet in ``scores_by_window/``."""

    def __init__(
        self,
        targets: Sequence[Series],
        models: Sequence[Model],
        interval: int,
        window: int,
        folder: Path,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        self.targets = scoring.names(targets)
        self.models = models
        self.interval = interval
        self.window = window
        self.folder = folder
        self._span: tuple[int, int] | None = None
        self._files = 0
        if before:
            self._span, self._files = before["span"] and tuple(before["span"]), before["files"]
        self._by_window = folder / "scores_by_window"
        remove_parts(self._by_window, self._files)
        self._ended: list[pa.Table] = []

    def add(self, result: StepResult) -> None:
        """Note the steps of a result and write the windows that ended with it."""
        last = result.first + len(result)
        self._span = (self._span[0] if self._span else result.first, last)
        self.write_windows(result.windows)

    def write_windows(self, windows: Sequence[tuple[int, int, Floats]]) -> None:
        """Write finished windows: (model, index of the window, sums)."""
        for m, index, sums in windows:
            bounds = {"start": index * self.window, "end": (index + 1) * self.window}
            self._ended.append(self._table(m, sums, bounds, scoring.SCORES))
        if sum(map(len, self._ended)) >= SCORE_ROWS:
            self._write_ended()

    def write_whole(self, totals: Sequence[Floats], by_gap: Sequence[Floats]) -> pa.Table:
        """Write the scores of the whole run, one array of sums a model; returns `SCORES`."""
        first, last = self._span or (0, 0)
        bounds = {"start": first * self.interval, "end": last * self.interval}
        gaps = {"gap": pa.array(list(scoring.GAP_AGES))}
        whole = [self._table(m, s, bounds, scoring.SCORES) for m, s in enumerate(totals)]
        gap = [self._table(m, s, gaps, scoring.GAP_SCORES) for m, s in enumerate(by_gap)]
        scores = pa.concat_tables(whole)
        for name, table in (("scores", scores), ("scores_by_gap", pa.concat_tables(gap))):
            replace(self.folder / f"{name}.csv", partial(pcsv.write_csv, table))
        return scores

    def close(self) -> None:
        """Write the windows that wait."""
        self._write_ended()

    def settle(self) -> dict[str, Any]:
        """Write the windows that wait and say what a checkpoint must know."""
        self._write_ended()
        return {"span": self._span, "files": self._files}

    def _write_ended(self) -> None:
        if self._ended:
            self._by_window.mkdir(exist_ok=True)
            path = self._by_window / f"part-{self._files:06d}.parquet"
            write_parquet(pa.concat_tables(self._ended), path)
            self._ended, self._files = [], self._files + 1

    def _table(
        self, m: int, sums: Floats, extra: Mapping[str, object], schema: pa.Schema
    ) -> pa.Table:
        model = self.models[m]
        return scoring.table(
            np.asarray(sums), self.targets, model.name, sorted(model.horizons), extra, schema
        )
