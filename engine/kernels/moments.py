"""Least squares from second moments, for blocks of independent targets, one a lane.

A target's regressors x (K), the constant 1 and the truth y make one vector v = (x, 1, y). Its
exponentially forgotten moment matrix M ← λ M + v v' holds all that a regression of y on *any*
subset of x needs: the normal equations of the subset are a submatrix (the information form of
recursive least squares; Kailath, Sayed & Hassibi, *Linear Estimation*, §2.6). M is stored as a
packed upper triangle, see `gapcast.engine.kernels.packed`; scratch has rows of LANES.
"""

from __future__ import annotations

from gapcast.engine.kernels.lanes import div, fill, fma, fnma, load, mul, store
from gapcast.engine.kernels.uncounted import inlined_part


@inlined_part
def at(i, j, m):
    """Place of entry (i, j), i <= j, of a packed (m, m) matrix."""
    return i * m - i * (i - 1) // 2 + j - i


@inlined_part
def add_moments(M, v, forgetting):
    """M ← λ M + v v'. M (m(m+1)/2, LANES), v (m, LANES), forgetting (1, LANES)."""
    m, k, memory = len(v), 0, load(forgetting, 0)
    for i in range(m):
        vi = load(v, i)
        for j in range(i, m):
            store(M, k, fma(vi, load(v, j), mul(memory, load(M, k))))
            k += 1


@inlined_part
def normal_equations(M, centre, prior, diagonal, use, A):
    """A = the moments about `centre`, plus prior prior', plus `diagonal` on the diagonal.

    M, A (m(m+1)/2, LANES), the last two of the m variables being 1 and y; centre, prior, diagonal,
    use (m, LANES), the centre of the constant 0. Where `use` is 0, not 1, a variable is left out:
    its row and column become those of the identity times `diagonal`.
    """
    m = len(use)
    one, k = m - 2, 0
    n = load(M, at(one, one, m))
    for i in range(m):
        ci, pi, ui = load(centre, i), load(prior, i), load(use, i)
        si = load(M, at(min(i, one), max(i, one), m))
        ti = fnma(n, ci, si)
        for j in range(i, m):
            sj = load(M, at(min(j, one), max(j, one), m))
            a = fnma(load(centre, j), ti, fnma(ci, sj, load(M, k)))
            a = mul(fma(pi, load(prior, j), a), mul(ui, load(use, j)))
            if i == j:
                a = fma(load(diagonal, i), fill(1.0), a)
            store(A, k, a)
            k += 1


@inlined_part
def solve(A, w):
    """Solve the normal equations in A (m(m+1)/2, LANES), destroyed, for w (m - 1, LANES).

    A's leading (m - 1, m - 1) block is symmetric positive definite, its last column the right-hand
    side. Elimination without pivoting, two pivots a pass: half the traffic of one at a time.
    """
    m = len(w) + 1
    i = 0
    while i < m - 1:
        a, b = at(i, i, m) - i, at(i + 1, i + 1, m) - i - 1
        over = div(fill(1.0), load(A, a + i))
        store(A, a + i, over)
        if i == m - 2:
            break
        factor = mul(load(A, a + i + 1), over)
        for j in range(i + 1, m):
            store(A, b + j, fnma(factor, load(A, a + j), load(A, b + j)))
        below = div(fill(1.0), load(A, b + i + 1))
        store(A, b + i + 1, below)
        for r in range(i + 2, m - 1):
            c = at(r, r, m) - r
            one, two = mul(load(A, a + r), over), mul(load(A, b + r), below)
            for j in range(r, m):
                left = fnma(one, load(A, a + j), load(A, c + j))
                store(A, c + j, fnma(two, load(A, b + j), left))
        i += 2
    for r in range(m - 2, -1, -1):
        a = at(r, r, m) - r
        rest = load(A, a + m - 1)
        for j in range(r + 1, m - 1):
            rest = fnma(load(A, a + j), load(w, j), rest)
        store(w, r, mul(rest, load(A, a + r)))
