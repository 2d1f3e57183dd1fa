"""Unlike networks, gaps of five patterns, forecasts ahead: models of the project beside peers.

    python bench/networks.py --models network-rls auto='{"type": "auto", "memory": "4d"}'
        [--sets nycw,lab | tune | held] [--patterns single,block] [--peers all] [--jobs 1]
        [--data build/suite] [--out bench/results/networks.json] [--again NAME] [--screening]

Cells that are in the file of results are not played again, unless `--again` names their method.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy: one process, one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import machine
from suite.cells import Cell, Results, play
from suite.methods import AHEAD, GAPS, PEERS, Ours, model
from suite.patterns import FORECASTS, digest, patterns
from suite.sets import SETS, read, there
from suite.table import Place, errors, intervals, merit, notes

ROOT = Path(__file__).parents[1]
MODELS = ["network-rls", "spatial-rls", "diurnal", "blend", "rls"]
PATTERNS = ["single", "block", "overlap", "blackout", "alone", "ahead"]
PACKAGES = ("scikit-learn", "scipy", "statsmodels", "river", "padasip")


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


def play_all(cells: list[Cell], results: Results, jobs: int, facts: dict[str, str]) -> None:
    """Play cells and store each as soon as it is done, told on a line."""
    for done, (cell, scores) in enumerate(played(cells, jobs), 1):
        results.add(cell, scores, facts)
        print(f"{done}/{len(cells)} {cell.key}: {_line(scores)}", flush=True)


def played(cells: list[Cell], jobs: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Cells with their scores, as they are done, so many processes at a time; 1: in this one."""
    if jobs == 1:
        yield from ((cell, play(cell)) for cell in cells)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(play, cell): cell for cell in cells}
        try:
            yield from ((running[done], done.result()) for done in as_completed(running))
        finally:
            pool.shutdown(cancel_futures=True)


def _line(scores: dict[str, Any]) -> str:
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
    facts, results = machine.describe(*PACKAGES), Results(options.out)
    peers = chosen(options.peers, [*PEERS], "peers")
    models = dict(model(text, options.screening) for text in options.models)
    wanted = chosen(options.patterns, PATTERNS, "patterns")
    titles: dict[str, Ours | None] = dict.fromkeys(peers) | models
    places: list[Place] = []
    cells: list[Cell] = []
    for name in networks(options.sets, options.data):
        network = read(options.data, name)
        for pattern, parts in patterns(network).items():
            if pattern not in wanted:
                continue
            places.append((name, pattern))
            data = digest(network, parts)
            for title, section in titles.items():
                cell = Cell(options.data, name, pattern, title, section)
                again = title.removeprefix("gapcast ") in options.again
                if cell.can and (again or not results.has(cell, data)):
                    cells.append(cell)
    play_all(cells, results, options.jobs, facts)
    tell(results, places, [*models], facts)


def tell(results: Results, places: list[Place], models: list[str], facts: dict[str, str]) -> None:
    """Print the tables of what there is."""
    gaps, ahead = ([p for p in places if (p[1] == FORECASTS) == late] for late in (False, True))
    machine.print_table(
        "unlike networks",
        facts,
        [{"sets": len({name for name, _ in places}), "cells": len(places)}],
    )
    for task in (*GAPS, *AHEAD):
        of = gaps if task in GAPS else ahead
        if of:
            rows = errors(results.found, of, task, models)
            machine.print_table(f"{task}: RMSE, standard deviations; [peers]", {}, rows)
        if of and models:
            rows = intervals(results.found, of, task, models)
            machine.print_table(f"{task}: 90 % intervals, seconds of processor time", {}, rows)
    if models:
        rows = merit(results.found, places, models)
        machine.print_table("ratios to the best peer of a kind, seen afterwards", {}, rows)
    print("\n" + "\n".join(notes(results.found, places)))


if __name__ == "__main__":
    main()
