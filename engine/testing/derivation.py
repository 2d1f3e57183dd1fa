"""The conformance kit of derivations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gapcast.engine.derivation import Derivation
from gapcast.engine.forecaster import Floats
from gapcast.engine.plugin import Params
from gapcast.engine.testing.kit import suite

NUMBER = 997
"""Of the values that a check is made on: no multiple of any vector's length."""
WILD = (-np.inf, -1e300, -1e6, -300.0, -1e-300, 0.0, 1e-300, 1e6, 1e300, np.inf)


@dataclass(frozen=True)
class Case:
    """A derivation to check, on values and companions of its domain."""

    derivation: Derivation

    def inputs(self) -> tuple[Floats, Floats]:
        """(NUMBER,) values and companions, anywhere in the domain, from a fixed seed."""
        rng = np.random.default_rng(7)
        value, companion = (rng.uniform(*ends, NUMBER) for ends in self.derivation.domain)
        return value, companion

    def both(self) -> tuple[tuple[str, Callable[[Floats, Floats], Floats], Floats, Floats], ...]:
        """Name and function, there and back, each with inputs of its own."""
        value, companion = self.inputs()
        derived = self.derivation.forward(value, companion)
        there, back = self.derivation.forward, self.derivation.inverse
        return ("forward", there, value, companion), ("inverse", back, derived, companion)


def the_way_back_ends_where_it_began(case: Case, tmp_path: Path) -> None:
    """Within its domain `inverse` undoes `forward`, to nine digits."""
    value, companion = case.inputs()
    derived = case.derivation.forward(value, companion)
    assert np.isfinite(derived).all(), "forward gives no number somewhere in the domain"
    back = case.derivation.inverse(derived, companion)
    np.testing.assert_allclose(back, value, rtol=1e-9, atol=1e-9 * np.abs(value).max())


def arrays_of_any_shape_are_left_alone(case: Case, tmp_path: Path) -> None:
    """Both functions give float64 of the shape that they were given, which they do not change;
    none at all is a shape, too."""
    for name, function, one, other in case.both():
        for shape in ((NUMBER,), (1, NUMBER), (NUMBER, 1), (0, 3)):
            a, b = (np.resize(x, shape) for x in (one, other))
            before = a.copy(), b.copy()
            out = function(a, b)
            assert out.shape == shape, f"{name} gives another shape"
            assert out.dtype == np.float64, f"{name} gives another type"
            for array, copy in zip((a, b), before, strict=True):
                np.testing.assert_array_equal(array, copy, f"{name} wrote to what it was given")


def nothing_gives_nothing(case: Case, tmp_path: Path) -> None:
    """NaN on either side gives NaN, both ways."""
    for name, function, one, other in case.both():
        nothing = np.full(NUMBER, np.nan)
        for a, b in ((one, nothing), (nothing, other), (nothing, nothing)):
            assert np.isnan(function(a, b)).all(), f"{name} makes a number of NaN"


def each_element_is_by_itself(case: Case, tmp_path: Path) -> None:
    """The bits of an element do not depend on where it stands, nor on what stands beside it."""
    for name, function, one, other in case.both():
        whole = function(one, other)
        for start, stop in ((1, None), (3, 8), (500, 501), (0, 7), (2, 65)):
            piece = function(one[start:stop].copy(), other[start:stop].copy())
            np.testing.assert_array_equal(piece, whole[start:stop], f"{name} of a piece")
        turned = function(one[::-1].copy(), other[::-1].copy())
        np.testing.assert_array_equal(turned[::-1], whole, f"{name} of the reverse")


def neither_way_falls(case: Case, tmp_path: Path) -> None:
    """With one companion, a greater value never has a lesser derived quantity, nor the other way
    round: bounds are bounds of what is turned back."""
    values = np.linspace(*case.derivation.domain[0], NUMBER)
    for companion in np.linspace(*case.derivation.domain[1], 23):
        same = np.full(NUMBER, companion)
        derived = case.derivation.forward(values, same)
        assert (np.diff(derived) >= 0).all(), f"forward falls at companion {companion}"
        back = case.derivation.inverse(np.sort(derived), same)
        back = back[~np.isnan(back)]
        assert (np.diff(back) >= 0).all(), f"inverse falls at companion {companion}"


def what_is_withheld_does_not_show(case: Case, tmp_path: Path) -> None:
    """Whether `forward` gives a number depends on the companion alone, whatever the value."""
    _, companions = case.inputs()
    for companion in (*companions[:50], *WILD):
        values = np.array([*WILD[1:-1], *case.derivation.domain[0]])
        there = np.isfinite(case.derivation.forward(values, np.full(len(values), companion)))
        assert there.all() or not there.any(), (
            f"with companion {companion} there is a number for {values[there][0]} "
            f"and none for {values[~there][0]}"
        )


def the_impossible_raises_nothing(case: Case, tmp_path: Path) -> None:
    """Whatever is read or forecast, both functions answer with a finite number or NaN."""
    one, other = (a.ravel() for a in np.meshgrid(WILD, WILD))
    value, companion = case.inputs()
    for name, function, _, _ in case.both():
        for a, b in ((one, other), (value[:10], np.array(WILD)), (np.array(WILD), companion[:10])):
            out = function(a, b)
            wrong = np.isinf(out)
            assert not wrong.any(), f"{name} is infinite for {a[wrong][0]} and {b[wrong][0]}"


CHECKS = [
    the_way_back_ends_where_it_began,
    arrays_of_any_shape_are_left_alone,
    nothing_gives_nothing,
    each_element_is_by_itself,
    neither_way_falls,
    what_is_withheld_does_not_show,
    the_impossible_raises_nothing,
]


def derivation(
    cls: type[Derivation],
    params: Params | None = None,
    *,
    skip: Mapping[str, str] | None = None,
) -> type:
    """A pytest class that holds `cls` to `Derivation`'s contract, with `params` or its defaults."""
    case = Case(cls(params if params is not None else cls.Params()))
    return suite(f"Test{cls.__name__}", CHECKS, case, skip or {})
