"""The conformance kit of forecasters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Forecast, Forecaster, Frame, Layout, Model, Series, State
from gapcast.engine.horizon import NOWCAST, Horizons
from gapcast.engine.network.blocks import blocks
from gapcast.engine.network.growing import grown
from gapcast.engine.network.layouts import for_targets, joined, lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.plugin import Params
from gapcast.engine.testing.kit import suite

HALF_HOUR = 1_800_000_000
SENSORS = 11
BLOCK = 4
"""Joint forecasters are checked on units of so many series."""
STEPS = 150
OLD = 8
"""So many sensors are there when others join."""


@dataclass(frozen=True)
class Case:
    """A forecaster to check, on a small network of waves with gaps, two quantities a sensor, and an
    input, for those that ask."""

    make: Callable[[], Forecaster]
    horizons: Horizons

    def layout(self, forecaster: Forecaster) -> Layout:
        """Every sensor's temperature is a target."""
        names = [str(i) for i in range(SENSORS)]
        found = [Series(name, q) for name in names for q in ("humidity", "temperature")]
        positions = {name: (i % 4, i // 4) for i, name in enumerate(names)}
        network = Network.of(found, positions, {Series("roof", "light"): 1}, leads=[1])
        targets = [s for s in network.series if s.quantity == "temperature"]
        layout = lay_out(network, targets, Model("checked", forecaster, self.horizons), HALF_HOUR)
        if forecaster.needs().block is None:
            return layout
        units, members = blocks(network.series, network.positions, layout.targets, BLOCK)
        return replace(layout, units=units, members=joined(members, layout.inputs))

    def values(self, steps: int = STEPS, missing: float = 0.1) -> NDArray[np.float64]:
        """(steps, 2 × sensors + 2) daily waves, noise from a fixed seed, a share missing; behind
        them the input, the mean of all the others before any is missing, and the same a step
        ahead."""
        rng = np.random.default_rng(7)
        phase = np.arange(2 * SENSORS) / 7
        wave = 3 * np.sin(2 * np.pi * np.arange(steps)[:, None] / 48 + phase)
        values = 20 + phase + wave + rng.normal(0, 0.2, (steps, 2 * SENSORS))
        light = values.mean(axis=1)
        values[rng.random(values.shape) < missing] = np.nan
        light[rng.random(steps) < missing] = np.nan
        later = np.append(light[1:], np.nan)
        return np.column_stack([values, light, later]).astype(np.float64)

    def run(
        self,
        values: NDArray[np.float64],
        cuts: tuple[int, ...] = (),
        targets: slice | NDArray[np.int64] = slice(None),
        own: NDArray[np.float64] | None = None,
        state: State | None = None,
        done: int = 0,
    ) -> tuple[Forecast, State]:
        """Step a fresh forecaster over `values`, cut after the given numbers of steps; or go on
        from a `state` after `done` steps."""
        forecaster = self.make()
        layout = for_targets(self.layout(forecaster), targets)
        state = forecaster.start(layout) if state is None else state
        bounds = [0, *np.cumsum(cuts), len(values)]
        pieces = []
        for a, b in pairwise(bounds):
            frame = view(layout, 1000 + done + a, values[a:b], None if own is None else own[a:b])
            pieces.append(forecaster.step(state, frame))
        columns = (np.concatenate([getattr(p, c) for p in pieces]) for c in _COLUMNS)
        return Forecast(*columns), state


_COLUMNS = ("mean", "lower", "upper")


def view(
    layout: Layout, first: int, values: NDArray[np.float64], own: NDArray[np.float64] | None = None
) -> Frame:
    """A frame of these values; `own` where it is not what the target's column says."""
    values = np.ascontiguousarray(values)
    companions = np.full((len(values), *layout.companions.shape), np.nan)
    n, q = np.nonzero(layout.companions >= 0)
    companions[:, n, q] = values[:, layout.companions[n, q]]
    seen = values[:, layout.targets] if own is None else own
    return Frame(layout, first, values, np.ascontiguousarray(seen), companions)


def same(one: Forecast, other: Forecast, what: str) -> None:
    """Assert that two forecasts are equal bit for bit, NaN equal to NaN."""
    for column in _COLUMNS:
        a, b = getattr(one, column), getattr(other, column)
        assert a.shape == b.shape, f"{what}: {column} has shape {a.shape}, then {b.shape}"
        differs = np.argwhere(~((a == b) | (np.isnan(a) & np.isnan(b))))
        assert not len(differs), f"{what}: {column} differs first at (step, target, horizon) = " + (
            str(tuple(differs[0].tolist()))
        )


def state_has_one_entry_a_unit(case: Case, tmp_path: Path) -> None:
    """Every array of the state has the units (targets, unless the forecaster is a joint one) on
    its leading axis, also for none at all; the targets where `targets` is a part of its name."""
    forecaster = case.make()
    whole = case.layout(forecaster)
    for u in (whole.u, 1, 0):
        layout = for_targets(whole, np.flatnonzero(whole.units < u))
        for name, array in forecaster.start(layout).items():
            assert isinstance(array, np.ndarray), f"state[{name!r}] is no array"
            assert array.dtype != object, f"state[{name!r}] holds Python objects"
            entries = layout.n if "targets" in name.split("/") else u
            assert len(array) == entries, f"state[{name!r}] has {len(array)} entries for {entries}"


def forecasts_have_the_frames_shape(case: Case, tmp_path: Path) -> None:
    """Every column of a forecast is (steps, targets, horizons) of float64."""
    values = case.values()
    for steps in (1, len(values)):
        forecast, _ = case.run(values[:steps])
        for column in _COLUMNS:
            array = getattr(forecast, column)
            assert array.shape == (steps, SENSORS, len(case.horizons)), column
            assert array.dtype == np.float64, column


def splitting_a_frame_changes_nothing(case: Case, tmp_path: Path) -> None:
    """step(a + b) gives the same bits as step(a); step(b), wherever the frame is cut."""
    values = case.values()
    whole, end = case.run(values)
    for cuts in ((1,), (2, 45), (49,), (1,) * (len(values) - 1)):
        pieces, state = case.run(values, cuts)
        same(whole, pieces, f"cut after {cuts[:3]} steps")
        _same_state(end, state)


def a_units_numbers_are_its_own(case: Case, tmp_path: Path) -> None:
    """A unit's forecasts do not depend on which other units share its shard."""
    values = case.values()
    whole, _ = case.run(values)
    layout = case.layout(case.make())
    last = layout.u - 1
    for a, b in ((0, 1), (last // 3, last), (last, last + 1)):
        targets = np.flatnonzero((layout.units >= a) & (layout.units < b))
        alone, _ = case.run(values, targets=targets)
        share = Forecast(*(getattr(whole, c)[:, targets] for c in _COLUMNS))
        same(share, alone, f"units {a} to {b - 1} alone")


def the_frame_is_left_alone(case: Case, tmp_path: Path) -> None:
    """`step` never writes to its frame."""
    forecaster = case.make()
    layout = case.layout(forecaster)
    frame = view(layout, 1000, case.values())
    before = [a.copy() for a in (frame.values, frame.own, frame.companions)]
    forecaster.step(forecaster.start(layout), frame)
    for array, copy in zip((frame.values, frame.own, frame.companions), before, strict=True):
        np.testing.assert_array_equal(array, copy, "the frame was written to")


def a_withheld_truth_stays_withheld(case: Case, tmp_path: Path) -> None:
    """What a target's own column says while `own` is NaN never reaches that target."""
    values = case.values()
    own = values[:, case.layout(case.make()).targets].copy()
    own[60:110, 4] = np.nan
    hidden, _ = case.run(values, own=own)
    changed = values.copy()
    changed[60:110, case.layout(case.make()).targets[4]] = 1e6
    leaked, _ = case.run(changed, own=own)
    one, other = (Forecast(*(getattr(f, c)[:, 4:5] for c in _COLUMNS)) for f in (hidden, leaked))
    same(one, other, "target 4 with other withheld truths")


def a_forecast_is_made_before_its_truth(case: Case, tmp_path: Path) -> None:
    """A forecast for step t, nowcast or ahead, does not depend on the target's truth of step t."""
    values = case.values(missing=0)
    step, target = 100, 2
    changed = values.copy()
    changed[step:, case.layout(case.make()).targets[target]] += 5
    one, other = case.run(values)[0], case.run(changed)[0]
    for i, h in enumerate(case.horizons):
        until = step + 1 if h == NOWCAST else step
        for column in _COLUMNS:
            a, b = (getattr(f, column)[:until, target, i] for f in (one, other))
            np.testing.assert_array_equal(a, b, f"horizon {h} saw its truth")


def the_same_again_gives_the_same(case: Case, tmp_path: Path) -> None:
    """`step` depends on (state, frame) alone: no clock, no hidden memory, no aliasing."""
    values = case.values()
    _, half = case.run(values[:70])
    copies = [{k: a.copy() for k, a in half.items()} for _ in range(2)]
    one, other = (case.run(values[70:], state=copy, done=70)[0] for copy in copies)
    same(one, other, "the same state and frame again")


def a_state_survives_its_bytes(case: Case, tmp_path: Path) -> None:
    """A state written to disk as plain arrays and read back goes on as if nothing had happened."""
    values = case.values()
    whole, _ = case.run(values)
    _, half = case.run(values[:70])
    np.savez(tmp_path / "state.npz", **half)  # type: ignore[arg-type]
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        state = {k: stored[k] for k in stored.files}
    rest, _ = case.run(values[70:], state=state, done=70)
    same(Forecast(*(getattr(whole, c)[70:] for c in _COLUMNS)), rest, "after a restart")


def the_state_does_not_grow(case: Case, tmp_path: Path) -> None:
    """A model remembers a bounded amount, however long it runs."""
    _, early = case.run(case.values(20))
    _, late = case.run(case.values(400))
    for name, array in late.items():
        assert array.nbytes == early[name].nbytes, f"state[{name!r}] grew"


def nothing_at_all_is_survived(case: Case, tmp_path: Path) -> None:
    """Steps in which nothing arrives, for anyone, raise nothing; after data, forecasts stay
    finite numbers however long the gap."""
    values = case.values(600, missing=0)
    values[:30] = np.nan
    values[150:] = np.nan
    forecast, _ = case.run(values)
    assert np.isfinite(forecast.mean[149]).all(), "no forecast after 119 steps of complete data"
    assert np.isfinite(forecast.mean[150:]).all(), "a forecast in the gap is not finite"
    assert np.abs(forecast.mean[150:]).max() < 1e4, "forecasts explode in the gap"


def intervals_hold_the_forecast(case: Case, tmp_path: Path) -> None:
    """Where there is an interval, lower <= forecast <= upper."""
    forecast, _ = case.run(case.values())
    there = ~np.isnan(forecast.lower)
    assert (there == ~np.isnan(forecast.upper)).all(), "one bound without the other"
    assert (forecast.lower[there] <= forecast.mean[there]).all(), "lower above the forecast"
    assert (forecast.upper[there] >= forecast.mean[there]).all(), "upper below the forecast"


def what_is_explained_adds_up(case: Case, tmp_path: Path) -> None:
    """Where a forecaster explains a forecast, it is the one that `step` makes, and the weighted
    experts, each of a name in `Forecaster.experts`, add up to it, or notes say why not."""
    forecaster, values = case.make(), case.values()
    layout = case.layout(forecaster)
    _, state = case.run(values[:-1])
    last = view(layout, 1000 + len(values) - 1, values[-1:])

    def copy() -> State:
        return {name: array.copy() for name, array in state.items()}

    mean = forecaster.step(copy(), last).mean[0]
    for n, (i, h) in product(range(layout.n), enumerate(case.horizons)):
        found = forecaster.explain(copy(), last, n, int(h))
        if found is None:
            continue
        names = {said.name for said in found.experts}
        assert names <= {*forecaster.experts}, f"{names} are not among its experts"
        assert found.derived or found.mean == mean[n, i], "another forecast than step makes"
        weights = sum(said.weight for said in found.experts)
        assert abs(weights - 1) < 1e-9, f"the weights add up to {weights}"
        apart = abs(found.mixture - found.mean)
        assert apart < 1e-9 or found.notes, f"the experts are {apart} from the forecast"


def who_joins_changes_nothing_for_the_others(case: Case, tmp_path: Path) -> None:
    """Extended to a larger network, a state in which nothing was learnt is that of `start`. As long
    as newcomers tell nothing, forecasts of those who were there are close to what they were: they
    change by a third of their errors at most. (Where a forecaster learns anew, for it cannot go on
    with more neighbours, there is nothing to check.)"""
    forecaster = case.make()
    names = [str(i) for i in range(SENSORS)]
    found = [Series(name, q) for name in names for q in ("humidity", "temperature")]
    joining, model = 2 * OLD, Model("checked", forecaster, case.horizons)
    old = Network.of(found[:joining], {name: (i % 4, i // 4) for i, name in enumerate(names)})
    network = old.grown(found[joining:])
    targets = [s for s in network.series if s.quantity == "temperature"]
    before = lay_out(old, targets[:OLD], model, HALF_HOUR)
    after = grown(before, network, targets, model)
    try:
        fresh = forecaster.extend(forecaster.start(before), before, after)
    except ValueError:
        return
    _same_state(forecaster.start(after), fresh)
    values = case.values()[:, : 2 * SENSORS]
    values[:, joining:] = np.nan
    learnt, half = forecaster.start(before), STEPS // 2
    forecaster.step(learnt, view(before, 1000, values[:half, :joining]))
    copy = {name: array.copy() for name, array in learnt.items()}
    more = forecaster.extend(copy, before, after)
    alone = forecaster.step(learnt, view(before, 1000 + half, values[half:, :joining]))
    among = forecaster.step(more, view(after, 1000 + half, values[half:]))
    what = f"{SENSORS - OLD} sensors have joined and told nothing"
    others, wrong = among.mean[:, :OLD], alone.mean[..., 0] - values[half:, before.targets]
    assert (np.isnan(others) == np.isnan(alone.mean)).all(), f"{what}: forecasts come or go"
    error = np.nanmean(np.abs(wrong))
    for steps in (1, len(others)):
        apart = np.nanmean(np.abs(alone.mean[:steps] - others[:steps]))
        assert apart <= error / 3, (
            f"{what}: forecasts change by {apart:.3g}, their errors are {error:.3g}"
        )


def _same_state(one: State, other: State) -> None:
    assert one.keys() == other.keys(), "the state's names changed"
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], f"state[{name!r}]")


CHECKS = [
    state_has_one_entry_a_unit,
    forecasts_have_the_frames_shape,
    splitting_a_frame_changes_nothing,
    a_units_numbers_are_its_own,
    the_frame_is_left_alone,
    a_withheld_truth_stays_withheld,
    a_forecast_is_made_before_its_truth,
    the_same_again_gives_the_same,
    a_state_survives_its_bytes,
    the_state_does_not_grow,
    nothing_at_all_is_survived,
    intervals_hold_the_forecast,
    what_is_explained_adds_up,
    who_joins_changes_nothing_for_the_others,
]


def forecaster(
    cls: type[Forecaster],
    params: Params | None = None,
    *,
    horizons: tuple[int, ...] | None = None,
    skip: Mapping[str, str] | None = None,
) -> type:
    """A pytest class that checks `cls` against the contract of forecasters.

    params: its parameters, by default ``cls.Params()``. horizons: those to ask for, by default
    0 and, where the forecaster serves them, 1 and 3.
    """
    low, high = cls.horizons
    asked = horizons or tuple(h for h in (0, 1, 3) if low <= h <= high)
    chosen = params if params is not None else cls.Params()
    case = Case(lambda: cls(chosen), Horizons(asked))
    return suite(f"Test{cls.__name__}", CHECKS, case, skip or {})
