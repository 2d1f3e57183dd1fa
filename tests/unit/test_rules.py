"""The shape of the code: lengths, imports that point the right way, words that must not occur."""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

from gapcast.engine.extras import requirements

ROOT = Path(__file__).parents[2]
FOLDERS = ("engine", "backends", "plugins")
MODULES = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
COMPILED = ("njit", "intrinsic", "inlined")
"""Decorators of functions whose types Numba infers."""
LONGER: dict[str, str] = {}
"""Modules over 500 lines or functions over 60, as ``path`` or ``path:function``, and why."""


def functions(tree):
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def public(tree):
    """Public classes and functions of a module and the public methods of these classes."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    n for n in node.body if isinstance(n, kinds) and not n.name.startswith("_")
                )


def name_of(path):
    return str(path.relative_to(ROOT))


def test_modules_are_short():
    lengths = {p: len(p.read_text().splitlines()) for p in MODULES}
    long = [f"{name_of(p)}: {n} lines" for p, n in lengths.items() if n > 500]
    assert [m for m in long if m.partition(":")[0] not in LONGER] == []
    assert statistics.median(n for n in lengths.values() if n) <= 150


def test_functions_are_short():
    lengths, long = [], []
    for path in MODULES:
        for node in functions(ast.parse(path.read_text())):
            first = node.body[0]
            doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            length = node.end_lineno - node.lineno + 1
            lengths.append(length - (first.end_lineno - first.lineno + 1 if doc else 0))
            if length > 60 and f"{name_of(path)}:{node.name}" not in LONGER:
                long.append(f"{name_of(path)}:{node.lineno} {node.name}: {length} lines")
    assert long == []
    assert statistics.quantiles(lengths, n=20)[-1] <= 35


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            assert node.level == 0, f"{path}: relative import"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path):
    folder = name_of(path).split("/")[0]
    forbidden = {
        "engine": ("gapcast.backends", "gapcast.plugins"),
        "backends": ("gapcast.plugins",),
        "plugins": ("gapcast.backends",),
    }[folder]
    bad = [m for m in imports(path) if m.startswith(forbidden) or m.split(".")[0] in FOLDERS]
    assert bad == []


def test_the_engine_needs_no_more_than_gapcast_itself_does():
    """No driver of a broker, a database or a cluster: only what comes without an extra."""
    core = {name.replace("-", "_") for name in requirements("gapcast")[""]}
    core |= {"gapcast", "llvmlite", "pydantic_core", "yaml"} | set(sys.stdlib_module_names)
    apart = {
        "matplotlib": ("report/plot.py", "explaining/picture.py"),
        "pytest": ("testing/",),
        "psutil": ("testing/",),
        "prometheus_client": ("serve/",),
        "starlette": ("serve/",),
        "uvicorn": ("serve/",),
    }
    for path in (ROOT / "engine").rglob("*.py"):
        for name in {module.partition(".")[0] for module in imports(path)} - core:
            rooms = tuple(f"engine/{room}" for room in apart.get(name, ()))
            assert name_of(path).startswith(rooms), (path, name)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_that_runs_what_it_reads(path):
    assert re.search(r"\bpickle\b|\beval\(|\bexec\(", path.read_text()) is None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_things_are_documented_and_typed(path):
    tree = ast.parse(path.read_text())
    if not path.read_text().strip():
        return
    missing = [] if ast.get_docstring(tree) else ["module"]
    compiled = {
        node
        for node in functions(tree)
        if any(word in ast.dump(d) for d in node.decorator_list for word in COMPILED)
    }
    missing += [n.name for n in public(tree) if not ast.get_docstring(n) and n.name != "Params"]
    missing += [
        f"{node.name} (return type)"
        for node in functions(tree)
        if node not in compiled and node.returns is None
    ]
    assert missing == []


def statements(path):
    """Lines of a module that are neither blank, comment nor docstring."""
    text = path.read_text()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    used = {
        line
        for t in tokens
        if t.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)
        for line in range(t.start[0], t.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            used -= set(range(node.lineno, node.end_lineno + 1))
    return len(used)


def test_tests_keep_up_with_the_code():
    code = sum(map(statements, MODULES))
    assert sum(map(statements, (ROOT / "tests").rglob("*.py"))) >= 0.6 * code


def test_every_folder_of_code_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in MODULES}
    there = {"gapcast." + ".".join(folder.parts) for folder in folders}
    assert there - {"gapcast.engine.gapcast"} <= {*listed}
