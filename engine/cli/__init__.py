"""The command line: a thin shell over the functions that a notebook calls."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from gapcast.engine import registry
from gapcast.engine._version import VERSION
from gapcast.engine.cli.lazy import PLAIN, LazyGroup, stand_in
from gapcast.engine.cli.log import configure
from gapcast.engine.errors import ConfigError, GapcastError
from gapcast.engine.redaction import mask
from gapcast.engine.spelling import printable

USAGE = 2
"""Exit code when the command line or the config is wrong; 1 is for all other errors."""

app = typer.Typer(cls=LazyGroup, no_args_is_help=True, **PLAIN)
for _name, _help, _target in (
    ("run", "Run a config and score its models.", "run:run"),
    ("init", "Write a config for your own data, by looking at it.", "init:init"),
    ("fill", "Fill the gaps of a file, and write it in the same shape.", "fill:fill"),
    ("backtest", "Compare models, settings and patterns of gaps.", "backtest:backtest"),
    ("report", "Write what runs found as one HTML file.", "report:report"),
    ("plot", "Draw one sensor as a picture.", "report:plot"),
    ("explain", "Say what one forecast was made of.", "explain:explain"),
    ("produce", "Replay a source into a Kafka topic.", "produce:produce"),
    ("check", "Check a config without running it.", "check:check"),
    ("plan", "Say what a network of another size would need.", "plan:plan"),
    ("plugins", "What sources, forecasters, sinks and backends there are.", "plugins:app"),
    ("sink", "Make what a config's sinks need before a first run, such as tables.", "sink:app"),
    ("new", "Write the package of a new plugin: forecaster, source or sink.", "new:new"),
    ("checkpoint", "List, show, verify and save checkpoints.", "checkpoint:app"),
    (
        "dead-letters",
        "List what a run did not use; write what can be read again.",
        "dead_letters:app",
    ),
    ("data", "Fetch, check or make data sets.", "data:app"),
    ("doctor", "Say what this machine has and what is missing.", "doctor:doctor"),
):
    stand_in(app, _name, _help, f"{__name__}.{_target}")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gapcast {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    verbose: Annotated[
        int, typer.Option("-v", count=True, show_default=False, help="Log more; -vv logs details.")
    ] = 0,
) -> None:
    """Online forecasting of missing sensor measurements."""
    configure(verbose)


def main() -> None:
    """The `gapcast` command. Plugins named by their module may be in the working directory."""
    registry.FOLDERS[:] = [os.getcwd()]
    try:
        app()
    except GapcastError as error:
        for line in mask(str(error)).split("\n"):
            typer.echo(printable(line), err=True)
        sys.exit(USAGE if isinstance(error, ConfigError) else 1)
    except Exception:
        typer.echo(mask(traceback.format_exc()), err=True)
        typer.echo(
            "This is a mistake in gapcast or in a plugin; please report the above.", err=True
        )
        sys.exit(1)
