"""Records of a topic without a broker: made, and decoded as the source ``kafka`` does."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from gapcast.plugins.kafka.records import Records
from gapcast.plugins.sources.kafka import KafkaSource

T0 = datetime(2004, 3, 1, tzinfo=UTC)
WIDE = ["temperature", "humidity"]


def decode(values, keys=(), times=(), wanted=("temperature", "humidity"), **params):
    """Readings as (seconds since T0, sensor, quantity, value, offset) and dead letters as rows."""
    found = made_of(values, keys, times, wanted, **params)
    rows = [
        (
            (r["time"] - T0) / timedelta(seconds=1),
            r["sensor"],
            r["quantity"],
            r["value"],
            r["offset"],
        )
        for r in found.readings.to_pylist()
    ]
    return rows, found.dead_letters.to_pylist()


def made_of(values, keys=(), times=(), wanted=("temperature", "humidity"), **params):
    """Readings and dead letters, schemas as ever."""
    source = KafkaSource(KafkaSource.Params(brokers="b:1", topic="t", **params))
    decoder = source._decoder_for(None if wanted is None else frozenset(wanted))
    offsets = np.arange(len(values)) * 2 + 7
    values = [v if isinstance(v, bytes) else json.dumps(v).encode() for v in values]
    return decoder.decode(Records("t-0", values, offsets, list(keys), np.array(times, np.int64)))


def at(seconds):
    return (T0 + timedelta(seconds=seconds)).isoformat()


def long(seconds, value, sensor="7", quantity="temperature"):
    return {"time": at(seconds), "sensor": sensor, "quantity": quantity, "value": value}


def stream(**columns):
    batch = pa.record_batch(columns)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def instants(*seconds):
    return pa.array([T0 + timedelta(seconds=s) for s in seconds], pa.timestamp("us", "UTC"))
