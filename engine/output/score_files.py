"""Score files of a run: whole, by gap age and by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Model, Series
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.output.parts import Parts
from gapcast.engine.shard import scoring
from gapcast.engine.shard.results import Stepped, StepResult
from gapcast.engine.storage import replace


class ScoreFiles:
    """``scores.csv``, ``scores_by_gap.csv`` of the whole run, Parquet in ``scores_by_window/``."""

    def __init__(
        self,
        targets: Sequence[Series],
        models: Sequence[Model],
        grid: GridSpec,
        window: int,
        folder: Path,
        before: Mapping[str, Any] | None = None,
        most: int = 100_000,
    ) -> None:
        """before: what `settle` gave, to go on from. most: scores of finished windows that may
        gather before they are written."""
        self.targets = scoring.names(targets)
        self.models = models
        self.grid = grid
        self.window = window
        self.folder = folder
        self._span: tuple[int, int] | None = None
        files = 0
        if before:
            self._span, files = before["span"] and tuple(before["span"]), before["files"]
        self._by_window = Parts(folder / "scores_by_window", files)
        self._most = most
        self._ended: list[pa.Table] = []

    def grow(self, targets: Sequence[Series]) -> None:
        """Go on with further targets behind the others."""
        self.targets = scoring.names(targets)

    def add(self, result: StepResult | Stepped) -> None:
        """Note the steps of a result and write the windows that ended with it."""
        last = result.first + len(result)
        self._span = (self._span[0] if self._span else result.first, last)
        self.write_windows(result.windows)

    def write_windows(self, windows: Sequence[tuple[int, int, Floats]]) -> None:
        """Write finished windows: (model, index of the window, sums)."""
        for m, index, sums in windows:
            bounds = self._bounds(np.array([index, index + 1]) * self.window)
            self._ended.append(self._table(m, sums, bounds, scoring.SCORES))
        if sum(map(len, self._ended)) >= self._most:
            self._write_ended()

    def write_whole(self, totals: Sequence[Floats], by_gap: Sequence[Floats]) -> pa.Table:
        """Write the scores of the whole run, one array of sums a model; returns `SCORES`."""
        first, last = self._span or (0, 0)
        bounds = self._bounds(np.array([first, last]) * self.grid.interval + self.grid.offset)
        gaps = {"gap": pa.array(list(scoring.GAP_AGES))}
        whole = [self._table(m, s, bounds, scoring.SCORES) for m, s in enumerate(totals)]
        gap = [self._table(m, s, gaps, scoring.GAP_SCORES) for m, s in enumerate(by_gap)]
        scores = pa.concat_tables(whole)
        for name, table in (("scores", scores), ("scores_by_gap", pa.concat_tables(gap))):
            replace(self.folder / f"{name}.csv", partial(pcsv.write_csv, table))
        return scores

    def _bounds(self, even: NDArray[np.int64]) -> dict[str, int]:
        start, end = self.grid.moments(even).tolist()
        return {"start": start, "end": end}

    def close(self) -> None:
        """Write the windows that wait."""
        self._write_ended()

    def settle(self) -> dict[str, Any]:
        """Write the windows that wait and say what a checkpoint must know."""
        self._write_ended()
        return {"span": self._span, "files": self._by_window.files}

    def _write_ended(self) -> None:
        if self._ended:
            self._by_window.write(pa.concat_tables(self._ended))
            self._ended = []

    def _table(
        self, m: int, sums: Floats, extra: Mapping[str, object], schema: pa.Schema
    ) -> pa.Table:
        model = self.models[m]
        return scoring.table(
            np.asarray(sums), self.targets, model.name, model.horizons, extra, schema
        )
