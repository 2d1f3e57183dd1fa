"""Imports follow the table of rooms in docs/design.md, and none of them form a circle."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def name_of(path: Path) -> str:
    """Dotted name of a module; a package goes by its folder's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[:2] == ("engine", "gapcast"):
        return "gapcast"
    return ".".join(("gapcast", *parts)).removesuffix(".__init__")


MODULES = {
    name_of(path): path
    for folder in ("engine", "backends", "plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def imported(path: Path) -> set[str]:
    """Modules of ours that a module imports anywhere in it, for typing alone too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


GRAPH = {name: imported(path) - {name} for name, path in MODULES.items()}


def rows() -> list[list[str]]:
    """Prefixes of the modules in each row of the table, top first."""
    text = (ROOT / "docs/design.md").read_text().partition("| room |")[2]
    found = []
    for line in text.splitlines()[2:]:
        if not line.startswith("|"):
            break
        _, rooms, contents, *_ = line.split("|")
        folders = re.findall(r"`([\w/]+)/`", rooms)
        if folders == ["engine"]:
            found.append([f"gapcast.engine.{m}" for m in re.findall(r"`(\w+)`", contents)])
        else:
            found.append([f"gapcast.{f.replace('/', '.')}" for f in folders])
    return found


ROWS = rows()


def row_of(module: str) -> int | None:
    """The row of the table that a module of the engine stands in."""
    if module == "gapcast":
        module = "gapcast.engine.gapcast"
    for number, prefixes in enumerate(ROWS):
        if any(f"{module}.".startswith(f"{prefix}.") for prefix in prefixes):
            return number
    return None


ENGINE = [m for m in MODULES if m == "gapcast" or m.startswith("gapcast.engine.")]


def test_every_module_of_the_engine_stands_in_the_table():
    assert [m for m in ENGINE if row_of(m) is None] == []


def test_the_table_names_nothing_that_is_not_there():
    here = [*ENGINE, "gapcast.engine.gapcast"]
    missing = [p for row in ROWS for p in row if not any(f"{m}.".startswith(f"{p}.") for m in here)]
    assert missing == []


@pytest.mark.parametrize("module", ENGINE)
def test_imports_point_up_the_table(module):
    assert [m for m in GRAPH[module] if (row_of(m) or 0) > row_of(module)] == []


def test_no_imports_form_a_circle():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


def test_a_circle_and_a_wrong_way_are_found():
    assert row_of("gapcast.engine.run.loop") > row_of("gapcast.engine.grid.grid")
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
