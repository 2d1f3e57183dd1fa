"""Every error gapcast raises on purpose, on one page.

    GapcastError
    ├── ConfigError            the config is wrong: a list of problems, each with its place
    ├── PluginError
    │   ├── UnknownPlugin      no plugin of that name; the nearest names
    │   ├── AmbiguousPlugin    two packages claim the name
    │   ├── BrokenPlugin       it is installed but cannot be loaded; package, version, cause
    │   └── ContractError      it did something its contract forbids
    ├── SourceError            a source cannot be read
    ├── SinkError              a sink cannot be written
    ├── DataError              a data set cannot be fetched, checked, made or filled
    │   └── Undecided          it can be read in several ways; the option that decides
    ├── CheckpointError        a checkpoint is torn, flipped, or of another version
    ├── RunError               a run cannot start or go on
    └── ShardsLost             workers are gone with their shards: the run restarts itself

A message says what is wrong, where, what was expected and what to do, in that order, without a
traceback: the command line prints it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class GapcastError(Exception):
    """Base of all errors that are someone's to mend; anything else raised is a bug of ours."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a config: `where` is ``file:line:column`` or ``--set key``."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return (
            f"{self.where}  {self.key}: {self.message}"
            if self.key
            else f"{self.where}  {self.message}"
        )


class ConfigError(GapcastError):
    """All the problems of a config at once, one a line, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class PluginError(GapcastError):
    """Something about a plugin."""


class UnknownPlugin(PluginError):
    """No plugin of that kind and name."""


class AmbiguousPlugin(PluginError):
    """More than one package claims the name; the config must say ``package:name``."""


class BrokenPlugin(PluginError):
    """A plugin is registered but cannot be loaded."""


class ContractError(PluginError):
    """A plugin did what its contract forbids, e.g. returned arrays of the wrong shape."""


class SourceError(GapcastError):
    """A source cannot be read."""


class SinkError(GapcastError):
    """A sink cannot be written."""


class DataError(GapcastError):
    """A data set cannot be fetched, checked, made or filled."""


class Undecided(DataError):
    """What can be read in several ways. `option` decides, such as ``--sensor``; `choices` are what
    it may be, none where they cannot be listed."""

    def __init__(self, message: str, option: str, choices: Iterable[str] = ()) -> None:
        self.option, self.choices = option, tuple(choices)
        names = f" {', '.join(map(repr, self.choices))}" if self.choices else ""
        super().__init__(f"{message}; {option} decides{':' if names else ''}{names}")


class CheckpointError(GapcastError):
    """A checkpoint cannot be read."""


class RunError(GapcastError):
    """A run cannot start or go on."""


class ShardsLost(GapcastError):
    """Workers are gone and the shards they held with them; the newest checkpoint has them."""
