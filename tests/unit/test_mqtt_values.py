"""Topics, payloads and keys of the MQTT source, without a broker."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gapcast.plugins.mqtt.journal import Message
from gapcast.plugins.mqtt.payloads import Numbers, Payloads
from gapcast.plugins.mqtt.topic import Names, Pattern
from gapcast.plugins.sources.mqtt import JsonObjects, MqttParams

T = 1_700_000_000_000
BASE = {"broker": "localhost", "spool": "spool", "topic": "home/{sensor}/{quantity}"}


def params(**changes):
    return MqttParams(**BASE | changes)


def decode(messages, wanted=None, **changes):
    """Readings and dead letters of (topic, payload), whose addresses count from 100."""
    made = params(**changes)
    columns = made.columns(wanted)
    decoder = Numbers(columns) if made.format == "number" else JsonObjects(columns, made.topic)
    found = [
        (100 + i, Message(T + i, topic.encode(), payload))
        for i, (topic, payload) in enumerate(messages)
    ]
    readings, letters = Payloads(made.topic, made.pattern, wanted, decoder).decode(found)
    return readings.to_pylist(), letters.to_pylist()


def short(readings):
    return [(r["sensor"], r["quantity"], r["value"], r["offset"]) for r in readings]


@pytest.mark.parametrize(
    ("text", "filtered", "topic", "names"),
    [
        ("home/{sensor}/{quantity}", "home/+/+", b"home/a/t", (b"a", b"t")),
        ("home/{sensor}/{quantity}", "home/+/+", b"home/a", None),
        ("home/{sensor}/{quantity}", "home/+/+", b"home/a/t/x", None),
        ("{quantity}/x/{sensor}/#", "+/x/+/#", b"t/x/a", (b"a", b"t")),
        ("{quantity}/x/{sensor}/#", "+/x/+/#", b"t/x/a/b/c", (b"a", b"t")),
        ("a.b/+/{sensor}", "a.b/+/+", b"a.b/q/s", (b"s", None)),
        ("a.b/+/{sensor}", "a.b/+/+", b"axb/q/s", None),
        ("#", "#", b"a/b", (None, None)),
        ("/{sensor}", "/+", b"/\xc3\xa9\n", (b"\xc3\xa9\n", None)),
    ],
)
def test_a_pattern(text, filtered, topic, names):
    made = Pattern(text)
    assert made.filter == filtered
    assert made.names(topic) == (names and Names(*names))


@pytest.mark.parametrize(
    "text", ["a#", "a/#/b", "x{sensor}", "{sensor}/{sensor}", "{room}", "a+/b", "$share/g/a", "a\0"]
)
def test_what_is_no_pattern(text):
    with pytest.raises(ValidationError, match=r"levels such as|topic that is|topic with"):
        params(topic=text)


def test_numbers():
    readings, letters = decode(
        [
            ("home/a/t", b"21.5"), ("home/a/t", b" -1e-3\n"), ("home/b/t", b"NaN"),
            ("home/b/t", b"on"), ("home/b/h", b"1e999"), ("home/b/t", b""), ("home/c/h", b"null"),
            ("home//h", b"4"), ("elsewhere/c/h", b"5"), ("home/b/t", b"\xff"), ("home/d/h", b"6"),
        ],
        format="number",
    )  # fmt: skip
    assert short(readings) == [
        ("a", "t", 21.5, 100), ("a", "t", -1e-3, 101), ("b", "t", None, 102),
        ("c", "h", None, 106), ("d", "h", 6.0, 110),
    ]  # fmt: skip
    assert [r["time"].timestamp() * 1000 - T for r in readings] == [0, 1, 2, 6, 10]
    assert [(d["reason"], d["offset"], d["sensor"], d["raw"]) for d in letters] == [
        ("not a number", 103, "b", b"on"),
        ("not a finite number", 104, "b", None),
        ("malformed name", 107, None, None),
        ("topic does not fit", 108, None, b"elsewhere/c/h"),
        ("not a number", 109, "b", b"\xff"),
    ]


def test_what_is_of_no_wanted_quantity_is_left_out():
    lots = [("home/a/t", b"1"), ("home/a/state", b"on"), ("home/a/h", b"2")]
    readings, letters = decode(lots, frozenset({"t"}), format="number")
    assert (short(readings), letters) == ([("a", "t", 1.0, 100)], [])
    assert decode(lots, frozenset(), format="number") == ([], [])


def test_json_with_all_in_fields():
    readings, letters = decode(
        [("x/1", b'{"ts": 5, "sensor": "a", "quantity": "t", "value": 1}'), ("x/1", b"{")],
        topic="x/+", time="ts", time_format="s",
    )  # fmt: skip
    assert short(readings) == [("a", "t", 1.0, 100)]
    assert readings[0]["time"].timestamp() == 5
    assert [(d["reason"], d["offset"], d["raw"]) for d in letters] == [("not JSON", 101, b"{")]


def test_json_with_names_from_the_topic():
    readings, letters = decode(
        [("home/a/t", b'{"value": 1}'), ("home/b/h", b'{"value": null}'), ("home/b/h", b"7")]
    )
    assert short(readings) == [("a", "t", 1.0, 100), ("b", "h", None, 101)]
    assert (readings[1]["time"].timestamp() * 1000 - T) == 1
    (dead,) = letters
    assert (dead["reason"], dead["sensor"], dead["quantity"]) == ("not a JSON object", "b", "h")


def test_wide_json_of_a_sensor():
    readings, letters = decode(
        [("z/kitchen", b'{"temperature": 20.5, "humidity": 40, "link": 9}'), ("z/hall", b"{}")],
        topic="z/{sensor}", wide=["temperature", "humidity"],
    )  # fmt: skip
    assert short(readings) == [
        ("kitchen", "temperature", 20.5, 100), ("kitchen", "humidity", 40.0, 100)
    ]  # fmt: skip
    assert letters == []


NUMBERS = st.one_of(
    st.floats(allow_nan=False).map(lambda x: repr(x).encode()),
    st.binary(min_size=1, max_size=6),
    st.sampled_from([b"nan", b"1_0", b"0x1", b" 5 ", b"inf", b"+1", b".5", b"1,5"]),
)


@settings(deadline=None)
@given(payloads=st.lists(NUMBERS, max_size=12), cut=st.integers(0, 12))
def test_every_payload_is_one_reading_or_one_dead_letter_however_cut(payloads, cut):
    lots = [("home/a/t", p) for p in payloads]
    readings, letters = decode(lots, format="number")
    assert sorted(r["offset"] for r in [*readings, *letters]) == [
        100 + i for i in range(len(payloads))
    ]
    first, second = decode(lots[:cut], format="number"), decode(lots[cut:], format="number")
    assert [r["value"] for r in readings] == [r["value"] for r in first[0] + second[0]]
    assert [d["reason"] for d in letters] == [d["reason"] for d in first[1] + second[1]]
    for r in readings:
        text = payloads[r["offset"] - 100].strip()
        if r["value"] is not None:
            assert np.float64(text.decode()) == r["value"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"broker": "mqtt://host"}, "must be host or host:port"),
        ({"broker": "host:port"}, "must be host or host:port"),
        ({"broker": "u:p@host"}, "must be host or host:port"),
        ({"password": "x"}, "a username with the password"),
        ({"format": "number", "topic": "a/{sensor}"}, "needs {sensor} and {quantity}"),
        ({"format": "number", "time": "t"}, "a number has no fields"),
        ({"wide": ["t"]}, "wide names quantities"),
        ({"retained": True}, "retained messages are old values"),
        ({"session": "0s"}, "greater than or equal to 1000000"),
    ],
)
def test_what_does_not_go_together(changes, words):
    with pytest.raises(ValidationError, match=re.escape(words)):
        params(**changes)


def test_where_the_broker_is():
    assert params().address == ("localhost", 1883)
    assert params(tls={}).address == ("localhost", 8883)
    assert params(broker="[::1]:18", tls={}).address == ("::1", 18)
