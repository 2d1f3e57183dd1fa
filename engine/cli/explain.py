"""``gapcast explain``: what a forecast of a run was made of, in words and as a picture."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import PydanticCustomError
from rich.console import Console

from gapcast.engine.explaining import explain as explain_row
from gapcast.engine.explaining.words import words
from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable
from gapcast.engine.units import read_time


def explain(
    run_dir: Annotated[Path, typer.Argument(help="The run's folder.")],
    sensor: Annotated[str, typer.Option(help="The sensor.")],
    time: Annotated[str, typer.Option(help="A time in the step, such as 2004-03-03T10:30Z.")],
    quantity: Annotated[
        str | None, typer.Option(help="The quantity, if the run has several.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model; the first that explains itself.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(help="In steps, if the model has several; 0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also draw it: a file ending in .png or .svg.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. source.speed=max."),
    ] = None,
) -> None:
    """Say what one forecast was made of: its experts and their weights, the neighbours it read.

    The run is played again up to that step, from a checkpoint before it if there is one, without
    its sinks.
    """
    try:
        moment = read_time(time)
    except PydanticCustomError as error:
        raise typer.BadParameter(f"--time {time}: {error.message()}") from None
    gapcast = logging.getLogger("gapcast")
    if gapcast.level == logging.WARNING:
        gapcast.setLevel(logging.ERROR)  # of what a run warns, it has warned
    with Console(stderr=True).status("looking at the source") as status:
        found = explain_row(
            run_dir, sensor, moment, quantity, model, horizon, settings or (), status.update
        )
    for line in words(found):
        typer.echo(printable(mask(line)))
    if out is not None:
        from gapcast.engine.explaining.picture import draw

        draw(found, out)
        typer.echo(out)
