"""Files of a day: names say what they hold, and which of them are merged follows from the names."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gapcast.plugins.sinks.parquet import ParquetSink
from gapcast.plugins.sinks.parts import SMALL, Part, current, due, parts, superseded


def test_a_name_says_what_is_in_it():
    for part in (Part(3, 3, 7), Part(10, 57, 120_000), Part(4, 4, 9, 0), Part(10**9, 10**9, 1)):
        assert parts([part.name]) == [part]
    assert Part(10, 57, 120_000).name == "part-00000010-00000057-000120000.parquet"
    assert parts([".part-00000003-00000003-000000007.parquet.tmp", "part-0.parquet", "x"]) == []


def test_a_reader_takes_every_row_once_while_files_are_merged():
    old = [Part(0, 4, 50), Part(5, 9, 50), Part(5, 5, 9), Part(7, 7, 11), Part(9, 9, 30)]
    new = [Part(10, 10, 5, 0), Part(10, 10, 6, 1), Part(11, 11, 5)]
    assert superseded(old + new) == [Part(5, 5, 9), Part(7, 7, 11), Part(9, 9, 30)]
    assert current(p.name for p in old + new) == [p.name for p in [*old[:2], *new]]


class Days:
    """Plays the sink on one day, and keeps count."""

    def __init__(self, most):
        self.most, self.there, self.copied, self.greatest = most, [], 0, 0

    def add(self, epoch, rows):
        self.there.append(Part(epoch, epoch, rows))
        self.merge(epoch + 1)

    def merge(self, following):
        for group in due(self.there, following, self.most, ParquetSink.many, ParquetSink.quiet):
            assert len(group) > 1
            whole = Part(group[0].first, group[-1].last, sum(p.rows for p in group))
            assert whole.rows <= self.most
            assert superseded([*self.there, whole]) == group
            self.copied += whole.rows
            self.there = sorted([p for p in self.there if p not in group] + [whole])
        self.greatest = max(self.greatest, len(self.there))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2000)), max_size=400),
    st.sampled_from([2000, 20_000, 10**9]),
)
def test_files_stay_few_and_are_copied_few_times(epochs, most):
    day, epoch, rows = Days(most), 0, 0
    for gap, number in epochs:
        day.add(epoch, min(number, most))
        rows += min(number, most)
        epoch += gap
    assert day.greatest <= ParquetSink.many + SMALL * rows / most * 2 + 1
    assert day.copied <= 8 * rows
    day.merge(epoch + 100)
    before = list(day.there)
    day.merge(epoch + 200)
    assert day.there == before
    assert sum(p.rows for p in day.there) == rows
    small = [p.rows * SMALL < most for p in day.there]
    assert not any(a and b for a, b in pairwise(small)) or most == 2000


def test_what_one_crash_left_can_be_swept_by_hand(tmp_path):
    day = tmp_path / "day=2004-03-01"
    day.mkdir()
    for part in (Part(0, 1, 2), Part(0, 0, 1), Part(1, 1, 1), Part(2, 2, 1)):
        (day / part.name).write_bytes(b"")
    command = [sys.executable, "-m", "gapcast.plugins.sinks.parts", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [
        f"removed day=2004-03-01/{p.name}" for p in (Part(0, 0, 1), Part(1, 1, 1))
    ]
    assert sorted(p.name for p in day.iterdir()) == [Part(0, 1, 2).name, Part(2, 2, 1).name]
