"""Long silences: steps of which nothing arrived, and for which there are no rows."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.silence import Silence


def plainly(there, most):
    """Of each step: is the last one that holds a value more than `most` back?"""
    found, last = [], None
    for step, value in enumerate(there):
        last = step if value else last
        found.append(last is not None and step - last > most)
    return found


def frames(there, cuts, first=0):
    at = 0
    for cut in [*cuts, len(there)]:
        piece = there[at : at + cut]
        if piece:
            values = np.full((len(piece), 3), np.nan)
            values[np.array(piece), 1] = 7.0
            yield GridFrame(first + at, values, np.broadcast_to(np.nan, values.shape))
        at += cut


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(0, 6), st.lists(st.integers(1, 9)))
def test_a_step_is_silent_when_nothing_has_arrived_for_long(there, most, cuts):
    silence = Silence(most)
    for frame in frames(there, cuts):
        silence.add(frame)
        stop = frame.first + len(frame.values)
        expected = plainly(there[:stop], most)
        assert silence.of(frame.first, len(frame.values)).tolist() == expected[frame.first :]
    again = Silence(most)
    again.restore(json.loads(json.dumps(silence.snapshot())))
    last = max(0, len(there) - 20)
    assert again.of(last, 20).tolist() == silence.of(last, 20).tolist()


def test_rejected_values_are_no_silence():
    nothing = np.full((1, 2), np.nan)
    silence = Silence(0)
    silence.add(GridFrame(0, np.zeros((1, 2)), np.broadcast_to(np.nan, (1, 2))))
    silence.add(GridFrame(1, nothing, np.array([[np.nan, 99.0]])))
    assert silence.of(0, 3).tolist() == [False, False, True]
