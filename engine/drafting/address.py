"""The draft of a config for a broker's topic: its source looks at what comes."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from gapcast.engine.drafting.draft import NOTES, Draft, config_of
from gapcast.engine.drafting.text import Path, flow
from gapcast.engine.errors import RunError
from gapcast.engine.registry import Kind, Registry
from gapcast.engine.units import MICROSECONDS, write_duration

INTERVAL = MICROSECONDS["min"]
"""Of a step, where nothing says it."""
LATE = 10
"""Readings are waited for by this part of a step."""
SECOND = MICROSECONDS["s"]


def draft(address: str, seconds: float, interval: int | None = None) -> Draft:
    """The draft for ``SCHEME://HOST:PORT/TOPIC``; the scheme is the name of a source. seconds: to
    look at messages. interval: of a step, in microseconds, None: found. Raises GapcastError."""
    scheme, _, rest = address.partition("://")
    host, _, topic = rest.partition("/")
    if "@" in host:
        raise RunError(
            "an address has no user and password: write HOST:PORT, and add them to the config as "
            "${NAME}"
        )
    if not host or not topic:
        raise RunError(f"{address}: expected {scheme}://HOST:PORT/TOPIC")
    source = Registry.installed().load(Kind.SOURCE, scheme)
    try:
        found = source.propose(host, topic, seconds)
    except ValidationError as error:
        raise RunError(f"{address}: {error.errors()[0]['msg']}") from None
    except PydanticCustomError as error:
        raise RunError(f"{address}: {error.message()}") from None
    unsure: dict[Path, str] = {("source", key): why for key, why in found.unsure.items()}
    step = interval or found.interval
    if step is None:
        unsure["grid", "interval"] = "how often readings come was not seen"
        step = INTERVAL
    grid = {"interval": write_duration(step)}
    if late := step // LATE // SECOND * SECOND:
        grid["lateness"] = write_duration(late)
    quantities = found.quantities
    if not quantities:
        unsure["targets", "quantities"] = "no reading was seen: name the quantities"
        quantities = ("value",)
    sensors = found.sensors
    if not sensors and not found.discovers:
        unsure["network", "sensors"] = "no sensor was seen: name them"
        sensors = ("sensor-1",)
    config = config_of(topic, found.source, grid, quantities, () if found.discovers else sensors)
    notes: dict[Path, str] = {
        **NOTES,
        ("grid", "lateness"): "Readings later than this after their step are not used.",
        ("network",): "All sensors there will be: a broker cannot say. Those seen:",
    }
    lines = [address, *(f"  {what:<8}  {how}" for what, how in found.facts.items())]
    lines.append(f"  interval  {write_duration(step)}")
    lines.append(f"  targets   {', '.join(map(flow, quantities))}")
    return Draft(address, config, notes, unsure, lines)
