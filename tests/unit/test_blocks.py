"""Blocks of series that are solved for jointly: who owns whom, who reads whom."""

import numpy as np
import pytest

from gapcast.engine.forecaster import Series
from gapcast.engine.network.blocks import blocks
from gapcast.engine.network.series import Network


def network(n, positions=True, quantities=("t",), seed=0):
    names = [f"s{i}" for i in range(n)]
    at = np.random.default_rng(seed).random((n, 2)) * 100
    known = {name: (x, y) for name, (x, y) in zip(names, at, strict=True)} if positions else None
    return Network.of((Series(name, q) for name in names for q in quantities), known)


def cut(net, size, targets=None):
    columns = np.arange(len(net.series)) if targets is None else np.array(targets)
    return columns, *blocks(net.series, net.positions, columns, size)


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize(("n", "size"), [(1, 2), (5, 64), (64, 64), (65, 64), (300, 20), (40, 2)])
def test_every_target_has_one_unit_that_reads_it(n, size, positions):
    targets, units, members = cut(network(n, positions), size)
    assert members.shape[1] <= size
    assert (members[units] == targets[:, None]).sum(axis=1).tolist() == [1] * n
    _, first = np.unique(units, return_index=True)
    assert (np.diff(first) > 0).all()
    for row in members:
        there = row[row >= 0]
        assert (np.diff(there) > 0).all()
        assert (row[len(there) :] == -1).all()


def test_a_network_that_fits_is_one_block():
    _, units, members = cut(network(64), 64)
    assert members.tolist() == [list(range(64))]
    assert (units == 0).all()


@pytest.mark.parametrize("positions", [True, False])
def test_cells_are_even_and_borders_fill_the_rest(positions):
    _, units, members = cut(network(1000, positions), 64)
    owned = np.bincount(units)
    assert owned.max() <= 38
    assert owned.min() >= 30
    assert (members >= 0).all()


def test_members_are_near():
    net = network(1000)
    targets, units, members = cut(net, 64)
    at = np.array([net.positions[s.sensor] for s in net.series])
    spread = [np.ptp(at[row], axis=0).max() for row in members]
    assert np.median(spread) < 40
    away = np.linalg.norm(at[:, None] - at[targets], axis=2)
    closest = np.argsort(away, axis=0)[1:5].T
    read = [np.isin(near, members[u]).mean() for near, u in zip(closest, units, strict=True)]
    assert np.mean(read) > 0.95


def test_blocks_hold_one_quantity_and_none_without_a_target():
    net = network(90, quantities=("h", "t"))
    targets = [c for c, s in enumerate(net.series) if s.quantity == "t"][:10]
    _, units, members = cut(net, 30, targets)
    assert len(members) == len(set(units))
    assert {net.series[c].quantity for c in members[members >= 0]} == {"t"}


def test_sensors_at_one_place_are_cut_all_the_same():
    names = [str(i) for i in range(50)]
    net = Network.of((Series(n, "t") for n in names), dict.fromkeys(names, (1.0, 2.0)))
    _, units, members = cut(net, 10)
    assert np.bincount(units).max() <= 6
    assert members.shape[1] == 10


def test_without_positions_neighbours_are_those_of_neighbouring_names():
    _, units, members = cut(network(100, positions=False), 10)
    for u, row in enumerate(members):
        mine = np.flatnonzero(units == u)
        assert np.ptp(row) == 9
        assert row[0] <= mine[0] <= mine[-1] <= row[-1]
