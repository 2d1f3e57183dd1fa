"""A plugin to begin with: an installable package that works and passes the conformance kit."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from gapcast.engine.errors import PluginError, UnknownPlugin
from gapcast.engine.registry import Kind, Registry

KINDS = (Kind.FORECASTER, Kind.SOURCE, Kind.SINK)


def start(kind: Kind, name: str, out: Path) -> list[Path]:
    """Write the package ``gapcast-NAME`` to the folder of that name in `out`; gives its files.

    The plugin is called `name` in configs. Raises PluginError when `name` is no word of small
    letters, digits and hyphens, when a plugin of that name is installed, or when the folder is
    there already; nothing is written then.
    """
    if kind not in KINDS:
        raise PluginError(f"there is a template for a {', a '.join(KINDS)}, none for a {kind}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise PluginError(
            f"{name!r} is not a valid name; use lower-case letters, digits and hyphens, "
            "as in my-model"
        )
    try:
        taken = Registry.installed().find(kind, name)
    except UnknownPlugin:
        pass
    else:
        raise PluginError(f"{kind} {name!r} already exists, from {taken.origin}; choose another")
    package = f"gapcast-{name}"
    folder = out / package
    if folder.exists():
        raise PluginError(f"{folder} already exists; choose another name or --out")
    words = {
        "kind": str(kind),
        "name": name,
        "package": package,
        "module": package.replace("-", "_"),
        "cls": "".join(part.capitalize() for part in name.split("-")),
    }
    return [_write(words, template, folder / path) for template, path in _places(words)]


def _places(words: dict[str, str]) -> list[tuple[str, str]]:
    kind = words["kind"]
    return [
        ("pyproject.toml.in", "pyproject.toml"),
        (f"{kind}/README.md.in", "README.md"),
        (f"{kind}/plugin.py.in", f"src/{words['module']}/__init__.py"),
        (f"{kind}/test.py.in", "tests/test_conformance.py"),
    ]


def _write(words: dict[str, str], template: str, path: Path) -> Path:
    text = files("gapcast.engine.cli").joinpath("templates", template).read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(text).substitute(words), encoding="utf-8")
    return path
