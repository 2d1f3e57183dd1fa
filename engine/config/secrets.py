"""Secrets: ``${NAME}`` and ``${file:/path}`` in any text of a config.

What a placeholder stood for is not shown from then on (see `redaction`), and a config is
written to manifests with its placeholders, never its values. ``$${`` stands for a plain ``${``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gapcast.engine.config.positions import KeyPath, Mistake, Written
from gapcast.engine.redaction import remember

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{[^}]*\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
