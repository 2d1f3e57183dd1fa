"""`network-rls`, or another joint model, by its defaults: withheld days, gaps, intervals, cost.

    python bench/network.py accuracy [--model network-rls]
    python bench/network.py cost
    python bench/network.py million

On the shipped sample, temperature alone unless a row says otherwise; means over its 50 motes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from gapcast import load_config, run
from gapcast.engine.forecaster import Frame, Model, Series
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "intel-lab-3days.txt.gz"
HALF_HOUR = 1_800_000_000
DAYS = [f"2004-03-0{d}T00:00:00Z" for d in (1, 2, 3, 4)]
CONFIG = """
name: network
source: {{type: replay, path: {path}, format: intel-lab}}
grid: {{interval: 30min}}
targets: {{sensors: all, quantities: [temperature]}}
{derive}
evaluation: {evaluation}
models:
  model: {{type: {model}}}
sinks: {{console: {{type: console}}}}
"""


def withhold(start: int, end: int, hide: str = "each", more: str = "") -> str:
    """An evaluation section: withheld from one day's beginning to another's."""
    span = f"{{from: {DAYS[start]}, to: {DAYS[end]}}}"
    return f"{{mode: blackout, hide: {hide}, release: never, spans: [{span}]{more}}}"


def scores(model: str, evaluation: str, derive: bool = False) -> tuple[float, float]:
    """Mean MSE and coverage over motes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = folder / "run.yaml"
        how = {"path": SAMPLE, "model": model, "evaluation": evaluation}
        config.write_text(CONFIG.format(**how, derive="" if derive else "derive: {}"))
        table = run(load_config(config), folder / "run").scores
        return pc.mean(table["mse"]).as_py(), pc.mean(table["coverage"]).as_py()


def by_age(model: str, length: int, seeds: int) -> dict[str, float]:
    """MSE by class of gap age, of gaps of `length` steps at any time of days 2 and 3."""
    sums: dict[str, list[float]] = {}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            gaps = f", gaps: {{share: 0.05, steps: [{length}, {length}], seed: {seed}}}"
            how = {"path": SAMPLE, "model": model, "evaluation": withhold(1, 3, more=gaps)}
            config = folder / "run.yaml"
            config.write_text(CONFIG.format(**how, derive="derive: {}"))
            run(load_config(config), folder / "run")
            table = pcsv.read_csv(folder / "run" / "scores_by_gap.csv")
        columns = (table[c].to_pylist() for c in ("gap", "n", "mse"))
        for gap, n, mse in zip(*columns, strict=True):
            total = sums.setdefault(gap, [0.0, 0.0])
            total[0] += n * mse
            total[1] += n
    found = {gap: a / n for gap, (a, n) in sums.items()}
    whole = np.sum(list(sums.values()), axis=0)
    return found | {"all": float(whole[0] / whole[1])}


def sample() -> np.ndarray:
    """(144, 50) the sample's temperatures."""
    import gzip

    with gzip.open(SAMPLE, "rt") as file:
        return np.array([float(line.split()[4]) for line in file]).reshape(-1, 50)


def prepared(sensors: int) -> tuple[NetworkRls, object]:
    """The forecaster and its layout over so many sensors without positions."""
    forecaster = NetworkRls(NetworkRls.Params())
    network = Network.of([Series(f"{i:07d}", "t") for i in range(sensors)])
    return forecaster, lay_out(network, network.series, Model("m", forecaster), HALF_HOUR)


def ten_missing(draws: int) -> float:
    """Day 3 masked for each mote, ten motes drawn at each withheld step missing for all."""
    x = sample()
    forecaster, layout = prepared(50)
    errors = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        values, own = x.copy(), x.copy()
        for t in range(96, 144):
            values[t, rng.choice(50, 10, replace=False)] = np.nan
        own[96:] = np.nan
        frame = Frame(layout, 0, values, own, np.empty((144, 50, 0)))
        mean = forecaster.step(forecaster.start(layout), frame).mean[:, :, 0]
        errors.append(np.square(mean - x)[96:].mean())
    return float(np.mean(errors))


