"""A plugin as plain data, module, class and parameters, from which another process makes it again.

Names and JSON values, no code. Parameters may hold descriptions of other plugins: what a plugin is
made of travels with it.
"""

from __future__ import annotations

import sys
from functools import reduce
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from gapcast.engine.errors import BrokenPlugin
from gapcast.engine.plugin import Plugin

Description = dict[str, Any]
"""``module``, ``class`` and ``params`` of a plugin; other keys are whoever's who adds them."""
_KEYS = ("module", "class", "params")


def describe(plugin: Plugin) -> Description:
    """What `created` makes an equal plugin of."""
    cls = type(plugin)
    params = plugin.params.model_dump(mode="json", by_alias=True)
    return dict(zip(_KEYS, (cls.__module__, cls.__qualname__, params), strict=True))


def created(description: Description) -> Any:
    """The plugin that is described. Raises BrokenPlugin when its module is not here."""
    name = description["module"]
    try:
        module = import_module(name)
    except ImportError as error:
        raise BrokenPlugin(
            f"{name} cannot be imported on a worker ({error}); "
            "install the package that it comes from on every worker"
        ) from None
    cls: Any = reduce(getattr, description["class"].split("."), module)
    return cls(cls.Params.model_validate(description["params"]))


def loose_modules(described: Any) -> list[Path]:
    """Files of the modules of these plugins that no installed package provides: a worker elsewhere
    does not have them."""
    installed = packages_distributions()
    names = modules(described)
    loose = sorted(n for n in names if "." not in n and n != "__main__" and n not in installed)
    return [Path(file) for n in loose if (file := sys.modules[n].__file__)]


def modules(described: Any) -> set[str]:
    """Modules of every plugin described in this JSON value, at any depth."""
    if isinstance(described, dict):
        own = {described["module"]} if described.keys() >= {*_KEYS} else set()
        return own.union(*map(modules, described.values()))
    return set().union(*map(modules, described)) if isinstance(described, list) else set()
