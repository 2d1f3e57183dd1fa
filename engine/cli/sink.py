"""``gapcast sink``: makes what sinks need before a first run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.cli.lazy import PLAIN
from gapcast.engine.config import load_config
from gapcast.engine.spelling import meant

app = typer.Typer(no_args_is_help=True, **PLAIN)


@app.callback()
def _sink() -> None:
    """Make what a config's sinks need before a first run, such as tables."""


@app.command()
def init(
    config: Annotated[Path, typer.Argument(help="The config, a YAML file.")],
    name: Annotated[
        str | None, typer.Argument(help="One sink, as the config names it. Default: all.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. sinks.db.user=admin."),
    ] = None,
) -> None:
    """Make what sinks of CONFIG need, such as tables, and say what was made. What is there stays
    as it is."""
    sinks = load_config(config, settings or ()).sinks
    if name is not None and name not in sinks:
        raise typer.BadParameter(f"{config} has no sink {name!r}{meant(name, list(sinks))}")
    for each in [name] if name is not None else sinks:
        for line in sinks[each].create().init() or ["nothing is needed"]:
            typer.echo(f"{each}: {line}")
