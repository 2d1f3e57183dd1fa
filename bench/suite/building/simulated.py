"""Sets that are simulated: what no package has, with a known cause of every value."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.building.packaged import HALF_HOUR, HOUR, Built, folder

Floats = NDArray[np.float64]


def pipes() -> Built:
    """Pressures and flows in a town's water network, whose zones draw as people do."""
    steps, step = 1500, 900
    rng = np.random.default_rng(7)
    table = _hydraulics(_demands(rng, steps, step), steps, step)
    table += rng.standard_normal(table.shape) * 0.01 * table.std().to_numpy()
    source = "SIMULATION: wntr 1.5.0 (Net3, random demands of zones, 1 % noise, a shift at 60 %)"
    return Built(table, step, "m, l/s", source, "BSD-3 (package)", False)


def _demands(rng: np.random.Generator, steps: int, step: int) -> list[Floats]:
    """Of eight zones: a daily course that wanders; one draws a quarter more from 60 % on."""
    hours = np.arange(steps + 1) * step / 3600
    daily = 1 + 0.45 * np.sin(2 * np.pi * (hours - 8) / 24)
    daily += 0.2 * np.sin(4 * np.pi * (hours - 3) / 24)
    wander = np.zeros((8, steps + 1))
    for t in range(1, steps + 1):
        wander[:, t] = 0.97 * wander[:, t - 1] + 0.03 * rng.standard_normal(8) * 2
    demands = list(np.maximum(0.05, daily * (1 + wander)))
    demands[3][steps * 3 // 5 :] *= 1.25
    return demands


def _hydraulics(demands: list[Floats], steps: int, step: int) -> pd.DataFrame:
    """Pressures at junctions and the ten liveliest flows."""
    import wntr

    network = wntr.network.WaterNetworkModel(
        str(folder("wntr") / "library" / "networks" / "Net3.inp")
    )
    time: Any = network.options.time
    time.duration = steps * step
    time.hydraulic_timestep = time.pattern_timestep = time.report_timestep = step
    for zone, demand in enumerate(demands):
        network.add_pattern(f"g{zone}", list(demand))
    for i, (_, junction) in enumerate(network.junctions()):
        for series in junction.demand_timeseries_list:
            series.pattern_name = f"g{i % len(demands)}"
    with TemporaryDirectory() as scratch:
        found = wntr.sim.EpanetSimulator(network).run_sim(file_prefix=f"{scratch}/s")
    pressure, flow = found.node["pressure"], found.link["flowrate"]
    junctions = list(network.junction_name_list)[::2][:46]
    liveliest = flow.std().sort_values().index[::-1][:10]
    both = [pressure[junctions].add_prefix("p_"), (flow[liveliest] * 1000).add_prefix("q_")]
    table = pd.concat(both, axis=1).iloc[:steps]
    return table.loc[:, table.std() > 1e-6]


DOWNSTREAM = [-1, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 6]
"""The gauge that each gauge's water reaches next."""


def floods() -> Built:
    """Gauges of a river: showers, two stores a basin, water that takes its time downstream."""
    rng = np.random.default_rng(11)
    steps, gauges = 4000, len(DOWNSTREAM)
    shower = _showers(rng, steps)
    rain = rng.gamma(2, 0.5, (gauges, 1)) * shower * rng.gamma(1.5, 0.67, (gauges, steps))
    quick, slow = rng.uniform(0.05, 0.15, gauges), rng.uniform(0.002, 0.004, gauges)
    lag = rng.integers(2, 8, gauges)
    flow = np.array([list(_basin(r, q, s)) for r, q, s in zip(rain, quick, slow, strict=True)])
    flow *= rng.lognormal(0, 0.8, gauges)[:, None] * 10
    for i in range(gauges - 1, 0, -1):
        late = np.concatenate([np.full(lag[i], flow[i, 0]), flow[i, : -lag[i]]])
        flow[DOWNSTREAM[i]] += late
    flow *= 1 + 0.02 * rng.standard_normal((gauges, steps))
    table = pd.DataFrame(flow.T, columns=[f"g{i}" for i in range(gauges)])
    source = "SIMULATION: showers, two linear stores a basin, routing with delay"
    return Built(table, HALF_HOUR, "m3/s", source, "own", False)


def _showers(rng: np.random.Generator, steps: int) -> Floats:
    found, at = np.zeros(steps), 0
    while at < steps:
        at += int(rng.exponential(170))
        length = int(rng.integers(4, 30))
        if at < steps:
            found[at : at + length] += rng.gamma(0.7, 2.0)
    return found


def _basin(rain: Floats, quick: float, slow: float) -> Iterator[float]:
    """What runs off: more where the ground is wet already."""
    surface, ground = 0.0, 1.0
    for fallen in rain:
        wetness = ground / (ground + 30)
        surface += 0.3 * fallen * (1 + 2 * wetness) - quick * surface
        ground += 0.12 * fallen - slow * ground
        yield quick * surface + slow * ground


def field() -> Built:
    """Forty sensors of a field of temperature, which drift, are recalibrated, and are moved."""
    rng = np.random.default_rng(5)
    steps, sensors = 2000, 40
    places = rng.uniform(0, 1, (sensors, 2))
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    root = np.linalg.cholesky(np.exp(-apart / 0.4) + 1e-6 * np.eye(sensors))
    air, drift, found = np.zeros(sensors), np.zeros(sensors), np.zeros((steps, sensors))
    swing, phase = rng.uniform(0.7, 1.6, sensors), rng.normal(0, 1.2, sensors)
    for t in range(steps):
        shock = root @ rng.standard_normal(sensors)
        air = 0.985 * air + np.sqrt(1 - 0.985**2) * shock * 1.5
        drift += 0.012 * rng.standard_normal(sensors)
        if t % 400 == 399:
            drift[rng.random(sensors) < 0.25] = 0
        if t == 1200:
            swing = swing * rng.uniform(0.5, 1.5, sensors)
        daily = swing * 4 * np.sin(2 * np.pi * (t * 10 / 60 - 9 - phase) / 24)
        found[t] = 15 + daily + air + drift + 0.1 * rng.standard_normal(sensors)
    source = "SIMULATION: random field + daily course + drift, recalibrations, moved at 60 %"
    return Built(pd.DataFrame(found), 600, "degC", source, "own", False)


def dup() -> Built:
    """Three pairs of near-duplicates, a random walk, a skewed relative."""
    rng = np.random.default_rng(9)
    steps = 3000
    hours = np.arange(steps, dtype=float)
    base, now = np.zeros((steps, 3)), np.zeros(3)
    for t in range(steps):
        now = 0.95 * now + 0.3 * rng.standard_normal(3)
        base[t] = now
    trend = 1.5 * np.sin(2 * np.pi * hours / 24) + 0.8 * np.sin(2 * np.pi * hours / 168)
    a = trend + base[:, 0]
    b = 0.4 * trend + base[:, 1] + 0.3 * base[:, 0]
    c = base[:, 2] + 0.2 * trend

    def noise(scale: float) -> Floats:
        return scale * rng.standard_normal(steps)

    columns = [
        a, a * 2 + 3 + noise(0.03), b, -b + noise(0.03), c, 0.5 * c + noise(0.02),
        noise(1).cumsum() * 0.03, np.exp(0.6 * a) + noise(0.1),
    ]  # fmt: skip
    source = "SIMULATION: three near-duplicate pairs, a random walk, a skewed relative"
    return Built(pd.DataFrame(np.column_stack(columns)), HOUR, "-", source, "own", False)


SETS = (pipes, floods, field, dup)
