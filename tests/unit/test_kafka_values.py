"""Values of Kafka records to readings and dead letters; no broker is needed for that."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from doubles import place
from hypothesis import example, given, settings
from hypothesis import strategies as st
from records import WIDE, at, decode, instants, long, made_of, stream

from gapcast.engine.errors import SinkError, SourceError
from gapcast.engine.readings import RAW_LIMIT, READINGS, TIME
from gapcast.plugins.kafka import encoders
from gapcast.plugins.kafka.json_values import ONE_BY_ONE
from gapcast.plugins.sources.kafka import KafkaSource


def test_json_of_one_reading_each():
    rows, dead = decode([long(1, 20.1), long(2, None), long(3, 1e-7, "kitchen", "humidity")])
    assert rows == [
        (1, "7", "temperature", 20.1, 7),
        (2, "7", "temperature", None, 9),
        (3, "kitchen", "humidity", 1e-7, 11),
    ]
    assert dead == []


def test_flat_json_of_several():
    flat = [
        {"time": at(0), "sensor": 3, "temperature": 20.5, "humidity": 40, "battery": "low"},
        {"time": at(1), "sensor": 3, "humidity": 41.5},
        {"time": at(2), "sensor": 4, "temperature": None},
    ]
    rows, dead = decode(flat, wide=WIDE)
    assert rows == [
        (0, "3", "temperature", 20.5, 7),
        (0, "3", "humidity", 40.0, 7),
        (1, "3", "humidity", 41.5, 9),
    ]
    assert dead == []


def test_all_fields_that_are_asked_for():
    rows, _ = decode([{"time": at(0), "sensor": "a", "humidity": 3.0, "x": 1}], wide=["*"])
    assert rows == [(0, "a", "humidity", 3.0, 7)]
    with pytest.raises(SourceError, match=r"'\*' in `wide` is not possible"):
        decode([], wide=["*"], wanted=None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"time": 1} {"time": 2}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ({"sensor": "7", "quantity": "temperature", "value": 1.0}, "malformed time"),
        ({**long(0, 1.0), "time": 1078099200}, "malformed time"),
        ({**long(0, 1.0), "time": "yesterday"}, "malformed time"),
        ({**long(0, 1.0), "sensor": None}, "malformed name"),
        ({**long(0, 1.0), "sensor": True}, "malformed name"),
        ({**long(0, 1.0), "sensor": ""}, "malformed name"),
        ({**long(0, 1.0), "sensor": "x" * 300}, "malformed name"),
        ({**long(0, 1.0), "quantity": ["temperature"]}, "malformed name"),
        (long(0, "20.1 C"), "malformed field"),
        (long(0, True), "malformed field"),
        (long(0, {}), "malformed field"),
        (json.dumps(long(0, 1)).replace(": 1}", ": 1e999}").encode(), "not a finite number"),
        (json.dumps(long(0, 10**400)).encode(), "not a finite number"),
        ({k: v for k, v in long(0, 1.0).items() if k != "value"}, "no field 'value'"),
    ],
)  # fmt: skip
def test_a_record_that_is_none_costs_only_itself(value, reason):
    good = [long(i, float(i)) for i in range(200)]
    rows, (dead,) = decode([*good[:100], value, *good[100:]])
    assert [r[:4] for r in rows] == [(i, "7", "temperature", float(i)) for i in range(200)]
    assert (dead["reason"], place(dead)) == (reason, "t-0:207")
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    assert dead["raw"] == raw[:RAW_LIMIT]


def test_a_bad_field_of_a_flat_record_costs_only_itself():
    flat = {"time": at(0), "sensor": "a", "temperature": "hot", "humidity": 40.0}
    rows, (dead,) = decode([flat], wide=WIDE)
    assert rows == [(0, "a", "humidity", 40.0, 7)]
    assert (dead["reason"], dead["sensor"], dead["quantity"]) == (
        "malformed field", "a", "temperature",
    )  # fmt: skip


def test_a_value_that_is_not_a_number_is_one_reported_missing():
    rows, dead = decode([json.dumps(long(0, float("nan"))).encode()])
    assert (rows, dead) == ([(0, "7", "temperature", None, 7)], [])


@pytest.mark.parametrize(
    ("unit", "time", "seconds"),
    [
        ("s", 1078099201, 1),
        ("s", 1078099200.125, 0.125),
        ("ms", 1078099200250, 0.25),
        ("ms", 1078099200250.5, 0.2505),
        ("us", 1078099200000001, 1e-6),
        ("ns", 1078099200000001999, 1e-6),
        ("s", "1078099201", 1),
        ("ms", "1078099200250", 0.25),
    ],
)
def test_times_that_are_numbers(unit, time, seconds):
    rows, dead = decode([{**long(0, 1.0), "time": time}], time_format=unit)
    assert (rows, dead) == ([(seconds, "7", "temperature", 1.0, 7)], [])


@pytest.mark.parametrize(
    ("unit", "time"), [("us", 1.5), ("s", "noon"), ("s", 1 << 62), ("s", 1e30)]
)
def test_times_that_are_none(unit, time):
    rows, (dead,) = decode([{**long(0, 1.0), "time": time}], time_format=unit)
    assert (rows, dead["reason"]) == ([], "malformed time")


def test_the_key_and_the_timestamp_of_a_record():
    values = [{"quantity": "temperature", "value": float(i), "sensor": "no"} for i in range(4)]
    keys = [b"1", b"k\xc3\xbcche", None, b"\xff"]
    times = [1078099200000 + i for i in range(4)]
    rows, dead = decode(values, keys, times, key_is_sensor=True, timestamp_is_time=True)
    assert [r[:4] for r in rows] == [(0, "1", "temperature", 0), (0.001, "küche", "temperature", 1)]
    assert [d["reason"] for d in dead] == ["malformed name"] * 2
    rows, (dead,) = decode(values[:1], [b"1"], [-1], key_is_sensor=True, timestamp_is_time=True)
    assert (rows, dead["reason"]) == ([], "malformed time")


def test_csv_lines_one_or_several_a_record():
    values = [b"2004-03-01,1,temperature,20.5\n2004-03-01T00:00:01,1,temperature,nan", b"oops", b"",
              b"2004-03-01T00:00:02Z,2,humidity,40\r\n"]  # fmt: skip
    rows, (dead,) = decode(values, format="csv")
    assert rows == [
        (0, "1", "temperature", 20.5, 7), (1, "1", "temperature", None, 7),
        (2, "2", "humidity", 40.0, 13),
    ]  # fmt: skip
    assert (dead["reason"], place(dead), dead["raw"]) == ("malformed time", "t-0:9", b"oops")


def test_csv_beside_key_and_timestamp():
    values = [
        b"temperature;20.5\nhumidity;41",
        b"temperature;1",
        b"temperature;2",
        b"temperature;3",
    ]
    keys, times = [b"1", b"a;b", None, b"2"], [1078099200000, 0, 0, -1]
    rows, dead = decode(
        values, keys, times, format="csv", delimiter=";", columns=["quantity", "value"],
        key_is_sensor=True, timestamp_is_time=True,
    )  # fmt: skip
    assert rows == [(0, "1", "temperature", 20.5, 7), (0, "1", "humidity", 41.0, 7)]
    assert [(d["reason"], place(d)) for d in dead] == [
        ("no key that is a name", "t-0:9"), ("no key that is a name", "t-0:11"),
        ("no timestamp", "t-0:13"),
    ]  # fmt: skip


def test_lines_of_the_intel_lab():
    values = [b"2004-03-01 00:00:00.5 2 7 20.5 40.25 45.1 2.69", b"2004-03-01 00:00:01 3 7 21.5"]
    rows, dead = decode([*values, b"2004-03-01 00:00:01 3 seven 21.5"], format="intel-lab")
    assert rows == [
        (0.5, "7", "temperature", 20.5, 7), (0.5, "7", "humidity", 40.25, 7),
        (1, "7", "temperature", 21.5, 9),
    ]  # fmt: skip
    assert [(d["reason"], place(d)) for d in dead] == [("malformed line", "t-0:11")]


def test_arrow_streams_of_many_readings():
    first = stream(
        time=instants(0, 1), sensor=pa.array(["1", "2"]).dictionary_encode(),
        quantity=pa.array(["temperature"] * 2), value=pa.array([20.5, None]),
    )  # fmt: skip
    second = stream(
        time=instants(2, 3), sensor=pa.array(["3", "1"]).dictionary_encode(),
        quantity=pa.array(["humidity", "light"]), value=pa.array([40.0, 3.0]),
    )  # fmt: skip
    other = stream(time=instants(4), sensor=pa.array([9]), quantity=pa.array(["humidity"]),
                   value=pa.array([41], pa.int32()))  # fmt: skip
    rows, dead = decode([first, second, other], format="arrow")
    assert rows == [
        (0, "1", "temperature", 20.5, 7), (1, "2", "temperature", None, 7),
        (2, "3", "humidity", 40.0, 9), (4, "9", "humidity", 41.0, 11),
    ]  # fmt: skip
    assert dead == []


def test_wide_arrow_streams():
    value = stream(time=instants(0), sensor=pa.array(["1"]), temperature=pa.array([20.5]),
                   humidity=pa.array([40.0]))  # fmt: skip
    rows, _ = decode([value], format="arrow", wide=["*"])
    assert rows == [(0, "1", "temperature", 20.5, 7), (0, "1", "humidity", 40.0, 7)]


def test_a_stream_that_is_none_costs_only_itself():
    good = stream(time=instants(0), sensor=pa.array(["1"]), quantity=pa.array(["humidity"]),
                  value=pa.array([1.0]))  # fmt: skip
    lacks = stream(time=instants(0), sensor=pa.array(["1"]), value=pa.array([1.0]))
    words = stream(time=instants(0), sensor=pa.array(["1"]), quantity=pa.array(["humidity"]),
                   value=pa.array(["warm"]))  # fmt: skip
    rows, dead = decode(
        [good, b"", b"ARROW1", lacks, words, good[: len(good) // 2], good], format="arrow"
    )
    assert [r[4] for r in rows] == [7, 19]
    assert [place(d) for d in dead] == [f"t-0:{n}" for n in (9, 11, 13, 15, 17)]
    assert "no column 'quantity'" in dead[2]["reason"]
    assert dead[3]["reason"] == "malformed field"
    assert all("not an Arrow IPC stream" in dead[k]["reason"] for k in (0, 1, 4))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 30), st.binary(max_size=8))
@example(3370292, b"\x80")  # within the name of a time zone
def test_a_damaged_stream_never_harms(where, what):
    good = stream(time=instants(0, 1), sensor=pa.array(["1", "2"]).dictionary_encode(),
                  quantity=pa.array(["humidity"] * 2), value=pa.array([1.0, 2.0]))  # fmt: skip
    at = where % len(good)
    found = made_of([good[:at] + what + good[at + len(what) :]], format="arrow")
    assert found.readings.validate(full=True) is None
    assert len(found.readings) + len(found.dead_letters) <= 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "time": st.sampled_from([at(0), at(1.5)]) | JSON,
        "sensor": st.sampled_from(["1", "24", 3]) | JSON,
        "quantity": st.sampled_from(["temperature", "humidity"]) | JSON,
        "value": st.floats() | JSON,
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FIELDS.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=9), max_size=12))
def test_a_block_and_its_records_give_the_same(values):
    whole = decode(values)
    rows, dead = [], []
    for i, value in enumerate(values):
        one = decode([value])
        rows += [(*r[:4], 7 + 2 * i) for r in one[0]]
        dead += [{**d, "offset": 7 + 2 * i} for d in one[1]]
    assert whole[0] == rows
    assert sorted(map(str, whole[1])) == sorted(map(str, dead))


def test_one_bad_record_does_not_make_all_of_a_block_slow(monkeypatch):
    values = [long(i, float(i)) for i in range(5000)] + [b"?"]
    read, loads = [], json.loads

    def noted(value, **more):
        read.append(value)
        return loads(value, **more)

    with monkeypatch.context() as patch:
        patch.setattr(json, "loads", noted)
        rows, dead = decode(values)
    assert (len(rows), len(dead)) == (5000, 1)
    assert 0 < len({*read} & {json.dumps(v) for v in values[:-1]}) < ONE_BY_ONE


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"format": "jsno"}, "unknown format 'jsno'"),
        ({"format": "parquet"}, "is not a line format"),
        ({"format": "intel-lab", "key_is_sensor": True}, "lines contain their sensor and time"),
        ({"settings": {"group.id": "x"}}, "group.id must not be set here"),
        (
            {"settings": {"sasl.oauthbearer.client.secret": "x1"}},
            "is a secret and would be written",
        ),
        ({"settings": {"ssl.key.pem": "x1"}}, "is a secret and would be written"),
        ({"settings": {"plugin.library.paths": "/evil.so"}}, "run code that the config chooses"),
        ({"settings": {"sasl.kerberos.kinit.cmd": "evil"}}, "run code that the config chooses"),
        ({"sasl": {"mechanism": "PLAIN", "username": "u"}}, "username and password"),
        ({"tls": {"certificate": "c.pem"}}, "certificate and key together"),
        ({"end": "soon"}, "'live' or 'now'"),
    ],
)
def test_params_that_do_not_go_together(params, words):
    with pytest.raises(ValueError, match=words):
        KafkaSource.Params(brokers="b:1", topic="t", **params)


def readings_of(rows):
    """(seconds, sensor, quantity, value) as a table of readings."""
    columns = list(zip(*rows, strict=True))
    time = pa.array([1_078_099_200_000_000 + round(s * 1e6) for s in columns[0]]).view(TIME)
    names = [pa.array(c, pa.string()).dictionary_encode() for c in columns[1:3]]
    arrays = [time, *names, pa.array(columns[3], pa.float64()), pa.array(range(len(rows)))]
    return pa.Table.from_batches([pa.RecordBatch.from_arrays(arrays, schema=READINGS)])


READING = st.tuples(
    st.integers(0, 5).map(lambda k: k * 0.25),
    st.sampled_from(["1", "24", "300"]),
    st.sampled_from(WIDE),
    st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(READING, min_size=1, max_size=30))
def test_what_is_encoded_is_decoded_bit_for_bit(rows):
    table = readings_of(rows)
    columns = {n: table[n].combine_chunks() for n in ("time", "sensor", "quantity", "value")}
    for values, params in (
        (encoders.objects(columns), {}),
        (encoders.moments(table)[0], {"wide": WIDE}),
        (encoders.streams(table), {"format": "arrow"}),
        (encoders.lines(table)[0], {"format": "intel-lab"}),
    ):
        found, dead = decode([v if isinstance(v, bytes) else v.encode() for v in values], **params)
        assert dead == []
        assert sorted(map(repr, (r[:4] for r in found))) == sorted(map(repr, rows))


def test_what_a_value_cannot_hold_is_null_or_rejected():
    columns = {
        "a": pa.array([float("nan"), float("inf"), None]),
        "b": pa.array([b"\xff", None, b""]),
    }
    columns["c"] = pa.array(['"', "\n", None])
    rows = [json.loads(text) for text in encoders.objects(columns)]
    assert [r["a"] for r in rows] == [None, None, None]
    assert [r["b"] for r in rows] == ["/w==", None, ""]
    assert [r["c"] for r in rows] == ['"', "\n", None]
    with pytest.raises(SinkError, match="sensors that are numbers, not 'kitchen'"):
        encoders.lines(readings_of([(0, "kitchen", "humidity", 1.0)]))


def test_a_moment_is_one_record_keyed_by_its_sensor():
    rows = [(0, "1", "temperature", 20.0), (0, "1", "humidity", 40.0), (0, "2", "humidity", 41.0)]
    values, keys = encoders.moments(readings_of([*rows, (1, "2", "light", None)]))
    assert keys == ["1", "2", "2"]
    assert json.loads(values[0]) == {
        "time": "2004-03-01T00:00:00.000000Z", "sensor": "1", "temperature": 20, "humidity": 40,
    }  # fmt: skip
    assert json.loads(values[2])["light"] is None


def test_a_name_that_is_not_there_is_null_in_its_record():
    names = pa.array(["own", None]).dictionary_encode()
    assert encoders.objects({"experts": names}) == ['{"experts":"own"}', '{"experts":null}']
