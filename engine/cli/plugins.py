"""``gapcast plugins``: what is installed, whether it can be loaded, whether it keeps its word."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from gapcast.engine.cli.lazy import PLAIN
from gapcast.engine.registry import Kind, Registry

app = typer.Typer(no_args_is_help=True, **PLAIN)

_COLOURS = {
    "ok": None,
    "clash": typer.colors.YELLOW,
    "skipped": typer.colors.YELLOW,
    "broken": typer.colors.RED,
    "failed": typer.colors.RED,
}


@app.callback()
def _plugins() -> None:
    """What sources, forecasters, sinks, backends and derivations there are."""


@app.command("list")
def list_() -> None:
    """List every plugin: kind, name, package, state. A broken one is shown with its cause."""
    for listed in Registry.installed().plugins():
        entry = listed.entry
        line = f"{entry.kind:<11} {entry.name:<14} {entry.origin:<20} {listed.state}"
        typer.secho(line, fg=_COLOURS[listed.state])
        if listed.cause:
            typer.secho(f"  {listed.cause}", fg=_COLOURS[listed.state])


@app.command()
def check(
    name: Annotated[
        str, typer.Argument(help="As in a config: ema, package:ema, my.module:MyForecaster.")
    ],
    kind: Annotated[Kind | None, typer.Option(help="Where several kinds have the name.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the plugin."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:TEST", help="Run this suite of a kit instead; sinks need theirs."
        ),
    ] = None,
) -> None:
    """Hold a plugin against its contract, one line a check; exit code 1 if one fails.

    The kits are those of gapcast.engine.testing. A source is given a --set path=... (or what it
    takes) that holds some dozens of readings. A sink needs --suite.
    """
    from gapcast.engine.testing.command import kind_of, named_suite, suite_of
    from gapcast.engine.testing.kit import run

    registry = Registry.installed()
    kind = kind or kind_of(registry, name)
    plugin = registry.load(kind, name)
    of = named_suite(suite) if suite else suite_of(kind, name, plugin, _values(settings or ()))
    failed = 0
    for result in run(of):
        line = f"{result.state:<8} {result.check}{': ' if result.why else ''}{result.why}"
        typer.secho(line, fg=_COLOURS[result.state])
        failed += result.state == "failed"
    if failed:
        typer.echo(f"{kind} {name!r} fails {failed} of its checks", err=True)
        raise typer.Exit(1)


def _values(settings: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {setting}: must read key=value")
        values[name] = yaml.safe_load(text)
    return values
