"""The recursion of `diurnal` for one block, in plain NumPy, as its documentation has it."""

import numpy as np

FIRM, LEEWAY, GROWTH, DOUBT, OPTIMISM, YOUNG, ENOUGH = 20.0, 1.0, 0.7, 0.5, 1.0, 0.1, 8


def ages_of(P, K):
    """The ages that coefficients are learnt for."""
    last, ages = max(1, P - 2 * round(P / K)), [1]
    while (following := max(ages[-1] + 1, round(ages[-1] * 1.5))) * 1.2 < last:
        ages.append(following)
    return ages + [last] * (last > 1)


class DiurnalOracle:
    """A block of m members, a step of so many `days`; everything that was seen is kept."""

    def __init__(self, m, days, memory=4.0):
        P = max(1, round(1 / days))
        self.m, self.P, self.K = m, P, min(48, P)
        self.ages = ages_of(P, self.K)
        J = len(self.ages)
        h = np.array(self.ages)[:, None] * 24 / P
        f = 1 - np.exp(-h / np.array([1.0, 4.0, 12.0, 4.0]))
        self.prior = np.hstack([0.95 * f[:, :2], f[:, 2:], 0 * h])
        self.theta = self.prior.copy()
        self.lam, self.least = np.exp(-days / memory), 1 - np.exp(-1 / memory)
        self.knots, self.visits = np.full((self.K, m), np.nan), np.zeros((self.K, m))
        self.sums = np.zeros((self.K, 2, m))
        self.first, self.ready = np.full(m, -1), np.zeros(m, bool)
        self.seen = {}  # step: (x, s, mean anomaly, typical profile)
        self.last = [None] * m  # per member: step and what was known then
        self.G, self.b, self.w = np.zeros((J, 5, 5)), np.zeros((J, 5)), np.zeros(J)
        self.err, self.errw = np.zeros((J, m)), np.zeros((J, m))
        self.var = np.full((J, m), np.nan)

    def at(self, t, knots=None):
        """Profile (m,) of step t, NaN where unknown, and what is typical."""
        knots = self.knots if knots is None else knots
        pos = (t % self.P) * self.K / self.P
        j = int(pos + 1e-9)
        f = pos - j
        s = (1 - f) * knots[j] + f * knots[(j + 1) % self.K] if f > 1e-9 else knots[j].copy()
        s[~self.ready] = np.nan
        if not self.ready.any():
            return s, np.nan
        return s, (s - self.knots.mean(0))[self.ready].mean()

    def learnt(self, j):
        """Knot j (m,) with what was gathered for it."""
        total, weight = self.sums[j]
        new = self.knots[j].copy()
        for i in np.flatnonzero(weight > 0):
            gain = max((self.visits[j, i] + 1) ** -0.5, self.least)
            old = new[i] if self.visits[j, i] else 0.0
            new[i] = old + (gain if self.visits[j, i] else 1.0) * (total[i] / weight[i] - old)
        return new

    def settle(self, t):
        before, now = ((q % self.P) * self.K // self.P for q in (t - 1, t))
        if before == now and self.K < self.P:
            return
        new = self.learnt(before)
        self.visits[before] += self.sums[before, 1] > 0
        self.knots[before], self.sums[before] = new, 0.0
        young = np.flatnonzero(~self.ready & (self.first >= 0))
        for i in young:
            known = np.flatnonzero(self.visits[:, i] > 0)
            if t - self.first[i] < self.P or len(known) * ENOUGH < self.K:
                continue
            x = np.concatenate([known - self.K, known, known + self.K])
            self.knots[:, i] = np.interp(np.arange(self.K), x, np.tile(self.knots[known, i], 3))
            self.ready[i] = True
            self.errw[:, i] *= YOUNG
        for i in young[self.ready[young]]:
            o, x, _, _, _, move = self.last[i]
            s, typical = self.at(o)
            self.last[i] = (o, x, s[i], 0.0, typical, move)

    def step(self, t, values, horizons):
        """(H, 2, m) means and variances at step t; values (m,) NaN where not to be learnt."""
        self.settle(t)
        out = [self.ahead(t, 0, self.knots) if h == 0 else None for h in horizons]
        s, typical = self.at(t)
        if not np.isnan(values).all():
            self.learn(t, values, s, typical)
        a = (values - s)[~np.isnan(values - s)]
        mean = a.mean() if len(a) else np.nan
        before = self.seen.get(t - 1, (np.full(self.m, np.nan),))[0]
        self.seen[t] = (values, s, mean, typical)
        pos = (t % self.P) * self.K / self.P
        j = int(pos + 1e-9)
        f = max(pos - j, 0.0) if pos - j > 1e-9 else 0.0
        for i in np.flatnonzero(~np.isnan(values)):
            move = values[i] - before[i]
            c = 0.0 if np.isnan(mean) else mean
            self.last[i] = (t, values[i], s[i], c, typical, 0.0 if np.isnan(move) else move)
            self.first[i] = t if self.first[i] < 0 else self.first[i]
            self.sums[j, :, i] += (1 - f) * values[i], 1 - f
            self.sums[(j + 1) % self.K, :, i] += f * values[i], f
        soon = self.knots.copy()
        for k in {j, (j + 1) % self.K}:
            soon[k] = self.learnt(k)
        for n, h in enumerate(horizons):
            if h > 0:
                out[n] = self.ahead(t, h, soon if h > self.ages[-1] else self.knots)
        return np.array(out)

    def ahead(self, t, h, knots):
        s, typical = self.at(t + h, knots)
        out = np.full((2, self.m), np.nan)
        for i in range(self.m):
            if self.last[i] is None:
                continue
            o, x, was, c, then, move = self.last[i]
            age = t + h - o
            left = 0.5 ** (max(age - self.ages[-1], 0) / self.P)
            at = np.log(min(age, self.ages[-1]))
            th = [np.interp(at, np.log(self.ages), self.theta[:, p]) for p in range(5)]
            out[0, i], out[1, i] = x, np.interp(at, np.log(self.ages), self.var[:, i])
            if not np.isnan(s[i] - was):
                common, own = typical - then, s[i] - was
                out[0, i] += th[0] * common + th[1] * (own - common) + left * th[4] * move
                out[0, i] -= (1 - left * (1 - th[2])) * c
                out[0, i] -= (1 - left * (1 - th[3])) * (x - was - c)
        return out

    def learn(self, t, x, s, typical):
        pairs = False
        for j, a in enumerate(self.ages):
            if t - a not in self.seen:
                continue
            x0, s0, c, then = self.seen[t - a]
            before = self.seen.get(t - a - 1, (np.full(self.m, np.nan),))[0]
            G, b, n = np.zeros((5, 5)), np.zeros(5), 0
            for i in np.flatnonzero(~np.isnan(x - x0)):
                y = r = x[i] - x0[i]
                if not np.isnan(s[i] - s0[i]):
                    common, move = typical - then, x0[i] - before[i]
                    own = s[i] - s0[i] - common
                    v = np.array([common, own, -c, -(x0[i] - s0[i] - c), np.nan_to_num(move)])
                    r = y - v @ self.theta[j]
                    G, b, n = G + np.outer(v, v), b + v * y, n + 1
                self.errw[j, i] = self.lam * self.errw[j, i] + 1
                self.err[j, i] += (r * r - self.err[j, i]) / self.errw[j, i]
            if n:
                self.G[j] = self.lam * self.G[j] + G / n
                self.b[j] = self.lam * self.b[j] + b / n
                self.w[j] = self.lam * self.w[j] + 1
                pairs = True
        self.tell(pairs)

    def tell(self, pairs):
        scale = np.zeros(5)
        for j, a in enumerate(self.ages):
            if pairs and self.w[j] > 0:
                scale = np.maximum(scale, np.diag(self.G[j]) / self.w[j])
                ridge = np.diag(np.where(scale > 0, (1 + FIRM * a) * scale, 1.0))
                rest = self.b[j] - self.G[j] @ self.prior[j]
                off = np.linalg.solve(self.G[j] + ridge, rest)
                self.theta[j] = self.prior[j] + np.clip(off, -LEEWAY, LEEWAY)
            if j == 0:
                self.var[0] = np.where(self.errw[0] > 0, self.err[0], np.nan)
            else:
                shorter = self.var[j - 1] * (a / self.ages[j - 1]) ** GROWTH
                own = self.err[j] * (self.errw[j] + OPTIMISM * a)
                self.var[j] = (own + DOUBT * a * shorter) / (self.errw[j] + DOUBT * a)
