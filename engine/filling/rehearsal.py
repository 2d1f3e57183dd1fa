"""Gaps like those of a record, where it has values: what ways to fill are worth is seen there."""

from __future__ import annotations

from math import ceil

import numpy as np

from gapcast.engine.filling.record import Mask, ends

ENOUGH = 0.12
"""Share of the values that is withheld at least, if so many shifts are enough:"""
SHIFTS = 4
MOST, GAPS = 0.25, 20
"""Share of the values that is withheld at most, about: of more too few would be left to learn from.
But so many gaps are in any case, for a few say nothing."""
LONGEST = 4
"""Gaps longer than the record's steps over this are not rehearsed."""
TRIED = 21
"""Shifts that are tried around each, for the one that meets the fewest missing values."""


def planted(missing: Mask) -> Mask:
    """(T, S) values to withhold: the gaps of the record itself, moved in time all together, so
    that they are as long, and as many at once, as those that are to be filled."""
    steps = len(missing)
    since, until = ends(missing)
    gaps = missing & (since + until - 1 <= max(3, steps // LONGEST))
    found = np.zeros_like(missing)
    share = gaps.sum() / max(1, (~missing).sum())
    count = int(np.clip(round(ENOUGH / share), 1, SHIFTS)) if share else 0
    for k in range(1, count + 1):
        found |= _moved(gaps, k * steps // (count + 1), missing | found)
    return _few(found & ~missing, missing)


def _few(found: Mask, missing: Mask) -> Mask:
    """Every second gap of each series, or third, and so on, where all would be too many."""
    share = found.sum() / max(1, (~missing).sum())
    begins = found & ~np.vstack([np.zeros_like(found[:1]), found[:-1]])
    every = min(ceil(share / MOST), int(begins.sum()) // GAPS)
    return found & (np.cumsum(begins, axis=0) % every == 0) if every > 1 else found


def _moved(gaps: Mask, shift: int, taken: Mask) -> Mask:
    """`gaps` moved by about `shift` steps, where they meet the least of what is taken."""
    steps = len(gaps)
    reach = steps // 20
    shifts = np.unique(np.linspace(shift - reach, shift + reach, TRIED).astype(int))
    met = [int((np.roll(gaps, by, axis=0) & taken).sum()) for by in shifts]
    return np.roll(gaps, int(shifts[int(np.argmin(met))]), axis=0)
