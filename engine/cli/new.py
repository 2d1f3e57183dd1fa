"""``gapcast new``: a plugin's package to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gapcast.engine.cli.scaffold import start
from gapcast.engine.registry import Kind


def new(
    kind: Annotated[Kind, typer.Argument(help="forecaster, source or sink.")],
    name: Annotated[str, typer.Argument(help="What configs call it, as my-model.")],
    out: Annotated[Path, typer.Option(help="Where to make its folder.")] = Path("."),
) -> None:
    """Write a plugin's package that works: install it, run its test, then make it yours."""
    written = start(kind, name, out)
    for path in written:
        typer.echo(path)
    folder = written[0].parent
    typer.echo(f"next: cd {folder} && pip install -e '.[test]' && pytest", err=True)
