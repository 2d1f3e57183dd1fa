"""``gapcast report`` and ``gapcast plot``: what a run found, to look at."""

from __future__ import annotations

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
