"""Who is whose neighbour, and where series stand in a layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Forecast, Forecaster, Model, Needs, Series
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.layouts import for_targets, halo, lay_out, narrow
from gapcast.engine.network.nearest import nearest
from gapcast.engine.network.neighbours import CANDIDATES
from gapcast.engine.network.series import Network, natural, read_positions
from gapcast.engine.plugin import Params

LINE = {str(i): (float(i), 0.0) for i in range(1, 101)}


class Reader(Forecaster):
    """Reads what it is told to."""

    def __init__(self, neighbours=None, quantities=()):
        super().__init__(Params())
        self.what = Needs(neighbours, quantities)

    def needs(self):
        return self.what

    def start(self, layout):
        return {}

    def step(self, state, frame):
        return Forecast.empty(frame)


def network(sensors=5, quantities=("t",), positions=LINE):
    found = [Series(str(i), q) for i in range(sensors, 0, -1) for q in quantities]
    return Network.of(found, positions)


def names(layout, n, q=0):
    return [layout.series[c].sensor for c in layout.regressors[n, q] if c >= 0]


def laid(net, neighbours, targets=None, quantities=()):
    targets = targets or [s for s in net.series if s.quantity == "t"]
    return lay_out(net, targets, Model("m", Reader(neighbours, quantities)), 1)


def test_names_sort_as_people_count():
    assert sorted(["m10", "m2", "10", "9", "a"], key=natural) == ["9", "10", "a", "m2", "m10"]


def test_nearest_by_position_nearest_first():
    layout = laid(network(), Neighbours(nearest=2))
    assert names(layout, 0) == ["2", "3"]
    assert names(layout, 2) == ["2", "4"]
    assert layout.choose is None


def test_all_and_named():
    assert names(laid(network(), Neighbours(all=True)), 1) == ["1", "3", "4", "5"]
    named = laid(network(), Neighbours(of={"1": ["3", "2", "77"]}))
    assert names(named, 0) == ["3", "2"]
    assert names(named, 1) == []


def test_correlated_chooses_from_the_nearest_candidates():
    layout = laid(network(100), Neighbours(correlated=4))
    assert layout.choose == 4
    assert layout.regressors.shape == (100, 1, CANDIDATES)
    by_name = laid(network(100, positions={}), Neighbours(correlated=4))
    assert set(names(by_name, 50)) == {str(i) for i in range(51 - 31, 51 + 33)} - {"51"}
    assert len(names(by_name, 0)) == CANDIDATES


def test_clusters_are_the_groups_that_stand_apart():
    spots = {str(i): (100.0 * (i % 3), float(i)) for i in range(1, 10)}
    layout = laid(network(9, positions=spots), Neighbours(clusters=3))
    assert names(layout, 0) == ["4", "7"]
    assert names(layout, 1) == ["5", "8"]


def test_other_quantities_stand_beside_their_neighbour():
    net = network(4, ("h", "t"))
    net = Network.of([s for s in net.series if s != Series("3", "h")], LINE)
    layout = laid(net, Neighbours(nearest=2), quantities=("t", "h"))
    assert layout.regressors.shape == (4, 2, 2)
    assert names(layout, 0, 0) == ["2", "3"]
    assert [layout.series[c] if c >= 0 else None for c in layout.regressors[0, 1]] == [
        Series("2", "h"),
        None,
    ]
    assert layout.series[layout.companions[0, 0]] == Series("1", "h")
    assert layout.companions[2, 0] == -1


def test_a_part_keeps_its_targets_rows():
    layout = laid(network(), Neighbours(nearest=2))
    second = for_targets(layout, slice(2, 5))
    assert second.n == 3
    np.testing.assert_array_equal(second.regressors, layout.regressors[2:])


def test_a_narrow_layout_means_the_same_series():
    net = network(9, ("h", "t"))
    layout = for_targets(laid(net, Neighbours(nearest=2), quantities=("h",)), slice(3, 5))
    columns = halo(layout)
    small = narrow(layout, columns)
    assert len(small.series) == len(columns) < len(layout.series)
    for name in ("targets", "regressors", "companions"):
        old, new = getattr(layout, name).ravel(), getattr(small, name).ravel()
        assert [c if c < 0 else layout.series[c] for c in old] == [
            c if c < 0 else small.series[c] for c in new
        ]


def test_what_cannot_be_chosen_says_why():
    with pytest.raises(RunError, match=r"no position for sensor 1, 2.*network\.positions"):
        laid(network(positions={}), Neighbours(nearest=2))
    big = Network.of(Series(str(i), "t") for i in range(2100))
    with pytest.raises(RunError, match="up to 2048 sensors, this network has 2100"):
        laid(big, Neighbours(all=True))


def test_positions_file(tmp_path):
    path = tmp_path / "locs.txt"
    path.write_text("# mote x y\n1 21.5 23\n\n2 24.5 20 # by the door\n")
    assert read_positions(path) == {"1": (21.5, 23.0), "2": (24.5, 20.0)}
    path.write_text("1 21.5 23\n2 24.5\n")
    with pytest.raises(RunError, match=r"locs.txt:2: expected 'sensor x y'.*found '2 24.5'"):
        read_positions(path)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=60),
    st.integers(1, 8),
)
def test_nearest_equals_sorting_all_distances(points, k):
    xy = np.array(points, float)
    distance = ((xy[:, None] - xy[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    expected = np.argsort(distance, axis=1, kind="stable")[:, : min(k, len(xy) - 1)]
    np.testing.assert_array_equal(nearest(xy, min(k, len(xy) - 1)), expected)
