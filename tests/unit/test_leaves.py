"""Numbers out of an object and back: what a trial must notice."""

from __future__ import annotations

import random
from itertools import count

import numpy as np
import pytest

from gapcast.plugins.forecasters.leaves import Learner, read, trial, write


class Model:
    """A mean of what was told, kept in every kind of place."""

    def __init__(self):
        self.total, self.told, self.weights = 0.0, 0, np.zeros((2, 2))
        self.inner, self.listed, self.name = {"b": 1.0, "a": np.zeros(1)}, [0.0], "model"


class Told(Learner):
    def __init__(self):
        self.model = Model()

    def predict(self, x):
        m = self.model
        return m.total / m.told + float(m.weights[0, 1] + m.inner["a"][0] + m.listed[0])

    def learn(self, x, y):
        m = self.model
        m.total, m.told = m.total + y, m.told + 1
        m.weights[0, 1] += y / 3
        m.inner["a"] = m.inner["a"] + y / 7
        m.listed[0] = y


class Grows(Told):
    def learn(self, x, y):
        super().learn(x, y)
        self.model.listed.append(y)


class Hides(Told):
    hidden = 0.0

    def learn(self, x, y):
        super().learn(x, y)
        self.hidden += y

    def predict(self, x):
        return super().predict(x) + self.hidden


class Random(Told):
    starts = count()

    def __init__(self):
        super().__init__()
        self.model.total = float(next(Random.starts))


class Generator(Told):
    def __init__(self):
        super().__init__()
        self.model.generator = random.Random(1)


class Renamed(Told):
    def learn(self, x, y):
        super().learn(x, y)
        self.model.name = f"model {self.model.told}"


def test_numbers_go_out_and_back():
    one, other = Told(), Told()
    for y in (1.0, 2.5):
        one.learn(np.zeros(1), y)
    other.learn(np.zeros(1), 9.0)
    write(other.model, read(one.model))
    np.testing.assert_array_equal(read(other.model), read(one.model))
    assert (other.model.total, other.model.told, type(other.model.told)) == (3.5, 2, int)
    trial(Told, 3)


@pytest.mark.parametrize(
    ("learner", "why"),
    [
        (Grows, r"Model.listed\[\d+\] grows"),
        (Hides, "does not go on as before"),
        (Random, "begins at random"),
        (Generator, "Model.generator holds a Random"),
        (Renamed, "Model.name grows or changes"),
    ],
)
def test_a_trial_notices(learner, why):
    with pytest.raises(ValueError, match=why):
        trial(learner, 3)
