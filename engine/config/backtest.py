"""The section `backtest`: which gaps, where, and which settings ``gapcast backtest`` compares."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from gapcast.engine.config.section import Name, Section, Span
from gapcast.engine.units import MICROSECONDS, expecting, read_duration, write_duration


def _length(value: Any, info: ValidationInfo) -> int | None:
    expected = "a whole number of steps from 1 or a duration such as 6h"
    if value is None or (type(value) is int and value > 0):
        return value
    try:
        duration = int(read_duration(value))
    except ValueError:
        raise expecting(expected) from None
    interval = (info.context or {}).get("interval")
    if not interval:
        return 1
    if duration % interval or not duration:
        raise expecting(f"a multiple of grid.interval, {write_duration(interval)}")
    return int(duration // interval)


Length = Annotated[
    int | None,
    BeforeValidator(_length),
    PlainSerializer(lambda steps: steps),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "string",
                    "pattern": f"^[0-9]+ ?({'|'.join(MICROSECONDS)})$",
                    "examples": ["6h"],
                },
            ]
        }
    ),
]
"""Steps; a duration is turned into steps by the grid's interval (validation context)."""

KEYS = {
    "mcar": {"length", "share"},
    "blackout": {"length"},
    "disjoint": {"length"},
    "overlap": {"length"},
    "miss_perc": {"share"},
    "sensor": {"length"},
    "neighbours": {"length", "count"},
}
"""Types of patterns and the keys that each has beside `type`."""


class Pattern(Section):
    """Which readings are withheld, by the names of the literature; see docs/backtest.md."""

    type: Literal[
        "mcar", "blackout", "disjoint", "overlap", "miss_perc", "sensor", "neighbours"
    ] = Field(
        description="mcar: blocks at random, each series by itself. blackout: all series at once. "
        "disjoint, overlap: one sensor after the other. miss_perc: one block, each series in "
        "turn. sensor: each sensor in turn. neighbours: some sensors that are near each other."
    )
    length: Length = Field(
        default=None,
        description="Length of a block, in steps or as a duration; not for miss_perc. Default: "
        "mcar 1; disjoint, overlap what withholds every sensor once; others the whole span.",
    )
    share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="Share of a series that is withheld, for mcar (below 1) and miss_perc.",
    )
    count: int = Field(default=5, ge=1, description="How many neighbours.")

    @field_validator("length", "share", "count")
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("type")
        if kind and info.field_name not in KEYS[kind]:
            others = ", ".join(k for k, keys in KEYS.items() if info.field_name in keys)
            if value is not None:
                raise expecting(f"left out: it is for {others}")
        if kind == "mcar" and info.field_name == "share" and value == 1:
            raise expecting("below 1")
        if kind == "overlap" and info.field_name == "length" and value == 1 and info.context:
            raise expecting("at least 2 steps")
        return value


class Backtest(Section):
    """What ``gapcast backtest`` compares: models, their settings, patterns of gaps."""

    patterns: dict[Name, Pattern] | None = Field(
        default=None,
        min_length=1,
        description="Patterns of gaps, by name. Default: every type, by lengths that fit the span.",
    )
    span: Span | None = Field(
        default=None,
        description="Where the gaps are. Default: from the first to the last of "
        "`evaluation.spans`, or else the last third of the data.",
    )
    seed: int = Field(default=0, ge=0, description="Other seeds give other gaps.")
    repeats: int = Field(
        default=2, ge=1, description="Draws of each pattern, as far as they differ."
    )
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default={},
        description="Settings to compare, `model.key: [values]`: each combination of a model's is "
        "a model of its own, instead of it.",
    )
