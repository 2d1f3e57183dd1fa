"""The section that says which readings are suspected."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from gapcast.engine.config.section import Section
from gapcast.engine.config.verdict import FLAG, REJECT, OfSensors, OfValues
from gapcast.engine.units import MICROSECONDS, Duration, expecting


def _all_none_or_list(value: Any) -> Any:
    if value in ("all", "none"):
        return None if value == "all" else ()
    if not isinstance(value, list) or not value:
        raise expecting("all, none or a list of quantities")
    return value


Quantities = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_all_none_or_list),
    PlainSerializer(lambda q: "all" if q is None else list(q) or "none"),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "all"},
                {"const": "none"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
"""``all`` (held as None), ``none`` (an empty tuple) or a list of quantities."""


class ScreenSection(Section):
    """Which readings are suspected though within `limits`: a flag says so beside the forecast, and
    what is rejected is not learnt from."""

    quantities: Quantities = Field(
        default=None, description="Quantities to screen; all: but directions and inputs."
    )
    outliers: OfValues = Field(
        default=FLAG,
        description="Values far outside of what the past and the neighbours suggest; true: reject.",
    )
    stuck: OfSensors = Field(
        default=REJECT,
        description="A sensor that says the same for 3 hours and was not like that; a duration: "
        "reject it after so long.",
    )
    drift: OfSensors = Field(
        default=FLAG,
        description="A sensor that is far from its neighbours for 3 hours; a duration: reject it "
        "after so long.",
    )
    trust: Duration = Field(
        default=MICROSECONDS["d"],
        gt=0,
        description="A sensor that has stayed at another level for so long is used again.",
    )
