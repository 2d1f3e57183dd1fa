"""From costs to cores, memory, network and disk, and what is used up first."""

from __future__ import annotations

from dataclasses import dataclass

from gapcast.engine.planning.costs import FLAT, NAME, Costs

SPARE = 0.7
"""Share of a core that may be used, so that a peak does not make a queue."""
DAY = 86_400


@dataclass(frozen=True)
class Size:
    """A network: targets; readings a second of each; seconds of a step; steps that are open."""

    sensors: float
    rate: float
    interval: float
    open_steps: float = 2.0


@dataclass(frozen=True)
class Needs:
    """What a job of a size needs, at `SPARE`.

    coordinator, workers: cores. sensors: how many one coordinator has time for. Memory, network and
    disk in bytes, in bytes a second and in bytes a day; checkpoint: bytes of one.
    """

    coordinator: float
    workers: float
    sensors: float
    coordinator_memory: float
    worker_memory: float
    network: float
    disk: float
    checkpoint: float


def needs(costs: Costs, size: Size, shards_write: bool) -> Needs:
    """shards_write: whether workers make rows and store them, and not the coordinator."""
    readings = size.sensors * size.rate
    cells = size.sensors / size.interval
    rows = cells * costs.rows
    driver = readings * costs.reading + (0 if shards_write else rows * costs.row)
    rest = cells * costs.step + (rows * costs.row if shards_write else 0)
    coordinator = driver / SPARE
    state = size.sensors * costs.state
    open_cells = size.sensors * (FLAT * size.open_steps + size.rate * size.interval * 57)
    return Needs(
        coordinator=coordinator,
        workers=rest / SPARE,
        sensors=size.sensors / coordinator if coordinator else float("inf"),
        coordinator_memory=size.sensors * NAME + open_cells,
        worker_memory=2 * state,
        network=8 * cells + (0 if shards_write else 25 * rows),
        disk=rows * costs.stored * DAY,
        checkpoint=state,
    )
