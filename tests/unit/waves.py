"""What the tests of least squares on neighbours share: signals, a model stepped."""

from itertools import pairwise

import numpy as np

from gapcast.engine.testing.forecaster import view


def stepped(model, layout, values, own=None, cuts=()):
    """Mean, lower and upper (3, T, N) of a fresh model stepped over `values`."""
    state, pieces = model.start(layout), []
    for a, b in pairwise([0, *cuts, len(values)]):
        frame = view(layout, 500 + a, values[a:b], None if own is None else own[a:b])
        out = model.step(state, frame)
        pieces.append(np.stack([out.mean, out.lower, out.upper])[..., 0])
    return np.concatenate(pieces, axis=1)


def waves(T=160, N=11, seed=0, missing=0.0):
    """(T, N) sensors that share two slow waves, with noise, offsets and gaps."""
    rng = np.random.default_rng(seed)
    t = np.arange(T)[:, None]
    common = 3 * np.sin(2 * np.pi * t / 48) * rng.normal(1, 0.2, N)
    common = common + np.cumsum(rng.normal(0, 0.3, (T, 1)), 0) * rng.normal(1, 0.5, N)
    values = 20 + rng.normal(0, 1, N) + common + rng.normal(0, 0.1, (T, N))
    values[rng.random((T, N)) < missing] = np.nan
    return values


def withhold(values, start, stop=None, targets=slice(None)):
    """The targets' own values, those chosen all masked in [start, stop)."""
    own = values.copy()
    own[start:stop, targets] = np.nan
    return own
