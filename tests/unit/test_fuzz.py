"""Damaged bytes in every format: nothing but a SourceError, and every record is accounted for.

Each valid document is flipped, cut, lengthened and repeated in places; ``EXAMPLES=100000`` makes
so many of each (a few hundred by default).
"""

from __future__ import annotations

import json
import os

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import instants, long, made_of, stream

from gapcast.engine.errors import SourceError
from gapcast.engine.readings import DEAD_LETTERS, READINGS
from gapcast.plugins.sources.files import File
from gapcast.plugins.sources.formats import load

EXAMPLES = int(os.environ.get("EXAMPLES", "200"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

EDIT = st.tuples(
    st.sampled_from(["flip", "insert", "cut", "repeat", "overwrite"]),
    st.integers(0, 1 << 20),
    st.integers(1, 40),
    st.binary(min_size=1, max_size=6)
    | st.sampled_from(
        [b"\n", b"\r\n", b'"', b",", b" ", b"\xff", b"\x00", rb"\ud800", b"1e999", b"NaN", b"-",
         b"[", b"{}", b"]", b"null", b"\xff\xff\xff\x7f", b"\xff" * 8]
    ),
)  # fmt: skip
EDITS = st.lists(EDIT, min_size=1, max_size=5)


def damaged(data, edits):
    """`data` after some edits."""
    for what, where, length, more in edits:
        at = where % (len(data) + 1)
        end = at + length
        if what == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << length % 8]) + data[at + 1 :]
        elif what == "insert":
            data = data[:at] + more + data[at:]
        elif what == "cut":
            data = data[:at] + data[end:]
        elif what == "repeat":
            data = data[:end] + data[at:]
        elif what == "overwrite":
            data = data[:at] + more + data[at + len(more) :]
    return data


def rows(batch, schema):
    """A valid batch as a list, times as they are held: they may lie beyond any calendar."""
    assert batch.schema == schema
    batch.validate(full=True)
    held = pa.int64() if schema.field("time") else None
    return pa.table(
        {n: batch[n].cast(held) if n == "time" else batch[n] for n in schema.names}
    ).to_pylist()


def read(name, path, size, **options):
    """All readings and dead letters of a file, read `size` bytes at a time."""
    kind = load(name)
    reader = kind(
        File("f", str(path), fsspec.filesystem("file")), kind.Options(**options), None, size
    )
    readings, dead = [], []
    for chunk in reader.chunks(None):
        readings += rows(chunk.readings, READINGS)
        dead += rows(chunk.dead_letters, DEAD_LETTERS)
    return readings, dead


LAB = b"".join(
    b"2004-03-01 12:00:%02d.5 %d %d 19.9884 37.09 45.08 2.69\n" % (k, k, k) for k in range(6)
)
CONV = b"".join(b"2017-02-28 00:00:%02d.492 24-%d 18.1362 2.68\n" % (k, k % 3) for k in range(6))
LONG = b"".join(b'2004-03-01T00:00:%02dZ,"a%d",t,%d.5\n' % (k, k % 2, k) for k in range(6))
WIDE = b"".join(b"2004-03-01 00:00:%02d,a,%d,nan\n" % (k, k) for k in range(6))
TEXTS = {
    # name: (format, first line, lines, options, fields before the cells, delimiter)
    "csv": ("csv", b"time,sensor,quantity,value\n", LONG, {}, 0, b","),
    "csv-wide": ("csv", b"time,sensor,a,b\n", WIDE, {"wide": ["a", "b"]}, 2, b","),
    "csv-by-pattern": ("csv", b"time,sensor,a,b\n", WIDE,
                       {"wide": ["*"], "time_format": "%Y-%m-%d %H:%M:%S", "timezone": "Iran"},
                       2, b","),
    "intel-lab": ("intel-lab", LAB.splitlines(keepends=True)[0], LAB, {}, 4, b" "),
    "intel-lab-conv": ("intel-lab-conv", CONV.splitlines(keepends=True)[0], CONV, {}, 3, b" "),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
@fuzzed
@given(edits=EDITS)
def test_lines_of_files(tmp_path_factory, kind, edits):
    name, first, lines, options, before, delimiter = TEXTS[kind]
    text = damaged(lines, edits)
    path = tmp_path_factory.getbasetemp() / f"fuzzed-{kind}"
    path.write_bytes(first + text)
    readings, dead = read(name, path, 1 << 20, **options)
    told = {r["offset"] for r in [*readings, *dead]}
    there = text.removesuffix(b"\n").split(b"\n") if text else []
    assert told <= set(range(1, 2 + len(there)))
    for number, line in enumerate(there, 2):
        cells = line.rstrip(b" \r").split(delimiter)[before:]
        assert number in told or not line.strip() or (before and not any(c.strip() for c in cells))
    for size in (1, 200):
        assert read(name, path, size, **options) == (readings, dead)


@fuzzed
@given(edits=EDITS)
def test_a_header_that_is_damaged(tmp_path_factory, edits):
    path = tmp_path_factory.getbasetemp() / "fuzzed-header"
    path.write_bytes(damaged(TEXTS["csv"][1], edits) + LONG)
    try:
        assert read("csv", path, 100) == read("csv", path, 1 << 20)
    except SourceError as error:
        assert str(path) in str(error)  # noqa: PT017


def parquets():
    """Files of Parquet, small and unlike each other."""
    n = 40
    time = instants(*range(n))
    words = pa.array(["a", "b", None, "küche"] * 10)
    plain = {"time": time, "sensor": words, "quantity": ["t"] * n, "value": np.arange(n) / 3}
    texts = {
        **plain,
        "time": time.cast(pa.string()),
        "value": pa.array(["1.5", "ERR", "", None] * 10),
    }
    coded = {**plain, "sensor": words.dictionary_encode(), "value": pa.array([1.5, None] * 20)}
    for columns, how in (
        (plain, {"compression": "none", "use_dictionary": False}),
        (texts, {"compression": "snappy", "row_group_size": 7}),
        (coded, {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 30}),
    ):
        out = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), out, **how)
        yield out.getvalue().to_pybytes()