def accuracy(model: str) -> list[dict[str, object]]:
    """One row a question."""
    rows: list[dict[str, object]] = []

    def row(what: str, mse: float, floor: float | str = "", coverage: float | str = "") -> None:
        rows.append({"what": what, "MSE": mse, "floor": floor, "coverage": coverage})

    for what, evaluation, derive, floor in (
        ("day 3 withheld for each mote", withhold(2, 3), False, 0.205),
        ("day 2, learnt from day 1", withhold(1, 2), False, 0.37),
        ("days 2 and 3, learnt from day 1", withhold(1, 3), False, 0.37),
        ("day 3, own humidity known", withhold(2, 3), True, 0.018),
        ("days 2 and 3, own humidity known", withhold(1, 3), True, ""),
        ("day 3, whole mote withheld", withhold(2, 3, "each-sensor"), True, "as the first"),
        ("nothing withheld, all days", "{mode: prequential}", False, ""),
        ("nothing withheld, through the dew point", "{mode: prequential}", True, ""),
    ):
        mse, coverage = scores(model, evaluation, derive)
        row(what, mse, floor, coverage)
    if model == "network-rls":
        row("day 3, ten others missing at each step, six draws", ten_missing(6), 0.23)
    for length, ages, floor in ((1, "all", 0.07), (3, "all", 0.165), (12, "all", 0.22)):
        found = by_age(model, length, 24)
        row(f"all of a gap of {length} steps, any onset", found[ages], floor)
    return rows


def _speed(sensors: int, steps: int) -> float:
    """Target-steps a second of one block, once it has learnt as many steps."""
    forecaster, layout = prepared(sensors)
    rng = np.random.default_rng(1)
    values = 20 + np.cumsum(rng.normal(0, 0.1, (2 * steps, 1)), axis=0)
    values = values + rng.normal(0, 0.3, (2 * steps, sensors))
    state, empty = forecaster.start(layout), np.empty((steps, sensors, 0))
    forecaster.step(state, Frame(layout, 0, values[:steps], values[:steps].copy(), empty))
    own = values[steps:].copy()
    began = time.perf_counter()
    forecaster.step(state, Frame(layout, steps, values[steps:], own, empty))
    return steps * sensors / (time.perf_counter() - began)


def cost(repeats: int) -> list[dict[str, object]]:
    """Blocks of 50 on one and on two threads."""
    rows: list[dict[str, object]] = []
    for threads in (1, 2):
        rates = []
        for _ in range(repeats):
            with ThreadPoolExecutor(threads) as pool:
                rates.append(
                    sum(r for r, _ in pool.map(lambda _: _speed(50, 20_000), range(threads)))
                )
        rows.append(
            {
                "blocks of 50 side by side": threads,
                "target-steps/s": float(np.median(rates)),
                "min": min(rates),
                "max": max(rates),
            }
        )
    return rows


def million(sensors: int, steps: int) -> list[dict[str, object]]:
    """Steps a second of so many targets, in two halves side by side."""
    forecaster, layout = prepared(sensors // 2)
    rng = np.random.default_rng(1)
    values = 20 + rng.normal(0, 0.3, (1, sensors // 2))
    states = [forecaster.start(layout) for _ in range(2)]
    empty = np.empty((1, sensors // 2, 0))
    took = []

    def step(which: int, t: int) -> None:
        now = values + 0.01 * t
        forecaster.step(states[which], Frame(layout, t, now, now.copy(), empty))

    with ThreadPoolExecutor(2) as pool:
        for t in range(steps):
            began = time.perf_counter()
            list(pool.map(lambda w, t=t: step(w, t), range(2)))
            took.append(time.perf_counter() - began)
    late = sorted(took[8:])
    bytes_ = sum(a.nbytes for s in states for a in s.values())
    return [
        {
            "targets": sensors,
            "step without solving, s": late[len(late) // 2],
            "step with solving, s": late[-1],
            "steps/s, solving every 38": 39 / (38 * late[len(late) // 2] + late[-1]),
            "state, GiB": bytes_ / 2**30,
            "peak, GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
    ]


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["accuracy", "cost", "million"])
    parser.add_argument("--model", default="network-rls")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sensors", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    facts = machine.describe()
    if options.part == "accuracy":
        rows = accuracy(options.model)
    elif options.part == "cost":
        rows = cost(options.repeats)
    else:
        rows = million(options.sensors, options.steps)
    machine.print_table(f"{options.model}, {options.part}", facts, rows)
    machine.save(f"network-{options.part}-{options.model}", facts, rows)


if __name__ == "__main__":
    main()
