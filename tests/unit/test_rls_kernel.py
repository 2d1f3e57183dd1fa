"""The compiled recursion against two oracles, its bit-for-bit promises, and its guard."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.kernels.lanes import LANES
from gapcast.engine.kernels.packed import pack, packed_identity, packed_size, unpack
from gapcast.engine.kernels.rls import FLOOR, REACH, rls_dense
from gapcast.engine.kernels.rls_reference import rls_reference

SIZES = [1, 2, 3, 8, 11, 20, 32, 50]


def fresh(N, p, scale=1.0):
    """theta, P, s2, w of N models that have learnt nothing."""
    return np.zeros((N, p)), packed_identity(N, p, scale), np.zeros(N), np.zeros(N)


def problem(T, N, p, seed=0, gaps=0.1):
    """Regressors and truths of noisy linear models, with holes in both."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(T, N, p))
    Y = np.einsum("tnp,np->tn", X, rng.normal(size=(N, p))) + 0.1 * rng.normal(size=(T, N))
    Y[rng.random((T, N)) < gaps] = np.nan
    X[rng.random((T, N)) < gaps / 2, rng.integers(p)] = np.nan
    return X, Y


def run(state, X, Y, forgetting=0.98, cap=np.inf, rls=rls_dense):
    """Step `state` through X, Y in place; the forecasts (mean, variance)."""
    out = np.full((2, *Y.shape), -1.0)
    rls(*state, np.ascontiguousarray(X), np.ascontiguousarray(Y), forgetting, cap, *out)
    return out


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        assert x.tobytes() == y.tobytes()


@pytest.mark.parametrize("p", SIZES)
@pytest.mark.parametrize("cap", [np.inf, 2.0])
def test_agrees_with_the_plain_recursion(p, cap):
    X, Y = problem(T=150, N=11, p=p)
    mine, plain = fresh(11, p), fresh(11, p)
    forecasts = run(mine, X, Y, cap=cap * p)
    expected = run(plain, X, Y, cap=cap * p, rls=rls_reference)
    for a, b in zip([*mine, *forecasts], [*plain, *expected], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("p", SIZES)
def test_agrees_with_weighted_least_squares_in_closed_form(p):
    """θ_t = (λ^t P0⁻¹ + Σ λ^(t-i) x x')⁻¹ Σ λ^(t-i) x y, over the steps learnt."""
    forgetting, scale, T, N = 0.97, 3.0, 120, 5
    X, Y = problem(T, N, p, seed=1)
    state = fresh(N, p, scale)
    means, variances = run(state, X, Y, forgetting)
    theta, P, s2, w = state
    for n in range(N):
        information, moment = np.eye(p) / scale, np.zeros(p)
        squares, weight = 0.0, 0.0
        for x, y, mean, variance in zip(
            X[:, n], Y[:, n], means[:, n], variances[:, n], strict=True
        ):
            if np.isnan(x).any():
                assert np.isnan(mean)
                assert np.isnan(variance)
                continue
            at_x = x @ np.linalg.solve(information, np.stack([moment, x], 1))
            np.testing.assert_allclose(mean, at_x[0], rtol=1e-9, atol=1e-10)
            if weight:
                np.testing.assert_allclose(variance, squares / weight * (1 + at_x[1]), rtol=1e-9)
            if np.isnan(y):
                continue
            information = forgetting * information + np.outer(x, x)
            moment = forgetting * moment + x * y
            squares = forgetting * squares + (y - at_x[0]) ** 2 / (1 + at_x[1])
            weight = forgetting * weight + 1
        np.testing.assert_allclose(theta[n], np.linalg.solve(information, moment), rtol=1e-9)
        inverse = np.linalg.inv(information)
        np.testing.assert_allclose(
            unpack(P[n], p), inverse, rtol=1e-9, atol=1e-9 * np.abs(inverse).max()
        )
        np.testing.assert_allclose([s2[n], w[n]], [squares / weight, weight], rtol=1e-9)


@given(
    cuts=st.lists(st.integers(0, 40), max_size=6),
    p=st.integers(1, 12),
    N=st.integers(1, 20),
    cap=st.sampled_from([np.inf, 3.0]),
)
@settings(max_examples=40, deadline=None)
def test_cutting_a_frame_changes_no_bit(cuts, p, N, cap):
    X, Y = problem(40, N, p, seed=p)
    whole, cut = fresh(N, p), fresh(N, p)
    forecasts = run(whole, X, Y, cap=cap)
    edges = [0, *sorted(cuts), 40]
    parts = [run(cut, X[a:b], Y[a:b], cap=cap) for a, b in pairwise(edges)]
    assert_same([*whole, forecasts], [*cut, np.concatenate(parts, axis=1)])


@given(data=st.data(), N=st.sampled_from([1, 7, 8, 9, 24, 100]))
@settings(max_examples=30, deadline=None)
def test_a_target_does_not_feel_its_company(data, N):
    """Any targets in any order give each of them the numbers it has among all."""
    p = 5
    X, Y = problem(30, N, p, seed=N)
    X[3, 0], Y[5, 0] = np.inf, np.inf  # a neighbour lane that goes wrong
    every = fresh(N, p)
    forecasts = run(every, X, Y, cap=4.0)
    chosen = data.draw(st.lists(st.integers(0, N - 1), min_size=1, max_size=20, unique=True))
    some = fresh(len(chosen), p)
    found = run(some, X[:, chosen], Y[:, chosen], cap=4.0)
    assert_same(
        [*(a[chosen] for a in every), np.ascontiguousarray(forecasts[:, :, chosen])],
        [*some, found],
    )


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["truth", "regressor"])
def test_a_step_with_a_hole_changes_nothing(hole, where):
    X, Y = problem(50, LANES, 6, gaps=0.0)
    state = fresh(LANES, 6)
    run(state, X, Y)
    before = [a.copy() for a in state]
    x, y = X[:1].copy(), Y[:1].copy()
    if where == "truth":
        y[:] = hole
    else:
        x[:, :, 2] = hole
    mean, variance = run(state, x, y)
    assert_same(state, before)
    if where == "truth":
        assert_same([mean[0]], [np.ascontiguousarray(run(state, X[:1], Y[:1])[0, 0])])
        assert np.isfinite(variance).all()
    else:
        assert np.isnan(mean).all()
        assert np.isnan(variance).all()


