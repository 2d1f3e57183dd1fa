"""The built-in derivation passes the kit, and every check catches what it was written for."""

from __future__ import annotations

import numpy as np
import pytest

from gapcast.engine.derivation import Derivation
from gapcast.engine.testing import derivation
from gapcast.engine.testing.derivation import CHECKS
from gapcast.plugins.derivations.dew_point.derivation import DewPoint

TestDewPoint = derivation(DewPoint)


class Sum(Derivation):
    """Value plus companion: right in every way."""

    quantities = ("a", "b")
    domain = ((-50.0, 50.0), (-10.0, 10.0))

    def forward(self, value, companion):
        out = np.clip(value, -1e9, 1e9) + np.where(np.abs(companion) > 1e9, np.nan, companion)
        return np.where(np.isnan(value), np.nan, out)

    def inverse(self, derived, companion):
        with np.errstate(invalid="ignore"):
            out = derived - companion
        return np.where(np.abs(out) < 1e9, out, np.nan)


class OffBack(Sum):
    def inverse(self, derived, companion):
        return super().inverse(derived, companion) + 1e-6


class Flattens(Sum):
    def forward(self, value, companion):
        return super().forward(value, companion).ravel()


class WritesToWhatItGets(Sum):
    def forward(self, value, companion):
        value += 1
        return super().forward(value - 1, companion)


class FillsIn(Sum):
    def forward(self, value, companion):
        return super().forward(value, np.nan_to_num(companion))


class MindsItsPlace(Sum):
    def forward(self, value, companion):
        places = np.arange(value.size).reshape(value.shape)
        return super().forward(value, companion) + 1e-12 * (places % 4)


class MindsItsCompany(Sum):
    def forward(self, value, companion):
        return super().forward(value, companion) + 1e-15 * value.size


class Falls(Sum):
    def forward(self, value, companion):
        return super().forward(-value, companion)

    def inverse(self, derived, companion):
        return -super().inverse(derived, companion)


class Shows(Sum):
    def forward(self, value, companion):
        return np.where(np.abs(value) > 200, np.nan, super().forward(value, companion))


class GrowsBeyond(Sum):
    def inverse(self, derived, companion):
        with np.errstate(invalid="ignore"):
            return derived - companion


class Raises(Sum):
    def inverse(self, derived, companion):
        with np.errstate(all="raise"):
            return super().inverse(derived, companion) + 0 * np.exp(companion)


DEFECTS = {
    "the_way_back_ends_where_it_began": {OffBack: "Not equal to tolerance"},
    "arrays_of_any_shape_are_left_alone": {
        Flattens: "forward gives another shape",
        WritesToWhatItGets: "forward wrote to what it was given",
    },
    "nothing_gives_nothing": {FillsIn: "forward makes a number of NaN"},
    "each_element_is_by_itself": {
        MindsItsPlace: "forward of a piece",
        MindsItsCompany: "forward of a piece",
    },
    "neither_way_falls": {Falls: "forward falls"},
    "what_is_withheld_does_not_show": {Shows: "there is a number for .* and none"},
    "the_impossible_raises_nothing": {
        GrowsBeyond: "inverse is infinite",
        Raises: "overflow encountered",
    },
}
TestSum = derivation(Sum)


@pytest.mark.parametrize(
    ("check", "bad"), [(c, bad) for c, wrong in DEFECTS.items() for bad in wrong]
)
def test_derivation_check_catches(check, bad, tmp_path):
    run = getattr(derivation(bad)(), f"test_{check}")
    with pytest.raises((AssertionError, FloatingPointError), match=DEFECTS[check][bad]):
        run(tmp_path)


def test_every_derivation_check_has_its_defect():
    assert list(DEFECTS) == [check.__name__ for check in CHECKS]
