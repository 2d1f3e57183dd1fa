"""Every check of the kits catches the plugin it was written for."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gapcast.engine.explanation import Explanation, Said
from gapcast.engine.forecaster import Forecast, Forecaster
from gapcast.engine.plugin import Params
from gapcast.engine.sink import FORECASTS, KEY, AlreadyCommitted, Committed, Delivery, Sink
from gapcast.engine.testing import forecaster, sink
from gapcast.engine.testing.forecaster import CHECKS as FORECASTER_CHECKS
from gapcast.engine.testing.kit import KitError
from gapcast.engine.testing.sink import CHECKS as SINK_CHECKS


class Good(Forecaster):
    """Last value seen, at every horizon: right in every way."""

    horizons = (0, 5)

    def start(self, layout):
        return {"last": np.full(layout.n, np.nan)}

    def step(self, state, frame):
        out = Forecast.empty(frame)
        for t in range(frame.t):
            nowcast = state["last"].copy()
            self.learn(state, frame, t)
            for i, h in enumerate(frame.layout.horizons):
                out.mean[t, :, i] = nowcast if h == 0 else state["last"]
        return out

    def learn(self, state, frame, t):
        seen = ~np.isnan(frame.own[t])
        state["last"][seen] = frame.own[t][seen]


class StateOfObjects(Good):
    def start(self, layout):
        return {"last": np.full(layout.n, np.nan), "model": np.array([{}] * layout.n, object)}


class StateOfOne(Good):
    def start(self, layout):
        return {"last": np.full(layout.n, np.nan), "clock": np.zeros(1)}


class WrongShape(Good):
    def step(self, state, frame):
        out = super().step(state, frame)
        return Forecast(out.mean[:, :, 0], out.lower, out.upper)


class MindsTheCuts(Good):
    def step(self, state, frame):
        out = super().step(state, frame)
        return Forecast(out.mean + frame.t / 1000, out.lower, out.upper)


class ReadsItsShard(Good):
    def step(self, state, frame):
        out = super().step(state, frame)
        return Forecast(out.mean + frame.layout.n / 1000, out.lower, out.upper)


class WritesToFrames(Good):
    def step(self, state, frame):
        out = super().step(state, frame)
        frame.own[:] = 0
        return out


class ReadsItsOwnColumn(Good):
    def learn(self, state, frame, t):
        values = frame.values[t, frame.layout.targets]
        seen = ~np.isnan(values)
        state["last"][seen] = values[seen]


class LearnsFirst(Good):
    def step(self, state, frame):
        out = Forecast.empty(frame)
        for t in range(frame.t):
            self.learn(state, frame, t)
            out.mean[t] = state["last"][:, None]
        return out


class Remembers(Good):
    calls = 0

    def step(self, state, frame):
        Remembers.calls += 1
        out = super().step(state, frame)
        return Forecast(out.mean + Remembers.calls, out.lower, out.upper)


class KeepsItElsewhere(Good):
    elsewhere = None

    def start(self, layout):
        self.elsewhere = np.full(layout.n, np.nan)
        return {"nothing": np.zeros(layout.n)}

    def step(self, state, frame):
        if self.elsewhere is None:
            self.elsewhere = np.full(frame.layout.n, np.nan)
        return super().step({"last": self.elsewhere}, frame)


class Hoards(Good):
    def step(self, state, frame):
        past = state.get("past", np.zeros((frame.layout.n, 0)))
        state["past"] = np.concatenate([past, frame.own.T], axis=1)
        return super().step(state, frame)


class GivesUp(Good):
    def learn(self, state, frame, t):
        state["last"][:] = frame.own[t]


class UpsideDown(Good):
    def step(self, state, frame):
        mean = super().step(state, frame).mean
        return Forecast(mean, mean + 1, mean - 1)


class Explains(Good):
    """Right, too: it says what it is made of."""

    experts = ("hold",)

    def explain(self, state, frame, target, horizon):
        at = 0, target, list(frame.layout.horizons).index(horizon)
        mean = self.step(state, frame).mean[at]
        return self.said("hold", mean, 1.0)

    def said(self, name, value, weight):
        return Explanation([Said(name, "", value, weight)], value)


class NamesAnother(Explains):
    def said(self, name, value, weight):
        return super().said("guess", value, weight)


class ExplainsAnother(Explains):
    def said(self, name, value, weight):
        return super().said(name, value + 1, weight)


class WeighsTwice(Explains):
    def said(self, name, value, weight):
        return super().said(name, value, 2 * weight)


class DoesNotAddUp(Explains):
    def said(self, name, value, weight):
        return Explanation([Said(name, "", value + 1, weight)], value)


class Forgets(Good):
    def extend(self, state, before, after):
        return self.start(after)


class Presumes(Good):
    def extend(self, state, before, after):
        more = super().extend(state, before, after)
        more["last"][before.n :] = 20.0
        return more


FORECASTERS = {
    "state_has_one_entry_a_unit": {
        StateOfObjects: r"state\['model'\] holds Python objects",
        StateOfOne: r"state\['clock'\] has 1 entries for 11",
    },
    "forecasts_have_the_frames_shape": {WrongShape: "mean"},
    "splitting_a_frame_changes_nothing": {MindsTheCuts: "cut after .* mean differs"},
    "a_units_numbers_are_its_own": {ReadsItsShard: "units 0 to 0 alone: mean differs"},
    "the_frame_is_left_alone": {WritesToFrames: "the frame was written to"},
    "a_withheld_truth_stays_withheld": {
        ReadsItsOwnColumn: "with other withheld truths: mean differs"
    },
    "a_forecast_is_made_before_its_truth": {LearnsFirst: "horizon 0 saw its truth"},
    "the_same_again_gives_the_same": {Remembers: "the same state and frame again: mean differs"},
    "a_state_survives_its_bytes": {KeepsItElsewhere: "after a restart: mean differs"},
    "the_state_does_not_grow": {Hoards: r"state\['past'\] grew"},
    "nothing_at_all_is_survived": {GivesUp: "a forecast in the gap is not finite"},
    "intervals_hold_the_forecast": {UpsideDown: "lower above the forecast"},
    "what_is_explained_adds_up": {
        NamesAnother: "'guess'} are not among its experts",
        ExplainsAnother: "another forecast than step makes",
        WeighsTwice: "the weights add up to 2",
        DoesNotAddUp: "the experts are .* from the forecast",
    },
    "who_joins_changes_nothing_for_the_others": {
        Forgets: "have joined and told nothing: forecasts ",
        Presumes: r"state\['last'\]",
    },
}


@pytest.mark.parametrize(
    ("check", "bad"), [(c, bad) for c, wrong in FORECASTERS.items() for bad in wrong]
)
def test_forecaster_check_catches(check, bad, tmp_path):
    run = getattr(forecaster(bad)(), f"test_{check}")
    with pytest.raises(AssertionError, match=FORECASTERS[check][bad]):
        run(tmp_path)


def test_every_forecaster_check_has_its_defect():
    assert list(FORECASTERS) == [check.__name__ for check in FORECASTER_CHECKS]


TestGood = forecaster(Good)
TestExplains = forecaster(Explains)


class Plain(Sink):
    """One Parquet file an epoch and a list of what is committed: right in every way."""

    delivery = Delivery.TRANSACTIONAL

    def __init__(self, folder):
        super().__init__(Params())
        self.folder = folder / "out"

    def open(self, job, generation):
        self.folder = self.folder / generation
        self.folder.mkdir(parents=True, exist_ok=True)

    def epochs(self):
        return sorted(int(p.stem) for p in self.folder.glob("*.parquet"))

    def write(self, epoch, forecasts):
        if epoch in self.epochs():
            return AlreadyCommitted()
        self.store(epoch, forecasts)
        return Committed()

    def store(self, epoch, forecasts):
        aside = self.folder / f"{epoch}.tmp"
        with aside.open("wb") as file:
            pq.write_table(forecasts, file)
        aside.rename(self.folder / f"{epoch}.parquet")


class Rounds(Plain):
    def store(self, epoch, forecasts):
        at = forecasts.schema.get_field_index("forecast")
        rounded = pa.array(np.round(forecasts["forecast"].to_numpy(), 3))
        super().store(epoch, forecasts.set_column(at, forecasts.schema.field(at), rounded))


class WaitsForClose(Plain):
    def store(self, epoch, forecasts):
        self.late = (epoch, forecasts)

    def close(self):
        super().store(*self.late)


class Repeats(Plain):
    def write(self, epoch, forecasts):
        if epoch in self.epochs():
            forecasts = pa.concat_tables([forecasts, forecasts])
        self.store(epoch, forecasts)
        return Committed()


class Forgets(Plain):
    def epochs(self):
        return []


class TwoSteps(Plain):
    """Notes the epoch before its rows: a crash in between loses them."""

    def epochs(self):
        notes = self.folder / "epochs.json"
        return json.loads(notes.read_text()) if notes.exists() else []

    def store(self, epoch, forecasts):
        (self.folder / "epochs.json").write_text(json.dumps([*self.epochs(), epoch]))
        super().store(epoch, forecasts)


class KeepsTheFirst(Plain):
    """What was said of a key first stays there."""

    def store(self, epoch, forecasts):
        files = sorted(self.folder.glob("*.parquet"))
        there = {key for file in files for key in keys(pq.read_table(file, partitioning=None))}
        new = [k not in there and not there.add(k) for k in keys(forecasts)]
        super().store(epoch, forecasts.filter(pa.array(new)))


def keys(table):
    return list(zip(*(table[name].to_pylist() for name in KEY), strict=True))


class OneForAll(Plain):
    def open(self, job, generation):
        super().open(job, "same")


SINKS = {
    "rows_are_stored": {Rounds: "their values differ"},
    "a_committed_epoch_is_durable_without_close": {
        WaitsForClose: "read back 0 rows, 40 were written"
    },
    "a_repeated_epoch_changes_nothing": {Repeats: "read back 80 rows, 40 were written"},
    "a_transactional_sink_knows_its_epochs": {
        Forgets: "epoch 0 was durable, the answer is Committed"
    },
    "a_crash_while_writing_leaves_all_or_nothing": {
        TwoSteps: "epoch 1 is answered by AlreadyCommitted"
    },
    "what_was_said_ahead_is_followed_by_its_truth": {KeepsTheFirst: "their values differ"},
    "another_generation_is_not_mixed_up": {
        OneForAll: "of another run is answered by AlreadyCommitted"
    },
}


def read_back(folder):
    files = sorted((folder / "out").rglob("*.parquet"))
    none = FORECASTS.empty_table()
    return pa.concat_tables([none, *(pq.read_table(f, partitioning=None) for f in files)])


@pytest.mark.parametrize(
    ("check", "bad"), [(c, bad) for c, wrong in SINKS.items() for bad in wrong]
)
def test_sink_check_catches(check, bad, tmp_path):
    run = getattr(sink(bad, read_back)(), f"test_{check}")
    with pytest.raises(AssertionError, match=SINKS[check][bad]):
        run(tmp_path)


def test_every_sink_check_has_its_defect():
    assert list(SINKS) == [check.__name__ for check in SINK_CHECKS]


TestPlain = sink(Plain, read_back, stages=True)


def test_a_kit_cannot_be_weakened_in_silence():
    with pytest.raises(KitError, match="no check is called 'rows'"):
        sink(Plain, read_back, skip={"rows": "why not"})
    with pytest.raises(KitError, match="needs a reason"):
        sink(Plain, read_back, skip={"rows_are_stored": " "})
    with pytest.raises(KitError, match="cannot be subclassed"):
        type("Weaker", (TestPlain,), {})


def test_a_skip_says_why(tmp_path):
    suite = sink(Plain, read_back, skip={"rows_are_stored": "the service is write-only"})
    with pytest.raises(pytest.skip.Exception, match="write-only"):
        suite().test_rows_are_stored(tmp_path)
