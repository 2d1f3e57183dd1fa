"""Which plugins there are, and the way from the name in a config to the class.

A plugin is named in one of three ways:

* ``ema``: the name some installed package has registered (entry point group
  ``gapcast.forecasters`` and so on);
* ``package:ema``: the same, of one package; needed when two packages claim the name;
* ``my.module:MyClass``: a class to import, registered or not.

The last two look alike. What stands before the colon is a package if an installed package of
that name has registered the name after the colon; if not, it is a module. Nothing is imported
before it is asked for, and a plugin that cannot be imported harms only who asks for it.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Literal

from packaging.utils import canonicalize_name

from gapcast.engine.errors import AmbiguousPlugin, BrokenPlugin, UnknownPlugin
from gapcast.engine.extras import cure
from gapcast.engine.spelling import meant

FOLDERS: list[str] = []
"""Where else than on ``sys.path`` the module of a plugin is looked for. Only a module that a config
names brings its folder onto ``sys.path``."""


class Kind(StrEnum):
    """The kinds of plugins; the value is the word for one of them."""

    SOURCE = "source"
    FORECASTER = "forecaster"
    SINK = "sink"
    BACKEND = "backend"
    DERIVATION = "derivation"

    @property
    def group(self) -> str:
        """The entry point group under which they are registered."""
        return f"gapcast.{self}s"

    def contract(self) -> type[Any]:
        """The class that every plugin of this kind extends."""
        # here, for they bring NumPy and Arrow, which whoever only asks for names does not need
        from gapcast.engine.backend import Backend
        from gapcast.engine.derivation import Derivation
        from gapcast.engine.forecaster import Forecaster
        from gapcast.engine.sink import Sink
        from gapcast.engine.source import Source

        contracts: dict[Kind, type[Any]] = {
            Kind.SOURCE: Source,
            Kind.FORECASTER: Forecaster,
            Kind.SINK: Sink,
            Kind.BACKEND: Backend,
            Kind.DERIVATION: Derivation,
        }
        return contracts[self]


@dataclass(frozen=True)
class Entry:
    """One claim of a package to a name. `target` is ``module:Class``.

    `package` is empty for a class that was named by its module.
    """

    kind: Kind
    name: str
    target: str
    package: str = ""
    version: str = ""

    @property
    def origin(self) -> str:
        """Package and version, or the module."""
        return f"{self.package} {self.version}" if self.package else f"module {self.target}"

    def load(self) -> type[Any]:
        """Import the class and check that it is a whole plugin of its kind.

        Raises BrokenPlugin with package, version, cause and, where known, the cure.
        """
        try:
            found = EntryPoint(self.name, self.target, self.kind.group).load()
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise self._broken(cause + cure(error, self.package)) from error
        from gapcast.engine.plugin import Params

        contract = self.kind.contract()
        if not (inspect.isclass(found) and issubclass(found, contract)):
            raise self._broken(f"it does not extend {contract.__module__}.{contract.__name__}")
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise self._broken(f"it does not define {', '.join(missing)}")
        plugin: type[Any] = found
        if not (inspect.isclass(plugin.Params) and issubclass(plugin.Params, Params)):
            raise self._broken("its Params does not extend gapcast.engine.plugin.Params")
        return plugin

    def _broken(self, cause: str) -> BrokenPlugin:
        origin = f"{self.origin}, {self.target}" if self.package else self.origin
        return BrokenPlugin(f"{self.kind} {self.name!r} ({origin}) cannot be loaded: {cause}")


@dataclass(frozen=True)
class Listed:
    """A plugin as ``gapcast plugins list`` shows it; `cause` says why it is not ``ok``."""

    entry: Entry
    state: Literal["ok", "broken", "clash"]
    cause: str = ""


class Registry:
    """The plugins installed at one moment."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda e: (list(Kind).index(e.kind), e.name, e.package))

    @classmethod
    def installed(cls) -> Registry:
        """What the packages on ``sys.path`` have registered. Imports none of it."""
        points, packages = entry_points(), _Packages()
        return cls(
            Entry(kind, point.name, point.value, *packages[point.dist])
            for kind in Kind
            for point in points.select(group=kind.group)
        )

    def find(self, kind: Kind, name: str) -> Entry:
        """The entry that `name` means. Raises UnknownPlugin or AmbiguousPlugin."""
        before, colon, after = name.rpartition(":")
        claims = [
            entry
            for entry in self.entries
            if (entry.kind, entry.name) == (kind, after)
            and (not colon or canonicalize_name(entry.package) == canonicalize_name(before))
        ]
        if len(claims) == 1:
            return claims[0]
        if claims:
            ways = " or ".join(f"{entry.package}:{after}" for entry in claims)
            raise AmbiguousPlugin(
                f"{kind} {name!r} is claimed by {' and '.join(e.origin for e in claims)}; "
                f"write {ways}"
            )
        if not colon or not all(part.isidentifier() for part in before.split(".")):
            raise UnknownPlugin(f"unknown {kind} {name!r}{self._known(kind, after)}")
        if not importable(before.partition(".")[0]):
            raise UnknownPlugin(f"unknown {kind} {name!r}: no package or module {before!r} here")
        return Entry(kind, name, name)

    def load(self, kind: Kind, name: str) -> type[Any]:
        """The class that `name` means. Raises `PluginError`."""
        return self.find(kind, name).load()

    def plugins(self) -> list[Listed]:
        """Every entry with its state; imports them all."""
        claims = Counter((entry.kind, entry.name) for entry in self.entries)
        return [_listed(entry, claims[entry.kind, entry.name] > 1) for entry in self.entries]

    def _known(self, kind: Kind, word: str) -> str:
        packages: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.kind == kind:
                packages.setdefault(entry.origin, []).append(entry.name)
        known = "; ".join(f"{', '.join(names)} ({origin})" for origin, names in packages.items())
        suggestion = meant(word, [name for names in packages.values() for name in names])
        return f"{suggestion or ';'} known: {known or 'none'}"


def importable(module: str) -> bool:
    """Whether a module can be imported; from now on also what is beside it, where it is in one of
    `FOLDERS`: it may import that at any time."""
    if find_spec(module) is not None:
        return True
    for folder in FOLDERS:
        if PathFinder.find_spec(module, [folder]) is not None:
            sys.path.append(folder)
            return True
    return False


class _Packages(dict[Distribution | None, tuple[str, str]]):
    """Names and versions of packages: a package's metadata are parsed at each access, and there are
    many entries of one package."""

    def __missing__(self, package: Distribution | None) -> tuple[str, str]:
        about = ("", "") if package is None else (package.name, package.version)
        self[package] = about
        return about


def _listed(entry: Entry, clash: bool) -> Listed:
    try:
        entry.load()
    except BrokenPlugin as error:
        return Listed(entry, "broken", str(error))
    if clash:
        return Listed(entry, "clash", f"write {entry.package}:{entry.name}")
    return Listed(entry, "ok")
