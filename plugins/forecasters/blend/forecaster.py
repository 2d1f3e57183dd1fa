"""The `blend` forecaster: several experts, each weighed by what it errs so long after a truth."""

from __future__ import annotations

from functools import cached_property
from math import exp
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gapcast.engine import plugin
from gapcast.engine.description import created
from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, Needs, State
from gapcast.engine.state import extend_nested, step_nested
from gapcast.engine.units import Duration
from gapcast.plugins.forecasters.blend.experts import (
    Expert,
    cut_frame,
    cut_layout,
    needs_of,
    prefix,
)
from gapcast.plugins.forecasters.blend.kernel import Blended, Models, Said, Settings, blend

DAY = 86_400_000_000
REHEARSALS = 48
"""Most rehearsals begun in a day."""
OWN = "targets/blend/"

EXPERTS: dict[str, Any] = {
    "network": {"type": "network-rls"},
    "diurnal": {"type": "diurnal"},
    "seasonal": {"type": "seasonal"},
}


class Blend(Forecaster):
    """The weighted mean of several experts; the weights depend on how long the target is missing.

    An expert's weight falls steeply with the square error it is known to make so many steps after
    the last truth; it has none where that is three times the least. Errors of long gaps are
    learnt while the target is seen: from references, and from what experts forecast ahead.
    Experts sleep when they have nothing to say: those of the network when no neighbour is seen.
    What is absurd is not listened to. ``docs/blend.md`` has the rule, its sources, the defaults
    and what they were chosen on.

    Cost and state: those of the experts, and about 0.7 µs a step and 11 kB a target. Interval: the
    mean of the experts', weighed alike.
    """

    class Params(plugin.Params):
        experts: dict[str, Expert] = Field(
            default=EXPERTS,
            validate_default=True,
            min_length=1,
            max_length=8,
            description="Forecasters by name, each with its `type` and its own keys.",
        )
        memory: Duration = Field(
            default=4 * DAY, gt=0, description="Time constant of forgetting errors."
        )

        @model_validator(mode="after")
        def _fit_together(self) -> Self:
            for name in self.experts:
                if not name.replace("-", "").replace("_", "").isalnum() or name == "targets":
                    raise ValueError(f"experts.{name}: must be a name of letters, digits, - and _")
            needs_of({name: created(of) for name, of in self.experts.items()})
            return self

    params: Params
    horizons = (0, 1000)
    derives = True

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self._experts: dict[str, Forecaster] = {n: created(of) for n, of in params.experts.items()}
        self._needs = {name: expert.needs() for name, expert in self._experts.items()}
        self._whole = needs_of(self._experts)
        self.experts = tuple(self._experts)

    def needs(self) -> Needs:
        """What the experts read together."""
        return self._whole

    def start(self, layout: Layout) -> State:
        """Nothing known of any expert. Raises RunError where none forecasts as far as is asked."""
        furthest = int(max(layout.horizons, default=0))
        if furthest > 0 and not any(e.horizons[1] >= furthest for e in self._experts.values()):
            raise RunError(f"blend: no expert forecasts {furthest} steps ahead; name one that does")
        state: State = {}
        for name, expert in self._experts.items():
            began = expert.start(self._layout(name, layout))
            part = prefix(name, self._needs[name])
            state |= {f"{part}/{key}": array for key, array in began.items()}
        N, E, leads = layout.n, len(self._experts), _leads(layout)
        L, depth = len(leads), int(leads[-1]) // _stride(layout) + 2
        models = Models(
            age=np.full(N, -1.0),
            last=np.full(N, np.nan),
            error=np.zeros((N, E + 1, L)),
            weight=np.zeros((N, E + 1, L)),
            apart=np.zeros((N, E)),
            apart_weight=np.zeros((N, E)),
            gap=np.zeros((N, E)),
            gap_weight=np.zeros((N, E)),
            made=np.full((N, depth, len(self._foreseeing) + 1, L), np.nan),
        )
        return state | {OWN + key: array for key, array in models._asdict().items()}

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Every expert by itself; of newcomers nothing is known."""
        own = super().extend({k: a for k, a in state.items() if k.startswith(OWN)}, before, after)
        for name, expert in self._experts.items():
            layouts = self._layout(name, before), self._layout(name, after)
            own |= extend_nested(expert, state, prefix(name, self._needs[name]), *layouts)
        return own

    def step(self, state: State, frame: Frame) -> Forecast:
        """Every expert steps; then what they say is weighed, target by target."""
        layout, shape = frame.layout, (frame.t, frame.layout.n)
        H, ahead = len(layout.horizons), _ahead(layout)
        E, F = len(self._experts), len(self._foreseeing)
        said = Said(
            now=np.full((3, E, *shape), np.nan),
            apart=np.full((E, *shape), np.nan),
            seen=np.zeros((E, *shape)),
            ahead=np.full((3, F, *shape, len(ahead)), np.nan),
        )
        refers = np.zeros(E, np.bool_)
        for e, name in enumerate(self._experts):
            forecast = self._step(name, state, frame)
            sides = np.stack([forecast.mean, forecast.lower, forecast.upper])
            said.now[:, e] = sides[..., 0]
            if name in self._foreseeing:
                served = sides.shape[3] - 1
                said.ahead[:, self._foreseeing.index(name), ..., :served] = sides[..., 1:]
            if forecast.reference is not None:
                said.apart[e], refers[e] = forecast.reference, True
            if forecast.regressors is not None:
                said.seen[e] = forecast.regressors[..., 0]
        out = Blended(
            np.empty((3, *shape, H)),
            np.empty(shape),
            np.zeros((*shape, H), np.int64),
            np.zeros((*shape, H), np.int64),
        )
        models = Models(*(state[OWN + name] for name in Models._fields))
        settings = self._settings(layout, refers)
        blend(frame.own, frame.first, said, models, settings, np.zeros((7, E)), out)
        return Forecast(*out.means, out.reference, out.regressors, out.experts)

    @cached_property
    def _foreseeing(self) -> list[str]:
        return [name for name, expert in self._experts.items() if expert.horizons[1] > 0]

    def _layout(self, name: str, layout: Layout) -> Layout:
        most = self._experts[name].horizons[1]
        horizons = [0, *(h for h in _ahead(layout) if h <= most)]
        return cut_layout(layout, self._whole, self._needs[name], horizons)

    def _step(self, name: str, state: State, frame: Frame) -> Forecast:
        """One expert steps, on its own arrays."""
        needs = self._needs[name]
        mine = cut_frame(frame, self._layout(name, frame.layout), self._whole, needs)
        return step_nested(self._experts[name], state, prefix(name, needs), mine)

    def _settings(self, layout: Layout, refers: NDArray[np.bool_]) -> Settings:
        leads, ahead = _leads(layout), _ahead(layout)
        foresees = [
            self._foreseeing.index(n) if n in self._foreseeing else -1 for n in self.experts
        ]
        needs = self._needs.values()
        spatial = [need.neighbours is not None or need.block is not None for need in needs]
        return Settings(
            leads=leads,
            lead_at=np.array([ahead.index(lead) if lead in ahead else -1 for lead in leads]),
            asked=layout.horizons,
            asked_at=np.array([ahead.index(h) if h else -1 for h in layout.horizons], np.int64),
            foresees=np.array(foresees, np.int64),
            refers=refers,
            spatial=np.array(spatial),
            stride=_stride(layout),
            forgetting=exp(-layout.interval / self.params.memory),
        )


def _stride(layout: Layout) -> int:
    return -(-layout.steps(DAY) // REHEARSALS)


def _leads(layout: Layout) -> NDArray[np.int64]:
    """(L,) steps after a truth at which errors are measured: 1, doubled up to a day."""
    day, leads = layout.steps(DAY), [1]
    while leads[-1] * 3 <= 2 * day:
        leads.append(min(2 * leads[-1], day))
    return np.array(leads)


def _ahead(layout: Layout) -> list[int]:
    """Horizons above 0 that experts are asked for: those asked of the blend, and the leads."""
    return sorted({int(h) for h in (*layout.horizons, *_leads(layout)[1:]) if h > 0})
