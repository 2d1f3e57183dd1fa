"""The `auto` forecaster: what a config that names no model gets."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.explanation import Explanation
from gapcast.engine.forecaster import (
    Floats,
    Forecast,
    Forecaster,
    Frame,
    Ints,
    Layout,
    Needs,
    State,
)
from gapcast.engine.state import below, extend_nested, step_nested, widened, within
from gapcast.plugins.forecasters.auto.cross import CROSS, new_cross
from gapcast.plugins.forecasters.auto.explaining import explained, named
from gapcast.plugins.forecasters.auto.inputs import INFORMED
from gapcast.plugins.forecasters.auto.kernel import MEANS, Settings, Told, new_scratch, step_all
from gapcast.plugins.forecasters.auto.moments import FACTS, JOINT, MEMORIES, RANKED, Moments
from gapcast.plugins.forecasters.auto.period import LENGTH, MEMBERS, MOST, Found
from gapcast.plugins.forecasters.auto.season import Calendar, Season
from gapcast.plugins.forecasters.auto.weighing import AGES, DEPTH, STRIDES, Weighing
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls

DAY = 86_400_000_000
YEAR = 365.25
PROFILES = ((1.0, 96), (7.0, 168))
"""Days of the periods that have a profile, and the most knots it has."""
WAVES = ((1.0, 3), (7.0, 3), (YEAR, 2))
"""Days of the periods that have harmonics, and how many."""
LARGEST = 64
"""Most series a block may have."""
YOUNG = 150.0
"""Looks in which an expert is doubted that has no prior knowledge of sensors: then its errors
count twice."""
REMEMBERED = 192
"""Steps that `network-rls` remembers."""
FIRST = 10.0
"""Of the harmonics' P."""


NETWORK = "network"
"""The part of the state that is `NetworkRls`'s."""


class Auto(Forecaster):
    """Many experts at once, weighed by what they err so long after a target's last value."""

    class Params(plugin.Params):
        block: int = Field(
            default=LARGEST, ge=1, le=LARGEST, description="Most series solved for jointly."
        )

    params: Params
    horizons = (0, 1_000_000)
    experts = ("joint", "few", "network", "mean", "profile", "harmonics", "hold", "trend")
    derives = True
    rehearses = True
    state_version = 3

    def needs(self) -> Needs:
        """The other series, in blocks, and the inputs."""
        return Needs(block=self.params.block, inputs=True)

    def start(self, layout: Layout) -> State:
        """Nothing seen yet."""
        U, M = layout.members.shape
        calendar = _calendar(layout.interval)
        R, W, B = len(calendar.periods), len(calendar.terms), 1 + 2 * len(calendar.waves)
        K = max([MOST, *calendar.knots])
        F = CROSS + MEANS + R + W + 1 + _informed(layout)
        A, J, L = len(AGES), JOINT, len(MEMORIES)
        moments = Moments(
            np.full((U, M), np.nan), *(np.zeros((U, M)) for _ in range(3)), np.zeros((U, L, M)),
            np.zeros((U, L, M, M)), np.zeros((U, J, M, M)), np.ones((U, J, M)),
            np.ones((U, J, M)), np.zeros((U, J)), np.zeros((U, 4, M)),
            np.full((U, M, RANKED), -1, np.int16), np.zeros((U, FACTS)),
        )  # fmt: skip
        season = Season(
            np.full((U, R + 1, K, M), np.nan), np.zeros((U, R + 1, K, M), np.int8),
            np.zeros((U, R + 1, 2, 2, M)), np.full((U, R + 1), -1.0), np.zeros((U, W, B, M)),
            np.tile(FIRST * np.eye(B), (U, W, 1, 1)), np.full(U, -1.0),
        )  # fmt: skip
        weighing = Weighing(
            np.zeros((U, 2, A + 1, F + 2, M)), np.zeros((U, 2, A + 1, M)),
            np.zeros((U, F + 2, M)), np.zeros((U, A, F, M)), np.zeros((U, A, F, M)),
            np.zeros((U, 2, A, M)), np.full((U, len(STRIDES), DEPTH, F + 4, M), np.nan),
            np.zeros((U, F, M)), np.ones((U, M)), np.full((U, M), np.nan), np.full((U, M), np.nan),
            np.full((U, M), -1.0), np.ones((U, 2, A + 1, M)),
        )  # fmt: skip
        found = Found(np.full((U, LENGTH, min(M, MEMBERS)), np.nan, np.float32), np.zeros((U, 3)))
        network = self._network(layout)
        return (
            within(NETWORK, network.start(_alike(layout)))
            | within("moments", moments._asdict())
            | within("season", season._asdict())
            | within("found", found._asdict())
            | within("weighing", weighing._asdict())
        )

    def _network(self, layout: Layout) -> NetworkRls:
        memory = REMEMBERED * layout.interval
        return NetworkRls(NetworkRls.Params.model_construct(memory=memory))

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """Of newcomers nothing is known."""
        layouts = _alike(before), _alike(after)
        network = extend_nested(self._network(after), state, NETWORK, *layouts)
        fresh = {k: a for k, a in self.start(after).items() if k not in network}
        return widened(state, fresh) | network

    def step(self, state: State, frame: Frame) -> Forecast:
        """Nowcast each step, learn it, then forecast those ahead of it."""
        return Forecast(*self._told(state, frame)[:-1])

    def explain(self, state: State, frame: Frame, target: int, horizon: int) -> Explanation | None:
        """Every expert of the target; the neighbours in the conditional mean of a nowcast."""
        before = {name: array.copy() for name, array in below(state, "moments").items()}
        told = self._told(state, frame, noted=True)
        h = int(np.searchsorted(frame.layout.horizons, horizon))
        calendar = _calendar(frame.layout.interval)
        informed = _informed(frame.layout)
        group = _groups(len(calendar.periods), len(calendar.terms), informed)
        names = named(calendar, frame.layout.interval, informed)
        return explained(
            told, state, before, frame, target, h, group, self.experts, names
        )  # fmt: skip

    def _told(self, state: State, frame: Frame, noted: bool = False) -> Told:
        """Step; noted: also tell what the forecasts of the frame's one step are made of."""
        layout = frame.layout
        calendar = _calendar(layout.interval)
        profiles, sets, informed = len(calendar.periods), len(calendar.terms), _informed(layout)
        F = CROSS + MEANS + profiles + sets + 1 + informed
        M = layout.members.shape[1]
        settings = Settings(
            columns=layout.members,
            targets=layout.of_members,
            horizons=layout.horizons,
            group=_groups(profiles, sets, informed),
            young=_young(profiles, sets, informed),
            leads=_leads(layout),
            level=layout.level,
            z=NormalDist().inv_cdf((1 + layout.level) / 2),
        )
        shape = (frame.t, layout.n, len(layout.horizons))
        out = Told(
            *(np.full(shape, np.nan) for _ in range(3)), np.full(shape[:2], np.nan),
            np.zeros(shape, np.int64), np.zeros(shape, np.int64),
            np.full((*shape[1:], 3, F + 2) if noted else (0, 0, 0, 0), np.nan),
        )  # fmt: skip
        nested = replace(frame, layout=_alike(layout))
        others = step_nested(self._network(layout), state, NETWORK, nested).reference
        step_all(
            frame.values, frame.own, others, frame.first, Moments(**below(state, "moments")),
            Season(**below(state, "season")), Found(**below(state, "found")),
            Weighing(**below(state, "weighing")), settings, calendar,
            new_scratch(M, F, 1 + 2 * len(calendar.waves)), new_cross(M), out,
        )  # fmt: skip
        return out


