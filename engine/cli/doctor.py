"""``gapcast doctor``: what this machine has, which extras work, what to install for the rest."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions

import typer
from packaging.utils import canonicalize_name

from gapcast.engine._version import VERSION
from gapcast.engine.extras import installed, requirements

UNSHOWN = {"all", "dev"}
"""Extras made of other extras, or for working on gapcast itself."""


def doctor() -> None:
    """Say what this machine has and what is missing."""
    needed = requirements("gapcast")
    for line in [*_machine(), "", *_packages(needed.pop("", [])), "", *_extras(needed)]:
        typer.echo(line)


def _machine() -> Iterator[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield f"gapcast   {VERSION}"
    yield f"python    {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield f"cores     {cores}"
    yield f"memory    {memory:.1f} GiB"
    yield f"java      {_java()}"


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=os.path.join(home, "bin") if home else None)
    if not found:
        return "not found; the spark backend needs Java 17 or later"
    try:
        told = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{found} does not work: {error}"
    return (told.stderr or told.stdout).partition("\n")[0] or f"{found} says nothing"


def _packages(needed: list[str]) -> Iterator[str]:
    for name in sorted(needed):
        yield f"{name:<9} {installed(name) or 'missing: pip install gapcast'}"


def _extras(needed: dict[str, list[str]]) -> Iterator[str]:
    for extra in sorted(needed.keys() - UNSHOWN):
        troubles = [trouble for name in needed[extra] if (trouble := _trouble(name))]
        versions = ", ".join(f"{name} {installed(name)}" for name in needed[extra])
        if not troubles:
            yield f"extra {extra:<9} works: {versions}"
        else:
            yield f"extra {extra:<9} {'; '.join(troubles)}: pip install 'gapcast[{extra}]'"


def _trouble(package: str) -> str:
    """What keeps `package` from being used, or nothing."""
    if installed(package) is None:
        return f"{package} is not installed"
    for module, owners in packages_distributions().items():
        own = any(canonicalize_name(owner) == package for owner in owners)
        if own and module.isidentifier() and module[0] != "_":
            try:
                import_module(module)
            except (Exception, SystemExit) as error:
                return f"{package} cannot be imported ({type(error).__name__}: {error})"
    return ""
