"""The nearest known word to a mistyped one, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words most like `word`, best first; at most two, often none."""
    by_form = {k.lower(): k for k in known}
    return [by_form[m] for m in difflib.get_close_matches(word.lower(), by_form, 2, 0.6)]


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'url'?`` or nothing."""
    close = nearest(word, known)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
