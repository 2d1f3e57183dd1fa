"""Unlike networks, gaps of five patterns: models of the project beside peers.

    python bench/networks.py --models network-rls auto='{"type": "auto", "memory": "4d"}'
        [--sets nycw,lab | tune | held] [--patterns single,block] [--peers all] [--jobs 1]
        [--data build/suite] [--out bench/results/networks.json] [--again NAME] [--screening]

Cells that are in the file of results are not played again, unless `--again` names their method.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one process, one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
from suite.cells import Cell, Kept, play
from suite.methods import NOWCAST, PEERS, SMOOTHED, Ours, model
from suite.patterns import patterns
from suite.sets import SETS, read, there
from suite.table import merit, rows

ROOT = Path(__file__).parents[1]
MODELS = ["network-rls", "spatial-rls", "diurnal", "blend", "rls"]
PATTERNS = ["single", "block", "overlap", "dark", "alone"]
PACKAGES = ("scikit-learn", "scipy")


def chosen(wanted: str, known: list[str], what: str) -> list[str]:
    """Names between commas, each one of those known; `all` is all of them."""
    if wanted == "all":
        return known
    names = wanted.split(",") if wanted else []
    for name in names:
        if name not in known:
            raise SystemExit(f"--{what}: no {name!r}; there are {', '.join(known)}")
    return names


def networks(wanted: str, data: Path) -> list[str]:
    """Names of the sets that are asked for: all, a half of the suite, or names."""
    known = there(data)
    if not known:
        raise SystemExit(f"{data} has no sets: run 'make suite', or name their folder with --data")
    if wanted in ("tune", "held"):
        return [n for n in known if n in SETS and SETS[n].half == wanted]
    return chosen(wanted, known, "sets")


def play_all(cells: list[Cell], kept: Kept, jobs: int, facts: dict[str, str]) -> None:
    """Play cells and keep each as soon as it is done, told on a line."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn) as pool:
        found = pool.map(play, cells) if jobs > 1 else map(play, cells)
        for done, (cell, scores) in enumerate(zip(cells, found, strict=True), 1):
            kept.add(cell, scores, facts)
            print(f"{done}/{len(cells)} {cell.key}: {_line(scores)}", flush=True)


def _line(scores: dict[str, object]) -> str:
    told = scores["scores"]
    if isinstance(told, dict):
        told = ", ".join(f"{kind} {of['rmse'] or float('nan'):.3f}" for kind, of in told.items())
    return f"{told} ({scores['seconds']:.1f} s)"


def main() -> None:
    """Play what is not there yet, print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="*", default=MODELS, metavar="NAME[=JSON]")
    parser.add_argument("--sets", default="all")
    parser.add_argument("--patterns", default="all")
    parser.add_argument("--peers", default="all")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "suite")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "networks.json")
    parser.add_argument("--again", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--screening", action="store_true")
    options = parser.parse_args()
    facts, kept = machine.describe(*PACKAGES), Kept(options.out)
    peers = chosen(options.peers, [*PEERS], "peers")
    models = dict(model(text, options.screening) for text in options.models)
    methods: dict[str, Ours | None] = dict.fromkeys(peers) | models
    places, cells = [], []
    for name in networks(options.sets, options.data):
        network = read(options.data, name)
        wanted = chosen(options.patterns, PATTERNS, "patterns")
        of = [p for p in patterns(network) if p in wanted]
        places += [(name, pattern) for pattern in of]
        for pattern, (title, method) in product(of, methods.items()):
            cell = Cell(options.data, name, pattern, title, method)
            again = title.removeprefix("gapcast ") in options.again
            if again or not kept.has(cell, network.digest):
                cells.append(cell)
    play_all(cells, kept, options.jobs, facts)
    sizes = {"sets": str(len({s for s, _ in places})), "cells": str(len(places))}
    for kind in (NOWCAST, SMOOTHED):
        table = rows(kept.found, places, kind, [*models])
        machine.print_table(f"{kind}: RMSE in standard deviations; [peers]", facts | sizes, table)
    figures = merit(kept.found, places, [*models])
    if figures:
        machine.print_table("ratio to the best peer of each kind, seen afterwards", facts, figures)


if __name__ == "__main__":
    main()
