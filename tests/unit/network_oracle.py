"""The recursion of `network-rls` for one block, in plain NumPy, as its documentation has it."""

import numpy as np

SHARE, PHI, SWEEPS, LEARNT, ALIKE, RIDGE, LEVELLING = 5, 0.5, 8, 2.0, 0.98, 0.1, 30.0


def median(values):
    """The upper median."""
    return np.sort(values)[len(values) // 2]


class NetworkOracle:
    """Nowcasts of a block of m members; `own` (n,) the member that each target is."""

    def __init__(self, m, own, interval=1.8e9, memory=3.456e11):
        self.m, self.own = m, np.array(own)
        self.forgetting, self.steps = np.exp(-interval / memory), max(1.0, 1.8e9 / interval)
        self.S, self.S0, self.R = np.zeros((3, m, m))
        self.s1, self.t1, self.r, self.left, self.left_seen = np.zeros((5, m))
        self.last, self.V, self.var, self.weight, self.d = np.zeros((5, m))
        self.n = self.q = self.spread = self.news = self.lagged = self.power = 0.0
        self.ref = self.g = 0.0
        self.known = False
        self.heard = self.hidden = np.zeros(m, bool)
        self.W = (np.ones((m, m)) - np.eye(m)) / max(m - 1, 1)

    def step(self, x, truth):
        """(2, n) means and variances of the targets; x (m,) NaN where missing, truth (n,)."""
        seen, masked = ~np.isnan(x), np.zeros(self.m, bool)
        masked[self.own] = np.isnan(truth)
        heard = seen & ~masked
        if self.news > 0 and (self.news * SHARE >= self.q or not heard.any()):
            self.solve()
            if self.known:
                y = self.last - self.g
                e = y - self.W @ y
                moved = np.where(self.heard, 0.0, e - self.left * self.r)
                self.r = np.where(self.heard, e, self.r + moved)
                self.R[self.hidden] += moved
        others_withheld = np.array(
            [(seen & masked)[np.arange(self.m) != i].any() for i in range(self.m)]
        )
        fresh = masked & ~self.hidden & others_withheld
        self.R[fresh] = self.r
        self.hidden = masked & (self.hidden | fresh)
        self.fade()
        if self.q == 0 and heard.any():
            self.ref = x[heard].mean()
        y = np.where(seen, x - self.ref - self.g, 0.0)
        fills = []
        for i in self.own:
            carry = self.left * self.r
            if self.hidden[i]:
                carry = np.where(np.arange(self.m) == i, carry, self.left_seen * self.R[i])
            fills.append(self.fill(y, seen, i, carry))
        out = self.tell(fills, seen)
        for i, f in zip(self.own, fills, strict=True):
            if self.hidden[i]:
                known = seen & (np.arange(self.m) != i)
                self.R[i] = np.where(known, f - self.W @ f, self.R[i])
        self.left_seen = np.where(seen, 1.0, self.left_seen)
        if heard.any():
            y[~heard] = 0.0
            self.take_in(self.fill(y, heard, -1, self.left * self.r), heard)
        else:
            self.known = False
        return out

    def fade(self):
        a = np.clip(self.lagged / self.power, 0, self.forgetting) if self.power > 0 else 0.0
        self.left, self.left_seen = self.left * a, self.left_seen * a
        known = self.weight > 0
        self.typical = self.var[known].mean() if known.any() else 0.0
        self.noise = np.where(known, self.var, self.typical)

    def fill(self, y, seen, i, carry):
        """y with the members missing, and member i, as the others say."""
        y, unknown = y.copy(), np.flatnonzero(~seen & (np.arange(self.m) != i))
        unknown = [*unknown, i] if i >= 0 else unknown
        told = np.setdiff1d(np.arange(self.m), unknown)
        y[unknown] = self.d[unknown] + ((y - self.d)[told].mean() if len(told) else 0.0)
        for _ in range(SWEEPS):
            for k in unknown:
                y[k] = self.W[k] @ y + carry[k]
        return y

    def tell(self, fills, seen):
        out = np.full((2, len(self.own)), np.nan)
        for n, (i, f) in enumerate(zip(self.own, fills, strict=True)):
            others = np.arange(self.m) != i
            left = self.left_seen if self.hidden[i] else self.left
            stand_in = self.noise * (1 - left**2)
            if seen[others].any():
                out[0, n] = self.ref + self.g + f[i]
            elif self.q > 0:
                out[0, n] = self.ref + self.last[i]
            if self.typical > 0:
                missing = ~seen & others
                out[1, n] = self.noise[i] * (1 - self.left[i] ** 2)
                out[1, n] += (self.W[i, missing] ** 2 * stand_in[missing]).sum()
        return out

    def take_in(self, y, heard):
        self.learn(y, heard)
        self.heard = heard
        self.r = np.where(heard, y - self.W @ y, self.r)
        self.left = np.where(heard, 1.0, self.left)

    def learn(self, y, seen):
        memory, e = self.forgetting, y - self.W @ y
        pairs = seen & self.heard if self.known else np.zeros(self.m, bool)
        self.lagged = memory * self.lagged + (self.r * e)[pairs].sum()
        self.power = memory * self.power + (self.r**2 + e**2)[pairs].sum() / 2
        self.weight[seen] = memory * self.weight[seen] + 1
        self.var[seen] += (e**2 - self.var)[seen] / self.weight[seen]
        z, V = y + self.g, np.where(seen, 0.0, 0.2 * self.noise * (1 - self.left**2))
        self.q = memory * self.q + 1
        self.spread += (z.var() - self.spread) / self.q
        usual = self.spread
        h = ((z.var() + 0.1 * usual) / (1.1 * usual)) ** -0.5 if usual > 0 else 1.0
        phi = PHI if self.known else 0.0
        u, f = z - phi * self.last, 1 - phi
        doubt = np.diag(V + phi**2 * self.V)
        self.S = memory * self.S + h * (np.outer(u, u) + doubt)
        self.s1, self.n = memory * self.s1 + h * f * u, memory * self.n + h * f * f
        self.S0 = memory * self.S0 + np.outer(z, z) + np.diag(V)
        self.t1 = memory * self.t1 + z
        self.last, self.V, self.known = z, V, True
        self.news += 1

    def solve(self):
        m, q, self.news = self.m, self.q, 0
        mean, ever = self.t1 / q, self.weight > 0
        self.g = g = median(mean[ever])
        self.d = mean - g
        cov = self.S0 / q - np.outer(mean, mean)
        v = np.maximum(np.diag(cov), 0)
        within, between = median(v[ever]), median(self.d[ever] ** 2)
        s2 = (q * within + self.steps * between) / (q + self.steps)
        s2 = max(s2, 1e-6 * between, 1e-9 * (within + between + g * g), 1e-30)
        strange = np.maximum(np.add.outer(v, v) - 2 * cov, 1e-9 * s2)
        C = self.S - g * np.add.outer(self.s1, self.s1) + self.n * g * g
        C /= 1 - PHI**2
        A = C + LEARNT * self.steps * s2 * (ALIKE + (1 - ALIKE) * np.eye(m))
        A += 1e-10 * np.diag(np.diag(A))
        self.W = np.array([self.weights(i, A, C, strange[i], s2 * self.steps) for i in range(m)])

    def weights(self, i, A, C, strange, s2):
        w, o = np.zeros(self.m), np.delete(np.arange(self.m), i)
        if len(o):
            near = o[np.argsort(strange[o], kind="stable")]
            if i not in self.own:
                w[o] = np.linalg.solve(A[np.ix_(o, o)], A[o, i])
                return w
            for k in (8, 20, self.m):
                w[near[:k]] += np.linalg.solve(A[np.ix_(near[:k], near[:k])], A[near[:k], i]) / 4
            relative = np.clip((strange[o] / strange[near[:8]].mean()) ** 2, 0.01, 1e4)
            B = C[np.ix_(o, o)] + LEVELLING * s2 + RIDGE * s2 * np.diag(relative)
            w[o] += np.linalg.solve(B, C[o, i] + LEVELLING * s2) / 4
        return w
