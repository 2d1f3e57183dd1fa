"""Names of series as arrays, for checkpoints."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gapcast.engine.forecaster import Series
from gapcast.engine.network.names import packed, unpacked

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.builds(Series, NAMES, st.sampled_from(["temperature", "humidity", "µ", ""]))))
def test_names_come_back_whatever_they_are(series):
    arrays = packed(series)
    assert unpacked(arrays) == tuple(series)
    stored = {name: np.frombuffer(a.tobytes(), a.dtype) for name, a in arrays.items()}
    assert unpacked(stored) == tuple(series)
