"""Optional dependencies: what a package's extras need, and what to install for a missing one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from gapcast.engine.errors import RunError


def normal(package: str) -> str:
    """A package's name as indexes compare it: ``Confluent_Kafka`` is ``confluent-kafka``."""
    return re.sub(r"[-_.]+", "-", package).lower()


def extras(requires: Iterable[str]) -> dict[str, list[str]]:
    """Packages needed by each extra, from the ``Requires-Dist`` lines of a package.

    Under the empty name, those that are always needed.
    """
    needed: dict[str, list[str]] = {}
    for line in requires:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if name:
            needed.setdefault(extra[1] if extra else "", []).append(normal(name[0]))
    return needed


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports that come with an extra: says what to install when they are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise RunError(f"{error}; pip install 'gapcast[{name}]'") from None


def installed(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cure(error: BaseException, package: str, requires: Iterable[str]) -> str:
    """``; pip install 'gapcast[kafka]'`` if the module that `error` misses comes with an extra."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    missing = normal(error.name.partition(".")[0])
    for extra, needed in extras(requires).items():
        if normal(package) in needed:
            continue  # an extra made of other extras
        if any(missing.startswith(n) or n.startswith(missing) for n in needed):
            return f"; pip install '{package}[{extra}]'"
    return ""
