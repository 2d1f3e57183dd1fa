"""Dew point from temperature and relative humidity, by Magnus's formula, and back.

Saturation vapour pressure over water is proportional to exp(17.62 T / (243.12 + T)), T in °C, from
-45 to 60 °C (Sonntag 1990, *Zeitschrift für Meteorologie* 40; WMO-No. 8, annex 4.B). The dew
point Td is where it equals the air's: with l = ln(RH/100) + 17.62 T/(243.12 + T),
Td = 243.12 l/(17.62 - l).

One element after the other, with the logarithm of the C library: a vectorised one may round
differently where a vector ends.
"""

from __future__ import annotations

from math import log

from numba import njit

from gapcast.engine.kernels.uncounted import inlined_part

A, B = 17.62, 243.12
LOWEST, HIGHEST = -45.0, 60.0
"""Temperatures, in °C, for which the formula is made."""
COLDEST, HOTTEST = -200.0, 1000.0
"""Readings beyond are taken as these: still far from any air, yet the formula has a value."""
WETTEST = 110.0
"""In %. Wet hygrometers read a little above 100, which means 100."""


@inlined_part
def _saturation(humidity):
    """ln(RH/100), NaN where there is no such humidity (%)."""
    if not 0.0 < humidity <= WETTEST:
        return float("nan")
    return log(min(humidity, 100.0) / 100.0)


@njit(cache=True, nogil=True, error_model="numpy")
def dew_point(temperature, humidity, out):
    """out = dew point in °C, of °C and %. All (K,)."""
    for k in range(len(out)):
        t = temperature[k]
        if t == t:
            t = min(max(t, COLDEST), HOTTEST)
        x = _saturation(humidity[k]) + A * t / (B + t)
        out[k] = B * x / (A - x)


@njit(cache=True, nogil=True, error_model="numpy")
def temperature(dew, humidity, out):
    """out = temperature in °C, of a dew point in °C and %; NaN beyond LOWEST and HIGHEST. All
    (K,)."""
    for k in range(len(out)):
        out[k] = float("nan")
        if dew[k] > -B:
            x = A * dew[k] / (B + dew[k]) - _saturation(humidity[k])
            t = B * x / (A - x) if x < A else float("nan")
            if LOWEST <= t <= HIGHEST:
                out[k] = t
