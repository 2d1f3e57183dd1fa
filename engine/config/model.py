"""The keys of a config that gapcast itself understands; the rest belongs to plugins.

These models are the one source of what is checked, of the JSON Schema and of ``docs/config.md``.
Durations and times are held in microseconds (see `units`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from gapcast.engine.config.backtest import Backtest
from gapcast.engine.config.delivering import Deliver, Deliveries
from gapcast.engine.config.screen import ScreenSection
from gapcast.engine.config.section import Inputs, Name, Section, Sensors, WithheldSpan
from gapcast.engine.config.serving import Serve
from gapcast.engine.grid.calendar import Calendar, offsets
from gapcast.engine.sink import Delivery
from gapcast.engine.storage import check_url
from gapcast.engine.units import (
    MICROSECONDS,
    Duration,
    Sensor,
    Time,
    expecting,
    read_duration,
    write_duration,
)
from gapcast.engine.zones import known


def _horizon(value: Any, info: ValidationInfo) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    expected = "a whole number of steps or a duration such as 1h"
    if not isinstance(value, str):
        raise expecting(expected)
    try:
        duration = read_duration(value.removeprefix("-"))
    except ValueError:
        raise expecting(expected) from None
    interval = (info.context or {}).get("interval")
    if not interval:
        return 0
    if duration % interval:
        raise expecting(f"a multiple of grid.interval, {write_duration(interval)}")
    return int(duration // interval) * (-1 if value.startswith("-") else 1)


WrittenHorizon = Annotated[
    int,
    BeforeValidator(_horizon),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer"},
                {
                    "type": "string",
                    "pattern": f"^-?[0-9]+ ?({'|'.join(MICROSECONDS)})$",
                    "examples": ["1h", "-1h"],
                },
            ]
        }
    ),
]
"""A horizon; a duration is turned into steps by the grid's interval (validation context)."""


Aggregate = Literal["mean", "last", "min", "max", "sum"]


class CircularMean(Section):
    """The mean of directions."""

    circular: FiniteFloat = Field(gt=0, description="Where the quantity begins anew: 360 degrees.")


def _zone(value: str) -> str:
    if not known(value):
        raise expecting("a time zone such as UTC or Asia/Kolkata")
    return value


def _standard(ahead: int) -> str:
    """A zone that is so far ahead of UTC all the year, in whole hours."""
    hours = ahead // MICROSECONDS["h"]
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"


class Grid(Section):
    """How event time is cut into steps, and when a step is closed."""

    interval: Duration = Field(gt=0, description="Length of a step.")
    offset: Duration = Field(
        default=0,
        ge=0,
        description="How long after midnight steps begin: `6h` makes days of 1d begin at six. Less "
        "than the interval.",
    )
    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC",
        description="Whose midnight that is, such as Asia/Kolkata. Where clocks are changed, steps "
        "of whole days are days of 23 to 25 hours; shorter steps must divide the change.",
    )
    align: Literal["within", "nearest"] = Field(
        default="within",
        description="within: a reading belongs to the step in which it lies. nearest: to the step "
        "whose beginning is nearest, for sensors that report on the half hour, give or take.",
    )
    lateness: Duration = Field(
        default=0,
        description="How long past a step's end its readings are waited for, in event time.",
    )
    aggregate: Aggregate | dict[str, Aggregate | CircularMean] = Field(
        default="mean",
        description="What a step holds when a series has several readings in it: the same for all, "
        "or of each quantity (mean where it is not named). `{circular: 360}` for "
        "directions, which are forecast as vectors.",
    )
    duplicates: Literal["drop-same", "first", "last", "all"] = Field(
        default="drop-same",
        description="Which of several readings of one series and time count, in their order: those "
        "that differ in value, one, or all. The others are dead letters.",
    )
    idle: Duration = Field(
        default=5 * MICROSECONDS["min"],
        gt=0,
        description="A partition silent for so long, by the clock, stops holding the others back.",
    )
    future: Duration | None = Field(
        default=None,
        gt=0,
        description="How far a reading may be ahead of those before it in its partition without "
        "being held until ten agree with it. Default: 24 steps.",
    )
    max_gap: Duration | None = Field(
        default=None,
        ge=0,
        description="For how long after the last reading of any series there are forecasts though "
        "nothing arrives, such as while a logger is away for the winter. Default: 1000 steps.",
    )
    earliest: Time = Field(
        default=631_152_000_000_000,
        description="Readings from before are invalid: a clock not set.",
    )

    @model_validator(mode="after")
    def _within_a_step(self) -> Self:
        if self.offset >= self.interval:
            raise expecting("an offset below the interval")
        _ = self.placed
        return self

    @property
    def placed(self) -> tuple[int, Calendar | None]:
        """When step 0 begins, µs after 1970; and the calendar on whose even time, where the days of
        the zone are not equal. Raises an error where steps cannot begin by the zone's clock."""
        if self.zone == "UTC":
            return self.offset, None
        there = offsets(self.zone, self.earliest)
        begins = {(self.offset - ahead) % self.interval for ahead in there}
        if len(begins) == 1:
            return begins.pop(), None
        if self.interval % MICROSECONDS["d"] == 0:
            return self.offset, Calendar(self.zone, self.offset % MICROSECONDS["d"])
        raise expecting(
            "such that steps can begin by the zone's clock: those of "
            f"{write_duration(self.interval)} cannot where it is changed by "
            f"{write_duration(there[-1] - there[0])}, as in {self.zone}; expected an interval of "
            f"whole days, or one that divides this; or zone: {_standard(there[0])}, which has no "
            "summer time"
        )


