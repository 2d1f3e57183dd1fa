"""Conformance from the command line: which suite a plugin is held against."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gapcast.engine.errors import PluginError, UnknownPlugin
from gapcast.engine.plugin import Plugin
from gapcast.engine.registry import Kind, Registry, importable

POISON = "what its poison looks like is for a test to say: conformance.source(make, spoiled)"
LOSSES = "killing its workers is for a test: conformance.backend(config, kill=...)"
SINKS = (
    "the kit of sinks reads back what was stored by another way than the sink's own code, so it "
    "needs two functions of yours: write `TestMine = conformance.sink(make, read_back)` in a test "
    "and name it: --suite my_tests:TestMine"
)


def kind_of(registry: Registry, name: str) -> Kind:
    """The one kind that has a plugin of this name, or a class named by its module.

    Raises UnknownPlugin when there is none, PluginError when there are several.
    """
    found = []
    for kind in Kind:
        try:
            entry = registry.find(kind, name)
        except UnknownPlugin:
            continue
        if entry.package or issubclass(_class(entry.target), kind.contract()):
            found.append(kind)
    if len(found) > 1:
        ways = " or ".join(f"--kind {kind}" for kind in found)
        raise PluginError(f"{name!r} is a {' and a '.join(found)}; say {ways}")
    if not found:
        kinds = ", ".join(Kind)
        raise UnknownPlugin(f"no plugin is called {name!r} ({kinds}); see gapcast plugins list")
    return found[0]


def suite_of(kind: Kind, name: str, plugin: type[Plugin], values: Mapping[str, Any]) -> type:
    """The kit of `kind` on `plugin` with parameters `values`, as the config would give them.

    Raises PluginError where the kit needs what only a test can give, or where values are wrong.
    """
    if kind is Kind.SINK:
        raise PluginError(f"sink {name!r}: {SINKS}")
    try:
        params = plugin.Params.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors()
        )
        raise PluginError(f"{kind} {name!r}: --set {wrong}") from None
    conformance: Any = import_module("gapcast.engine.testing")
    suite: type
    if kind is Kind.FORECASTER:
        suite = conformance.forecaster(plugin, params)
    elif kind is Kind.DERIVATION:
        suite = conformance.derivation(plugin, params)
    elif kind is Kind.SOURCE:
        skip = {"poison_costs_only_itself": POISON}
        suite = conformance.source(lambda folder: plugin(params), skip=skip)
    else:
        losses = ("a_lost_worker_changes_nothing", "losses_without_progress_end_the_run")
        skip = dict.fromkeys(losses, LOSSES)
        suite = conformance.backend({"type": name, **values}, skip=skip)
    return suite


def named_suite(target: str) -> Any:
    """What ``module:Name`` or ``file.py:Name`` stands for. Raises PluginError when nothing."""
    place, _, name = target.rpartition(":")
    module = place
    if place.endswith(".py"):
        sys.path.insert(0, str(Path(place).resolve().parent))
        module = Path(place).stem
    importable(module.partition(".")[0])
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(f"--suite {target}: {error}; write module:TestName") from error


def _class(target: str) -> type[Any]:
    module, _, name = target.partition(":")
    importable(module.partition(".")[0])
    try:
        found = getattr(import_module(module), name)
    except Exception:
        return type(None)
    return found if isinstance(found, type) else type(None)
