"""Sections that say when rows are delivered, and which of them a sink is given."""

from __future__ import annotations

from pydantic import Field

from gapcast.engine.config.section import Section
from gapcast.engine.units import Duration


class Deliveries(Section):
    """When rows are handed to the sinks."""

    latency: Duration | None = Field(
        default=None,
        ge=0,
        description="How long rows may wait for others to be delivered with, as far as the sinks "
        "keep up; they wait for none where the source has nothing more just now. Default: 50 ms "
        "where the source is live, else a second.",
    )


class Deliver(Section):
    """Which rows a sink is given: of forecasts with a horizon above 0, and of shadows."""

    ahead: bool | None = Field(
        default=None,
        description="When they are made, before their time comes: with the status `ahead` and "
        "without a truth. Default: as the sink prefers.",
    )
    final: bool | None = Field(
        default=None,
        description="When their own step has closed, with the truth; all other forecasts are final "
        "too. Default: as the sink prefers.",
    )

    shadow: bool | None = Field(
        default=None, description="The rows of models whose role is `shadow`, too. Default: no."
    )

    def given(self) -> dict[str, bool]:
        """What is said, by key."""
        return self.model_dump(exclude_none=True)
