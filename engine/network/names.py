"""Names of series as arrays of bytes and numbers, for checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Ints, Series
from gapcast.engine.state import Arrays, below, within


def encoded(series: Sequence[Series]) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """Sensor and quantity of each series; dictionaries in the order of first appearance."""
    sensors, quantities = zip(*series, strict=True) if series else ((), ())
    both = (pa.array(of, pa.string()).dictionary_encode() for of in (sensors, quantities))
    return tuple(both)


def numbers(names: pa.DictionaryArray) -> Ints:
    """The number in its dictionary of each name."""
    found: Ints = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def table(sensors: pa.DictionaryArray, quantities: pa.DictionaryArray) -> NDArray[np.int64]:
    """(sensors + 1, quantities + 1) number of the series of each sensor and quantity in the two
    dictionaries, -1 where there is none; the last row and column, -1 too, are for other names."""
    found = np.full((len(sensors.dictionary) + 1, len(quantities.dictionary) + 1), -1, np.int64)
    found[numbers(sensors), numbers(quantities)] = np.arange(len(sensors))
    return found


def packed(series: Sequence[Series]) -> dict[str, NDArray[Any]]:
    """What `unpacked` makes the same series of."""
    sensors, quantities = encoded(series)
    return (
        within("sensors", _bytes(sensors.cast(pa.string())))
        | within("quantities", _bytes(quantities.dictionary))
        | {"quantity": numbers(quantities).astype(np.int32)}
    )


def unpacked(arrays: Arrays) -> tuple[Series, ...]:
    """The series of such arrays."""
    sensors, quantities = (_texts(below(arrays, name)) for name in ("sensors", "quantities"))
    codes = arrays["quantity"].tolist()
    return tuple(Series(s, quantities[q]) for s, q in zip(sensors, codes, strict=True))


def _bytes(texts: pa.Array) -> dict[str, NDArray[Any]]:
    _, ends, text = texts.cast(pa.large_string()).buffers()
    bounds = np.frombuffer(ends, np.int64)[: len(texts) + 1]
    whole = np.frombuffer(text or b"", np.uint8)
    whole = whole[bounds[0] : bounds[-1]] if len(texts) else whole[:0]
    return {"text": whole.copy(), "length": np.diff(bounds)}


def _texts(arrays: Arrays) -> list[str]:
    bounds = np.concatenate([[0], np.cumsum(arrays["length"], dtype=np.int64)])
    buffers = [pa.py_buffer(np.ascontiguousarray(a)) for a in (bounds, arrays["text"])]
    found: list[str] = pa.LargeStringArray.from_buffers(len(bounds) - 1, *buffers).to_pylist()
    return found
