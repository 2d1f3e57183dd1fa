"""The contract of a forecaster: one object that steps the models of many targets at once.

Shapes in this module: ``N`` targets, ``S`` series (columns of a frame), ``T`` steps, ``H``
horizons, ``C`` candidate neighbours, ``Q`` quantities. Arrays are C-ordered float64 unless said
otherwise, in the units of the readings; NaN means "nothing there". A joint forecaster has ``U``
units of targets, which read ``M`` members at most.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.explanation import Explanation
from gapcast.engine.horizon import NOWCAST, Horizons
from gapcast.engine.plugin import Plugin

if TYPE_CHECKING:
    from gapcast.engine.neighbours import Neighbours

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
State = dict[str, NDArray[np.generic]]


class Series(NamedTuple):
    """One quantity of one sensor."""

    sensor: str
    quantity: str


@dataclass(frozen=True)
class Needs:
    """What a forecaster reads besides its target's own past. Declared once, never discovered.

    neighbours: how to choose other sensors, as the config's ``neighbours`` key says it; ``None``
        reads no other sensor.
    quantities: quantities to read besides the target's own, of the neighbours and of the
        target's own sensor.
    block: for joint forecasters, which serve a group of targets by one model: the most series
        that such a unit may read. ``None``: every target is a unit of its own.
    partners: pairs of quantities; where a model reads the first, it also reads the second of the
        same sensor.
    inputs: for joint forecasters: whether every unit also reads the series that the config names
        as inputs, of whatever quantity.
    """

    neighbours: Neighbours | None = None
    quantities: tuple[str, ...] = ()
    block: int | None = None
    partners: tuple[tuple[str, str], ...] = ()
    inputs: bool = False


@dataclass(frozen=True)
class Layout:
    """Where a shard's targets and their regressors stand in the columns of its frames.

    interval: the grid's step, in microseconds.
    series: the S columns of ``Frame.values``.
    targets: (N,) column of each target.
    regressors: (N, Q, C) columns of the candidate neighbours, best first, -1 where there are
        fewer; ``[:, 0]`` is the target's own quantity, then ``Needs.quantities`` without it.
        The same neighbour stands at the same place of every quantity (-1 where it lacks it).
    companions: (N, Q - 1) columns of the other quantities of the target's own sensor, or -1.
        For lookup only: read their values from ``Frame.companions``. With ``Needs.partners``
        there is one more, the last: the partner of the target itself.
    choose: how many of the C candidates the config asks a model to choose from the data
        (``neighbours: {correlated: k}``), or ``None``: all of them are meant.
    horizons: (H,) steps ahead that the forecaster is asked for, ascending, none below 0.
    level: nominal coverage of the interval, in (0, 1).
    units: (N,) unit of each target, numbered 0 to U - 1 in the order of their first targets.
    members: (U, M) columns that a unit reads, its own targets' among them, -1 where there are
        fewer; M is 0 unless ``Needs.block`` asks for units of many. With ``Needs.inputs`` all
        inputs stand behind the others.
    partners: (S,) column of each column's partner as ``Needs.partners`` pairs quantities, or -1;
        empty where none are asked for.
    inputs: (I,) columns of the inputs, ascending; empty where they are not asked for.
    leads: (H, I) columns with what is known of the step ahead by each horizon, -1 where nothing is.
    """

    interval: int
    series: tuple[Series, ...]
    targets: Ints
    regressors: NDArray[np.int64]
    companions: NDArray[np.int64]
    choose: int | None
    horizons: Ints
    level: float
    units: Ints
    members: NDArray[np.int64]
    partners: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    inputs: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    leads: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0), np.int64))

    def __post_init__(self) -> None:
        """Without inputs there are no leads, whatever the horizons."""
        if not len(self.inputs):
            object.__setattr__(self, "leads", np.empty((len(self.horizons), 0), np.int64))

    @cached_property
    def of_quantity(self) -> Mapping[str, Ints]:
        """Columns of each quantity, ascending."""
        names, code = np.unique([s.quantity for s in self.series], return_inverse=True)
        return {str(name): np.flatnonzero(code == i) for i, name in enumerate(names)}

    @cached_property
    def of_members(self) -> Ints:
        """(U, M) which target each member is; -1 where it only serves others."""
        found = np.full(self.members.shape, -1, np.int64)
        target, place = np.nonzero(self.members[self.units] == self.targets[:, None])
        found[self.units[target], place] = target
        return found

    @property
    def u(self) -> int:
        """Number of units: of targets, unless the forecaster is a joint one."""
        return len(self.members)

    @property
    def n(self) -> int:
        """Number of targets."""
        return len(self.targets)

    def without_inputs(self) -> Layout:
        """The layout as a forecaster that asks for no inputs would have it."""
        if not len(self.inputs):
            return self
        members = np.where(np.isin(self.members, self.inputs), -1, self.members)
        members = np.ascontiguousarray(members[:, : -len(self.inputs)])
        return replace(self, members=members, inputs=self.inputs[:0], leads=self.leads[:, :0])

    def at(self, horizons: Ints) -> Layout:
        """The layout of a forecaster that is asked for other horizons; of those that this one does
        not have, nothing is known ahead."""
        leads = np.full((len(horizons), len(self.inputs)), -1, np.int64)
        for h, horizon in enumerate(horizons):
            for known in np.flatnonzero(self.horizons == horizon):
                leads[h] = self.leads[known]
        return replace(self, horizons=horizons, leads=leads)

    def steps(self, duration: int) -> int:
        """Steps of the grid in `duration` microseconds, rounded, at least one."""
        return max(1, round(duration / self.interval))


@dataclass(frozen=True)
class Frame:
    """Consecutive closed steps, as the models of one shard may see them. Read-only.

    first: index of the first step: its start in microseconds since 1970, over the interval.
    values: (T, S) every series, as the network reports it. A target's own column may hold a
        truth withheld from that target (it is there for the *other* targets): a model reads a
        target's own values from `own` and its sensor's other quantities from `companions`,
        never from `values`.
    own: (T, N) truth of each target as its own model may see it, NaN where missing, rejected
        or withheld.
    companions: (T, N, Q - 1) the target sensor's other quantities of the same step; as many as
        ``Layout.companions``.
    """

    layout: Layout
    first: int
    values: Floats
    own: Floats
    companions: Floats

    @property
    def t(self) -> int:
        """Number of steps."""
        return len(self.own)


@dataclass(frozen=True)
class Forecast:
    """Forecasts made at each step of a frame, for each target and horizon; all (T, N, H).

    ``[t, n, h]`` is made at step t for step ``t + horizons[h]``. NaN in `mean` says that the
    model cannot tell yet: no row is written. NaN in `lower` and `upper` says "no interval".
    The engine calibrates the bounds (docs/intervals.md); without any it finds some.

    reference: (T, N) what is said of each step without the target's own past, where the
        model can tell (a regression on other sensors, a season; nothing carried); NaN elsewhere.
        With it, a short gap is smoothed by how far the target was from it on both sides.
    regressors: (T, N, H) int, from how many values of other series the mean was made.
    experts: (T, N, H) int, bit e set: ``Forecaster.experts[e]`` had a say in the mean.
    Each of the three is given always or never.
    """

    mean: Floats
    lower: Floats
    upper: Floats
    reference: Floats | None = None
    regressors: Ints | None = None
    experts: Ints | None = None

    @classmethod
    def empty(cls, frame: Frame) -> Forecast:
        """A forecast of the right shape that says nothing yet."""
        shape = (frame.t, frame.layout.n, len(frame.layout.horizons))
        return cls(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan))


class Forecaster(Plugin):
    """Online models of all targets of a shard, stepped together.

    When you are called: `start` once for the targets of a shard, then `step` for one frame
    after the other, steps without holes and in order. A shard has its own state; one object may
    be stepping several shards at once in different threads, so keep nothing on ``self`` that
    changes.

    What must hold on return of `step`: for every step t of the frame, in order, you

    1. forecast horizon 0, the *nowcast*: from own values before t, everything else up to t;
    2. learn from ``own[t]`` where it is not NaN;
    3. forecast the horizons above 0 from all values up to t.

    Horizons below 0 are not asked for: the engine smooths the nowcasts (see `smoothing`).

    `step` depends on (state, frame) alone: no clock, no randomness without a seed in the state.
    It may update the state's arrays in place and must return the state it leaves in that same
    mapping. It never writes to the frame. A unit's numbers never depend on which other units
    share the shard, and splitting a frame anywhere changes nothing, bit for bit.

    What happens if you raise: the run stops with your error and the sinks keep what was
    committed; nothing is called again on that state. What is not promised: how many steps or
    targets a call has (one or thousands), or that the same process makes the next call.

    State: a flat mapping of names to arrays with one entry a unit (a target, or the group of a
    joint forecaster) on the leading axis; a shard never splits a unit. Where ``targets`` is a part
    of a name (``targets/level``) it is one entry a target in any case. That is all the engine needs
    to snapshot, restore, split, join and move it; write no code for it.
    """

    horizons: tuple[int, int] = (0, 0)
    """Least and greatest horizon this forecaster can serve, in steps. Those below 0 come with 0."""

    experts: tuple[str, ...] = ()
    """Names of the experts that `Forecast.experts` speaks of; eight at most."""

    state_version: int = 1
    """Raise it when the meaning of the state's arrays changes, and write `migrate`."""

    derives: ClassVar[bool] = False
    """Whether a config that does not say ``derive`` means it to be true: what can be derived is
    forecast through it (see `gapcast.engine.shard.derived`)."""

    rehearses: ClassVar[bool] = False
    """Whether its bounds hold their level at every gap age from the first gap on, since it learns
    from values that are seen what it would have said in a gap; then the engine, which learns that
    from gaps alone, doubts them less."""

    def needs(self) -> Needs:
        """What the models read besides their target's own past. Default: nothing."""
        return Needs()

    @abstractmethod
    def start(self, layout: Layout) -> State:
        """Fresh state for the targets of `layout`, arrays of leading length ``layout.u``.

        What it holds for a unit depends on that unit's own entries in the layout only.
        """

    @abstractmethod
    def step(self, state: State, frame: Frame) -> Forecast:
        """Forecast and learn, step by step, as the class says; updates `state` in place."""

    def explain(self, state: State, frame: Frame, target: int, horizon: int) -> Explanation | None:
        """What the forecast of one target at one step is made of; ``gapcast explain`` calls it.

        state: a copy of the one before the step, thrown away afterwards, so `step` may be called on
        it. frame: that one step. target: its index in the layout. horizon: one of the layout's.
        The weighted experts add up to the forecast that `step` makes from the same state and frame.
        Default: None, the model does not explain itself.
        """
        return None

    def extend(self, state: State, before: Layout, after: Layout) -> State:
        """The state of a network that other series have joined: what was learnt goes on, newcomers
        have learnt nothing yet.

        `after` has the series, targets and units of `before` first, in the same order; where a
        target's regressors or a unit's members had a place (-1), newcomers may stand in it, or
        behind the others in wider arrays. What is forecast of the old targets must be close to
        what it would be without newcomers, as long as these have told nothing, and where nothing
        was learnt the state is that of `start`. The arrays of `state` may be used.

        Default: rows of newcomers behind the old ones. Raises ValueError where that cannot be, for
        the layout has become wider: the model then learns anew, and the log says so. Where every
        axis that becomes wider has newcomers at its end, return
        `gapcast.engine.state.widened(state, self.start(after))`.
        """
        fresh = self.start(after)
        for name, old in state.items():
            if old.shape[1:] != fresh[name].shape[1:]:
                raise ValueError(
                    f"{type(self).__name__} cannot go on with more members or neighbours: "
                    f"{name} is {old.shape[1:]} for each, and would be {fresh[name].shape[1:]}"
                )
            fresh[name][: len(old)] = old
        return fresh

    def migrate(self, state: Mapping[str, NDArray[np.generic]], version: int) -> State:
        """Turn a state of an older `version` into one of ``state_version``.

        Raises ValueError when it cannot; the engine then names the checkpoint and stops.
        """
        raise ValueError(f"state version {version} cannot be read by version {self.state_version}")


@dataclass(frozen=True)
class Model:
    """A forecaster under the name the config gives it, with its horizons and interval level.

    horizons: any whole numbers of steps when it is made; then held as `Horizons`. shadow: whether
    only sinks that ask for it are given its rows.
    """

    name: str
    forecaster: Forecaster
    horizons: Horizons = field(default=Horizons([NOWCAST]))
    level: float = 0.9
    shadow: bool = False

    def __post_init__(self) -> None:
        """Put the horizons in order."""
        object.__setattr__(self, "horizons", Horizons(self.horizons))

    @property
    def asked(self) -> Horizons:
        """The horizons that the forecaster itself serves."""
        return self.horizons.asked
