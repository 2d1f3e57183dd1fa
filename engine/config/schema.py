"""JSON Schema of a config, plugins included, so that editors complete and check the YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from gapcast.engine.config.model import FORMS, PluginSection, Run, keys
from gapcast.engine.errors import BrokenPlugin
from gapcast.engine.registry import Entry, Kind, Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _AsWritten(GenerateJsonSchema):
    """Shows defaults as a config would write them: ``5min``, not microseconds."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        shown = super().default_schema(schema)
        write = cast(dict[str, Any], schema["schema"]).get("serialization", {})
        plain = write.get("type") == "function-plain" and not write.get("info_arg")
        if plain and "default" in shown:
            shown["default"] = cast(Callable[[Any], Any], write["function"])(schema["default"])
        return shown


def schema_of(model: type[BaseModel], references: str = DEFAULT_REF_TEMPLATE) -> dict[str, Any]:
    """JSON Schema of one model, its defaults as a config would write them."""
    return model.model_json_schema(ref_template=references, schema_generator=_AsWritten)


def schema(registry: Registry | None = None) -> dict[str, Any]:
    """JSON Schema of a whole config with the parameters of every plugin of `registry`.

    By default of what is installed. Plugins that cannot be loaded are left out, and a plugin
    named by package or module is accepted unchecked.
    """
    whole = schema_of(Run)
    whole["$schema"] = DIALECT
    definitions = whole["$defs"]
    entries = (registry or Registry.installed()).entries
    for kind in Kind:
        form = FORMS.get(kind, PluginSection)
        section = schema_of(form)
        section["allOf"] = [
            _when(entry, form, definitions) for entry in entries if entry.kind == kind
        ]
        known = sorted({entry.name for entry in entries if entry.kind == kind})
        type_ = section["properties"]["type"]
        type_["anyOf"] = [{"enum": known}, {"pattern": ":"}]
        definitions[kind.capitalize()] = section
    properties = whole["properties"]
    for key, kind in (("source", Kind.SOURCE), ("backend", Kind.BACKEND)):
        properties[key]["$ref"] = f"#/$defs/{kind.capitalize()}"
    for key, kind in (("models", Kind.FORECASTER), ("sinks", Kind.SINK)):
        properties[key]["additionalProperties"] = {"$ref": f"#/$defs/{kind.capitalize()}"}
    (derived,) = (node for node in properties["derive"]["anyOf"] if node["type"] == "object")
    derived["additionalProperties"] = {"$ref": f"#/$defs/{Kind.DERIVATION.capitalize()}"}
    for name in ("PluginSection", *(form.__name__ for form in FORMS.values())):
        definitions.pop(name, None)
    return whole


def _when(entry: Entry, form: type[PluginSection], definitions: dict[str, Any]) -> dict[str, Any]:
    """The clause for one plugin: if `type` names it, then its parameters must fit."""
    try:
        params = entry.load().Params
    except BrokenPlugin:
        return {}
    prefix = f"{entry.kind}.{entry.name}."
    own = schema_of(params, f"#/$defs/{prefix}{{model}}")
    definitions.update({prefix + name: part for name, part in own.pop("$defs", {}).items()})
    own["properties"] = dict.fromkeys(keys(form), True) | own.get("properties", {})
    return {
        "if": {"properties": {"type": {"const": entry.name}}, "required": ["type"]},
        "then": own,
    }
