"""``gapcast produce``: replays a source into a topic, then says how much was delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gapcast.engine.config import load_production
from gapcast.engine.run.produce import Produced
from gapcast.engine.run.produce import produce as send

INTERRUPTED = 130


def produce(
    config: Annotated[Path, typer.Argument(help="A YAML file with a source and sinks.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. source.speed=60x."),
    ] = None,
) -> None:
    """Replay the source of CONFIG into its sinks for readings; exit code 0 once all is there."""
    checked, so_far = load_production(config, settings or ()), Produced()
    notes = Console(stderr=True)
    with notes.status("connecting") as status:

        def progress(now: Produced) -> None:
            nonlocal so_far
            so_far = now
            status.update(str(now))

        try:
            send(checked, progress)
        except KeyboardInterrupt:
            typer.echo(f"interrupted: {so_far}")
            raise typer.Exit(INTERRUPTED) from None
        except BaseException:
            typer.echo(f"failed: {so_far}")
            raise
    typer.echo(str(so_far))
