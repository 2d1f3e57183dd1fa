"""Records that no one should have sent: each costs itself only, and says why."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from records import decode, instants, long, stream

from gapcast.engine.errors import SourceError
from gapcast.engine.readings import RAW_LIMIT
from gapcast.plugins.kafka.decoders import TOO_MUCH, UNFOLDED, Decoder
from gapcast.plugins.kafka.ipc import unfolded
from gapcast.plugins.kafka.records import NOTHING, Records

ARROW = {"format": "arrow"}
GOOD = {"time": instants(0), "sensor": pa.array(["1"]), "quantity": pa.array(["humidity"]),
        "value": pa.array([1.0])}  # fmt: skip


def among_good(value, good, **params):
    """What a record between two good ones gives beside their readings: rows and dead letters."""
    rows, dead = decode([good, value, good], **params)
    assert [r[4] for r in rows if r[4] != 9] == [7, 11]
    assert all(d["offset"] == 9 for d in dead)
    return [r for r in rows if r[4] == 9], dead


# --- JSON -----------------------------------------------------------------------------------

TEXT = json.dumps(long(0, 1.5))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (TEXT.replace('"7"', r'"\ud800"').encode(), "malformed name"),
        (TEXT.replace('"temperature"', r'"\udfff\ud800"').encode(), "malformed name"),
        (TEXT.replace("1.5", r'"\ud800"').encode(), "malformed field"),
        (TEXT.replace('"value"', r'"\ud800"').encode(), "no field 'value'"),
        (TEXT.replace('"2004', r'"\ud8002004').encode(), "malformed time"),
        (TEXT.replace('"7"', '"\xff"').encode("latin-1"), "malformed name"),
        (TEXT.replace('"temperature"', '"t\xe9"').encode("latin-1"), "malformed name"),
        (TEXT.replace("1.5", '"\xff"').encode("latin-1"), "malformed field"),
        (TEXT.replace("1.5", "9" * 5000).encode(), "not a finite number"),
    ],
)  # fmt: skip
def test_text_that_is_no_unicode_in_json(value, reason):
    rows, (dead,) = among_good(value, TEXT.encode())
    assert (rows, dead["reason"], dead["raw"]) == ([], reason, value[:RAW_LIMIT])


def test_what_is_no_unicode_does_no_harm_where_it_is_not_read():
    for more in (r'"\ud800": 1', r'"x": "\ud800"', '"x": "\xff"', '"\xff": 1'):
        value = TEXT.replace("{", "{" + more + ", ", 1).encode("latin-1")
        for other in (TEXT.encode(), b"?"):
            rows, dead = decode([other, value])
            assert (rows[-1][4], len(dead)) == (9, other == b"?")


@pytest.mark.parametrize(
    ("value", "number"),
    [("NaN", None), ('"21.5"', 21.5), ('"-1e3"', -1000.0), ('""', None), ('"NA"', None),
     ('"nan"', None), ('"null"', None), ("-0.0", -0.0), ("1e-320", 1e-320), ('"0.1"', 0.1)],
)  # fmt: skip
def test_numbers_in_quotes_and_not_a_number(value, number):
    record = TEXT.replace("1.5", value).encode()
    for others in ([], [b"?"], [TEXT.encode()]):
        rows, _ = decode([*others, record])
        assert repr(rows[-1][3]) == repr(number)


def test_numbers_in_quotes_beside_others_in_one_object():
    flat = {"time": long(0, 0)["time"], "sensor": 1, "temperature": "20.5", "humidity": 40}
    rows, dead = decode([flat, {**flat, "humidity": "ERR"}], wide=["temperature", "humidity"])
    assert [r[3] for r in rows] == [20.5, 40.0, 20.5]
    assert [(d["reason"], d["quantity"]) for d in dead] == [("malformed field", "humidity")]


def test_an_array_of_objects_is_a_reading_each():
    rows, dead = decode([long(0, 0.5), [long(1, 1.5), long(2, "x"), long(3, 3.5)], [], long(4, 4)])
    assert [(r[0], r[3], r[4]) for r in rows] == [
        (0, 0.5, 7), (1, 1.5, 9), (3, 3.5, 9), (4, 4.0, 13),
    ]  # fmt: skip
    assert [(d["reason"], d["offset"], json.loads(d["raw"])) for d in dead] == [
        ("malformed field", 9, long(2, "x"))
    ]


def test_an_array_takes_the_key_and_the_timestamp_of_its_record():
    values = [{"quantity": "humidity", "value": float(i)} for i in range(3)]
    params = {"key_is_sensor": True, "timestamp_is_time": True}
    rows, dead = decode([values[:2], values[2]], [b"a", b"b"], [1078099200000] * 2, **params)
    assert [(r[1], r[3]) for r in rows] == [("a", 0.0), ("a", 1.0), ("b", 2.0)]
    assert dead == []


@pytest.mark.parametrize("value", [b"[", b"[1]", b"[{}, 1]", b" \n[[]]", b"[" * 100_000])
def test_an_array_of_something_else_is_one_dead_letter(value):
    rows, (dead,) = among_good(value, TEXT.encode())
    assert rows == []
    assert dead["reason"] in ("not JSON", "not a JSON object")


UPLINK = {
    "id": "abc",
    "uplink": {
        "received_at": "2004-03-01T00:00:01Z",
        "device": {"name": "7"},
        "decoded": {"temperature": 20.5, "humidity": "41", "battery": {"v": 3}},
    },
}
NESTED = {"time": "uplink.received_at", "sensor": "uplink.device.name"}


@pytest.mark.parametrize(
    "wide",
    [
        ["uplink.decoded.*"],
        ["uplink.decoded.temperature", "uplink.decoded.humidity"],
        {"uplink.decoded.humidity": {}, "uplink.decoded.*": {}},
    ],
)
def test_fields_within_objects(wide):
    for others in ([], [b"?"], [UPLINK] * 2, [{"uplink": 3}], [{"uplink": {"decoded": None}}]):
        rows, _ = decode([*others, UPLINK], wide=wide, **NESTED)
        last = sorted(r for r in rows if r[4] == 7 + 2 * len(others))
        assert [r[:4] for r in last] == [
            (1, "7", "humidity", 41.0), (1, "7", "temperature", 20.5),
        ]  # fmt: skip


def test_a_long_object_with_its_fields_within_others():
    params = {**NESTED, "quantity": "kind", "value": "uplink.decoded.temperature"}
    lacks = {**UPLINK, "uplink": {**UPLINK["uplink"], "decoded": {}}, "kind": "humidity"}
    null = {**lacks, "uplink": {**lacks["uplink"], "decoded": {"temperature": None}}}
    rows, (dead,) = decode([{**UPLINK, "kind": "humidity"}, lacks, null], **params)
    assert [r[2:] for r in rows] == [("humidity", 20.5, 7), ("humidity", None, 11)]
    assert (dead["reason"], dead["offset"]) == ("no field 'uplink.decoded.temperature'", 9)


def test_a_name_with_a_dot_may_be_the_whole_name_of_a_field():
    flat = {"time": long(0, 0)["time"], "sensor": "1", "a.humidity": 1.0, "a": {"humidity": 2.0}}
    rows, _ = decode([flat], wide=["a.humidity"])
    assert [r[2:4] for r in rows] == [("humidity", 1.0)]


def test_fields_that_would_be_a_value_and_an_object():
    with pytest.raises(SourceError, match=r"field 'a' cannot be a value and hold 'a.humidity'"):
        decode([], wide={"a": {"quantity": "temperature"}, "a.humidity": {}})
    with pytest.raises(SourceError, match=r"columns 'a.humidity' and 'b.humidity' would both be"):
        decode([], wide=["a.humidity", "b.humidity"])


# --- Arrow ----------------------------------------------------------------------------------


def packed(columns, compression="zstd"):
    out = io.BytesIO()
    batch = pa.record_batch(columns)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(out, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def renamed(value, old, new):
    assert value.count(old)
    assert len(old) == len(new)
    return value.replace(old, new)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (renamed(stream(**GOOD, wert=GOOD["value"]), b"wert", b"valu"), None),
        (renamed(stream(**GOOD, wertx=GOOD["value"]), b"wertx", b"value"), "2 columns are called"),
        (renamed(stream(**GOOD, wertx=GOOD["value"]), b"wertx", b"wert\xff"), "utf-8"),
        (stream(**{**GOOD, "sensor": pa.array([b"\xff"]).view(pa.string())}), "UTF8"),
        (stream(**{**GOOD, "sensor": pa.DictionaryArray.from_arrays(
            pa.array([0]), pa.array([b"\xff"]).view(pa.string()))}), "UTF8"),
        (stream(**{**GOOD, "sensor": pa.DictionaryArray.from_arrays(
            pa.array([0]), pa.array([["1"]]))}), "column 'sensor' is of type list"),
        (stream(**{**GOOD, "value": pa.array([[1.0]])}), "column 'value' is of type list"),
        (stream(**{**GOOD, "value": pa.DictionaryArray.from_arrays(
            pa.array([0]), pa.array([["1"]]))}), "column 'value' is of type list"),
        (stream(**{**GOOD, "value": pa.array(["ERR"])}), "malformed field"),
    ],
)  # fmt: skip
def test_arrow_of_strange_columns(value, words):
    rows, dead = among_good(value, stream(**GOOD), **ARROW)
    assert len(rows) + len(dead) == 1
    if words:
        assert words in dead[0]["reason"]
        assert words == "malformed field" or dead[0]["raw"] == value[:RAW_LIMIT]


def test_records_of_one_schema_of_which_one_is_broken():
    other = {**GOOD, "sensor": pa.array([b"\xff"]).view(pa.string())}
    rows, (dead,) = decode([stream(**GOOD), stream(**other), stream(**GOOD)], **ARROW)
    assert [r[4] for r in rows] == [7, 11]
    assert dead["offset"] == 9


BIG = 20_000_000 // 8


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_small_record_that_unfolds_to_much_is_not_read(compression):
    n = 8 * BIG
    value = packed(
        {"time": pa.array(np.zeros(n, np.int64)).view(pa.timestamp("us")),
         "sensor": pa.nulls(n, pa.string()), "quantity": pa.nulls(n, pa.string()),
         "value": np.zeros(n)},
        compression,
    )  # fmt: skip
    assert len(value) < 3_000_000
    before = pa.default_memory_pool().max_memory()
    rows, (dead,) = among_good(value, stream(**GOOD), **ARROW)
    assert (rows, dead["reason"]) == ([], f"record unfolds to more than {UNFOLDED} bytes")
    assert pa.default_memory_pool().max_memory() <= before + UNFOLDED


def test_rows_that_take_no_bytes_are_counted():
    n = 1 << 30
    nothing = pa.Array.from_buffers(pa.null(), n, [None])
    batch = pa.RecordBatch.from_arrays([nothing] * 4, names=list(GOOD))
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    _, (dead,) = among_good(out.getvalue(), stream(**GOOD), **ARROW)
    assert dead["reason"] == TOO_MUCH


def test_a_dictionary_that_unfolds_to_much_and_views_of_the_same_bytes():
    text = "x" * 100_000_000
    value = packed({**GOOD, "sensor": pa.array([text]).dictionary_encode()})
    _, (dead,) = among_good(value, stream(**GOOD), **ARROW)
    assert dead["reason"] == TOO_MUCH
    n = 5000
    one = pa.array(["y" * 20_000], pa.string_view()).buffers()
    buffers = [None, pa.py_buffer(one[1].to_pybytes()[:16] * n), one[2]]
    views = pa.Array.from_buffers(pa.string_view(), n, buffers)
    same = {"time": instants(*range(n)), "sensor": views, "quantity": pa.array(["humidity"] * n),
            "value": np.zeros(n)}  # fmt: skip
    _, (dead,) = among_good(stream(**same), stream(**GOOD), **ARROW)
    assert dead["reason"] == TOO_MUCH


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_what_is_reserved_is_what_was_counted(compression):
    columns = {"a": np.arange(100_000), "b": pa.array(["ab"] * 100_000).dictionary_encode()}
    value = packed(columns, compression)
    size = pa.table(columns).nbytes
    assert size <= unfolded(value) <= size + 16 * 2 * 100_000 + 16 + 1000


def test_compressed_records_are_read_as_plain_ones_are():
    rows, dead = decode([packed(GOOD), packed(GOOD, "lz4"), stream(**GOOD)], **ARROW)
    assert ([r[:4] for r in rows], dead) == ([(0, "1", "humidity", 1.0)] * 3, [])


# --- lines, and anything --------------------------------------------------------------------


def test_lines_that_unfold_to_much():
    columns = ["time", *(f"c{k}" for k in range(100))]
    params = {"format": "csv", "columns": columns, "wide": columns[1:], "key_is_sensor": True}
    rows, (dead,) = decode(
        [b"\n" * 1_000_000, b"2004-03-01,1"], [b"k", b"k"], wanted=None, **params
    )
    assert (dead["reason"], dead["offset"]) == (TOO_MUCH, 7)
    assert [r[4] for r in rows] == [9]
    long_key = decode([b"2004-03-01,1"], [b"k" * 300], wanted=None, **params)
    assert [d["reason"] for d in long_key[1]] == ["no key that is a name"]


def test_arrays_that_unfold_to_much():
    value = b"[" + b"{}," * 1_000_000 + b"{}]"
    rows, (dead,) = among_good(value, TEXT.encode())
    assert (rows, dead["reason"]) == ([], TOO_MUCH)


def test_whatever_a_decoder_raises_costs_one_record(caplog):
    class Fragile(Decoder):
        def made(self, records):
            if b"?" in records.values:
                raise RuntimeError("odd")
            return NOTHING

    values = [b"a", b"b", b"?", b"c"]
    found = Fragile().decode(Records("t-0", values, np.arange(4), [], np.array([], np.int64)))
    (dead,) = found.dead_letters.to_pylist()
    assert (dead["reason"], dead["offset"]) == ("cannot be read: RuntimeError: odd", 2)
    assert "t-0:2 cannot be read" in caplog.text
