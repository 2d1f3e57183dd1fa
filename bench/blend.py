"""A blend of eight experts beside one `spatial-rls` with as many regressors.

python bench/blend.py
"""

from __future__ import annotations

import argparse
import time

import machine
import numpy as np

from gapcast.engine.forecaster import Forecaster, Frame, Model, Series
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.plugins.forecasters.blend.forecaster import Blend
from gapcast.plugins.forecasters.spatial_rls.forecaster import SpatialRls

HALF_HOUR = 1_800_000_000
SPATIAL = {"type": "spatial-rls"}
EXPERTS = {
    "default": Blend.Params().experts,
    "all eight kinds": {
        "network": {"type": "network-rls"},
        "spatial": SPATIAL,
        "spatial-20": SPATIAL | {"neighbours": {"correlated": 20}},
        "spatial-8": SPATIAL | {"neighbours": {"correlated": 8}},
        "rls": {"type": "rls"},
        "seasonal": {"type": "seasonal"},
        "diurnal": {"type": "diurnal"},
        "persistence": {"type": "persistence"},
    },
    "eight times spatial-rls": {f"spatial-{i}": SPATIAL for i in range(8)},
}


def seconds(forecaster: Forecaster, sensors: int, steps: int) -> float:
    """Of stepping so many sensors through so many steps, once warm."""
    network = Network.of([Series(f"{i:04d}", "t") for i in range(sensors)])
    layout = lay_out(network, network.series, Model("m", forecaster), HALF_HOUR)
    rng = np.random.default_rng(1)
    values = 20 + np.cumsum(rng.normal(0, 0.1, (2 * steps, 1)), axis=0)
    values = values + rng.normal(0, 0.3, (2 * steps, sensors))
    state, empty = forecaster.start(layout), np.empty((steps, sensors, 0))
    forecaster.step(state, Frame(layout, 0, values[:steps], values[:steps].copy(), empty))
    own = values[steps:].copy()
    began = time.perf_counter()
    forecaster.step(state, Frame(layout, steps, values[steps:], own, empty))
    return time.perf_counter() - began


def main() -> None:
    """Print the table; runs of what is compared alternate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sensors", type=int, default=50)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size = (options.sensors, options.steps)
    one = SpatialRls(SpatialRls.Params())
    rows: list[dict[str, object]] = []
    for what, experts in EXPERTS.items():
        blend = Blend(Blend.Params(experts=experts))
        pairs = [(seconds(blend, *size), seconds(one, *size)) for _ in range(options.repeats)]
        times, ratios = [a for a, _ in pairs], [a / b for a, b in pairs]
        each = np.median(times) / (size[0] * size[1])
        rows.append(
            {
                "blend": what,
                "µs a target and step": float(each * 1e6),
                "times one spatial-rls": float(np.median(ratios)),
                "min": min(ratios),
                "max": max(ratios),
            }
        )
    facts = machine.describe()
    machine.print_table("blend beside one spatial-rls", facts, rows)
    machine.save("blend", facts, rows)


if __name__ == "__main__":
    main()
