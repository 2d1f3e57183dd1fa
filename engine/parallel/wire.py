"""What travels between processes: parcels of JSON values and arrays, never code.

Where the carrier takes bytes only, a parcel is one Arrow record batch of one row, a column an
array; what an array is (type, shape) and the JSON values are in the schema's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.shard.results import Ending, ModelRows, Stepped, StepResult, Steps
from gapcast.engine.state import Parcel, below, within

Window = tuple[int, int, Floats]

Blob = Any
"""Bytes in any form: a pyarrow buffer, bytes, a memoryview."""


def pack(parcel: Parcel) -> pa.Buffer:
    """A parcel as one Arrow IPC stream."""
    meta, arrays = parcel
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


def unpack(blob: Blob) -> Parcel:
    """What `pack` packed; the arrays are views of it, read-only."""
    batch = pa.ipc.open_stream(blob).read_next_batch()
    about = json.loads(batch.schema.metadata[b"gapcast"])
    arrays = {}
    for column, (name, (dtype, shape)) in zip(batch.columns, about["arrays"].items(), strict=True):
        content = column.buffers()[2] or b""  # Arrow has no buffer for no bytes
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    return about["meta"], arrays


def of_frame(frame: GridFrame) -> Parcel:
    """A frame; rejected values and flags only where there are some."""
    arrays: dict[str, NDArray[Any]] = {"values": frame.values}
    if 0 not in frame.rejected.strides:
        arrays["rejected"] = frame.rejected
    if frame.flags is not None:
        arrays["flags"] = frame.flags
    return {"first": frame.first}, arrays


def to_frame(parcel: Parcel) -> GridFrame:
    """The frame in a parcel."""
    meta, arrays = parcel
    values = np.require(arrays["values"], requirements=["C", "W"])  # kernels are compiled for these
    return GridFrame(
        meta["first"],
        values,
        arrays.get("rejected", np.broadcast_to(np.nan, values.shape)),
        arrays.get("flags"),
    )


def of_result(result: StepResult) -> Parcel:
    """What a shard made of a frame, but for truth and flags, which the frame's sender
    has."""
    steps = result.steps
    arrays: dict[str, NDArray[Any]] = {"status": steps.status, "age": steps.age}
    for i, past in enumerate(result.lagged):
        arrays |= within(f"lagged/{i}", vars(past))
    for m, rows in enumerate(result.rows):
        arrays |= within(str(m), rows.given())
    for m, rows in enumerate(result.ahead):
        arrays |= within(f"ahead/{m}", rows.given())
    meta = {"first": result.first, "models": len(result.rows), "lags": len(result.lagged)}
    meta |= {"ahead": len(result.ahead)}
    return meta | {"windows": _put_windows(result.windows, arrays)}, arrays


def to_result(parcel: Parcel, frame: GridFrame, targets: Ints) -> StepResult:
    """The result in a parcel; `targets` are the shard's columns of the `frame` it was made of."""
    meta, arrays = parcel

    return StepResult(
        meta["first"],
        Steps(frame.truth(targets), arrays["status"], arrays["age"], frame.flag(targets)),
        [ModelRows(**below(arrays, str(m))) for m in range(meta["models"])],
        _take_windows(meta["windows"], arrays),
        [Steps(**below(arrays, f"lagged/{i}")) for i in range(meta["lags"])],
        [ModelRows(**below(arrays, f"ahead/{m}")) for m in range(meta["ahead"])],
    )


def of_stepped(done: Stepped) -> Parcel:
    """What a shard says of a frame whose rows it makes itself."""
    arrays: dict[str, NDArray[Any]] = {}
    meta = {"first": done.first, "steps": done.steps, "each": done.each}
    return meta | {"windows": _put_windows(done.windows, arrays)}, arrays


def to_stepped(parcel: Parcel) -> Stepped:
    """What is in such a parcel."""
    meta, arrays = parcel
    windows = _take_windows(meta["windows"], arrays)
    return Stepped(meta["first"], meta["steps"], meta["each"], windows)


def of_ending(ending: Ending) -> Parcel:
    """What a shard leaves at the end of a run."""
    arrays = {f"total/{m}": a for m, a in enumerate(ending.totals)}
    arrays |= {f"by_gap/{m}": a for m, a in enumerate(ending.by_gap)}
    windows = _put_windows(ending.windows, arrays)
    return {"windows": windows, "seconds": ending.seconds}, arrays


def to_ending(parcel: Parcel) -> Ending:
    """The ending in a parcel."""
    meta, arrays = parcel
    models = range(len(meta["seconds"]))
    totals, by_gap = ([arrays[f"{name}/{m}"] for m in models] for name in ("total", "by_gap"))
    return Ending(_take_windows(meta["windows"], arrays), totals, by_gap, meta["seconds"])


def _put_windows(windows: list[Window], arrays: dict[str, NDArray[Any]]) -> list[list[int]]:
    arrays |= {f"window/{i}": sums for i, (_, _, sums) in enumerate(windows)}
    return [[m, index] for m, index, _ in windows]


def _take_windows(about: list[list[int]], arrays: Mapping[str, NDArray[Any]]) -> list[Window]:
    return [(m, index, arrays[f"window/{i}"]) for i, (m, index) in enumerate(about)]
