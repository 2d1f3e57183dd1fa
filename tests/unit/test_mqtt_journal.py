"""The journal of the MQTT source: whatever befalls its files, no message is lost or made up."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapcast.engine.errors import SourceError
from gapcast.plugins.mqtt import journal as module
from gapcast.plugins.mqtt.journal import Journal, Message

MESSAGES = st.lists(
    st.builds(Message, st.integers(1, 1 << 45), st.binary(max_size=9), st.binary(max_size=20)),
    min_size=2,
    max_size=9,
)
SOME = [Message(1000 + i, b"home/a", b"%d" % i) for i in range(7)]


def written(folder, messages, batch=2):
    """A journal of these messages that nobody appends to any more."""
    made = Journal(folder, "home/+")
    writer = made.claim()
    for i in range(0, len(messages), batch):
        writer.append(messages[i : i + batch])
    writer.close()
    return made


def everything(journal, most=3):
    """All messages, some at a time, and the addresses of all records and of the end."""
    found, places, at = [], [], None
    while True:
        records, after = journal.take(at, most)
        found += [m for _, m in records]
        places += [place for place, _ in records]
        if not records:
            return found, [*places, after]
        at = after


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 40)


def test_what_is_appended_is_read_again_from_every_address(tmp_path, small_parts):
    journal = written(tmp_path, SOME)
    found, places = everything(journal)
    assert found == SOME
    assert len(journal.parts()) > 2
    again = Journal(tmp_path, "home/+")
    for i, place in enumerate(places):
        assert everything_from(again, place) == SOME[i:]


def everything_from(journal, at):
    found = []
    while (step := journal.take(at, 99))[0]:
        found, at = found + [m for _, m in step[0]], step[1]
    return found


def test_an_empty_journal_has_nothing(tmp_path):
    journal = Journal(tmp_path, "home/+")
    assert journal.take(None, 5) == ([], 0)
    journal.claim().close()
    assert journal.take(None, 5) == journal.take(0, 5) == ([], 0)


def test_a_message_larger_than_what_is_read_at_once(tmp_path):
    big = Message(5, b"home/a", bytes(3 << 20))
    assert everything(written(tmp_path, [SOME[0], big, SOME[1]]))[0] == [SOME[0], big, SOME[1]]


@settings(max_examples=150, deadline=None)
@given(messages=MESSAGES, data=st.data())
def test_a_write_cut_short_costs_only_what_was_not_whole(messages, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, places = everything(written(folder, messages))
        path = Journal(folder, "home/+").path(0)
        written_down = path.read_bytes()
        os.truncate(path, data.draw(st.integers(places[-3], places[-1])))
        with path.open("ab") as file:
            file.write(bytes(data.draw(st.sampled_from([0, 0, 1, 5, 700]))))
        # zeros may be the very bytes that were cut off
        pairs = enumerate(zip(written_down, path.read_bytes(), strict=False))
        left = next(
            (k for k, (a, b) in pairs if a != b), min(len(written_down), path.stat().st_size)
        )
        whole = sum(place <= left for place in places[1:])
        journal = Journal(folder, "home/+")
        assert everything(journal)[0] == messages[:whole]
        writer = journal.claim()
        writer.append(messages[-1:])
        writer.close()
        assert everything(journal)[0] == [*messages[:whole], messages[-1]]


@settings(max_examples=150, deadline=None)
@given(messages=MESSAGES, data=st.data())
def test_damage_is_never_passed_over(messages, data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, places = everything(written(folder, messages))
        path = Journal(folder, "home/+").path(0)
        at = data.draw(st.integers(0, places[-2] - 1))  # in any record but the last
        text = bytearray(path.read_bytes())
        text[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(text)
        journal = Journal(folder, "home/+")
        with pytest.raises(SourceError, match=rf"{path} is damaged at byte \d+"):
            everything(journal)
        with pytest.raises(SourceError, match="damaged"):
            journal.claim()
        assert path.read_bytes() == text


def test_damage_in_a_part_that_others_follow(tmp_path, small_parts):
    journal = written(tmp_path, SOME)
    first = journal.path(0)
    os.truncate(first, first.stat().st_size - 1)
    with pytest.raises(SourceError, match=f"{first} is damaged"):
        everything(journal)
    again = written(tmp_path / "again", SOME)
    again.path(again.parts()[1]).unlink()
    with pytest.raises(SourceError, match="or the part after it is missing"):
        everything(again)


def test_positions_that_are_not_there(tmp_path, small_parts):
    journal = written(tmp_path, SOME)
    end = everything(journal)[1][-1]
    with pytest.raises(SourceError, match=f"ends at {end}, before {end + 7}"):
        journal.take(end + 7, 1)
    parts = journal.parts()
    journal.forget(parts[2], age=0)
    assert journal.parts() == parts[2:]
    with pytest.raises(SourceError, match=f"begins at {parts[2]} now: the messages from 0 on"):
        journal.take(0, 1)
    left = everything_from(journal, parts[2])
    assert 0 < len(left) < len(SOME)
    assert left == SOME[-len(left) :]


def test_only_what_is_old_and_covered_is_removed(tmp_path, small_parts):
    journal = written(tmp_path, SOME)
    parts = journal.parts()
    journal.forget(1 << 60, age=3600)
    assert journal.parts() == parts
    journal.forget(parts[1] + 1, age=0)
    assert journal.parts() == parts[1:]
    journal.forget(1 << 60, age=0)
    assert journal.parts() == parts[-1:]
    os.utime(journal.path(parts[-1]), (0, 0))
    journal.forget(1 << 60, age=3600)
    assert journal.parts() == parts[-1:]
    writer = journal.claim()
    writer.append(SOME)
    writer.close()
    assert everything(journal)[0][-7:] == SOME


def test_one_appends_at_a_time(tmp_path):
    journal = Journal(tmp_path, "home/+")
    first = journal.claim()
    assert Journal(tmp_path, "home/+").claim() is None
    first.append(SOME[:1])
    assert everything(Journal(tmp_path, "home/+"))[0] == SOME[:1]
    first.close()
    second = Journal(tmp_path, "home/+").claim()
    second.append(SOME[1:])
    second.close()
    assert everything(journal)[0] == SOME


def test_a_full_disk_costs_only_what_was_not_promised(tmp_path, monkeypatch):
    journal = Journal(tmp_path, "home/+")
    writer = journal.claim()
    writer.append(SOME[:2])

    def full(_):
        os.truncate(journal.path(0), journal.path(0).stat().st_size - 3)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            writer.append(SOME[2:4])
    writer.close()
    writer = journal.claim()
    writer.append(SOME[3:])
    writer.close()
    assert everything(journal)[0] == SOME


def test_a_folder_that_is_something_else(tmp_path):
    written(tmp_path / "a", SOME)
    with pytest.raises(SourceError, match=r"of 'home/\+', not 'home/#'; each topic needs a spool"):
        Journal(tmp_path / "a", "home/#")
    (tmp_path / "a/journal.json").write_text("{")
    with pytest.raises(SourceError, match=r"journal\.json is damaged"):
        Journal(tmp_path / "a", "home/+")
    (tmp_path / "a/journal.json").write_text(json.dumps({"version": 9}))
    with pytest.raises(SourceError, match="version 9 instead of 1"):
        Journal(tmp_path / "a", "home/+")
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"spool .*file: "):
        Journal(tmp_path / "file", "home/+")
    assert Journal(tmp_path / "b", "home/+").id != Journal(tmp_path / "c", "home/+").id
