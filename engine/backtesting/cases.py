"""The runs of a backtest, as plain data: one a pattern and draw, every model in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from gapcast.engine.backtesting.patterns import Ground, defaults, length_of, withheld
from gapcast.engine.config import RunConfig, redact
from gapcast.engine.errors import RunError
from gapcast.engine.grid.frames import Joined
from gapcast.engine.run.job import Job
from gapcast.engine.run.loop import intake
from gapcast.engine.units import write_duration

QUIET = {
    "sinks": {"nowhere": {"type": "gapcast.engine.backtesting.play:Nowhere"}},
    "backend": {"type": "local", "threads": 1},
    "checkpoint": {"interval": "365d"},
}
"""What every case has of its own: its numbers are the same on any backend."""


@dataclass(frozen=True)
class Case:
    """One run. pattern: its name. share: of a series, where the pattern has one. steps: of a
    block. repeat: which draw. evaluation: the section."""

    pattern: str
    share: float | None
    steps: int
    repeat: int
    evaluation: Mapping[str, Any]


def cases(config: RunConfig, ground: Ground) -> list[Case]:
    """Every case of `config`, draws left out that are as one before. Raises RunError."""
    wanted, found = config.backtest, []
    for name, pattern in (wanted.patterns or defaults(ground)).items():
        share = pattern.share if pattern.type in ("mcar", "miss_perc") else None
        before: list[Mapping[str, Any]] = []
        for repeat in range(wanted.repeats):
            try:
                section = withheld(pattern, ground, f"{wanted.seed}/{repeat}/{name}")
            except RunError as error:
                raise RunError(f"backtest.patterns.{name}: {error}") from None
            if section not in before:
                before.append(section)
                found.append(Case(name, share, length_of(pattern, ground), repeat, section))
    return found


def models(config: RunConfig) -> dict[str, dict[str, Any]]:
    """Sections of the models to compare, by the names of the table: `network[memory=2d]` for each
    combination of the settings of a model in `backtest.grid`, the others as they are."""
    found = {}
    for name, section in redact(config)["models"].items():
        own = {
            key.partition(".")[2]: values
            for key, values in config.backtest.grid.items()
            if key.partition(".")[0] == name
        }
        for chosen in product(*own.values()):
            settings = dict(zip(own, chosen, strict=True))
            shown = ",".join(f"{key}={_shown(value)}" for key, value in settings.items())
            found[f"{name}[{shown}]" if shown else name] = section | settings
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_shown(of)}" for key, of in value.items())
    return " ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def base(config: RunConfig) -> dict[str, Any]:
    """`config` as plain data for its cases, the models numbered in the order of `models`."""
    plain = redact(config) | QUIET
    plain.pop("backtest")
    return plain | {
        "models": {f"m{i}": section for i, section in enumerate(models(config).values())}
    }


def ground(config: RunConfig, job: Job) -> Ground:
    """Where the gaps of `config` may be; reads the whole source if the config does not say.

    job: `config` prepared. Raises RunError.
    """
    grid, wanted, spans = job.grid, config.backtest.span, config.evaluation.spans
    if wanted or spans:
        first = wanted.start if wanted else min(span.start for span in spans)
        last = wanted.end if wanted else max(span.end for span in spans)
        start, stop = grid.since(first), grid.since(last)
    else:
        begun, stop = _extent(job)
        start = stop - (stop - begun) // 3
    if start >= stop:
        raise RunError(f"backtest.span contains no whole step of {write_duration(grid.interval)}")
    sensors = list(dict.fromkeys(t.sensor for t in job.targets))
    return Ground(grid, start, stop, sensors, job.network.positions)


def _extent(job: Job) -> tuple[int, int]:
    """First step of the source and the one after its last."""
    first = last = None
    for turn in intake(job, 262_144).turns():
        for closed in turn.closed:
            if isinstance(closed, Joined):
                continue
            frame = closed.frame
            first = frame.first if first is None else first
            last = frame.first + len(frame.values)
    if first is None or last is None:
        raise RunError("the source has no readings: give backtest.span")
    return first, last
