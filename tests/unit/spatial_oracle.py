"""The recursion of `spatial-rls` for one target, in plain NumPy, as its documentation has it."""

import numpy as np


class SpatialOracle:
    """Nowcasts of one target from K regressors, `groups` (K,) the quantity of each."""

    def __init__(self, groups, interval=1.8e9, memory=3.456e11, ridge=1.0, choose=63):
        self.q = np.array(groups, int)
        self.K, self.Q = len(self.q), max([1, *(self.q + 1)])
        self.forgetting = np.exp(-interval / memory)
        self.steps = max(1.0, 1.8e9 / interval)
        self.ridge, self.choose = ridge, choose
        self.M = np.zeros((self.K + 2, self.K + 2))
        self.level = np.full(self.Q, np.nan)
        self.filled = np.full(self.K, np.nan)
        self.age, self.noise, self.weight = np.zeros((3, self.K))
        self.let_go, self.W = np.zeros(self.K), np.zeros((2, self.K + 1))
        self.news, self.last, self.left = np.inf, None, 0.0
        self.lagged = self.power = self.variance = self.total = 0.0

    def fill(self, x):
        """Regressors minus level, stand-ins where missing."""
        z = np.zeros(self.K)
        for g in range(self.Q):
            of = np.flatnonzero(self.q == g)
            seen = of[~np.isnan(x[of])]
            moved = {i: x[i] - self.filled[i] for i in seen if not np.isnan(self.filled[i])}
            if len(seen) and np.isnan(self.level[g]):
                self.level[g] = x[seen].mean()
            neutral = x[seen].mean() if len(seen) else self.level[g]
            for i in of:
                if not np.isnan(x[i]):
                    if i in moved:
                        others = [m for j, m in moved.items() if j != i]
                        e = moved[i] - (np.mean(others) if others else 0)
                        self.weight[i] = self.forgetting * self.weight[i] + 1
                        step = e**2 / (self.age[i] + 1) - self.noise[i]
                        self.noise[i] += step / self.weight[i]
                    self.filled[i], self.age[i] = x[i], 0
                else:
                    self.age[i] += 1
                    if moved:
                        self.filled[i] += np.mean(list(moved.values()))
                z[i] = (neutral if np.isnan(self.filled[i]) else self.filled[i]) - self.level[g]
        return np.nan_to_num(z)

    def scales(self, mean, var, n):
        """Centre and typical variance of each variable: of its quantity."""
        centre, typical = np.zeros(self.K + 2), np.ones(self.K + 2)
        for g in range(self.Q):
            of = np.flatnonzero(self.q == g)
            c = mean[of].mean() if len(of) else 0.0
            every = np.append(of, self.K + 1) if g == 0 else of
            centre[every] = c
            if n > 0 and len(every):
                within = np.sort(var[every])[len(every) // 2]
                between = ((mean[every] - c) ** 2).mean()
                mixed = (n * within + self.steps * between) / (n + self.steps)
                least = 1e-9 * (c**2 + within + between)
                typical[every] = max(mixed, 1e-6 * between, least, 1e-30)
        return centre, typical

    def solve(self):
        """Weights of both ridges, (2, K + 1), and the error variances of what is filled."""
        K, y, M = self.K, self.K + 1, self.M
        n, known, own = M[K, K], ~np.isnan(self.filled), self.q == 0
        mean = M[K] / n if n > 0 else np.zeros(K + 2)
        var = np.maximum(np.diag(M) / n - mean**2, 0) if n > 0 else np.zeros(K + 2)
        centre, typical = self.scales(mean, var, n)
        strange = np.ones(K)
        if n > 0:
            c = M[y, :K] / n - mean[y] * mean[:K]
            line = var[y] - c**2 / np.maximum(var[:K], 1e-30)
            strange = np.where(own, var[:K] + var[y] - 2 * c, line)
            strange = np.maximum(strange, 1e-9 * (np.diag(M)[:K] + M[y, y]) / n)
        strange[~known] = np.inf
        C = own.sum()
        use = known.copy()
        best = np.argsort(strange[:C], kind="stable")[: self.choose]
        for start in range(0, K, C + 1) if C else ():
            start -= start > 0
            use[start : start + C] &= np.isin(np.arange(C), best)
        closest = max(np.sort(strange[known])[:8].mean(), 1e-30) if known.any() else 1e-30
        relative = np.clip((strange / closest) ** 2, 0.01, 1e4)
        error = np.where(self.weight > 0, self.noise, typical[:K]) * self.age
        like, learnt = np.append(own, [False, True]), 3 * self.steps
        A = M - np.outer(centre, M[K]) - np.outer(M[K], centre) + n * np.outer(centre, centre)
        A += learnt * 0.98 * typical[y] * np.outer(like, like)
        base = learnt * typical[:K] * np.where(own, 0.02, 1) + (n + learnt) * error
        solved = []
        for ridge in (self.ridge / 32, self.ridge):
            penalty = base + ridge * self.steps * typical[:K] * relative
            B = A + np.diag(np.append(np.where(use, penalty, 0), [5 * self.steps, 0]))
            keep = np.append(np.flatnonzero(use), K)
            w = np.zeros(K + 1)
            w[keep] = np.linalg.solve(B[np.ix_(keep, keep)], B[keep, y])
            w[K] += centre[y] - w[:K] @ centre[:K]
            solved.append(w)
        return np.array(solved), np.where(use, error, 0)

    def due(self, error):
        """Whether the weights are to be solved for."""
        w = self.W.mean(0)[:-1]
        back = (self.age == 0) & (self.let_go > self.variance)
        unknown = (self.age > 0) & (self.weight == 0) & (w != 0)
        news = self.news > self.M[self.K, self.K] / 64
        return news or back.any() or unknown.any() or w**2 @ error > 0.1 * self.variance

    def step(self, x, y):
        """(nowcast, standard deviation), then learn y."""
        z = np.append(self.fill(x), 1)
        error = self.noise * self.age
        if self.due(error):
            self.W, error = self.solve()
            self.let_go = np.where(np.isnan(self.filled), np.inf, error)
            self.news = 0
        w, apart = self.W.mean(0), self.W[1] - self.W[0]
        fit, before = w @ z, np.nan
        a = np.clip(self.lagged / self.power, 0, self.forgetting) if self.power > 0 else 0
        after, self.left = self.left == 1, self.left * a
        if self.last is not None:
            before = self.last[1] - w @ self.last[0]
        forecast = fit + (self.left * before if self.last is not None else 0)
        variance = (self.variance + (apart @ z) ** 2) * (1 - self.left**2)
        variance += w[:-1] ** 2 @ error
        out = forecast + self.level[0], np.sqrt(variance) if self.total else np.nan
        if not np.isnan(y):
            self.learn(z, y, fit, before if after else np.nan)
        return out

    def learn(self, z, y, fit, before):
        """Take y in."""
        if np.isnan(self.level[0]):
            self.level[0] = y
        y = y - self.level[0]
        e = y - fit
        if not np.isnan(before):
            self.lagged = self.forgetting * self.lagged + before * e
            self.power = self.forgetting * self.power + (before**2 + e**2) / 2
        self.total = self.forgetting * self.total + 1
        self.variance += (e**2 - self.variance) / self.total
        v = np.append(z, y)
        self.M = self.forgetting * self.M + np.outer(v, v)
        self.news += 1
        self.last, self.left = (z, y), 1.0
