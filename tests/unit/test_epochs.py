"""Where epochs end: by size, by age, at a pause of the source, and later while sinks are behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.output.epochs import Epochs
from gapcast.engine.output.outlets import Outlet
from gapcast.engine.shard.results import ModelRows, StepResult, Steps
from gapcast.engine.storage import open_folder


class Slow:
    """Notes the steps of each epoch; the first one is held until `go`."""

    def __init__(self):
        self.epoch, self.written = 0, []
        self.go, self.began = threading.Event(), threading.Event()

    def write(self, steps):
        self.began.set()
        assert self.go.wait(60)
        self.written.append(steps)
        self.epoch += 1


class StepsOnly(Outlet):
    """A row a step."""

    def __init__(self, slow):
        self.slow, self.steps = slow, []

    def prepare(self, epoch, results):
        self.steps = [at for of in results for at in range(of.first, of.first + len(of))]
        return len(self.steps)

    def commit(self):
        self.slow.write(self.steps)


def step(at):
    one = np.zeros((1, 1))
    steps = Steps(one, one.astype(np.uint8), one.astype(np.int32), one.astype(np.uint8))
    return StepResult(at, steps, [ModelRows(*np.zeros((3, 1, 1, 1)))])


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def epochs(slow, tmp_path):
    def make(most=1000, seconds=1e9):
        return Epochs(slow, StepsOnly(slow), EpochLog(open_folder(tmp_path)), most, seconds)

    return make


def test_what_comes_while_two_epochs_are_written_makes_a_larger_one(slow, epochs):
    made = epochs()
    made.add(step(0))
    made.flush()
    assert slow.began.wait(60)
    made.add(step(1))
    made.flush()
    for at in (2, 3, 4):
        made.add(step(at))
        made.flush()
    slow.go.set()
    made.close(deliver=True)
    assert slow.written == [[0], [1], [2, 3, 4]]


def test_so_do_those_that_are_old(slow, epochs):
    made = epochs(seconds=1e-9)
    made.add(step(0))
    assert slow.began.wait(60)
    for at in range(1, 5):
        made.add(step(at))
    slow.go.set()
    made.close(deliver=True)
    assert slow.written == [[0], [1], [2, 3, 4]]


def test_with_no_seconds_every_result_is_an_epoch_and_with_most_rows_none_is_larger(slow, epochs):
    slow.go.set()
    one = epochs(seconds=0)
    for at in range(6):
        one.add(step(at))
    one.close(deliver=True)
    assert slow.written == [[at] for at in range(6)]
    slow.written.clear()
    two = epochs(most=2)
    for at in range(6, 11):
        two.add(step(at))
    two.close(deliver=True)
    assert slow.written == [[6, 7], [8, 9], [10]]
