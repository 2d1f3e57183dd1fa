"""What crosses from one process to another arrives as it was, and nothing but numbers and text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gapcast.engine.errors import BrokenPlugin
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.engine.parallel import wire
from gapcast.engine.shard.evaluation import Evaluation, Span
from gapcast.engine.shard.plan import Plan, of_parcel
from gapcast.engine.shard.results import Ending, ModelRows, StepResult, Steps
from gapcast.engine.shard.withheld import Withheld
from gapcast.plugins.forecasters.persistence import Persistence
from gapcast.plugins.forecasters.spatial_rls.forecaster import SpatialRls

arrays = st.dictionaries(
    st.text(max_size=5),
    hnp.arrays(
        st.sampled_from([np.float64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
    max_size=4,
)


def carried(parcel):
    """A parcel after a journey as bytes."""
    return wire.unpack(wire.pack(parcel).to_pybytes())


def same(one, other):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


@given(arrays, st.dictionaries(st.text(), st.integers() | st.none() | st.text()))
def test_arrays_arrive_as_they_were(sent, meta):
    found, arrived = wire.unpack(wire.pack((meta, sent)).to_pybytes())
    assert found == meta
    assert arrived.keys() == sent.keys()
    for name, array in sent.items():
        same(arrived[name], array)


def test_a_blob_is_an_arrow_stream_that_anyone_can_open():
    blob = wire.pack(({}, {"a": np.arange(3)}))
    batch = pa.ipc.open_stream(blob).read_next_batch()
    assert (batch.num_rows, batch.schema.names) == (1, ["a"])


def test_a_frame_carries_rejected_values_only_where_there_are_some():
    values = np.arange(6.0).reshape(2, 3)
    none = GridFrame(5, values, np.broadcast_to(np.nan, values.shape))
    some = GridFrame(5, values, np.full((2, 3), 7.0))
    for frame in (none, some):
        back = wire.to_frame(carried(wire.of_frame(frame)))
        assert back.first == 5
        assert back.values.flags.writeable
        assert back.values.flags.c_contiguous
        same(back.values, values)
        same(np.array(back.rejected), np.array(frame.rejected))
        assert back.flags is None
    assert wire.of_frame(none)[1].keys() == {"values"}
    flags = np.arange(6, dtype=np.uint8).reshape(2, 3) % 4
    flagged = GridFrame(5, values, none.rejected, flags)
    same(wire.to_frame(carried(wire.of_frame(flagged))).flag(np.array([2, 0])), flags[:, [2, 0]])


def test_results_and_endings_arrive_as_they_were():
    rows = [ModelRows(*np.random.default_rng(m).normal(size=(3, 2, 4, 1))) for m in range(2)]
    windows = [(1, 12, np.ones((4, 1, 6))), (0, 13, np.zeros((4, 1, 6)))]
    status = np.ones((2, 4), np.uint8)
    values = np.array([[1, np.nan, 3, 4, 5], [np.nan, 2, 3, 4, 5]])
    rejected = np.where(np.isnan(values), 9.0, np.nan)
    flags = np.arange(values.size, dtype=np.uint8).reshape(values.shape) % 4
    frame, targets = GridFrame(9, values, rejected, flags), np.array([0, 2, 3, 4])
    steps = Steps(
        frame.truth(targets),
        status,
        np.arange(8, dtype=np.int32).reshape(2, 4),
        frame.flag(targets),
    )
    past = Steps(steps.truth - 1, status + 1, steps.age + 1, steps.flag + 1)
    rows[1] = ModelRows(*list(rows[1].given().values()), experts=status[..., None].astype(np.int32))
    ahead = [replace(rows[1], mean=rows[0].mean), ModelRows(*np.empty((3, 2, 4, 0)))]
    result = StepResult(9, steps, rows, windows, [past], ahead)
    assert result.steps.truth[:, 0].tolist() == [1, 9]
    back = wire.to_result(carried(wire.of_result(result)), frame, targets)
    assert (back.first, [w[:2] for w in back.windows]) == (9, [(1, 12), (0, 13)])
    for name in ("truth", "status", "age", "flag"):
        same(getattr(back.steps, name), getattr(steps, name))
        same(getattr(back.lagged[0], name), getattr(past, name))
    assert back.rows[0].experts is None
    same(back.rows[1].experts, rows[1].experts)
    same(back.rows[1].upper, rows[1].upper)
    for found, sent in zip(back.ahead, ahead, strict=True):
        assert found.given().keys() == sent.given().keys()
        for name, array in sent.given().items():
            same(found.given()[name], array)
    same(back.windows[0][2], windows[0][2])
    ending = Ending(windows, [np.ones(3)], [np.zeros(2)], [0.25])
    back = wire.to_ending(carried(wire.of_ending(ending)))
    assert back.seconds == [0.25]
    same(back.totals[0], ending.totals[0])
    same(back.windows[1][2], windows[1][2])


def plan(sensors=6):
    network = Network.of(Series(str(i), q) for i in range(sensors) for q in ("h", "t"))
    targets = [s for s in network.series if s.quantity == "t"]
    models = (
        Model("last", Persistence(Persistence.Params()), (0, 3), 0.8),
        Model("near", SpatialRls(SpatialRls.Params(neighbours={"of": {"1": ["0", "2"]}}))),
    )
    layouts = tuple(lay_out(network, targets, m, 60_000_000) for m in models)
    how = Evaluation("together", False, (Span(3, 9), Span(9, 12, ("1", "4"))))
    return Plan(models, layouts, how, 86_400_000_000, layouts[0].targets)


def test_a_plan_arrives_as_it_was():
    sent = plan()
    back = of_parcel(carried(sent.parcel()))
    assert (back.how, back.window) == (sent.how, sent.window)
    assert [s.sensors for s in back.how.spans] == [None, ("1", "4")]
    for one, other in zip(back.models, sent.models, strict=True):
        assert type(one.forecaster) is type(other.forecaster)
        assert one.forecaster.params == other.forecaster.params
        assert (one.name, one.horizons, one.level) == (other.name, other.horizons, other.level)
    for one, other in zip(back.layouts, sent.layouts, strict=True):
        assert (one.series, one.choose, one.interval) == (
            other.series,
            other.choose,
            other.interval,
        )
        for name in ("targets", "regressors", "companions", "units", "members", "horizons"):
            same(getattr(one, name), getattr(other, name))


def test_a_forecaster_that_is_not_on_the_worker_says_so():
    sent = plan()
    meta, arrays = sent.parcel()
    meta["models"][0]["module"] = "nowhere.to_be_found"
    with pytest.raises(BrokenPlugin, match=r"models\.last: nowhere.* be imported on a worker"):
        of_parcel((meta, arrays))


def test_a_narrow_plan_reads_the_same_series():
    part = plan().for_targets(np.array([1]))
    columns = part.columns()
    narrow = part.narrow(columns)
    assert list(narrow.layouts[0].series) == [part.layouts[0].series[c] for c in columns]
    assert {narrow.layouts[0].series[c] for c in narrow.job_targets} == {
        Series("0", "t"), Series("1", "t"), Series("2", "t")
    }  # fmt: skip


def test_kept_frames_are_those_of_the_span_in_progress():
    kept = Withheld(Evaluation(spans=(Span(2, 5), Span(5, 7))))
    steps = np.arange(10.0)[:, None]

    def add(a, b):
        kept.add(GridFrame(a, steps[a:b], steps[a:b]))
        found = kept.snapshot()
        return found["values"][:, 0].tolist() if found else []

    assert add(0, 2) == []
    assert add(2, 4) == [2, 3]
    again = Withheld(kept.how)
    again.restore(kept.snapshot())
    assert [f.first for f in again.frames] == [2]
    assert add(4, 6) == [5]
    assert add(6, 8) == []
    never = Withheld(Evaluation(release=False, spans=(Span(0, 9),)))
    never.add(GridFrame(0, steps[:4], steps[:4]))
    assert never.snapshot() == {}
