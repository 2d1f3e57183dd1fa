"""``gapcast plugins``: what is installed, from which package, and whether it can be loaded."""

from __future__ import annotations

import typer

from gapcast.engine.cli.lazy import PLAIN
from gapcast.engine.registry import Registry

app = typer.Typer(no_args_is_help=True, **PLAIN)

_COLOURS = {"ok": None, "clash": typer.colors.YELLOW, "broken": typer.colors.RED}


@app.callback()
def _plugins() -> None:
    """What sources, forecasters, sinks and backends there are."""


@app.command("list")
def list_() -> None:
    """List every plugin: kind, name, package, state. A broken one is shown with its cause."""
    for listed in Registry.installed().plugins():
        entry = listed.entry
        line = f"{entry.kind:<11} {entry.name:<14} {entry.origin:<20} {listed.state}"
        typer.secho(line, fg=_COLOURS[listed.state])
        if listed.cause:
            typer.secho(f"  {listed.cause}", fg=_COLOURS[listed.state])
