"""Outlet: from the results of the shards to epochs in the sinks and scores in the run's folder."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from gapcast.engine import scoring
from gapcast.engine.delivery import Delivery
from gapcast.engine.forecaster import Floats, Model, Series
from gapcast.engine.rows import Rows
from gapcast.engine.shard import StepResult

EPOCH_ROWS = 400_000
EPOCH_SECONDS = 1.0
"""An epoch is written when it has so many rows or is so old, or when the source pauses."""


SCORE_ROWS = 100_000
"""Scores of finished windows are written when so many have gathered."""


class Outlet:
    """Gathers rows into epochs and hands them to a writer thread, at most two epochs ahead.

    The bound is what pushes back: when the sinks are slow, `add` waits and nothing is read.
    """

    def __init__(
        self,
        delivery: Delivery,
        targets: Sequence[Series],
        models: Sequence[Model],
        interval: int,
        window: int,
        run_dir: Path,
    ) -> None:
        self.delivery = delivery
        self.scores = ScoreFiles(targets, models, interval, window, run_dir)
        self._rows = Rows(targets, models, interval)
        self._gathered: list[pa.Table] = []
        self._count = 0
        self._since = time.monotonic()
        self._queue: queue.Queue[pa.Table | None] = queue.Queue(maxsize=2)
        self._failure: BaseException | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="gapcast-write", daemon=True)
        self._writer.start()

    def add(self, result: StepResult) -> None:
        """Take the joined result of one frame. Raises what a sink raised."""
        table = self._rows.table(result)
        self.scores.add(result)
        self._gathered.append(table)
        self._count += len(table)
        if self._count >= EPOCH_ROWS or time.monotonic() - self._since >= EPOCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """End the epoch in progress, if it has rows."""
        if self._count:
            self._hand_over(pa.concat_tables(self._gathered))
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
            if deliver:
                self.flush()
        finally:
            self._hand_over(None)
            self._writer.join()
            self.scores.close()
        if deliver and self._failure is not None:
            raise self._failure

    def _hand_over(self, epoch: pa.Table | None) -> None:
        self._queue.put(epoch)
        if epoch is not None and self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        while (epoch := self._queue.get()) is not None:
            if self._failure is None:
                try:
                    self.delivery.write(epoch)
                except BaseException as error:
                    self._failure = error


class ScoreFiles:
    """``scores.csv`` (the whole run), ``scores_by_window.parquet`` and ``scores_by_gap.csv``."""

    def __init__(
        self,
        targets: Sequence[Series],
        models: Sequence[Model],
        interval: int,
        window: int,
        folder: Path,
    ) -> None:
        self.targets = scoring.names(targets)
        self.models = models
        self.interval = interval
        self.window = window
        self.folder = folder
        self._span: tuple[int, int] | None = None
        self._by_window = pq.ParquetWriter(folder / "scores_by_window.parquet", scoring.SCORES)
        self._ended: list[pa.Table] = []

    def add(self, result: StepResult) -> None:
        """Note the steps of a result and write the windows that ended with it."""
        last = result.first + len(result.truth)
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
            aside = self.folder / f".{name}.csv.tmp"
            pcsv.write_csv(table, aside)
            aside.replace(self.folder / f"{name}.csv")
        return scores

    def close(self) -> None:
        """Close the file of windows."""
        self._write_ended()
        self._by_window.close()

    def _write_ended(self) -> None:
        if self._ended:
            self._by_window.write_table(pa.concat_tables(self._ended))
            self._ended = []

    def _table(
        self, m: int, sums: Floats, extra: Mapping[str, object], schema: pa.Schema
    ) -> pa.Table:
        model = self.models[m]
        return scoring.table(
            np.asarray(sums), self.targets, model.name, sorted(model.horizons), extra, schema
        )
