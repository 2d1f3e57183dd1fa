"""The numbers within an object of another library, as one vector and back.

A model of that library becomes state that the engine can keep, cut and move only if everything it
has learnt is numbers in places that stay. Whether that holds is tried, not believed: see `trial`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from gapcast.engine.forecaster import Floats

_NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
_CONSTANTS = (str, bytes, type, FunctionType, MethodType, BuiltinFunctionType, ModuleType, np.ufunc)
_LEARN, _GO_ON = 40, 20
"""Samples of a trial before its model is stopped, and after."""


class Learner(ABC):
    """A regressor that learns one sample at a time; `model` is the library's object."""

    model: Any

    @abstractmethod
    def predict(self, x: Floats) -> float:
        """The forecast for the inputs `x`; asked only when something has been learnt."""

    @abstractmethod
    def learn(self, x: Floats, y: float) -> None:
        """Learn that `y` belongs to `x`."""


class Leaf(NamedTuple):
    """A number, an array of numbers or a constant in a model. `put` replaces a number."""

    name: str
    value: Any
    put: Callable[[Any], None] | None

    @property
    def kind(self) -> str:
        """What must stay as it is for the numbers to have their places."""
        if self.put is not None:
            return "number"
        if isinstance(self.value, np.ndarray):
            return f"{self.value.dtype} array of shape {self.value.shape}"
        return f"constant {self.value}"


def read(model: Any) -> Floats:
    """All numbers in `model`, (K,). Raises ValueError when it holds what is none."""
    parts = [np.ravel(leaf.value) for leaf in _leaves(model) if leaf.kind[:8] != "constant"]
    return np.concatenate([np.empty(0), *parts]).astype(np.float64)


def write(model: Any, numbers: Floats) -> None:
    """Put `numbers`, which `read` gave of a model built alike, into `model`."""
    at = 0
    for leaf in _leaves(model):
        if leaf.put is not None:
            leaf.put(type(leaf.value)(numbers[at]))
            at += 1
        elif isinstance(leaf.value, np.ndarray):
            size = leaf.value.size
            leaf.value[...] = numbers[at : at + size].reshape(leaf.value.shape)
            at += size


def primed(make: Callable[[], Learner], inputs: int) -> Learner:
    """A learner that has all its places, to `write` to."""
    learner = make()
    learner.learn(np.zeros(inputs), 0.0)
    learner.predict(np.zeros(inputs))
    return learner


def trial(make: Callable[[], Learner], inputs: int) -> None:
    """Try whether a model restored from its numbers goes on as if it had never been stopped.

    Raises ValueError saying why not: it begins at random, holds something that is no number, or
    grows.
    """
    rng = np.random.default_rng(1)
    xs, ys = rng.normal(0, 1, (_LEARN + _GO_ON, inputs)), rng.normal(0, 1, _LEARN + _GO_ON)
    one, other, again = make(), make(), primed(make, inputs)
    for x, y in zip(xs[:3], ys[:3], strict=True):
        again.learn(-x, 2 * y)
    kinds = [(leaf.name, leaf.kind) for leaf in _leaves(again.model)]
    made = [list(_told(m, xs[:_LEARN], ys[:_LEARN])) for m in (one, other)]
    if not np.array_equal(made[0], made[1], equal_nan=True):
        raise ValueError("it begins at random; give it a seed, or weights to begin with")
    now = [(leaf.name, leaf.kind) for leaf in _leaves(one.model)]
    if differs := sorted({name for name, _ in set(kinds) ^ set(now)}):
        raise ValueError(f"{differs[0]} grows or changes its form as it learns")
    write(again.model, read(one.model))
    went = [list(_told(m, xs[_LEARN:], ys[_LEARN:])) for m in (one, again)]
    if not np.array_equal(went[0], went[1], equal_nan=True):
        raise ValueError("restored from the numbers it holds, it does not go on as before")


def _told(learner: Learner, xs: Floats, ys: Floats) -> Iterator[float]:
    for x, y in zip(xs, ys, strict=True):
        learner.learn(x, float(y))
        yield learner.predict(x)


def _leaves(model: Any) -> list[Leaf]:
    found: list[Leaf] = []
    _visit(Leaf(type(model).__name__, model, None), found, set())
    return found


def _visit(at: Leaf, found: list[Leaf], seen: set[int]) -> None:
    """Add what is below `at`, in an order that depends on names alone."""
    value = at.value
    if isinstance(value, _NUMBERS):
        found.append(at)
    elif value is None or isinstance(value, (*_CONSTANTS, tuple)):
        plain = value if isinstance(value, tuple) else getattr(value, "__qualname__", value)
        found.append(Leaf(at.name, repr(plain), None))
    elif id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found.append(Leaf(at.name, value, None))
        else:
            for child in _children(at.name, value):
                _visit(child, found, seen)


def _children(name: str, value: Any) -> Iterator[Leaf]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield Leaf(f"{name}[{i}]", item, _put_item(value, i))
    elif hasattr(value, "keys") and hasattr(value, "__setitem__"):
        for key in sorted(value.keys(), key=repr):
            yield Leaf(f"{name}[{key!r}]", value[key], _put_item(value, key))
    elif _plain(value):
        for key, item in sorted(vars(value).items()):
            yield Leaf(f"{name}.{key}", item, _put_attribute(value, key))
    else:
        raise ValueError(f"{name} holds a {type(value).__name__}, which is not made of numbers")


def _plain(value: Any) -> bool:
    """Whether `vars` tells everything about an object: nothing hidden in compiled code."""
    return hasattr(value, "__dict__") and type(value).__reduce__ is object.__reduce__


def _put_item(holder: Any, key: Any) -> Callable[[Any], None]:
    return lambda value: holder.__setitem__(key, value)


def _put_attribute(holder: Any, key: str) -> Callable[[Any], None]:
    return lambda value: setattr(holder, key, value)
