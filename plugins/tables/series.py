"""Which series a row is of, from the texts of one or several columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from gapcast.engine.forecaster import Ints
from gapcast.engine.network.series import natural
from gapcast.plugins.sources.text.names import Names


class Series(NamedTuple):
    """The series of rows: ids (n,) by natural order of their `names`; labels: the same as `Names`.
    Zeros and no names where all rows are of one."""

    ids: Ints
    names: tuple[str, ...]
    labels: Names


def series_of(rows: int, columns: Sequence[Names]) -> Series:
    """The series that columns say: each different row of texts is one."""
    if not columns:
        return Series(np.zeros(rows, np.int64), (), Names.none(rows))
    codes, texts = np.zeros(rows, np.int64), [("",)]
    for of in columns:
        known = ["", *of.found.to_pylist()]
        joint, codes = np.unique(codes * len(known) + of.ids + 1, return_inverse=True)
        texts = [(*texts[k // len(known)], known[k % len(known)]) for k in joint.tolist()]
    order = sorted(range(len(texts)), key=lambda i: [natural(part) for part in texts[i]])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    shown = tuple("/".join(texts[i][1:]) for i in order)
    ids = rank[codes]
    return Series(ids, shown, Names(ids.astype(np.int32), pa.array(shown, pa.string())))
