"""Whole records filled, beside the best offline peer of each set and pattern of gaps.

    python bench/filling.py [--sets nycw,lab | tune | held] [--data build/suite]
        [--peers bench/results/networks.json]

Peers are read from the results of `bench/networks.py`; sets and gaps are the same. RMSE over that
of the best offline peer, seen afterwards; coverage of 90 % intervals; the past alone beside it.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
import numpy as np
from networks import networks
from suite.cells import Results
from suite.methods import OFFLINE, SMOOTHED
from suite.ours import BEGIN, QUANTITY, SECOND
from suite.patterns import FORECASTS, Part, patterns
from suite.peers.naive import last
from suite.scores import LEVEL, Filled, errors, told
from suite.sets import Floats, Network, half_of, read
from suite.table import NOT_WORSE, best

from gapcast.engine.filling.fill import fill
from gapcast.engine.filling.record import Record
from gapcast.engine.forecaster import Series

ROOT = Path(__file__).parents[1]


def filled(values: Floats, interval: float, causal: bool) -> Filled:
    """A record of the suite filled; interval in seconds."""
    step = round(interval * SECOND)
    series = tuple(Series(f"{i:04d}", QUANTITY) for i in range(values.shape[1]))
    found = fill(Record(values, series, step, BEGIN // step), causal=causal, level=LEVEL)
    return Filled(found.values, found.lower, found.upper)


def scored(network: Network, parts: list[Part], causal: bool) -> dict[str, float | int | None]:
    """Scores of a pattern's parts, pooled."""
    found = []
    for columns, withheld in parts:
        truth = np.ascontiguousarray(network.values[:, columns])
        values = np.where(withheld, np.nan, truth)
        said = filled(values, network.interval, causal)
        spread, circle = network.spread[columns], network.circle[columns]
        found.append(errors(said, truth, withheld, last(values), spread, circle))
    return told(found)


def main() -> None:
    """Print a row for each set and pattern, and the means of both halves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default="all")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "suite")
    parser.add_argument("--peers", type=Path, default=ROOT / "bench" / "results" / "networks.json")
    options = parser.parse_args()
    peers, rows = Results(options.peers).found, []
    for name in networks(options.sets, options.data):
        network = read(options.data, name)
        for pattern, parts in patterns(network).items():
            peer = best(peers, (name, pattern), SMOOTHED, OFFLINE)
            if pattern == FORECASTS or not peer:
                continue
            began = time.process_time()
            own = scored(network, parts, causal=False)
            seconds = time.process_time() - began
            past = scored(network, parts, causal=True)
            row = {"set": name, "half": half_of(name), "pattern": pattern, "peer": peer}
            row |= {"ratio": (own["rmse"] or math.nan) / peer, "coverage": own["coverage"]}
            row |= {"past alone": (past["rmse"] or math.nan) / peer, "s": seconds}
            rows.append(row)
    facts = machine.describe()
    machine.print_table("filled, over the best offline peer", facts, rows)
    machine.print_table("geometric means", facts, [_means(rows, half) for half in ("tune", "held")])
    machine.save("filling", facts, rows)


def _means(rows: list[dict[str, object]], half: str) -> dict[str, object]:
    """Geometric means of the ratios of a half: by pattern, of all, and of the past alone."""
    own = [row for row in rows if row["half"] == half]
    kinds = dict.fromkeys(str(row["pattern"]) for row in rows)
    found: dict[str, object] = {"half": half, "cells": len(own)}
    for kind in kinds:
        found[kind] = _mean([row["ratio"] for row in own if row["pattern"] == kind])
    better = [float(str(row["ratio"])) <= NOT_WORSE for row in own]
    return found | {
        "all": _mean([row["ratio"] for row in own]),
        "not worse": f"{sum(better) / max(1, len(own)):.0%}",
        "coverage": float(np.mean([float(str(row["coverage"])) for row in own])) if own else "",
        "past alone": _mean([row["past alone"] for row in own]),
    }


def _mean(ratios: list[object]) -> object:
    return float(np.exp(np.mean(np.log(np.array(ratios, float))))) if ratios else ""


if __name__ == "__main__":
    main()
