"""The causal refit peer: a ridge regression fitted anew on all that was seen before a gap."""

from __future__ import annotations

import numpy as np

from suite.peers.naive import last
from suite.sets import Floats

PENALTIES = np.logspace(-3, 4, 8)
FITS = 40
"""At most so many fits a series."""
CROWDED = 0.15
"""Where more of the second half is missing, others that miss steps are used all the same."""


def ridge(values: Floats, interval: float) -> Floats:
    """Each gap of the second half from the others: those that are there at the gap's first step, or
    all where gaps are everywhere; what they miss counts as their mean. The penalty is chosen by
    leaving one step out. One series: hold its last value."""
    from sklearn.linear_model import RidgeCV

    steps, series = values.shape
    if series == 1:
        return last(values)
    half = values[: steps // 2]
    mean, deviation = np.nanmean(half, axis=0), np.nanstd(half, axis=0) + 1e-9
    z = (values - mean) / deviation
    missing, known = np.isnan(z), np.nan_to_num(z)
    crowded = missing[steps // 2 :].mean() >= CROWDED
    filled = np.full_like(values, np.nan)
    for j in range(series):
        model, fits = None, 0
        for t in np.flatnonzero(missing[:, j]):
            if t < steps // 2:
                continue
            begins = not missing[t - 1, j] and not missing[t - 1].any()
            if model is None or (begins and fits < FITS):
                others = np.arange(series) != j if crowded else ~missing[t]
                if not others.any():
                    filled[t, j] = mean[j]
                    continue
                past = np.flatnonzero(~missing[:t, j])
                x, y = known[past][:, others], z[past, j]
                model, fits = (others, RidgeCV(alphas=PENALTIES).fit(x, y)), fits + 1
            others, fitted = model
            filled[t, j] = fitted.predict(known[t : t + 1, others])[0] * deviation[j] + mean[j]
    return filled
