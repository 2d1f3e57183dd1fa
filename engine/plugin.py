"""What every plugin has in common: a typed set of parameters, checked when the config is read."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from gapcast.engine.redaction import mask


class Params(BaseModel):
    """Parameters of a plugin. Unknown keys are rejected; instances are immutable.

    Subclass it inside the plugin and give every field a type and a description: they become
    the plugin's part of the JSON Schema, of ``docs/config.md`` and of config errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr__(self) -> str:
        return mask(super().__repr__(), shortest=1)

    def __str__(self) -> str:
        return mask(super().__str__(), shortest=1)


class Plugin(ABC):  # noqa: B024 - each kind of plugin declares its own abstract methods
    """Base of sources, forecasters, sinks, backends and derivations.

    The engine creates a plugin with its checked parameters and nothing else. Creating one must
    be cheap: no file is opened, no connection made, no large array allocated.
    """

    Params: ClassVar[type[Params]] = Params

    def __init__(self, params: BaseModel) -> None:
        self.params = params
