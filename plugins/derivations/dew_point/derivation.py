"""The `dew-point` derivation: temperature (°C) through the dew point, by relative humidity (%)."""

from __future__ import annotations

import numpy as np

from gapcast.engine.derivation import Derivation
from gapcast.engine.forecaster import Floats
from gapcast.plugins.derivations.dew_point import kernel


class DewPoint(Derivation):
    """The temperature at which a sensor's air would be saturated.

    Air that mixes has one dew point, however warm it is where a sensor stands. Magnus's formula
    over water, of Sonntag (1990), for -45 to 60 °C. ``docs/derived.md`` has the figures.
    """

    quantities = ("temperature", "humidity")
    domain = ((kernel.LOWEST, kernel.HIGHEST), (0.1, 100.0))

    def forward(self, value: Floats, companion: Floats) -> Floats:
        """Dew point in °C of temperatures in °C and relative humidities in %, above 0 to 110."""
        return _each(kernel.dew_point, value, companion)

    def inverse(self, derived: Floats, companion: Floats) -> Floats:
        """Temperature in °C; NaN beyond -45 and 60, for which the formula is not made."""
        return _each(kernel.temperature, derived, companion)


def _each(function: object, one: Floats, other: Floats) -> Floats:
    out = np.empty(one.shape)
    function(one.ravel(), other.ravel(), out.reshape(-1))  # type: ignore[operator]
    return out
