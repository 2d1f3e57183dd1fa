"""Shares: shards own whole units, and what is divided comes together again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapcast.engine.forecaster import Layout, Series
from gapcast.engine.parallel.shares import Shares, together
from gapcast.engine.shard.results import Ending, ModelRows, StepResult, Steps


def layout(units):
    """A layout whose targets are of these units, numbered in the order of their first targets."""
    n = len(units)
    numbers = {u: i for i, u in enumerate(dict.fromkeys(units))}
    renumbered = np.array([numbers[u] for u in units], np.int64)
    none = np.empty((n, 1, 0), np.int64)
    return Layout(
        1, tuple(Series(str(i), "t") for i in range(n)), np.arange(n), none, none[:, 0], None,
        np.array([0]), 0.9, renumbered, np.full((len(numbers), 1), -1),
    )  # fmt: skip


grouped = st.integers(1, 30).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, 6), min_size=n, max_size=n).map(layout), min_size=1, max_size=2
    )
)


@given(grouped, st.integers(1, 9))
def test_every_target_has_one_shard_and_no_unit_is_split(layouts, count):
    shares = Shares(layouts, count)
    assert 1 <= len(shares) <= count
    assert sorted(np.concatenate(shares.targets).tolist()) == list(range(layouts[0].n))
    for m, lay in enumerate(layouts):
        owned = [set(units.tolist()) for units in shares.units[m]]
        assert sum(map(len, owned)) == lay.u
        for mine, targets in zip(owned, shares.targets, strict=True):
            assert set(lay.units[targets].tolist()) == mine


@given(st.integers(1, 40), st.integers(1, 8))
def test_where_each_target_is_a_unit_shards_are_even_runs(n, count):
    shares = Shares([layout(range(n))], count)
    assert np.concatenate(shares.targets).tolist() == list(range(n))
    sizes = [len(t) for t in shares.targets]
    assert len(sizes) == min(n, count)
    assert max(sizes) - min(sizes) <= 1


@given(grouped, st.integers(1, 9), st.integers(1, 9))
def test_a_snapshot_divided_and_joined_is_the_same(layouts, one, other):
    whole = {"last_seen": np.arange(layouts[0].n)}
    for m, lay in enumerate(layouts):
        whole[f"{m}/state/a"] = np.arange(3 * lay.u).reshape(-1, 3)
        whole[f"{m}/saved/a"] = -whole[f"{m}/state/a"]
        whole[f"{m}/score/total"] = np.arange(layouts[0].n) * 2.0
    for count in (one, other):
        shares = Shares(layouts, count)
        parts = [shares.share(whole, i) for i in range(len(shares))]
        whole_again = shares.join_snapshots(parts)
        assert whole_again.keys() == whole.keys()
        for name in whole:
            np.testing.assert_array_equal(whole_again[name], whole[name])


@given(grouped, st.integers(1, 9))
def test_results_come_together_in_the_order_of_the_targets(layouts, count):
    shares = Shares(layouts, count)
    n = layouts[0].n

    def part(targets):
        side = np.array([targets, targets + 100])
        rows = [ModelRows(*(side[..., None] + k for k in (0.0, 0.1, 0.2)))]
        steps = Steps(
            side.astype(float), side.astype(np.uint8), side.astype(np.int32), side.astype(np.uint8)
        )
        return StepResult(7, steps, rows, [(0, 3, targets)], [steps], rows)

    joined = shares.join([part(t) for t in shares.targets])
    assert joined.first == 7
    for steps in (joined.steps, *joined.lagged):
        np.testing.assert_array_equal(steps.truth, [np.arange(n), np.arange(n) + 100])
        np.testing.assert_array_equal(steps.age, [np.arange(n), np.arange(n) + 100])
    for of in (joined.rows, joined.ahead):
        np.testing.assert_array_equal(of[0].upper[0, :, 0], np.arange(n) + 0.2)
    ((m, window, sums),) = joined.windows
    assert (m, window) == (0, 3)
    np.testing.assert_array_equal(sums, np.arange(n))
    ending = shares.join_endings(
        [Ending([(0, 1, t)], [t * 1.0], [t], [1.5]) for t in shares.targets]
    )
    np.testing.assert_array_equal(ending.totals[0], np.arange(n))
    np.testing.assert_array_equal(ending.windows[0][2], np.arange(n))
    assert ending.seconds == [pytest.approx(1.5 * len(shares))]


def test_targets_that_share_units_of_any_model_stay_together():
    layouts = [layout([0, 0, 1, 2, 3]), layout([0, 1, 1, 2, 3])]
    assert together(layouts, 1).tolist() == [0, 1, 2]
    assert together(layouts, 4).tolist() == [4]