class Sites(Section):
    """Which sensors there are and where they stand."""

    sensors: tuple[Sensor, ...] | None = Field(
        default=None,
        min_length=1,
        description="All sensors of the network; readings of others are dead letters. Default: "
        "those found, and those that appear while it runs.",
    )
    positions: Path | None = Field(
        default=None,
        description="File of lines `sensor x y`, in metres, for neighbours by position.",
    )


class Limit(Section):
    """The range of a quantity's believable values, in its own units."""

    min: FiniteFloat | None = Field(default=None, description="Lower values are rejected.")
    max: FiniteFloat | None = Field(default=None, description="Higher values are rejected.")

    @model_validator(mode="after")
    def _some_range(self) -> Self:
        if self.min is None and self.max is None:
            raise expecting("a range with min, max or both")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise expecting("a range whose min is below its max")
        return self


class Targets(Section):
    """The series to forecast."""

    sensors: Sensors = Field(default=None, description="Sensors to forecast for: all, or a list.")
    quantities: tuple[str, ...] = Field(min_length=1, description="Quantities to forecast.")


class Gaps(Section):
    """Random gaps within the withheld spans, each target in gaps of its own."""

    share: float = Field(gt=0, lt=1, description="Share of the steps that are withheld.")
    steps: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        default=(1, 10), description="Least and greatest length of a gap, in steps of the grid."
    )
    seed: int = Field(default=0, ge=0, description="Other seeds give other gaps.")

    @field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[int, int]) -> tuple[int, int]:
        if steps[0] > steps[1]:
            raise expecting("two numbers, the greater one last")
        return steps


class Evaluation(Section):
    """How forecasts are held against the truth."""

    mode: Literal["prequential", "blackout"] = Field(
        default="prequential",
        description="prequential: every step is forecast, scored, then learnt from. "
        "blackout: truth is also withheld for whole spans.",
    )
    hide: Literal["each", "each-sensor", "together"] = Field(
        default="each",
        description="What is withheld within a span: each target from itself alone, each target's "
        "whole sensor from that target, or all targets at once.",
    )
    spans: tuple[WithheldSpan, ...] = Field(
        default=(), validate_default=True, description="The spans in which truth is withheld."
    )
    release: Literal["end", "never"] = Field(
        default="end",
        description="Whether withheld truth is handed over for learning at its span's end.",
    )
    sensors: Sensors = Field(
        default=None, description="Whose targets are withheld within a span: all, or a list."
    )
    gaps: Gaps | None = Field(
        default=None, description="Withhold only random gaps within a span, not all of it."
    )

    @field_validator("spans")
    @classmethod
    def _fit(
        cls, spans: tuple[WithheldSpan, ...], info: ValidationInfo
    ) -> tuple[WithheldSpan, ...]:
        blackout = info.data.get("mode", "blackout") == "blackout"
        if bool(spans) != blackout and "mode" in info.data:
            raise expecting("given for 'mode: blackout' and only then")
        ordered = sorted(spans, key=lambda span: span.start)
        for before, after in pairwise(ordered):
            if after.start < before.end:
                raise expecting("spans that do not overlap")
        return spans


class Checkpoint(Section):
    """When the state of a run is written down, and where."""

    interval: Duration = Field(
        default=30 * MICROSECONDS["s"], gt=0, description="Time between checkpoints, by the clock."
    )
    path: Annotated[str, Field(min_length=1), AfterValidator(check_url)] | None = Field(
        default=None,
        description="Folder, local or a URL such as `hdfs://name-node:9000/gapcast`; each run has "
        "a folder of its own in it. Default: in the run's folder.",
    )
    keep: int = Field(
        default=3, ge=1, description="How many stay; savepoints stay until someone removes them."
    )


