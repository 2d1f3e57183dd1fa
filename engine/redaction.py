"""Keeps secrets out of sight: wherever one turns up in text, its placeholder is shown instead.

What is known here is known to the whole process, so that no log line, error or manifest can be
forgotten. It is lost with the process and never written anywhere.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

SHORTEST = 4
"""Shorter values are not searched for in free text: they would hide half of every message."""

_SECRET = re.compile(r"(?i)passw|passphrase|secret|token$|credential|private.?key|\.pem$")

_known: dict[str, str] = {}


def remember(value: str, placeholder: str) -> None:
    """Show `placeholder` for `value` from now on, wherever `mask` is used in this process."""
    for form in {value, repr(value)[1:-1], quote(value, safe="")} - {""}:
        _known[form] = placeholder


def secrets_hidden(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings`, free ones of a plugin. Raises ValueError where the name of one says that it is a
    secret and no placeholder stands for its value: it would be shown wherever the config is."""
    for name, value in settings.items():
        if _SECRET.search(name) and isinstance(value, str) and value and value not in _known:
            raise ValueError(
                f"{name} is a secret and would be written to the run's manifest: write "
                "${NAME}, a variable of the environment, or ${file:/path}"
            )
    return settings


def mask(text: str, shortest: int = SHORTEST) -> str:
    """`text` with every known secret of at least `shortest` characters hidden.

    Found also in the form that `repr` or a URL gives it.
    """
    searched = sorted((v for v in _known if len(v) >= shortest), key=len, reverse=True)
    if not searched:
        return text
    return re.sub("|".join(map(re.escape, searched)), lambda found: _known[found[0]], text)
