"""A run as it is shown: what it is doing, how it is getting on, what its sinks have taken."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gapcast.engine._version import VERSION
from gapcast.engine.config.serving import Serve
from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.progress import Progress
from gapcast.engine.run.job import Job
from gapcast.engine.serve.notices import Notices
from gapcast.engine.serve.states import STATES
from gapcast.engine.serve.tap import Tap
from gapcast.engine.sink import AHEAD, STATUSES

NAME = "serve"
"""Of the tap among a job's sinks; no sink of a config can have a colon in its name."""


class Live:
    """One run. doing: in a few words, what is being done. tap: None until there is a job; another
    one whenever the run goes on by itself from a checkpoint. As JSON: times in seconds since 1970,
    null for what is not known."""

    def __init__(self, name: str, section: Serve, notices: Notices) -> None:
        self.name = name
        self.section = section
        self.notices = notices
        self.began = time.time()
        self.doing = "getting ready"
        self.tap: Tap | None = None

    def watch(self, job: Job) -> None:
        """From now on show `job`, which has not begun."""
        self.tap = Tap(job, self.section.silent)
        job.sinks[f":{NAME}"] = self.tap

    def telling(self, progress: Callable[[str], None]) -> Callable[[str], None]:
        """`progress`, overheard."""

        def tell(doing: str) -> None:
            self.doing = doing
            progress(doing)

        return tell

    @property
    def running(self) -> bool:
        """Whether something has been read."""
        return self.progress.moment > 0 or (self.tap is not None and self.tap.epochs > 0)

    @property
    def progress(self) -> Progress:
        """How the run was getting on about a second ago."""
        return self.tap.progress if self.tap else Progress()

    def status(self) -> dict[str, Any]:
        """All but sensors and series."""
        tap, at = self.tap, self.progress
        return {
            "name": self.name,
            "version": VERSION,
            "now": time.time(),
            "began": self.began,
            "state": "running" if self.running else "getting ready",
            "doing": self.doing,
            "progress": vars(at) | {"watermark": at.watermark and at.watermark / 1e6},
            "states": tap.states().counts() if tap else {},
            "scores": self._scores(),
            "rows": {stage: self._rows(stage) for stage in ("ahead", "final")},
            "warnings": [notice._asdict() for notice in reversed(self.notices.kept.copy())],
            "warned": self.notices.count,
            "epochs": tap.epochs if tap else 0,
            "interval": tap.grid.interval / 1e6 if tap else None,
            "last": self._moment(tap.last) if tap else None,
        }

    def sensors(self) -> dict[str, Any]:
        """Every target and its state."""
        if self.tap is None:
            return {"sensors": [], "quantities": [], "state": [], "arrived": [], "names": STATES}
        found = self.tap.states()
        targets = self.tap.entries.targets[: len(found.state)]  # others may be joining
        return {
            "sensors": [t.sensor for t in targets],
            "quantities": [t.quantity for t in targets],
            "names": STATES,
            "state": found.state.tolist(),
            "arrived": self.moments(found.arrived),
        }

    def series(
        self, sensor: str, quantity: str, since: float | None = None, model: str | None = None
    ) -> dict[str, Any] | None:
        """What is kept of a target, or None where there is none of that name. since: of steps that
        begin then or later. model: what this one said only."""
        tap = self.tap
        if tap is None:
            return None
        kept = tap.series(sensor, quantity, None if since is None else int(since * 1e6))
        if kept is None:
            return None
        names = (*STATUSES, AHEAD)  # a step of which nothing final was said is still to come
        return {
            "sensor": sensor,
            "quantity": quantity,
            "times": self.moments(kept.steps),
            "truth": _numbers(kept.truth),
            "status": [names[s] for s in kept.status.tolist()],
            "entries": [
                entry._asdict()
                | {
                    name: _numbers(kept.said[k, e])
                    for k, name in enumerate(("forecast", "lower", "upper"))
                }
                for e, entry in enumerate(tap.entries.of)
                if model in (None, entry.model)
            ],
        }

    def moments(self, steps: Ints) -> list[float | None]:
        """When steps begin; null for those long before anything is known."""
        if self.tap is None:
            return []
        known = np.abs(steps) < 1 << 40
        times = self.tap.grid.begins(np.where(known, steps, 0)) / 1e6
        return [t if k else None for t, k in zip(times.tolist(), known.tolist(), strict=True)]

    def _moment(self, step: int | None) -> float | None:
        return None if step is None else self.moments(np.array([step]))[0]

    def _rows(self, stage: str) -> int:
        rows = self.tap.rows() if self.tap else {}
        return sum(n for (_, of), n in rows.items() if of == stage)

    def _scores(self) -> list[dict[str, Any]]:
        return [
            score.entry._asdict()
            | {"quantity": score.quantity, "n": score.scored}
            | {name: _finite(getattr(score, name)) for name in ("mse", "mae", "coverage")}
            for score in (self.tap.scores() if self.tap else ())
        ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _numbers(values: Floats) -> list[float | None]:
    """null for what is not finite."""
    return [*map(_finite, values.tolist())]
