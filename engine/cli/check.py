"""``gapcast check``: says whether a config is right, or prints the schema of all configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.config import load_config, schema


def check(
    config: Annotated[Path | None, typer.Argument(help="The config, a YAML file.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. grid.interval=1h."),
    ] = None,
    show_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of configs, for editors.")
    ] = False,
) -> None:
    """Check a config without running it; one line a mistake, exit code 2 if there is one."""
    if show_schema:
        typer.echo(json.dumps(schema(), indent=2))
    elif config is None:
        raise typer.BadParameter("name a config, or ask for --schema")
    if config is not None:
        checked = load_config(config, settings or ())
        models = ", ".join(checked.models)
        typer.echo(f"{config}: valid; run {checked.name!r}, models {models}", err=show_schema)
