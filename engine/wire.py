"""Arrays on their way between processes: one Arrow record batch of one row, a column an array.

What an array is (type, shape) and small JSON values travel in the schema's metadata. Nothing but
numbers and text is ever read back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.grid import GridFrame
from gapcast.engine.shard import Ending, ModelRows, StepResult

Blob = Any
"""Bytes in any form: a pyarrow buffer, bytes, a memoryview."""


def pack(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> pa.Buffer:
    """JSON values and arrays as one Arrow IPC stream."""
    whole = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    about = {name: [a.dtype.str, list(a.shape)] for name, a in whole.items()}
    fields = [pa.field(name, pa.large_binary()) for name in whole]
    text = json.dumps({"meta": meta, "arrays": about})
    columns = [
        pa.Array.from_buffers(
            pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, a.nbytes])), pa.py_buffer(a)]
        )
        for a in whole.values()
    ]
    schema = pa.schema(fields, metadata={"gapcast": text})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return sink.getvalue()


def unpack(blob: Blob) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `pack` packed; the arrays are copies, free to be written to."""
    batch = pa.ipc.open_stream(blob).read_next_batch()
    about = json.loads(batch.schema.metadata[b"gapcast"])
    arrays = {}
    for column, (name, (dtype, shape)) in zip(batch.columns, about["arrays"].items(), strict=True):
        content = column.buffers()[2] or b""  # Arrow has no buffer for no bytes
        arrays[name] = np.frombuffer(content, dtype).reshape(shape).copy()
    return about["meta"], arrays


def pack_frame(frame: GridFrame) -> pa.Buffer:
    """A frame; refused values only where there are some."""
    arrays = {"values": frame.values}
    if 0 not in frame.refused.strides:
        arrays["refused"] = frame.refused
    return pack({"first": frame.first}, arrays)


def unpack_frame(blob: Blob) -> GridFrame:
    """What `pack_frame` packed."""
    meta, arrays = unpack(blob)
    values = arrays["values"]
    return GridFrame(
        meta["first"], values, arrays.get("refused", np.broadcast_to(np.nan, values.shape))
    )


def pack_result(result: StepResult) -> pa.Buffer:
    """What a shard made of a frame."""
    arrays: dict[str, NDArray[Any]] = {"truth": result.truth, "status": result.status}
    for m, rows in enumerate(result.rows):
        arrays |= {f"{m}/{name}": a for name, a in vars(rows).items()}
    arrays |= {f"window/{i}": sums for i, (_, _, sums) in enumerate(result.windows)}
    windows = [(m, index) for m, index, _ in result.windows]
    return pack({"first": result.first, "models": len(result.rows), "windows": windows}, arrays)


def unpack_result(blob: Blob) -> StepResult:
    """What `pack_result` packed."""
    meta, arrays = unpack(blob)
    rows = [
        ModelRows(*(arrays[f"{m}/{name}"] for name in ("mean", "lower", "upper")))
        for m in range(meta["models"])
    ]
    windows = [(m, at, arrays[f"window/{i}"]) for i, (m, at) in enumerate(meta["windows"])]
    return StepResult(meta["first"], arrays["truth"], arrays["status"], rows, windows)


def pack_ending(ending: Ending) -> pa.Buffer:
    """What a shard leaves at the end of a run."""
    arrays = {f"total/{m}": a for m, a in enumerate(ending.totals)}
    arrays |= {f"by_gap/{m}": a for m, a in enumerate(ending.by_gap)}
    arrays |= {f"window/{i}": sums for i, (_, _, sums) in enumerate(ending.windows)}
    windows = [(m, index) for m, index, _ in ending.windows]
    return pack({"windows": windows, "seconds": ending.seconds}, arrays)


def unpack_ending(blob: Blob) -> Ending:
    """What `pack_ending` packed."""
    meta, arrays = unpack(blob)
    models = range(len(meta["seconds"]))
    totals, by_gap = ([arrays[f"{name}/{m}"] for m in models] for name in ("total", "by_gap"))
    windows = [(m, at, arrays[f"window/{i}"]) for i, (m, at) in enumerate(meta["windows"])]
    return Ending(windows, totals, by_gap, meta["seconds"])
