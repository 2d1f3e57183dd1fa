"""The `files` sink: Parquet files partitioned by day, each epoch whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.errors import SinkError
from gapcast.engine.sink import AlreadyCommitted, Committed, Delivery, JobInfo, Outcome, Sink
from gapcast.engine.storage import replace

DAY = 86_400_000_000
NAMES = ["time", "sensor", "quantity", "model", "horizon", "status"]


class FilesSink(Sink):
    """Writes ``forecasts/day=2004-03-01/epoch-00000012.parquet``.

    An epoch counts once its marker ``_epochs/00000012.json`` stands beside the days; it is
    renamed into place after all files of the epoch are on disk. What a crash left without a
    marker is removed when the sink opens, and files of the same epoch are rewritten under the
    same names, so that a folder read as one dataset holds every row once.
    """

    class Params(plugin.Params):
        path: Path | None = Field(
            default=None, description="Folder to write to; by default forecasts/ in the run's."
        )

    params: Params
    delivery = Delivery.TRANSACTIONAL

    def open(self, job: JobInfo, generation: str) -> None:
        """Remove files without a marker; refuse a folder that holds another run's forecasts."""
        self.folder = self.params.path or job.run_dir / "forecasts"
        self.generation = generation
        self._markers = self.folder / "_epochs"
        self._markers.mkdir(parents=True, exist_ok=True)
        self._last: int | None = None
        kept = set()
        for path in sorted(self._markers.glob("*.json")):
            marker = json.loads(path.read_text())
            if marker["generation"] != generation:
                raise SinkError(
                    f"{self.folder} holds the forecasts of another run ({path.name}); "
                    "choose another folder or remove it"
                )
            kept.update(marker["files"])
            self._last = marker["epoch"]
        for path in self.folder.glob("day=*/*"):
            if str(path.relative_to(self.folder)) not in kept:
                path.unlink()

    def last_committed(self) -> int | None:
        """The last epoch with a marker."""
        return self._last

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Write one file a day aside, put them in place, then the marker."""
        if self._last is not None and epoch <= self._last:
            return AlreadyCommitted()
        files = []
        for day, rows in _by_day(forecasts):
            name = f"day={day}/epoch-{epoch:08d}.parquet"
            (self.folder / name).parent.mkdir(exist_ok=True)
            replace(self.folder / name, partial(_parquet, rows))
            files.append(name)
        marker = {"generation": self.generation, "epoch": epoch, "files": files}
        path = self._markers / f"{epoch:08d}.json"
        replace(path, lambda file: file.write(json.dumps(marker).encode()))
        self._last = epoch
        return Committed()


def _by_day(forecasts: pa.Table) -> Iterator[tuple[np.datetime64, pa.Table]]:
    """The rows of each day, as slices: rows come in runs of ascending time."""
    day = forecasts["time"].cast(pa.int64()).to_numpy() // DAY
    cuts = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), len(day)]
    runs: dict[int, list[pa.Table]] = {}
    for a, b in pairwise(cuts):
        if a < b:
            runs.setdefault(int(day[a]), []).append(forecasts.slice(a, b - a))
    for one in sorted(runs):
        yield np.datetime64(one, "D"), pa.concat_tables(runs[one])


def _parquet(rows: pa.Table, file: BinaryIO) -> None:
    pq.write_table(
        rows.unify_dictionaries(), file, compression="snappy", use_dictionary=NAMES,
        write_statistics=["time"], store_schema=False,
    )  # fmt: skip