def _alike(layout: Layout) -> Layout:
    """The layout of `network-rls`, which nowcasts and takes all that it reads for alike."""
    return layout.without_inputs().at(np.zeros(1, np.int64))


def _leads(layout: Layout) -> NDArray[np.int64]:
    """`Settings.leads`: a group of all inputs, which speak of the step itself; and one of those
    that are known ahead. Where all are, the second has it all."""
    known = (layout.leads >= 0).any(axis=0)
    groups = []
    if not known.all():
        groups.append(np.vstack([layout.inputs, np.full_like(layout.leads, -1)]))
    if known.any():
        groups.append(np.vstack([np.where(known, layout.inputs, -1), layout.leads]))
    shape = (len(groups), 1 + len(layout.horizons), len(layout.inputs))
    return np.array(groups, np.int64).reshape(shape)


def _informed(layout: Layout) -> int:
    """How many experts read inputs alone."""
    return INFORMED * len(_leads(layout))


def _groups(profiles: int, sets: int, informed: int) -> Ints:
    """Place in `Auto.experts` of every expert."""
    own = [0, 0, 0, 1, 1, 2, 3, 3, *[4] * profiles, *[5] * sets, 4]
    return np.array([*own, *[0] * informed, 6, 7])


def _young(profiles: int, sets: int, informed: int) -> Floats:
    """Looks in which every expert is doubted: not `network-rls`, to which sensors are alike, nor
    seasons, to which days are."""
    seasons = [0.0] * (profiles + sets)
    last = [YOUNG] * (informed + 3)
    return np.array([YOUNG] * (CROSS - 1) + [0.0] + [YOUNG] * MEANS + seasons + last)


@cache
def _calendar(interval: int) -> Calendar:
    day = DAY / interval
    profiles = [(days * day, most) for days, most in PROFILES if days * day >= 2]
    periods, terms, awake = [], [], []
    for days, most in WAVES:
        period = days * day
        found = [period / h for h in range(1, most + 1) if period / h >= 3]
        if found:
            periods += found
            terms.append(1 + 2 * len(periods))
            awake.append(2 * period)
    return Calendar(
        np.array([p for p, _ in profiles], float),
        np.array([min(round(p), most) for p, most in profiles], np.int64),
        np.array(periods, float),
        np.array(terms, np.int64),
        np.array(awake, float),
    )
