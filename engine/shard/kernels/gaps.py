"""Random gaps, the same for a series however it is sharded: a stream of numbers of its own."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _uniform(state):
    """The next number in (0, 1) of a stream (Steele, Lea & Flood 2014, SplitMix64)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) / 9007199254740992.0


@njit(cache=True, nogil=True)
def gaps(seeds, share, shortest, longest, withheld):
    """Fill `withheld` (T, N) bool with gaps of `shortest` to `longest` steps, all lengths as often.

    seeds (N,) uint64. Runs between gaps are geometric, as long on average as makes `share` of all
    steps withheld, and at least one step long where they are two or more on average: closer to one,
    gaps of one length would be in step in all series.
    """
    T, N = withheld.shape
    withheld[:] = False
    run = (shortest + longest) / 2 * (1 - share) / share
    least = 1 if run >= 2 else 0
    longer = math.log((run - least) / (run - least + 1)) if run > least else -math.inf
    state = np.empty(1, np.uint64)
    for n in range(N):
        state[0] = seeds[n]
        t = 0
        while t < T:
            t += least + int(math.log(_uniform(state)) / longer)
            length = shortest + int(_uniform(state) * (longest - shortest + 1))
            for s in range(t, min(t + length, T)):
                withheld[s, n] = True
            t += length
