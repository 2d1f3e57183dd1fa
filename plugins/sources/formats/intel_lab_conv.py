"""``intel-lab-conv``: the same measurements with a line for each value, as courses use them.

``date hour sensor-type value voltage``, e.g. ``2017-02-28 00:00:53.492 24-0 18.1362 2.68``: type 0
is temperature, 1 humidity, 2 light. A line's voltage is a reading of its own.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from gapcast.plugins.sources.formats.format import Parsed, TextFormat
from gapcast.plugins.sources.formats.intel_lab import QUANTITIES, motes, states
from gapcast.plugins.sources.formats.rows import BAD_LINE, GOOD, Labels, Rows
from gapcast.plugins.sources.text.decimals import decimals
from gapcast.plugins.sources.text.split import fields

_DASH, _ZERO = 45, 48
_TYPES = 3


class IntelLabConv(TextFormat):
    """The layout of ``data.conv.txt``."""

    def parse(self, text: NDArray[np.uint8]) -> Parsed:
        """See `TextFormat.parse`."""
        split = fields(text, " ", [0, 1, 2, 3, 4])
        state, time = states(split, 4, 5)
        kind = np.empty(len(state), np.int32)
        _typed(split.text, split.starts, split.ends, state, kind)
        sensor, sensors = motes(split, 2, state)
        columns = [3] + [4] * self.wanted("voltage")
        values, cells = decimals(split, columns, state)
        numbers = [k if self.wanted(name) else -1 for k, name in enumerate(QUANTITIES)]
        of = Labels(
            sensor=sensor,
            quantity=np.array(numbers, np.int32)[kind],
            of_sensor=np.full(len(columns), -1, np.int32),
            of_quantity=np.array([-1, _TYPES][: len(columns)], np.int32),
            sensors=sensors,
            quantities=pa.array(QUANTITIES, pa.string()),
        )
        return Parsed(Rows(state, time, values, cells, of), split, columns)


@njit(cache=True, nogil=True, error_model="numpy")
def _typed(text, starts, ends, state, kind):
    """Cut ``24-0`` into mote and type; a line where there is no such thing is malformed."""
    for i in range(state.size):
        kind[i] = 0
        if state[i] != GOOD:
            continue
        dash = ends[i, 2] - 2
        what = np.int64(text[dash + 1]) - _ZERO if dash > starts[i, 2] else -1
        if 0 <= what < _TYPES and text[dash] == _DASH:
            kind[i] = what
            ends[i, 2] = dash
        else:
            state[i] = BAD_LINE
