"""What sections of a config have in common: strictness, names, lists of sensors, spans of time."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from gapcast.engine.redaction import mask
from gapcast.engine.units import Duration, Sensor, Time, expecting


class Section(BaseModel):
    """A part of a config: every key is known, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr__(self) -> str:
        return mask(super().__repr__(), shortest=1)


def _name(value: str) -> str:
    if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise expecting("a name of letters, digits, - and _")
    return value


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string"})]
"""Names end up in folders, metrics and tags of databases."""


def _all_or_list(value: Any) -> Any:
    if value == "all":
        return None
    if not isinstance(value, list) or not value:
        raise expecting("all or a list of sensors")
    return value


Sensors = Annotated[
    tuple[Sensor, ...] | None,
    BeforeValidator(_all_or_list),
    PlainSerializer(lambda sensors: "all" if sensors is None else list(sensors)),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "all"},
                {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
            ]
        }
    ),
]
"""``all`` (held as None) or a list of sensors."""


def split(series: str) -> tuple[str, str]:
    """Sensor and quantity of a series as it is written: what is before the last slash, and what
    is behind it."""
    sensor, _, quantity = series.rpartition("/")
    return sensor, quantity


def _series(value: Any) -> str:
    if not isinstance(value, str) or not all(split(value)):
        raise expecting("a sensor and a quantity such as roof/temperature")
    return value


WrittenSeries = Annotated[
    str,
    BeforeValidator(_series),
    WithJsonSchema({"type": "string", "pattern": "./.", "examples": ["roof/temperature"]}),
]
"""A series as it is written, ``sensor/quantity``; the quantity has no slash."""


class InputSection(Section):
    """Series that are read and not forecast."""

    series: tuple[WrittenSeries, ...] = Field(
        min_length=1, description="The series; a list by itself means this."
    )
    ahead: Duration | None = Field(
        default=None,
        gt=0,
        description="How long before its time each of their readings is there, as those of a "
        "weather forecast are; a multiple of the interval. Default: they come with the others.",
    )


Inputs = Annotated[
    InputSection,
    BeforeValidator(lambda value: value if isinstance(value, dict) else {"series": value}),
    WithJsonSchema(
        {
            "anyOf": [
                InputSection.model_json_schema(),
                {"type": "array", "items": {"type": "string"}},
            ]
        }
    ),
]
"""A section of inputs, or the list of its series alone."""


class Span(Section):
    """A span of event time in which truth is withheld; `to` is not part of it."""

    start: Time = Field(alias="from", description="First moment of the span.")
    end: Time = Field(alias="to", description="First moment after the span.")

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: int, info: ValidationInfo) -> int:
        if end <= info.data.get("start", end - 1):
            raise expecting("later than 'from'")
        return end


class WithheldSpan(Span):
    """A span with sensors of its own."""

    sensors: Sensors = Field(
        default=None,
        description="Whose targets are withheld within this span, of `evaluation.sensors`.",
    )
