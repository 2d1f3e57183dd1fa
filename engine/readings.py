"""Readings: one value of one quantity from one sensor at one time, in Arrow columns.

Strings travel dictionary-encoded: a batch carries each name once.
"""

from __future__ import annotations

import pyarrow as pa

NAME = pa.dictionary(pa.int32(), pa.string())
TIME = pa.timestamp("us", tz="UTC")

READINGS = pa.schema(
    [
        pa.field("time", TIME, nullable=False),
        pa.field("sensor", NAME, nullable=False),
        pa.field("quantity", NAME, nullable=False),
        pa.field("value", pa.float64()),  # null: reported as missing
        pa.field("offset", pa.int64(), nullable=False),
    ]
)
"""What a source delivers. `offset` (a line, a row, a broker's offset) never falls within a
partition; with the partition it restores arrival order on any backend."""

DEAD = pa.schema(
    [
        pa.field("reason", NAME, nullable=False),
        pa.field("where", pa.string(), nullable=False),
        pa.field("time", TIME),
        pa.field("sensor", pa.string()),
        pa.field("quantity", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("raw", pa.binary()),
    ]
)
"""Dead letters: every reading or record refused, why, and where it stands in the source, as
``partition:offset`` (``data.txt:17``). `raw` holds the first `RAW_LIMIT` bytes of a record that
could not be read at all."""

RAW_LIMIT = 1024


def empty(schema: pa.Schema) -> pa.RecordBatch:
    """A batch of `schema` without rows."""
    return pa.RecordBatch.from_pylist([], schema=schema)
