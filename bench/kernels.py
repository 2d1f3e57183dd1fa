"""Recursive least squares: updates a second of the compiled kernel, and of its peers.

    python bench/kernels.py [--repeats 15] [--targets 256] [--steps 256] [--large 1000000]

One update is one forecast and one learnt step of one target. All contenders are timed in the same
run, one after the other within each repeat; the table shows medians. Ours runs with its guard on,
5 % of the truths missing (they are not counted as updates, but their time is), and its regressors
read from memory. Flops of an update: 3.5 p² + 8.5 p (P x; the triangle of P; x'q, x'θ, θ, the
gain); what the guard and the variance cost is not counted.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

# Another kernel than OpenBLAS would choose makes dgemm slow, and our share of it look good.
os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.pop("OPENBLAS_L2_SIZE", None)

import machine
import numpy as np
from river.linear_model import BayesianLinearRegression
from threadpoolctl import threadpool_info, threadpool_limits

from gapcast.engine.kernels.packed import packed_identity
from gapcast.engine.kernels.rls import rls_dense

FORGETTING = 0.99
CORES = len(os.sched_getaffinity(0))
Timed = Callable[[], tuple[float, float]]  # one go: (updates or flops, seconds)


def problem(targets: int, steps: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Regressors (T, N, p) and truths (T, N) of noisy linear models, 5 % of the truths missing."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((steps, targets, p))
    Y = X @ rng.standard_normal(p) + 0.1 * rng.standard_normal((steps, targets))
    Y[rng.random(Y.shape) < 0.05] = np.nan
    return X, Y


def ours(targets: int, steps: int, p: int, threads: int) -> Timed:
    """The kernel over `threads` chunks of the targets, each with a state of its own."""
    chunks = []
    for k in range(threads):
        n = targets // threads
        X, Y = problem(n, steps, p, seed=k)
        state = np.zeros((n, p)), packed_identity(n, p, 1.0), np.zeros(n), np.zeros(n)
        out = np.empty((steps, n)), np.empty((steps, n))
        chunks.append((*state, X, Y, FORGETTING, 1e5 * p, *out))
    updates = sum(np.count_nonzero(~np.isnan(c[5])) for c in chunks)
    pool = ThreadPoolExecutor(threads)

    def once() -> tuple[float, float]:
        began = time.perf_counter()
        list(pool.map(lambda c: rls_dense(*c), chunks))
        return updates, time.perf_counter() - began

    once()
    return once


def padasip(p: int, samples: int = 2000, loop: bool = True) -> Timed:
    """padasip's FilterRLS: `predict` and `adapt` for each sample, or its `run` over all."""
    import padasip

    X, Y = problem(1, samples, p)
    x, y = np.ascontiguousarray(X[:, 0]), np.nan_to_num(Y[:, 0])

    def once() -> tuple[float, float]:
        model = padasip.filters.FilterRLS(n=p, mu=FORGETTING, w="zeros")
        began = time.perf_counter()
        if loop:
            for k in range(samples):
                model.predict(x[k])
                model.adapt(y[k], x[k])
        else:
            model.run(y, x)
        return samples, time.perf_counter() - began

    return once


def river(p: int, samples: int = 500) -> Timed:
    """River's BayesianLinearRegression, `predict_one` and `learn_one` for each sample."""
    X, Y = problem(1, samples, p)
    rows = [dict(enumerate(x.tolist())) for x in X[:, 0]]
    truths = np.nan_to_num(Y[:, 0]).tolist()

    def once() -> tuple[float, float]:
        model = BayesianLinearRegression(smoothing=FORGETTING)
        began = time.perf_counter()
        for x, y in zip(rows, truths, strict=True):
            model.predict_one(x)
            model.learn_one(x, y)
        return samples, time.perf_counter() - began

    return once


def batched_numpy(p: int, targets: int = 1024, steps: int = 8) -> Timed:
    """The same recursion for all targets at once, in NumPy: full P, no guard, no gaps."""
    X, Y = problem(targets, steps, p)
    Y = np.nan_to_num(Y)
    theta, P = np.zeros((targets, p)), np.tile(np.eye(p), (targets, 1, 1))

    def once() -> tuple[float, float]:
        began = time.perf_counter()
        for x, y in zip(X, Y, strict=True):
            q = (P @ x[:, :, None])[:, :, 0]
            gain = q / (FORGETTING + (x * q).sum(1))[:, None]
            theta[:] += gain * (y - (x * theta).sum(1))[:, None]
            P[:] = (P - gain[:, :, None] * q[:, None, :]) / FORGETTING
        return targets * steps, time.perf_counter() - began

    return once


def dgemm(n: int = 1024) -> Timed:
    """A product of two n by n matrices: 2 n³ flops."""
    a = np.random.default_rng(0).standard_normal((n, n))

    def once() -> tuple[float, float]:
        began = time.perf_counter()
        a @ a
        return 2.0 * n**3, time.perf_counter() - began

    once()
    return once


def measure(contenders: dict[str, Timed], repeats: int, least: float = 0.1) -> dict[str, float]:
    """Median rate of each, repeats interleaved; a repeat lasts at least so many seconds."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, once in contenders.items():
            amount, seconds = once()
            while seconds < least:
                more, longer = once()
                amount, seconds = amount + more, seconds + longer
            rates[name].append(amount / seconds)
    return {name: median(found) for name, found in rates.items()}


def table(p: int, options: argparse.Namespace) -> list[dict[str, object]]:
    """The rows of one p."""
    cores = f"ours, {CORES} cores"
    contenders = {
        "dgemm": dgemm(),
        "padasip, sample by sample": padasip(p),
        "padasip, its run()": padasip(p, loop=False),
        "River BayesianLinearRegression": river(p),
        "NumPy, batched": batched_numpy(p),
        "ours, 1 core": ours(options.targets, options.steps, p, 1),
        cores: ours(options.targets, options.steps, p, CORES),
    }
    rates = measure(contenders, options.repeats)
    if p == 11 and options.large:
        million = {f"ours, 1 core, {options.large:,} targets": ours(options.large, 4, p, 1)}
        rates |= measure(million, max(3, options.repeats // 2))
    peak, base = rates.pop("dgemm"), rates["padasip, sample by sample"]
    flops = 3.5 * p * p + 8.5 * p
    return [
        {
            "contender": name,
            "p": p,
            "updates/s": rate,
            "× padasip": rate / base,
            "GFLOP/s": rate * flops / 1e9,
            "dgemm GFLOP/s": peak / 1e9,
            "% of dgemm, 1 core": 100 * rate * flops / peak,
        }
        for name, rate in rates.items()
    ]


def main() -> None:
    """Print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--targets", type=int, default=256)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--large", type=int, default=1_000_000, help="0 leaves it out")
    options = parser.parse_args()
    facts = machine.describe("padasip", "river")
    with threadpool_limits(1, user_api="blas"):
        facts["BLAS kernel"] = ", ".join(i.get("architecture", "?") for i in threadpool_info())
        rows = [row for p in (11, 20, 32) for row in table(p, options)]
    for p in (11, 20, 32):
        state = options.targets * 8 * (p * (p + 1) // 2 + p + 2) / 2**20
        facts[f"state at p {p}"] = f"{state:.1f} MiB"
    title = f"RLS, {options.targets} targets × {options.steps} steps, {options.repeats} repeats"
    machine.print_table(title, facts, rows)
    machine.save("kernels", facts, rows)


if __name__ == "__main__":
    main()
