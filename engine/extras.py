"""Optional dependencies: what a package's extras need, and what to install for a missing one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gapcast.engine.errors import RunError


def requirements(package: str) -> dict[str, list[str]]:
    """What an installed package needs on this machine, by extra; under "" what it always needs.

    Names of packages are as indexes compare them: ``Confluent_Kafka`` is ``confluent-kafka``.
    Lines of its metadata that are not requirements are left out.
    """
    about = metadata(package)
    extras = ["", *(about.get_all("Provides-Extra") or ())]
    needed: dict[str, list[str]] = {}
    for line in about.get_all("Requires-Dist") or ():
        with suppress(ValueError):
            found = Requirement(line)
            wants = [e for e in extras if not found.marker or found.marker.evaluate({"extra": e})]
            for name in [""] if "" in wants else wants:
                needed.setdefault(name, []).append(canonicalize_name(found.name))
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


def cure(error: BaseException, package: str) -> str:
    """``; pip install 'gapcast[kafka]'`` if the module that `error` misses comes with an extra.

    package: the installed one whose module raised `error`; empty if it is in none.
    """
    if not package or not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    missing = canonicalize_name(error.name.partition(".")[0])
    for extra, needed in requirements(package).items():
        if canonicalize_name(package) in needed:
            continue  # an extra made of other extras
        if any(missing.startswith(n) or n.startswith(missing) for n in needed):
            return f"; pip install '{package}[{extra}]'"
    return ""
