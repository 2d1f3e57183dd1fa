"""``intel-lab``: the log of the Intel Berkeley Research Lab network (2004).

``date time epoch moteid temperature humidity light voltage``, one space between fields. A line may
end early: what is missing at its end gives no reading, and neither does an empty field. Sensors
are the mote ids as written, times are taken as UTC.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.plugins.sources.formats.format import Parsed, TextFormat
from gapcast.plugins.sources.formats.rows import BAD_LINE, BAD_TIME, GOOD, SKIPPED, Labels, Rows
from gapcast.plugins.sources.text.decimals import ABSENT, NULL, decimals
from gapcast.plugins.sources.text.names import names
from gapcast.plugins.sources.text.split import Fields, fields
from gapcast.plugins.sources.text.times import NONE, Ints, iso

QUANTITIES = ("temperature", "humidity", "light", "voltage")
"""In °C, %, lux and V."""

_parse_times = iso()


def states(split: Fields, least: int, most: int) -> tuple[NDArray[np.int8], Ints]:
    """What became of each line of `least` to `most` fields, and its time in the first two."""
    state = np.zeros(len(split.counts), np.int8)
    state[(split.counts < least) | (split.counts > most)] = BAD_LINE
    state[split.counts == 0] = SKIPPED
    starts, ends = split.starts[:, 0].copy(), split.ends[:, 1].copy()
    starts[state != GOOD] = ends[state != GOOD] = 0
    time, kinds = _parse_times(split.text, starts, ends)
    state[(state == GOOD) & (kinds == NONE)] = BAD_TIME
    return state, time


def motes(split: Fields, slot: int, state: NDArray[np.int8]) -> tuple[NDArray[np.int32], pa.Array]:
    """The mote of each line and what they are called; a line without a number is malformed."""
    sensor, sensors = names(split, slot, state)
    numbers = pc.match_substring_regex(sensors, "^[0-9]+$").to_numpy(zero_copy_only=False)
    if not numbers.all():
        sensor[(sensor >= 0) & ~numbers.astype(np.bool_)[sensor]] = -1
    state[(state == GOOD) & (sensor < 0)] = BAD_LINE
    return sensor, sensors


class IntelLab(TextFormat):
    """The original layout: a line for each moment of a mote."""

    _MOTE, _FIRST, _FIELDS = 3, 4, 8

    def parse(self, text: NDArray[np.uint8]) -> Parsed:
        """See `TextFormat.parse`."""
        wanted = [k for k, name in enumerate(QUANTITIES) if self.wanted(name)]
        split = fields(text, " ", [0, 1, self._MOTE, *(self._FIRST + k for k in wanted)])
        state, time = states(split, self._MOTE + 1, self._FIELDS)
        sensor, sensors = motes(split, 2, state)
        slots = list(range(3, 3 + len(wanted)))
        values, cells = decimals(split, slots, state)
        cells[(cells == NULL) & (split.starts[:, slots] == split.ends[:, slots])] = ABSENT
        of = Labels(
            sensor=sensor,
            quantity=np.full(len(state), -1, np.int32),
            of_sensor=np.full(len(wanted), -1, np.int32),
            of_quantity=np.arange(len(wanted), dtype=np.int32),
            sensors=sensors,
            quantities=pa.array([QUANTITIES[k] for k in wanted], pa.string()),
        )
        return Parsed(Rows(state, time, values, cells, of), split, slots)
