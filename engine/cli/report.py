"""``gapcast report`` and ``gapcast plot``: what a run found, to look at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

Positions = Annotated[
    Path | None,
    typer.Option(help="Lines `sensor x y` for the map; those the config names."),
]


def report(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Runs' folders.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; report.html in the first run's folder.")
    ] = None,
    positions: Positions = None,
) -> None:
    """Write the report of a run, or of several compared: one HTML file that needs nothing else."""
    from gapcast.engine.report import report

    typer.echo(report(run_dirs, out, positions))


def plot(
    run_dir: Annotated[Path, typer.Argument(help="The run's folder.")],
    sensor: Annotated[str, typer.Option(help="The sensor.")],
    quantity: Annotated[
        str | None, typer.Option(help="The quantity, if the run has several.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model; may come again.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="A file ending in .png or .svg; png or svg names it by itself.")
    ] = Path("png"),
) -> None:
    """Draw one sensor: truth, forecasts, interval, withheld spans, the error in the title."""
    from gapcast.engine.report.plot import FORMATS, plot

    if str(out) in FORMATS:
        words = ["sensor", sensor, *([quantity] if quantity else [])]
        out = Path(re.sub(r"[^\w.-]+", "_", "-".join(words)) + f".{out}")
    plot(run_dir, sensor, out, quantity, models or ())
    typer.echo(out)
