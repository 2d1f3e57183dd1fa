"""Commands that are imported when they are used, so that ``gapcast --help`` is quick."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from gapcast.engine.spelling import meant

PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
"""How every Typer app here is made: no boxes, and errors are ours to show."""


class LazyGroup(TyperGroup):
    """A group whose commands are stand-ins (see `stand_in`) until one of them is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that `args` begin with, imported; an unknown one names the nearest."""
        if self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}{meant(args[0], self.list_commands(ctx))}")
        name, command, rest = super().resolve_command(ctx, args)
        target = getattr(command, "callback", None)
        target = getattr(target, "target", None)
        return name, _import(target) if target else command, rest


def stand_in(app: typer.Typer, name: str, help_: str, target: str) -> None:
    """Add a command to `app` that is listed with `help_` and stands for ``module:attribute``.

    The attribute is a function, or a `typer.Typer` for a command with commands of its own.
    """

    def elsewhere() -> None:
        """Never called: the group puts the real command in its place."""

    vars(elsewhere)["target"] = target
    app.command(name, help=help_)(elsewhere)


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return get_group(found)
    app = typer.Typer(**PLAIN)
    app.command()(found)
    return get_command(app)
