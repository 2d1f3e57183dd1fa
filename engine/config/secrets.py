"""Secrets: ``${NAME}`` and ``${file:/path}`` in any text of a config, and how they stay secret.

What a placeholder stood for is kept out of sight from then on: `mask` puts the placeholder back
wherever the value turns up in text of this process (logs, errors), and a config is written to
manifests with its placeholders, never its values. ``$${`` stands for a plain ``${``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gapcast.engine.config.positions import KeyPath, Mistake, Written

SHORTEST = 4
"""Shorter values are not searched for in free text: they would hide half of every message."""

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{[^}]*\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_known: dict[str, str] = {}


def fill(written: Written) -> tuple[Any, dict[KeyPath, str]]:
    """The data of `written` with its placeholders replaced, and the text as written of each
    place that had one. A placeholder without a value becomes a mistake of `written`.
    """
    texts: dict[KeyPath, str] = {}

    def visit(data: Any, path: KeyPath) -> Any:
        if isinstance(data, dict):
            return {key: visit(value, (*path, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [visit(value, (*path, i)) for i, value in enumerate(data)]
        if not isinstance(data, str) or "${" not in data:
            return data
        texts[path] = data

        def wrong(message: str) -> None:
            written.mistakes.append(Mistake(path, written.place(path), message))

        return _PLACEHOLDER.sub(lambda match: _value(match[0], wrong), data)

    return visit(written.data, ()), texts


def _value(placeholder: str, wrong: Callable[[str], None]) -> str:
    if placeholder == "$${":
        return "${"
    name = placeholder[2:-1]
    value: str | None = None
    if placeholder.endswith("}") and name.startswith("file:"):
        try:
            value = Path(name[5:]).read_text().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            wrong(f"{name[5:]} is not UTF-8 text")
        except (OSError, ValueError) as error:
            wrong(f"cannot read {name[5:]}: {getattr(error, 'strerror', None) or 'not a path'}")
    elif placeholder.endswith("}") and _NAME.fullmatch(name):
        value = os.environ.get(name)
        if value is None:
            wrong(f"the environment has no variable {name}")
    else:
        wrong(f"{placeholder} must read ${{NAME}} or ${{file:/path}}; write $${{ for a plain ${{")
    if value:
        remember(value, placeholder)
    return value or ""


def remember(value: str, placeholder: str) -> None:
    """Show `placeholder` for `value` from now on, wherever `mask` is used in this process."""
    for form in {value, repr(value)[1:-1], quote(value, safe="")}:
        _known[form] = placeholder


def mask(text: str, shortest: int = SHORTEST) -> str:
    """`text` with every known secret of at least `shortest` characters hidden.

    Also found as `repr` or a URL would write it.
    """
    for value in sorted(_known, key=len, reverse=True):
        if len(value) >= shortest:
            text = text.replace(value, _known[value])
    return text
