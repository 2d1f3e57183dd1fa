"""Gaps of 1 to 10 steps, a fifth of all: nowcasts, the same smoothed twelve steps later, a line.

    python bench/smoothing.py

Random gaps of every target, withheld from all models, filled by `network-rls` by its defaults, on
the shipped sample and on two simulated networks: one that hardly changes from step to step (2 min)
and one that does (30 min). Beside ours: linear interpolation from the last to the next truth, which
needs the gap's far end as well.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import machine
import numpy as np
import pyarrow.dataset as ds

from gapcast import load_config, run
from gapcast.engine.data.simulate import Simulation, simulate

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "intel-lab-3days.txt.gz"
LONGEST, LAG, SEEDS = 10, 12, 8
CONFIG = """
name: smoothing
source: {{type: replay, path: {path}, format: intel-lab}}
grid: {{interval: {interval}}}
targets: {{sensors: all, quantities: [temperature]}}
derive: {{}}
evaluation:
  mode: blackout
  hide: together
  release: never
  spans: [{{from: {start}, to: {end}}}]
  gaps: {{share: 0.2, steps: [1, {longest}], seed: {seed}}}
models:
  network: {{type: network-rls, horizons: [0, -{lag}]}}
sinks: {{files: {{type: files}}}}
"""


def sets(folder: Path) -> dict[str, dict[str, str]]:
    """What is filled, by name."""
    for name, days, seed in (("slow", 2.0, 11), ("fast", 6.0, 12)):
        simulate(Simulation(motes=40, days=days, seed=seed, clean=True), folder / f"{name}.txt.gz")
    return {
        "sample, 30 min": {
            "path": str(SAMPLE), "interval": "30min",
            "start": "2004-03-02T00:00:00Z", "end": "2004-03-04T00:00:00Z",
        },
        "simulated, slow (2 min)": {
            "path": str(folder / "slow.txt.gz"), "interval": "2min",
            "start": "2004-02-29T00:00:00Z", "end": "2004-03-01T00:00:00Z",
        },
        "simulated, fast (30 min)": {
            "path": str(folder / "fast.txt.gz"), "interval": "30min",
            "start": "2004-03-01T00:00:00Z", "end": "2004-03-05T00:00:00Z",
        },
    }  # fmt: skip


def errors(folder: Path) -> dict[str, np.ndarray]:
    """Squared errors of the gaps in a run's forecasts, by length of the gap (1 to LONGEST)."""
    columns = ["time", "sensor", "horizon", "forecast", "truth", "status"]
    table = ds.dataset(folder / "forecasts").to_table(columns=columns)
    times, step = np.unique(table["time"].to_numpy(), return_inverse=True)
    names, sensor = np.unique(table["sensor"].to_numpy(), return_inverse=True)
    horizon = table["horizon"].to_numpy()
    shape = len(times), len(names)
    now, late, truth = (np.full(shape, np.nan) for _ in range(3))
    hidden = np.zeros(shape, bool)
    for into, value, of in (
        (now, "forecast", 0), (late, "forecast", -LAG), (truth, "truth", 0)
    ):  # fmt: skip
        rows = horizon == of
        into[step[rows], sensor[rows]] = table[value].to_numpy()[rows]
    rows = (horizon == 0) & (table["status"].to_numpy() == "withheld")
    hidden[step[rows], sensor[rows]] = True
    found: dict[str, list[list[float]]] = {
        way: [[] for _ in range(LONGEST)] for way in ("nowcast", "linear", "smoothed")
    }
    for s in range(shape[1]):
        edges = np.flatnonzero(np.diff(np.r_[False, hidden[:, s], False].astype(int)))
        for a, b in edges.reshape(-1, 2):
            if b - a > LONGEST or a == 0 or b == len(times) or np.isnan(late[a:b, s]).any():
                continue
            ends = truth[a - 1, s], truth[b, s]
            line = np.interp(np.arange(a, b), [a - 1, b], ends)
            for way, filled in (
                ("nowcast", now[a:b, s]),
                ("linear", line),
                ("smoothed", late[a:b, s]),
            ):
                found[way][b - a - 1] += list((filled - truth[a:b, s]) ** 2)
    return {way: np.array(of, dtype=object) for way, of in found.items()}


def main() -> None:
    """Print one table a set."""
    facts = machine.describe()
    saved = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, where in sets(folder).items():
            gathered: dict[str, list[list[float]]] = {}
            for seed in range(SEEDS):
                config = folder / "run.yaml"
                config.write_text(CONFIG.format(**where, longest=LONGEST, lag=LAG, seed=seed))
                run(load_config(config), folder / f"{name}-{seed}")
                for way, of in errors(folder / f"{name}-{seed}").items():
                    there = gathered.setdefault(way, [[] for _ in range(LONGEST)])
                    for length in range(LONGEST):
                        there[length] += of[length]
            rows = [
                {
                    "gap, steps": n + 1,
                    "cells": len(gathered["nowcast"][n]),
                    **{way: float(np.mean(of[n])) for way, of in gathered.items()},
                }
                for n in range(LONGEST)
            ]
            machine.print_table(f"{name}: MSE, °C²", facts, rows)
            saved += [{"set": name, **row} for row in rows]
    machine.save("smoothing", facts, saved)


if __name__ == "__main__":
    main()