def test_no_variance_before_the_first_step_learnt():
    X, Y = problem(3, 2, 4, gaps=0.0)
    Y[0, 0] = np.nan
    mean, variance = run(fresh(2, 4), X, Y)
    assert np.isfinite(mean).all()
    assert np.isnan(variance).tolist() == [[True, True], [True, False], [False, False]]


def signals(T, level, seed=0):
    """(T, 8) signals that wind P up: constant, stuck, quantised, daily, ..., around `level`."""
    rng = np.random.default_rng(seed)
    t = np.arange(T)
    noise = rng.normal(size=(T, 4))
    daily = 4 * np.sin(2 * np.pi * t / 2880)
    stuck = level + daily + 0.1 * noise[:, 0]
    stuck[T // 2 :] = stuck[T // 2]
    spikes = np.where(rng.random(T) < 1e-3, 1e12, level)
    return np.stack(
        [
            np.full(T, level),
            level + 1e-6 * noise[:, 1],
            level + 1e-3 * noise[:, 2],
            level + daily,
            level + daily + 0.1 * noise[:, 3],
            np.round(level + daily, 1),
            stuck,
            spikes,
        ],
        axis=1,
    )


def lags(series, p):
    """Regressors (T - p, N, p) and truths of models on their own last p values."""
    T = len(series)
    X = np.stack([series[p - 1 - i : T - 1 - i] for i in range(p)], axis=-1)
    return X, series[p:]


def assert_sound(state, p):
    theta, P, s2, _ = state
    assert np.isfinite(theta).all()
    assert np.isfinite(P).all()
    assert (s2 >= 0).all()
    np.linalg.cholesky(unpack(P, p))  # raises unless positive definite


@pytest.mark.parametrize("level", [0.0, 20.0, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("forgetting", [0.9, 0.99])
def test_stays_positive_definite_without_excitation(level, forgetting):
    """More than 10⁷ steps over all cases; without the guard each fails within some 10⁴."""
    p = 12
    X, Y = lags(signals(150_000, level), p)
    state = fresh(Y.shape[1], p)
    for part in range(0, len(Y), 30_000):
        piece = slice(part, part + 30_000)
        run(state, X[piece], Y[piece], forgetting, cap=1e5 * p)
        assert_sound(state, p)


@given(
    levels=st.lists(st.sampled_from([0.0, 1e-300, 1e-3, 1.0, -1e4, 1e8, 1e150, 1e300]), max_size=8),
    p=st.integers(1, 9),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(max_examples=100, deadline=None)
def test_stays_positive_definite_whatever_comes(levels, p, scale):
    rng = np.random.default_rng(p)
    X = np.concatenate([np.zeros((0, 1, p)), *(v * rng.normal(size=(300, 1, p)) for v in levels)])
    state = fresh(1, p, scale)
    with np.errstate(over="ignore"):
        run(state, X, np.ones((len(X), 1)), 0.9, cap=1e5 * p * scale)
    assert np.isfinite(state[1]).all()
    np.linalg.cholesky(unpack(state[1], p))


@pytest.mark.parametrize("p", [1, 4, 5])
def test_the_trace_is_capped_and_a_floor_kept(p):
    """With one regressor always on, the others' variances fill the cap, and its own settles where
    what the floor adds equals what a step takes away."""
    cap = 1e9
    x = np.broadcast_to(np.eye(p), (20_000, p, p))  # target i sees regressor i
    state = fresh(p, p)
    run(state, x, np.ones((20_000, p)), 0.9, cap)
    eigenvalues = np.linalg.eigvalsh(unpack(state[1], p))
    if p == 1:
        assert eigenvalues[0, 0] == pytest.approx(0.1)  # never at the cap: forgets as usual
    else:
        np.testing.assert_allclose(eigenvalues.sum(1), cap, rtol=1e-9)
        np.testing.assert_allclose(eigenvalues[:, 0], np.sqrt(0.9 * FLOOR * cap), rtol=0.01)


def test_a_step_out_of_reach_is_not_learnt_and_shrinks_p():
    X, Y = problem(100, 1, 3, gaps=0.0)
    state = fresh(1, 3)
    run(state, X, Y)
    before = [a.copy() for a in state]
    far = np.full((1, 1, 3), 1e3 * np.sqrt(REACH))
    run(state, far, np.ones((1, 1)), cap=1e5)
    after = [before[0], before[1] * 0.9, *before[2:]]
    assert_same(state, after)


def test_learns_again_after_a_night_of_constant_readings():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(21_000, 1, 3))
    X[10_000:20_000] = 1.0
    truth = np.array([1.0, -2.0, 0.5])
    Y = X @ truth
    Y[20_000:] = X[20_000:] @ -truth
    state = fresh(1, 3)
    run(state, X, Y, 0.99, cap=3e5)
    np.testing.assert_allclose(state[0][0], -truth, atol=1e-2)


def test_a_call_leaves_no_memory_behind():
    X, Y = problem(20, 9, 4)
    state = fresh(9, 4)
    run(state, X, Y)
    tracemalloc.start()
    for _ in range(3):
        run(state, X, Y)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(200):
        run(state, X, Y)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2_000


def test_packing_goes_there_and_back():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(3, 5, 5))
    full = half + half.transpose(0, 2, 1)
    packed = pack(full)
    assert packed.shape == (3, packed_size(5))
    assert_same([unpack(packed, 5)], [full])
    assert packed[0, :6].tolist() == [*full[0, 0], full[0, 1, 1]]
    assert_same([unpack(packed_identity(2, 3, 7.0), 3)], [np.stack([7.0 * np.eye(3)] * 2)])
