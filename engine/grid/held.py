"""Readings that are held: those of a time ahead, until others of their partition agree."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from gapcast.engine.readings import READINGS, plain


class Held:
    """The readings held of each partition, in order of arrival."""

    def __init__(self) -> None:
        self._batches: dict[int, pa.RecordBatch] = {}

    def __len__(self) -> int:
        """Number of readings."""
        return sum(map(len, self._batches.values()))

    def keep(self, partition: int, readings: pa.RecordBatch) -> None:
        """Hold these readings of a partition, of which none is held."""
        self._batches[partition] = readings

    def before(self, partition: int, batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
        """How many readings were held of a partition, and these with `batch` after them."""
        held = self._batches.pop(partition, None)
        if held is None:
            return 0, batch
        joined = pa.Table.from_batches([held, batch]).unify_dictionaries().combine_chunks()
        return len(held), joined.to_batches()[0]

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """All of them, as JSON values."""
        return {str(p): _plain(batch).to_pylist() for p, batch in self._batches.items()}

    def restore(self, held: dict[str, list[dict[str, Any]]]) -> None:
        """Go on from a `snapshot`."""
        self._batches = {
            int(p): pa.Table.from_pylist(rows, _PLAIN)
            .cast(READINGS)
            .combine_chunks()
            .to_batches()[0]
            for p, rows in held.items()
        }


_PLAIN = plain(READINGS).set(0, READINGS.field("time").with_type(pa.int64()))
"""`READINGS` in types that JSON has."""


def _plain(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch]).cast(_PLAIN)
