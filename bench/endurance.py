"""How long the least-squares recursion lasts, and what keeps it alive.

    python bench/endurance.py [--steps 1050000] [--windup-steps 1000000]

First the wind-up experiment: textbook recursion, symmetrised, with a cap on the trace, and ours
(cap, floor and reach), p own lags of signals that do not excite all of them. Then endurance: ours
over 96 such series, 10⁸ updates, checked every 10,000 steps: everything finite, P positive
definite by Cholesky.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import machine
import numpy as np
from numba import njit

from gapcast.engine.kernels.packed import packed_identity, unpack
from gapcast.engine.kernels.rls import rls_dense

P_SIZE = 20
DAY = 2880  # steps of 30 s
KINDS = ("constant", "constant + 1e-6", "constant + 1e-3", "daily", "quantised", "sine", "stuck")


def signal(kind: str, steps: int, level: float, seed: int = 0) -> np.ndarray:
    """(steps,) one signal about `level`; `stuck` sticks half way."""
    noise = np.random.default_rng(seed).standard_normal(steps)
    wave = 4 * np.sin(2 * np.pi * np.arange(steps) / DAY)
    if kind.startswith("constant"):
        return level + float(kind.partition("+")[2] or 0) * noise
    if kind == "sine":
        return level + wave
    values = level + wave + 0.1 * noise
    if kind == "quantised":
        return np.round(values, 1)
    if kind == "stuck":
        values[steps // 2 :] = values[steps // 2]
    return values


@njit(cache=True, nogil=True, error_model="numpy")
def textbook(theta, P, y, first, last, forgetting, symmetric, cap):
    """Steps first to last of plain RLS with full P; optionally symmetric, optionally scaled down
    to a trace of `cap`. Returns the sum of squared innovations."""
    p = len(theta)
    q, squares = np.empty(p), 0.0
    for t in range(first, last):
        d, e = forgetting, y[t]
        for i in range(p):
            q[i] = 0.0
            for j in range(p):
                q[i] += P[i, j] * y[t - 1 - j]
            d += q[i] * y[t - 1 - i]
            e -= theta[i] * y[t - 1 - i]
        squares += e * e
        trace = 0.0
        for i in range(p):
            theta[i] += q[i] / d * e
            for j in range(i if symmetric else 0, p):
                P[i, j] = (P[i, j] - q[i] / d * q[j]) / forgetting
                if symmetric:
                    P[j, i] = P[i, j]
            trace += P[i, i]
        if trace > cap:
            P *= cap / trace
    return squares


def health(theta: np.ndarray, P: np.ndarray) -> tuple[bool, bool]:
    """(positive definite, finite) of models: theta (..., p), P (..., p, p)."""
    if not (np.isfinite(theta).all() and np.isfinite(P).all()):
        return False, False
    try:
        np.linalg.cholesky((P + np.swapaxes(P, -1, -2)) / 2)
    except np.linalg.LinAlgError:
        return False, True
    return True, True


def stages(steps: int, every: int = 1000) -> Iterator[tuple[int, int]]:
    """Consecutive pieces of the steps that have all their lags."""
    for first in range(P_SIZE, steps, every):
        yield first, min(first + every, steps)


def outlived(values: np.ndarray, variant: str, forgetting: float = 0.99) -> tuple[str, float]:
    """First step at which P is not positive definite / something is not finite, and the RMSE of
    the second half."""
    cap = np.inf if "cap" not in variant else 1e5 * P_SIZE
    theta, P = np.zeros(P_SIZE), np.eye(P_SIZE)
    packed, s2, w = packed_identity(1, P_SIZE, 1.0), np.zeros(1), np.zeros(1)
    bad, squares, counted = 0, 0.0, 0
    for first, last in stages(len(values)):
        if "floor" in variant:
            X, Y = lagged(values[None], first, last)
            out = np.empty((2, *Y.shape))
            rls_dense(theta[None], packed, s2, w, X, Y, forgetting, cap, out[0], out[1])
            P, new = unpack(packed[0], P_SIZE), float(((Y - out[0]) ** 2).sum())
        else:
            new = textbook(theta, P, values, first, last, forgetting, variant != "plain", cap)
        definite, finite = health(theta, P)
        bad = bad or (0 if definite else last)
        if not finite:
            return f"{bad / 1000:,.0f} k / {last / 1000:,.0f} k", np.inf
        if first > len(values) // 2:
            squares, counted = squares + new, counted + last - first
    return f"{bad / 1000:,.0f} k / –" if bad else "holds", float(np.sqrt(squares / counted))


def lagged(series: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Regressors (T, N, p) and truths (T, N) of steps first to last of `series` (N, steps)."""
    windows = np.lib.stride_tricks.sliding_window_view(series, P_SIZE, axis=1)
    X = windows[:, first - P_SIZE : last - P_SIZE, ::-1].transpose(1, 0, 2)
    return np.ascontiguousarray(X), np.ascontiguousarray(series[:, first:last].T)


def wind_up(steps: int) -> list[dict[str, object]]:
    """The table of the experiment."""
    rows = []
    for level in (20.0, 1000.0):
        for kind in KINDS:
            values = signal(kind, steps, level)
            row: dict[str, object] = {"signal": f"{kind}, about {level:g}"}
            for variant in ("plain", "symmetric", "symmetric, cap", "ours: cap, floor, reach"):
                row[variant], rmse = outlived(values, variant)
                row[f"RMSE, {variant.partition(':')[0]}"] = rmse
            rows.append(row)
    return rows


def endure(steps: int) -> list[dict[str, object]]:
    """Ours over every kind of signal at four levels, three forgetting factors."""
    levels = (0.0, 20.0, 1e3, 1e5)
    kinds = [(k, v, s) for s in range(2) for k in KINDS for v in levels][:32]
    series = np.stack([signal(k, steps, v, seed=s) for k, v, s in kinds])
    rows: list[dict[str, object]] = []
    for forgetting in (0.9, 0.99, 0.999):
        n = len(series)
        theta, P = np.zeros((n, P_SIZE)), packed_identity(n, P_SIZE, 1.0)
        s2, w, sound, seconds = np.zeros(n), np.zeros(n), True, 0.0
        for first, last in stages(steps, 10_000):
            X, Y = lagged(series, first, last)
            out = np.empty((2, *Y.shape))
            began = time.perf_counter()
            rls_dense(theta, P, s2, w, X, Y, forgetting, 1e5 * P_SIZE, out[0], out[1])
            seconds += time.perf_counter() - began
            sound = sound and all(health(theta, unpack(P, P_SIZE))) and np.isfinite(out[0]).all()
        updates = n * (steps - P_SIZE)
        rows.append(
            {"forgetting": str(forgetting), "series": n, "steps each": steps, "updates": updates,
             "sound throughout": str(bool(sound)), "M updates/s": updates / seconds / 1e6}
        )  # fmt: skip
    return rows


def main() -> None:
    """Print both tables and keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_050_000)
    parser.add_argument("--windup-steps", type=int, default=1_000_000)
    options = parser.parse_args()
    facts = machine.describe()
    rows = wind_up(options.windup_steps)
    title = f"First step with P not positive definite / not finite, p {P_SIZE}, λ 0.99"
    machine.print_table(title, facts, rows)
    machine.save("windup", facts, rows)
    rows = endure(options.steps)
    total = sum(int(str(r["updates"])) for r in rows)
    machine.print_table(f"Endurance: {total:,} updates, p {P_SIZE}", facts, rows)
    machine.save("endurance", facts, rows)


if __name__ == "__main__":
    main()