PARQUETS = list(parquets())


@pytest.mark.parametrize("k", range(len(PARQUETS)))
@fuzzed
@given(edits=EDITS)
def test_parquet(tmp_path_factory, k, edits):
    path = tmp_path_factory.getbasetemp() / f"fuzzed-{k}.parquet"
    path.write_bytes(damaged(PARQUETS[k], edits))
    found = []
    for size in (1 << 20, 1):
        try:
            readings, dead = read("parquet", path, size)
        except SourceError:
            found.append(None)
        else:
            found.append((readings, dead))
            told = sorted(r["offset"] for r in [*readings, *dead])
            assert told == list(range(1, len(told) + 1))
    assert found[0] == found[1]


def test_rows_that_a_damaged_file_has_lost_are_missed(tmp_path):
    """Of some damage Arrow says nothing: it gives fewer rows than the file's footer counts."""
    said = []
    for at in range(300, 400):
        path = tmp_path / "x.parquet"
        path.write_bytes(damaged(PARQUETS[2], [("flip", at, 2, b"")]))
        try:
            readings, dead = read("parquet", path, 1 << 20)
            assert len(readings) + len(dead) == 40
        except SourceError as error:
            said.append(str(error))
    assert any("row group 0 lacks 30 of its rows" in words for words in said)


# --- records of a topic ---------------------------------------------------------------------

FLAT = {"time": long(0, 0)["time"], "sensor": "7", "temperature": 20.5, "humidity": "41"}
NESTED = {"at": long(0, 0)["time"], "by": {"id": 7}, "of": {"temperature": 20.5, "humidity": None}}
COLUMNS = {"time": instants(0, 1), "sensor": pa.array(["1", "2"]).dictionary_encode(),
           "quantity": pa.array(["humidity"] * 2), "value": pa.array([1.0, 2.0])}  # fmt: skip


def packed(compression):
    out = pa.BufferOutputStream()
    batch = pa.record_batch(COLUMNS)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(out, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return out.getvalue().to_pybytes()


def written(value):
    return json.dumps(value).encode()


RECORDS = {
    # name: (valid records, parameters)
    "json": ([*map(written, (long(0, 1.5), long(1, None), [long(2, "3"), long(3, 4)]))], {}),
    "json-wide": ([written(FLAT), written([FLAT, FLAT])], {"wide": ["*"]}),
    "json-numbers": ([written({**FLAT, "time": t}) for t in (1078099200.5, "1078099200")],
                     {"wide": ["temperature", "humidity"], "time_format": "s"}),
    "json-nested": ([written(NESTED)], {"time": "at", "sensor": "by.id", "wide": ["of.*"]}),
    "arrow": ([stream(**COLUMNS), packed(None)], {"format": "arrow"}),
    "arrow-packed": ([packed("zstd"), packed("lz4")], {"format": "arrow"}),
    "csv": ([LONG, LONG.splitlines()[0]], {"format": "csv"}),
    "csv-beside": ([b"temperature,1.5\nhumidity,3"],
                   {"format": "csv", "columns": ["quantity", "value"], "key_is_sensor": True,
                    "timestamp_is_time": True}),
    "intel-lab": ([LAB, LAB[:30]], {"format": "intel-lab"}),
    "intel-lab-conv": ([CONV], {"format": "intel-lab-conv"}),
}  # fmt: skip


def decoded(values, **params):
    """Readings and dead letters of records, at offsets 7, 9 and so on."""
    keys = [b"k"] * len(values) if "key_is_sensor" in params else []
    times = [1078099200000] * len(values) if "timestamp_is_time" in params else []
    wanted = ("temperature", "humidity") if "*" in str(params.get("wide")) else None
    found = made_of(values, keys, times, wanted, **params)
    return rows(found.readings, READINGS), rows(found.dead_letters, DEAD_LETTERS)


def silent(kind, value):
    """Whether a record may give neither a reading nor a dead letter."""
    if kind.startswith("arrow"):
        return len(pa.ipc.open_stream(value).read_all()) == 0
    if kind.startswith("json"):
        return kind != "json" or value.strip().startswith(b"[")
    before = {"intel-lab": 4, "intel-lab-conv": 3}.get(kind, 0)
    lines = [line.rstrip(b" \r").split(b" ")[before:] for line in value.split(b"\n")]
    return not any(cell.strip() for line in lines for cell in line)


@pytest.mark.parametrize("kind", RECORDS)
@fuzzed
@given(
    edits=st.lists(EDITS | st.just([]), min_size=1, max_size=4),
    which=st.lists(st.integers(0, 9), min_size=4, max_size=4),
)
def test_records(kind, edits, which):
    valid, params = RECORDS[kind]
    values = [damaged(valid[k % len(valid)], edit) for k, edit in zip(which, edits, strict=False)]
    readings, dead = decoded(values, **params)
    told = {r["offset"] for r in [*readings, *dead]}
    assert told <= {7 + 2 * i for i in range(len(values))}
    alone = ([], [])
    for i, value in enumerate(values):
        one = decoded([value], **params)
        for k in (0, 1):
            alone[k].extend({**row, "offset": 7 + 2 * i} for row in one[k])
        assert 7 + 2 * i in told or silent(kind, value)
        assert edits[i] or not one[1]
    assert (readings, dead) == alone
