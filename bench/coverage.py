"""Whether intervals hold what they promise on unlike networks, by the age of gaps.

    python bench/coverage.py [--sets nycw,lab | tune | held] [--model auto] [--data build/suite]

Nominal 50, 90 and 99 %: the share of truths within, of values that are seen (each judged before it
is learnt) and of those withheld in blocks, overlaps, blackouts and from series alone
(bench/networks.py), by how many steps the gap has lasted; after the first tenth of each record.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import machine
import numpy as np
from networks import ROOT, networks
from numpy.typing import NDArray
from suite.ours import play
from suite.patterns import Mask, Part, patterns
from suite.scores import Filled
from suite.sets import Floats, Network, half_of, read, shortest

LEVELS = (0.5, 0.9, 0.99)
GAPS = ("block", "overlap", "blackout", "alone")
SEEN = "seen"
AGES = {1: "1", 2: "2–4", 5: "5–16", 17: "17–100", 101: "> 100"}
"""First age of each class, in steps, and what it is called."""
Counts = dict[tuple[str, str, float], NDArray[np.int64]]
"""By set, class and level: truths within, and truths."""


def ages(missing: Mask) -> NDArray[np.int64]:
    """(T, N) steps that each gap has lasted at a step, this one counted; 0 where there is none."""
    steps = np.arange(len(missing))[:, None]
    before = np.maximum.accumulate(np.where(missing, -1, steps), axis=0)
    return np.where(missing, steps - before, 0)


def within(filled: Filled, truth: Floats, circle: Floats) -> tuple[Mask, Mask]:
    """(T, N) which truths lie within their interval; which have one."""
    near = filled.mean + shortest(truth - filled.mean, circle)
    told = ~np.isnan(filled.lower) & ~np.isnan(near)
    return told & (near >= filled.lower) & (near <= filled.upper), told


def played(network: Network, part: Part, level: float, model: str) -> Iterator[tuple[str, Mask]]:
    """By class, which cells count and of these which are covered, as (2, T, N)."""
    values = network.values[:, part.columns]
    seen = np.where(part.withheld, np.nan, values)
    filled = play({"type": model}, seen, network.interval, [0], level=level)[0]
    good, told = within(filled, values, network.circle[part.columns])
    told[: len(values) // 10] = False
    age, bounds = ages(np.isnan(seen)), [*AGES, np.iinfo(np.int64).max]
    for name, first, end in zip(AGES.values(), bounds, bounds[1:], strict=False):
        where = told & part.withheld & (age >= first) & (age < end)
        yield name, np.array([where & good, where])
    where = told & ~np.isnan(seen)
    yield SEEN, np.array([where & good, where])


def measured(data: Path, name: str, model: str) -> Counts:
    """Of one set, all patterns together."""
    network = read(data, name)
    found: Counts = defaultdict(lambda: np.zeros(2, np.int64))
    parts = [part for pattern, of in patterns(network).items() if pattern in GAPS for part in of]
    for level in LEVELS:
        for part in parts:
            for kind, cells in played(network, part, level, model):
                found[name, kind, level] += cells.sum(axis=(1, 2))
    return found


def row(counts: Counts, sets: list[str], level: float) -> dict[str, object]:
    """Coverage in % by class, the sets counting alike; the share of sets within 2 points of what
    is promised of what is seen, and within 5 in gaps."""
    shown: dict[str, object] = {}
    near = {True: [0, 0], False: [0, 0]}
    for kind in (SEEN, *AGES.values()):
        of = [counts[name, kind, level] for name in sets if (name, kind, level) in counts]
        shares = [good / number for good, number in of if number]
        shown[kind] = f"{100 * np.mean(shares):.1f}" if shares else ""
        for share in shares:
            near[kind == SEEN][0] += abs(share - level) <= (0.02 if kind == SEEN else 0.05)
            near[kind == SEEN][1] += 1
    for title, (good, number) in {"seen ± 2": near[True], "gaps ± 5": near[False]}.items():
        shown[title] = f"{good} of {number}"
    return shown


def main() -> None:
    """Play all sets, print a row for each half and level, then one for each set at 90 %."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default="all")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "suite")
    options = parser.parse_args()
    facts, names = machine.describe(), networks(options.sets, options.data)
    counts: Counts = {}
    for name in names:
        counts |= measured(options.data, name, options.model)
        print(f"{name} played", flush=True)
    halves = {half: [n for n in names if half_of(n) == half] for half in ("tune", "held")}
    rows = [
        {"half": half, "nominal": f"{level:.0%}"} | row(counts, of, level)
        for half, of in halves.items()
        for level in LEVELS
        if of
    ]
    machine.print_table(f"coverage of {options.model}, % by the age of gaps", facts, rows)
    each = [{"set": name} | row(counts, [name], 0.9) for name in names]
    machine.print_table("the same of each set, nominal 90 %", {}, each)


if __name__ == "__main__":
    main()