class PluginSection(Section):
    """A source, model, sink or backend: `type` names the plugin, other keys are the plugin's."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Name of the plugin, or `package:name`, or `my.module:MyClass`.")


class DerivedSection(PluginSection):
    """A derivation: its own keys stand beside these."""

    type: str = Field(
        default="",
        description="The derivation, named as any plugin. Default: the section's name, - for _.",
    )
    inputs: tuple[str, str] | None = Field(
        default=None,
        alias="from",
        description="Quantities it is made from: the one to forecast, then its companion. "
        "Default: the derivation's.",
    )


class ModelSection(PluginSection):
    """A forecaster under a name of its own. The keys here are those of every model."""

    horizons: tuple[WrittenHorizon, ...] = Field(
        default=(0,),
        min_length=1,
        description="Steps ahead to forecast, as numbers or durations; 0 is a nowcast, "
        "negative ones smooth the past.",
    )
    level: float = Field(
        default=0.9, gt=0, lt=1, description="Nominal coverage of the forecast interval."
    )
    derive: bool | None = Field(
        default=None,
        description="Whether to nowcast through derived quantities. Default: as the forecaster "
        "prefers; `auto`, `network-rls` and `blend` do.",
    )

    role: Literal["primary", "shadow"] = Field(
        default="primary",
        description="A shadow learns and is scored, and sinks are not given its rows unless they "
        "ask for them.",
    )

    @field_validator("horizons")
    @classmethod
    def _each_once(cls, horizons: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        known = not info.context or info.context.get("interval")
        if known and len(set(horizons)) < len(horizons):
            raise expecting("different horizons")
        return tuple(sorted(horizons))


class SinkSection(PluginSection):
    """A sink under a name of its own. The keys here are those of every sink."""

    require: Delivery | None = Field(
        default=None,
        description="What the sink must promise of its rows after a crash, or more; a run whose "
        "sink promises less does not start. Default: nothing is required.",
    )
    deliver: Deliver | None = Field(
        default=None, description="Which rows of forecasts ahead of time the sink is given."
    )


FORMS: Mapping[str, type[PluginSection]] = {
    "forecaster": ModelSection,
    "sink": SinkSection,
    "derivation": DerivedSection,
}
"""Sections of the kinds of plugins that have more keys than `PluginSection`."""


def keys(form: type[PluginSection]) -> list[str]:
    """The keys of a section that are not the plugin's, as they are written."""
    return [field.alias or name for name, field in form.model_fields.items()]


class Production(Section):
    """What ``gapcast produce`` reads and where it sends it."""

    name: Name = Field(default="produce", description="Names it in messages.")
    source: PluginSection = Field(description="Where readings come from.")
    sinks: dict[Name, SinkSection] = Field(
        min_length=1, description="Where they go, by name: sinks for readings."
    )


class Run(Section):
    """A whole run, as written."""

    name: Name = Field(description="Names the run in reports, metrics and sinks.")
    source: PluginSection = Field(description="Where readings come from.")
    grid: Grid = Field(description="How event time is cut into steps.")
    network: Sites = Field(default=Sites(), description="Sensors and their positions.")
    limits: dict[str, Limit] = Field(
        default={}, description="Believable range of each quantity; readings outside are rejected."
    )
    screen: ScreenSection = Field(
        default=ScreenSection(), description="Outliers and faulty sensors, found by comparison."
    )
    targets: Targets = Field(description="The series to forecast.")
    inputs: dict[Name, Inputs] = Field(
        default={},
        description="Series that are read by models that can use them, such as `auto`, and never "
        "forecast, by any name: `{weather: [roof/temperature, roof/wind]}`.",
    )
    derive: dict[Name, DerivedSection] | None = Field(
        default=None,
        description="Quantities derived of others, to forecast through. Default: whatever fits "
        "the targets and the quantities found in the source; `{}`: none.",
    )
    evaluation: Evaluation = Field(default=Evaluation(), description="How forecasts are scored.")
    models: dict[Name, ModelSection] = Field(
        default={"auto": ModelSection(type="auto")},
        min_length=1,
        description="The models, by name: all run at once, each is scored.",
    )
    sinks: dict[Name, SinkSection] = Field(
        default={"files": SinkSection(type="files")},
        min_length=1,
        description="Where forecasts go, by name.",
    )
    checkpoint: Checkpoint = Field(
        default=Checkpoint(), description="When and where state is written down."
    )
    delivery: Deliveries = Field(
        default=Deliveries(), description="When rows are handed to the sinks."
    )
    serve: Serve | None = Field(
        default=None,
        description="A page about the run, and figures for Prometheus, while it goes. Default: "
        "nothing listens.",
    )
    backtest: Backtest = Field(
        default=Backtest(), description="What `gapcast backtest` compares; `run` ignores it."
    )
    backend: PluginSection = Field(
        default=PluginSection(type="local"), description="Where the run runs."
    )
