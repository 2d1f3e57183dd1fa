"""Gap patterns: which cells of a network are withheld. The same set, the same gaps, always."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from suite.sets import Floats, Network

Mask = NDArray[np.bool_]
DAY = 86_400
SHARE = 0.2
"""Of the cells of the record's second half, withheld one by one (`single`)."""
FORECASTS = "ahead"
"""Not a pattern of gaps: nothing is withheld, the cells of the last third are forecast ahead."""
BLOCK = 0.05
"""Length of a block as a share of the record, at least three steps."""


class Part(NamedTuple):
    """Cells that are withheld at once. columns: the series that are there at all, ascending;
    withheld: (T, columns), never a cell that is truly missing."""

    columns: NDArray[np.int64]
    withheld: Mask


def digest(network: Network, parts: list[Part]) -> str:
    """Changes with the values of a set or with what is withheld of it."""
    found = zlib.crc32(np.ascontiguousarray(network.values).tobytes())
    for part in parts:
        found = zlib.crc32(part.columns.tobytes() + part.withheld.tobytes(), found)
    return f"{found:08x}"


def patterns(network: Network) -> dict[str, list[Part]]:
    """By name, the parts that a pattern is played in; their errors are pooled.

    single: a fifth of the cells of the second half. block: six blocks, one series at a time.
    overlap: up to five correlated series out together; not below four series. blackout: all of
    them for a day, five times in long records. alone: some series, each without any other beside
    it, with three blocks; not where there is but one. ahead: see `FORECASTS`.
    """
    values = network.values
    steps, series = values.shape
    rng = np.random.default_rng(network.seed)
    everyone = np.arange(series)
    found = {"single": _single(steps, series, rng), "block": _block(steps, series, rng)}
    if series >= 4:
        found["overlap"] = _overlap(values)
    found["blackout"] = _blackout(steps, series, day(network))
    seen = ~np.isnan(values)
    parts = {name: [Part(everyone, mask & seen)] for name, mask in found.items()}
    if series > 1:
        parts["alone"] = [
            Part(np.array([c]), _blocks_of_one(steps) & seen[:, [c]])
            for c in np.sort(rng.permutation(series)[:3])
        ]
    late = np.arange(steps)[:, None] >= 2 * steps // 3
    return parts | {FORECASTS: [Part(everyone, late & seen)]}


def day(network: Network) -> int:
    """Steps in a day, at least three."""
    return max(3, round(DAY / network.interval))


def _length(steps: int) -> int:
    return max(3, round(BLOCK * steps))


def _single(steps: int, series: int, rng: np.random.Generator) -> Mask:
    mask = np.zeros((steps, series), bool)
    late = steps // 2
    mask[late:] = rng.random((steps - late, series)) < SHARE
    return mask


def _block(steps: int, series: int, rng: np.random.Generator) -> Mask:
    """Six blocks, one after the other, from two thirds of the record on."""
    mask = np.zeros((steps, series), bool)
    begin, length = 2 * steps // 3, _length(steps)
    for i, column in enumerate(np.resize(rng.permutation(series), 6)):
        at = begin + int(i * (steps - 6 - begin) / 6)
        mask[at : at + length, column] = True
    return mask


def _overlap(values: Floats) -> Mask:
    """The two most correlated series of the first half, and those closest to what is chosen."""
    steps, series = values.shape
    half = values[: steps // 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        close = np.abs(np.corrcoef(np.where(np.isnan(half), np.nanmean(half, axis=0), half).T))
    close = np.nan_to_num(close)
    np.fill_diagonal(close, -1)
    group = [int(i) for i in np.unravel_index(close.argmax(), close.shape)]
    while len(group) < min(5, series // 2):
        nearness = close[:, group].sum(axis=1)
        nearness[group] = -np.inf
        group.append(int(nearness.argmax()))
    mask, length = np.zeros(values.shape, bool), _length(steps)
    mask[steps - 2 * length : steps - length, group] = True
    return mask


def _blackout(steps: int, series: int, length: int) -> Mask:
    mask = np.zeros((steps, series), bool)
    starts = [2 * steps // 3]
    if steps > 12 * length:
        starts = [int(steps * 0.6) + int(i * 0.38 * steps / 5) for i in range(5)]
    for at in starts:
        mask[at : at + length] = True
    return mask


def _blocks_of_one(steps: int) -> Mask:
    """Three blocks in the last third."""
    mask = np.zeros((steps, 1), bool)
    begin, length = 2 * steps // 3, _length(steps)
    for i in range(3):
        at = begin + i * (steps - begin) // 3
        mask[at : at + length] = True
    return mask
