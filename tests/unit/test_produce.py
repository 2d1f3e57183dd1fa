"""Sinks for dead letters and for readings, and `produce`, with sinks that only remember."""

from __future__ import annotations

import json
import threading

import pyarrow as pa
import pytest
from doubles import SCRIPTS
from test_run import config, wave

from gapcast import run
from gapcast.engine.checkpoint.schedule import Checkpoints
from gapcast.engine.config import load_production
from gapcast.engine.errors import SinkError
from gapcast.engine.output.dead_letters import DeadLetters
from gapcast.engine.output.delivery import SinkWriter
from gapcast.engine.readings import READINGS, dead_letters
from gapcast.engine.run.produce import produce
from gapcast.engine.sink import Committed, Receives, Rejected, Retry, Sink
from gapcast.engine.sink import Delivery as Promise


class Remembers(Sink):
    """Remembers what it gets; answers the first calls from `answers`."""

    delivery = Promise.AT_LEAST_ONCE
    got: list = []  # noqa: RUF012
    answers: list = []  # noqa: RUF012

    def open(self, job, generation):
        pass

    def write(self, epoch, table):
        if self.answers:
            return self.answers.pop(0)
        self.got.append((epoch, table))
        return Committed()


class Dead(Remembers):
    receives = Receives.DEAD_LETTERS


class Readings(Remembers):
    receives = Receives.READINGS


@pytest.fixture(autouse=True)
def _forget():
    Remembers.got.clear()
    Remembers.answers.clear()
    yield
    SCRIPTS.clear()


def letter(number):
    return dead_letters("late", "a", [number])


def deliver(tmp_path, stopping=None):
    stopping = stopping or threading.Event()
    sinks = {"dead": Dead(Dead.Params())}
    dead = DeadLetters(tmp_path / "dead", sinks, stopping)
    return dead, SinkWriter(sinks, dead, stopping)


def test_dead_letters_are_delivered_with_the_file_that_holds_them(tmp_path):
    dead, _ = deliver(tmp_path)
    for number in range(2):
        dead.add(letter(number))
        assert len(Dead.got) == number
        dead.flush()
    assert [(n, t["offset"].to_pylist()) for n, t in Dead.got] == [(0, [0]), (1, [1])]
    assert len(list((tmp_path / "dead").iterdir())) == 2


def test_a_sink_for_dead_letters_may_ask_for_patience_and_reject(tmp_path, caplog):
    dead, _ = deliver(tmp_path)
    Dead.answers += [Retry("busy"), Rejected([0], ["too large"])]
    dead.add(letter(0))
    dead.flush()
    assert "sink dead asks to be tried again: busy" in caplog.text
    assert "sink dead rejected 1 dead letters, which stay in" in caplog.text
    assert Dead.got == []


def test_a_run_does_not_stop_without_its_dead_letters(tmp_path):
    stopping = threading.Event()
    stopping.set()
    dead, delivery = deliver(tmp_path, stopping)
    Dead.answers.append(Retry("down"))
    dead.add(letter(0))
    with pytest.raises(SinkError, match="'dead' had not taken epoch 0 when the run stopped: down"):
        delivery.close()


def test_a_run_delivers_its_dead_letters_before_the_checkpoint(tmp_path, monkeypatch):
    rows = [*wave()[:50], (0.0, "1", "temperature", 1.0), *wave()[50:]]
    SCRIPTS["test"] = {"a": rows}
    seen = []
    take = Checkpoints.take

    def checked(self, contents, wait):
        seen.append((contents.grid[0]["counts"]["late"], sum(len(t) for _, t in Dead.got)))
        take(self, contents, wait)

    monkeypatch.setattr(Checkpoints, "take", checked)
    sinks = {"files": {"type": "files"}, "dead": {"type": "test_produce:Dead"}}
    result = run(config(sinks, checkpoint={"interval": "1us"}), tmp_path / "r")
    assert result.counts.late == 1
    assert (1, 1) in seen
    assert all(late <= delivered for late, delivered in seen)


def production(tmp_path, **script):
    SCRIPTS["sent"] = script
    source = {"type": "doubles:Played", "script": "sent"}
    path = tmp_path / "produce.yaml"
    path.write_text(
        json.dumps({"source": source, "sinks": {"r": {"type": "test_produce:Readings"}}})
    )
    return load_production(path)


def test_everything_is_sent_in_order_of_time(tmp_path):
    parts = {
        name: [(m, name, "temperature", float(m)) for m in range(first, 60, 2)]
        for name, first in (("a", 0), ("b", 1))
    }
    made = production(tmp_path, **parts)
    heard = []
    done = produce(made, lambda so_far: heard.append(so_far.readings))
    assert (done.readings, done.invalid, heard[-1]) == (60, 0, 60)
    sent = pa.concat_tables([t for _, t in Readings.got])
    assert sent.schema == READINGS
    minutes = [int(v) for v in sent["value"].to_pylist()]
    assert sorted(minutes) == list(range(60))
    assert all(abs(i - m) <= 10 for i, m in enumerate(minutes))
    assert "60 readings sent in" in str(done)


def test_what_a_sink_has_not_taken_ends_it(tmp_path):
    made = production(tmp_path, a=[(0, "1", "temperature", 1.0)])
    Readings.answers.append(Retry("broker down"))
    heard = []
    with pytest.raises(SinkError, match="sink 'r' has not taken readings: broker down"):
        produce(made, heard.append)
    assert heard == []
