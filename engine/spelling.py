"""The nearest known word to a mistyped one, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that begin with `word`, else those most like it; at most two, often none."""
    by_form, form = {k.lower(): k for k in known}, word.lower()
    longer = [k for k in by_form if k.startswith((f"{form}-", f"{form}_"))]
    return [by_form[k] for k in longer[:2] or difflib.get_close_matches(form, by_form, 2, 0.6)]


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'url'?`` or nothing."""
    close = nearest(word, known)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def printable(text: str) -> str:
    """`text` in one line that no terminal takes for more than text: line breaks, control characters
    and lone surrogates as Python writes them, such as ``\\n`` and ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, what: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
