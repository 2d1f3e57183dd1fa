"""How a model chooses the other sensors it reads: the ``neighbours`` key of forecasters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PositiveInt,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gapcast.engine.units import Sensor, expecting


class Neighbours(BaseModel):
    """Which other sensors a model reads: exactly one of these keys, or the word ``all``.

    A forecaster that reads neighbours declares ``neighbours: Neighbours | None = None`` in its
    `Params`; ``None`` is for whatever it prefers. In Python: ``Neighbours(nearest=5)``,
    ``Neighbours(all=True)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nearest: PositiveInt | None = Field(default=None, description="The k nearest by position.")
    correlated: PositiveInt | None = Field(
        default=None, description="The k that go best with the target, chosen from the data."
    )
    clusters: PositiveInt | None = Field(
        default=None, description="The others of the target's cluster, of k made by position."
    )
    of: dict[Sensor, tuple[Sensor, ...]] | None = Field(
        default=None, description="The sensors named for each target, best first."
    )
    all: Literal[True] | None = Field(default=None, description="Every other sensor.")

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, written: Any) -> Any:
        if written == "all":
            return {"all": True}
        if isinstance(written, dict) and len(written) == 1:
            return written
        raise expecting(
            "all or one of {nearest: k}, {correlated: k}, {clusters: k}, {of: {1: [2]}}"
        )

    @model_validator(mode="after")
    def _not_none(self) -> Neighbours:
        if not self._chosen():
            raise expecting("a number of neighbours, or a list of them for each sensor")
        return self

    def _chosen(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler, _: SerializationInfo) -> Any:
        (name,) = self._chosen()
        return "all" if name == "all" else {name: write(self)[name]}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """One object for each key, or the word; not one object with every key optional."""
        whole = handler.resolve_ref_schema(handler(core_schema))
        choices: list[JsonSchemaValue] = [{"const": "all"}]
        for name, field in whole.pop("properties").items():
            if name != "all":
                (written,) = (s for s in field.pop("anyOf") if s != {"type": "null"})
                one = {name: {**written, "description": field["description"]}}
                choices.append({"required": [name], "properties": one})
                choices[-1] |= {"type": "object", "additionalProperties": False}
        whole.pop("type")
        whole.pop("additionalProperties")
        return whole | {"anyOf": choices}
