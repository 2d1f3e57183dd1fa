"""``gapcast check``: says whether a config is right, or prints the schema of all configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.config import RunConfig, load_config, schema
from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable


def check(
    config: Annotated[Path | None, typer.Argument(help="The config, a YAML file.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. grid.interval=1h."),
    ] = None,
    no_source: Annotated[
        bool,
        typer.Option("--no-source", help="Do not look at the source's files: they come later."),
    ] = False,
    show_schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of configs, for editors.")
    ] = False,
) -> None:
    """Check a config without running it: one line a mistake, exit code 2 if there is one.

    Then look at the first lines of a few of the source's files, and say what was understood; exit
    code 1 if a run would stop there.
    """
    if show_schema:
        typer.echo(json.dumps(schema(), indent=2))
    elif config is None:
        raise typer.BadParameter("name a config, or ask for --schema")
    if config is not None:
        checked = load_config(config, settings or ())
        models = ", ".join(checked.models)
        typer.echo(f"{config}: valid; run {checked.name!r}, models {models}", err=show_schema)
        if not (no_source or show_schema):
            _look(checked)


def _look(config: RunConfig) -> None:
    from gapcast.engine.run.prepare import look

    facts = look(config)
    width = max(map(len, facts), default=0)
    for what, how in facts.items():
        typer.echo(printable(mask(f"  {what:<{width}}  {how}")))
