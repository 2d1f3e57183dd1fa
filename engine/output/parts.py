"""Numbered Parquet files of a folder, ``part-000000.parquet`` and so on, each whole and durable."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gapcast.engine.storage import replace


class Parts:
    """Writes tables to `folder`, one file each, going on after so many `files`.

    Later files, which a run that died has left, are removed first.
    """

    def __init__(self, folder: Path, files: int = 0) -> None:
        self.folder = folder
        self.files = files
        for path in folder.glob("part-*.parquet"):
            if int(path.stem.removeprefix("part-")) >= files:
                path.unlink()

    def write(self, table: pa.Table) -> int:
        """Write one more file, whole or not at all; its number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"part-{self.files:06d}.parquet"
        replace(
            path, lambda file: pq.write_table(table, file, compression="zstd", store_schema=False)
        )
        self.files += 1
        return self.files - 1
