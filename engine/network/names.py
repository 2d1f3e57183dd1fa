"""Names of series as arrays of bytes and numbers, for checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.forecaster import Series
from gapcast.engine.state import Arrays, below, within


def packed(series: Sequence[Series]) -> dict[str, NDArray[Any]]:
    """What `unpacked` makes the same series of."""
    sensors, quantities = zip(*series, strict=True) if series else ((), ())
    codes = pa.array(quantities, pa.string()).dictionary_encode()
    return (
        within("sensors", _bytes(pa.array(sensors, pa.string())))
        | within("quantities", _bytes(codes.dictionary))
        | {"quantity": codes.indices.to_numpy(zero_copy_only=False).astype(np.int32)}
    )


def unpacked(arrays: Arrays) -> tuple[Series, ...]:
    """The series of such arrays."""
    sensors, quantities = (_texts(below(arrays, name)) for name in ("sensors", "quantities"))
    codes = arrays["quantity"].tolist()
    return tuple(Series(s, quantities[q]) for s, q in zip(sensors, codes, strict=True))


def _bytes(texts: pa.Array) -> dict[str, NDArray[Any]]:
    large = texts.cast(pa.large_binary())
    lengths = np.array(pc.binary_length(large), np.int64)
    whole = b"".join(large.to_pylist())
    return {"text": np.frombuffer(whole, np.uint8), "length": lengths}


def _texts(arrays: Arrays) -> list[str]:
    whole, ends = arrays["text"].tobytes(), np.cumsum(arrays["length"]).tolist()
    starts = [0, *ends]
    return [whole[a:b].decode() for a, b in zip(starts, ends, strict=False)]
