"""``gapcast backtest``: models × settings × patterns of gaps, compared in one table."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gapcast.engine.backtesting import backtest as run_backtest
from gapcast.engine.backtesting.scores import pool
from gapcast.engine.config import load_config
from gapcast.engine.metrics import BY_NAME, Metric

INTERRUPTED = 130


def backtest(
    config: Annotated[Path, typer.Argument(help="The config, a YAML file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; a new one in runs/.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; by default one a core.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. backtest.seed=1."),
    ] = None,
) -> None:
    """Compare models, settings and patterns of gaps; see docs/backtest.md."""
    checked = load_config(config, settings or ())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    notes = Console(stderr=True)
    try:
        with Progress(console=notes, transient=True) as bar:
            task = bar.add_task("looking at the source", total=None)

            def progress(done: int, cases: int) -> None:
                bar.update(task, description="runs", completed=done, total=cases)

            found = run_backtest(checked, out, jobs, progress)
    except KeyboardInterrupt:
        notes.print("interrupted: nothing is written of a backtest that was not finished")
        raise typer.Exit(INTERRUPTED) from None
    console = Console()
    rows = found.scores.to_pylist()
    console.print(score_table(rows, "MSE", BY_NAME["mse"], best=min))
    console.print()
    console.print(score_table(rows, "Coverage of the intervals", BY_NAME["coverage"]))
    console.print(f"\n{found.folder}/  backtest.csv, backtest_by_gap.csv, backtest.json",
                  soft_wrap=True, highlight=False, markup=False)  # fmt: skip


def score_table(
    rows: list[dict[str, Any]],
    title: str,
    metric: Metric,
    best: Callable[[list[float]], float] | None = None,
) -> Table:
    """One row a pattern (and quantity and horizon, if there are several), one column a model;
    draws pooled. The `best` of a row is bold."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    several = [key for key in ("quantity", "horizon") if len({row[key] for row in rows}) > 1]
    shares = ["share"] if any(row["share"] is not None for row in rows) else []
    key = ["pattern", *shares, "steps", *several]
    cells = {
        (*(row[k] for k in key), row["model"]): row[metric.name]
        for row in pool(rows, [*key, "model"])
    }
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for name in key:
        table.add_column(name, justify="left" if name in ("pattern", "quantity") else "right")
    for name in names:
        table.add_column(name.replace("[", r"\["), justify="right", overflow="fold")
    for at in dict.fromkeys(cell[:-1] for cell in cells):
        values = [cells.get((*at, name)) for name in names]
        told = [value for value in values if value is not None]
        bold = best(told) if best and told else None
        shown = ["-" if value is None else metric.written(value) for value in values]
        marked = [
            f"[bold]{text}[/]" if value is not None and value == bold else text
            for text, value in zip(shown, values, strict=True)
        ]
        table.add_row(*("" if value is None else str(value) for value in at), *marked)
    return table
