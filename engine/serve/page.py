"""The page: one file, its scripts and styles inside, and what a browser may do with it."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib.resources import files

_STYLES = ("uPlot.min.css", "base.css", "live.css")
_SCRIPTS = (("uPlot.iife.min.js",), ("base.js", "live.js"))


def _file(name: str) -> str:
    room = "serve" if name.startswith("live") else "report"
    return (files(f"gapcast.engine.{room}") / "assets" / name).read_text(encoding="utf-8")


def _hashes(texts: list[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)


_STYLE = "".join(map(_file, _STYLES))
_PARTS = ["".join(map(_file, names)) for names in _SCRIPTS]
POLICY = (
    f"default-src 'none'; script-src {_hashes(_PARTS)}; style-src {_hashes([_STYLE])}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing runs but the scripts inside, and nothing is loaded but data from here."""


def page(name: str) -> str:
    """The page of a run of that name; the data come later."""
    holes = {
        "title": escape(name),
        "style": _STYLE,
        "licence": escape(_file("uPlot.LICENSE").strip()),
        "uplot": _PARTS[0],
        "script": _PARTS[1],
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: holes[hole[1]], _file("live.html"))
