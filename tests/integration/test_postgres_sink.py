"""The PostgreSQL sinks on a real server, read back by plain SQL."""

from __future__ import annotations

import json
import random
import signal
import string
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache, partial
from itertools import count
from pathlib import Path

import numpy as np
import proxy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import gapcast
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.jvm import wait
from services.postgres import PASSWORD, Postgres

from gapcast import read_config, run
from gapcast.engine.errors import ConfigError, SinkError
from gapcast.engine.readings import DEAD_LETTERS, dead_letters
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.sink import (
    FLAGS,
    FORECASTS,
    STATUSES,
    AlreadyCommitted,
    Committed,
    JobInfo,
    Rejected,
    Retry,
)
from gapcast.engine.testing import sink as kit
from gapcast.engine.testing.sink import KEY, epoch
from gapcast.plugins.sinks.postgres import PostgresDeadLettersSink, PostgresSink

SAMPLE = Path(__file__).parents[2] / "data/intel-lab-3days.txt.gz"
JOB = JobInfo("kit", Path(), 1_800_000_000, ("m",), 2, ("observed",))
PLAIN = pa.schema(
    [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in FORECASTS]
)
ORDER = [(k, "ascending") for k in KEY]

_server: list[Postgres] = []
_tables: dict[Path, str] = {}
_numbers = count()
_made: list[PostgresSink | PostgresDeadLettersSink] = []


@pytest.fixture(scope="module", autouse=True)
def server(installed, tmp_path_factory):
    with ExitStack() as stack:
        postgres = Postgres(tmp_path_factory.mktemp("postgres"))
        _server[:] = [installed(partial(stack.enter_context, postgres))]
        yield postgres


@pytest.fixture(autouse=True)
def _closed():
    """Closes what tests leave open, as the end of a process would."""
    yield
    while _made:
        _made.pop().close()


def table_name(folder=None):
    """Each folder of the kit has a table of its own."""
    if folder is None:
        return f"t{next(_numbers)}"
    return _tables.setdefault(folder, f"t{next(_numbers)}")


def made(table=None, **changes):
    """An unopened sink, its tables made."""
    table = table or table_name()
    keys = {**_server[0].keys, "table": table}
    PostgresSink(PostgresSink.Params(**keys)).init()
    return unopened(**{**keys, **changes})


def unopened(kind=PostgresSink, **keys):
    _made.append(kind(kind.Params(**{**_server[0].keys, **keys})))
    return _made[-1]


def opened(table=None, generation="g", **changes):
    sink = made(table, **changes)
    sink.open(JOB, generation)
    return sink


def sql(statement, *arguments):
    with _server[0].connect() as client:
        answer = client.execute(statement, arguments or None)
        return answer.fetchall() if answer.description else []


def forecasts(table):
    """All rows of a table, in the order of their keys."""
    rows = sql(f'SELECT {", ".join(PLAIN.names)} FROM "{table}"')
    columns = list(zip(*rows, strict=True)) or [[]] * len(PLAIN)
    return pa.table(list(map(pa.array, columns, PLAIN.types)), schema=PLAIN).sort_by(ORDER)


TestPostgres = kit(lambda folder: made(table_name(folder)), lambda f: forecasts(table_name(f)))


def with_sensors(table, names):
    field = table.schema.field("sensor")
    return table.set_column(1, field, pa.array(names).cast(field.type))


# Values

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
number = st.floats(allow_nan=True, allow_infinity=True)
rows = st.fixed_dictionaries(
    {
        "time": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
        "sensor": names,
        "quantity": names,
        "model": names,
        "horizon": st.integers(-(2**31), 2**31 - 1),
        "forecast": number,
        "lower": st.none() | number,
        "upper": st.none() | number,
        "truth": st.none() | number,
        "status": st.sampled_from(STATUSES),
        "gap_age": st.integers(1, 2**31 - 1),
        "regressors": st.none() | st.integers(0, 2**31 - 1),
        "experts": st.none() | names,
        "flag": st.none() | st.sampled_from(FLAGS),
        "made": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    }
)


@cache
def one_sink():
    """A sink for all that is tried, and numbers for its epochs."""
    return opened("anything"), count()


def bits(row):
    """A row with its numbers as bits, so that -0.0 is not 0.0; any NaN is NaN."""
    return [_bits(value) for value in row]


def _bits(value):
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return np.float64(value).tobytes() if isinstance(value, float) and value == value else value


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(rows, max_size=12, unique_by=lambda r: tuple(r[k] for k in KEY)), st.data())
def test_any_value_and_any_name_is_read_back_bit_for_bit(rows, data):
    for row in rows:
        row["time"] = row["time"].replace(tzinfo=UTC, fold=0)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [pa.Table.from_pylist(part, PLAIN) for part in (rows[:cut], rows[cut:])]
    whole = pa.concat_tables([part.cast(FORECASTS) for part in parts])
    sink, epochs = one_sink()
    sql("TRUNCATE anything")
    assert isinstance(sink.write(next(epochs), whole), Committed)
    found = sql(f"SELECT {', '.join(PLAIN.names)} FROM anything")
    wanted = [bits(row[name] for name in PLAIN.names) for row in rows]
    assert sorted(map(str, map(bits, found))) == sorted(map(str, wanted))


def test_a_later_epoch_writes_over_rows_of_the_same_key():
    table = table_name()
    sink = opened(table)
    sink.write(0, epoch(0))
    newer = epoch(0).set_column(5, FORECASTS.field(5), pa.array(np.arange(40.0)))
    assert isinstance(sink.write(1, newer), Committed)
    assert forecasts(table).equals(newer.cast(PLAIN).sort_by(ORDER))


# Rows that the server rejects

LONG = "".join(random.Random(1).choices(string.ascii_letters, k=6000))


@pytest.mark.parametrize(
    ("name", "reason"), [("a\0b", "invalid byte sequence"), (LONG, "exceeds btree")]
)
def test_rejected_rows_are_named_and_the_rest_is_stored(name, reason):
    table = table_name()
    sink = opened(table)
    names = epoch(0)["sensor"].to_pylist()
    names[5] = names[39] = name
    offered = with_sensors(epoch(0), names)
    outcome = sink.write(0, offered)
    assert isinstance(outcome, Rejected)
    assert outcome.rows == [5, 39]
    assert all(reason in why for why in outcome.reasons)
    assert len(forecasts(table)) == 0
    rest = offered.filter(pa.array([i not in (5, 39) for i in range(40)]))
    assert isinstance(sink.write(0, rest), Committed)
    assert forecasts(table).equals(rest.cast(PLAIN).sort_by(ORDER))


@pytest.mark.parametrize("when", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_constraints_of_the_table_hold_also_between_rows(when):
    table = table_name()
    sink = opened(table)
    sql(f"ALTER TABLE {table} ADD CHECK (gap_age < 5), ADD UNIQUE (regressors) {when}")
    ages = epoch(0)["gap_age"].to_pylist()
    outcome = sink.write(0, epoch(0))
    assert isinstance(outcome, Rejected)
    there = set()
    for i, age in enumerate(ages):
        regressors = epoch(0)["regressors"][i].as_py()
        if age < 5 and (regressors is None or regressors not in there):
            there.add(regressors)
            assert i not in outcome.rows
        else:
            assert i in outcome.rows
    assert "gap_age" in outcome.reasons[outcome.rows.index(4)]


# What goes wrong


@pytest.mark.parametrize("code", ["40001", "40P01", "53100", "57014", "58030"])
def test_what_may_be_over_soon_is_tried_again(code):
    table = table_name()
    sink = opened(table)
    sql(
        f"CREATE FUNCTION {table}_fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE 'not now' USING ERRCODE = '{code}'; END $$"
    )
    sql(
        f"CREATE TRIGGER fails BEFORE INSERT ON {table} FOR EACH ROW "
        f"EXECUTE FUNCTION {table}_fails()"
    )
    assert sink.write(0, epoch(0)) == Retry("not now")
    sql(f"DROP TRIGGER fails ON {table}")
    assert isinstance(sink.write(0, epoch(0)), Committed)
    assert forecasts(table).equals(epoch(0).cast(PLAIN).sort_by(ORDER))


def test_a_commit_whose_answer_was_lost_is_found(monkeypatch):
    table = table_name()
    sink = opened(table)
    attempt = sink._transactions.attempt

    def unheard(work):
        assert isinstance(attempt(work), Committed)
        sink._transactions.close()
        return Retry("no answer")

    monkeypatch.setattr(sink._transactions, "attempt", unheard)
    assert isinstance(sink.write(0, epoch(0)), Retry)
    monkeypatch.undo()
    assert isinstance(sink.write(0, epoch(0)), AlreadyCommitted)


def test_a_connection_cut_anywhere_leaves_an_epoch_wholly_or_not_at_all(monkeypatch):
    monkeypatch.setattr(proxy, "FAULTS", ("none", "cut", "reset"))
    struck = []
    for seed in range(20):
        table = table_name()
        with proxy.Proxy(_server[0].port, seed, faults=0.8, within=5000) as between:
            sink = made(table)
            until(lambda sink=sink, port=between.port: _opens(sink, port))
            for e in range(3):
                until(lambda e=e, table=table, sink=sink: _stored(sink, table, e))
            sink.close()
        struck += between.struck
        assert forecasts(table).equals(whole(3))
    assert len(struck) > 20


def _opens(sink, port):
    through = sink.params.model_copy(update={"port": port})
    sink._transactions._params = through
    try:
        sink.open(JOB, "g")
    except SinkError:
        return False
    return True


def _stored(sink, table, e):
    outcome = sink.write(e, epoch(e))
    there = len(forecasts(table))
    assert there in (40 * e, 40 * (e + 1))
    if isinstance(outcome, Retry):
        return False
    assert there == 40 * (e + 1)
    return True


def whole(epochs):
    return pa.concat_tables([epoch(e) for e in range(epochs)]).cast(PLAIN).sort_by(ORDER)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_older_process_cannot_write_any_more():
    table = table_name()
    older, newer = opened(table), made(table)
    older.write(0, epoch(0))
    opening = threading.Thread(target=newer.open, args=(JOB, "g"))
    merge = older._merge

    def meanwhile(connection, rows):
        merge(connection, rows)
        opening.start()
        until(
            lambda: sql(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s",
                f'%"{table}_runs"%',
            )
        )

    older._merge = meanwhile
    assert isinstance(older.write(1, epoch(1)), Committed)
    opening.join()
    with pytest.raises(SinkError, match=r"another process has written .* for the job 'kit' since"):
        older.write(2, epoch(2))
    assert isinstance(newer.write(1, epoch(1)), AlreadyCommitted)
    assert isinstance(newer.write(2, epoch(2)), Committed)
    assert forecasts(table).equals(whole(3))


def test_another_run_of_the_job_begins_without_epochs_and_stops_the_older_one():
    table = table_name()
    older = opened(table, "one")
    older.write(0, epoch(0))
    newer = opened(table, "two")
    assert isinstance(newer.write(0, epoch(0)), Committed)
    with pytest.raises(SinkError, match="this one stops"):
        older.write(1, epoch(1))
    assert forecasts(table).equals(whole(1))


def test_an_error_says_what_to_do():
    sql("CREATE ROLE reader LOGIN PASSWORD 'some-secret'")
    with pytest.raises(SinkError, match="does not exist; make it: gapcast sink init CONFIG"):
        unopened(table=table_name()).open(JOB, "g")
    with pytest.raises(SinkError, match=r"schema .no. does not exist; make it: CREATE SCHEMA"):
        unopened(table="no.no").init()
    with pytest.raises(SinkError, match=r"needs SELECT, INSERT and UPDATE on t\d+ and t\d+_runs"):
        opened(user="reader", password="some-secret")
    with pytest.raises(SinkError, match="password authentication failed") as caught:
        opened(password="a-wrong-one")
    assert "a-wrong-one" not in str(caught.value)
    with pytest.raises(SinkError, match="Connection refused"):
        opened(port=1)
    sql("CREATE TABLE other (time timestamptz)")
    with pytest.raises(SinkError, match="must be as gapcast sink init makes them"):
        opened("other")
    table = table_name()
    sink = opened(table)
    sql(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    with pytest.raises(SinkError, match="must be as gapcast sink init makes them"):
        sink.write(0, epoch(0))


def test_rights_to_write_are_enough(tmp_path):
    table = table_name()
    made(table)
    sql("CREATE ROLE writer LOGIN PASSWORD 'some-secret'")
    sql(f"GRANT SELECT, INSERT, UPDATE ON {table}, {table}_runs TO writer")
    sink = unopened(table=table, user="writer", password="some-secret")
    assert sink.init() == [f"table {table} was there", f"table {table}_runs was there"]
    sink.open(JOB, "g")
    assert isinstance(sink.write(0, epoch(0)), Committed)


def test_an_epoch_is_durable_on_a_server_that_does_not_wait_for_its_log():
    sql("ALTER ROLE gapcast SET synchronous_commit = off")
    try:
        seen = []
        sink = opened()
        sink._transactions.attempt(
            lambda c: seen.extend(c.execute("SHOW synchronous_commit").fetchone()) or Committed()
        )
    finally:
        sql("ALTER ROLE gapcast RESET synchronous_commit")
    assert seen == ["on"]


# Commands and runs


def section(table, **changes):
    return {"type": "postgres", **_server[0].keys, "table": table, **changes}


def config(table, **changes):
    return {
        "name": "lab",
        "source": {"type": "replay", "path": str(SAMPLE), "format": "intel-lab"},
        "grid": {"interval": "30min"},
        "network": {"sensors": [1, 2, 3, 4, 5]},
        "targets": {"quantities": ["temperature"]},
        "models": {"rls": {"type": "rls"}, "ema": {"type": "ema"}},
        "sinks": {"files": {"type": "files"}, "db": section(table)},
        **changes,
    }


OFTEN = Bounds(epoch_seconds=0.0)


def in_files(folder):
    return pq.read_table(folder / "forecasts", partitioning=None).cast(PLAIN).sort_by(ORDER)


def test_the_command_makes_tables_once_and_says_so(tmp_path, monkeypatch):
    table, path = table_name(), tmp_path / "run.yaml"
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    keys = config(table)
    keys["sinks"]["db"]["password"] = "${DB_PASSWORD}"
    keys["sinks"]["letters"] = {**section(f"{table}_l"), "type": "postgres-dead-letters"}
    keys["sinks"]["letters"]["password"] = "${DB_PASSWORD}"
    path.write_text(json.dumps(keys))
    done = gapcast("sink", "init", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "files: nothing is needed",
        f"db: table {table} made",
        f"db: table {table}_runs made",
        f"letters: table {table}_l made",
    ]
    again = gapcast("sink", "init", path, "db")
    assert again.stdout.splitlines() == [
        f"db: table {table} was there", f"db: table {table}_runs was there",
    ]  # fmt: skip
    assert gapcast("check", path).returncode == 0
    wrong = gapcast("sink", "init", path, "dbb")
    assert wrong.returncode == 2
    assert "has no sink 'dbb'; did you mean 'db'?" in " ".join(wrong.stderr.split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table": "a b"}, "a table's name"),
        ({"table": 'x"; DROP TABLE y'}, "a table's name"),
        ({"ca": "/ca.pem"}, "tls: verify-full"),
    ],
)
def test_what_cannot_be_is_found_when_the_config_is_read(change, said):
    keys = config(table_name())
    keys["sinks"]["db"] |= change
    with pytest.raises(ConfigError, match=said):
        read_config(keys)


def test_dead_letters_of_a_run_go_to_a_table(tmp_path):
    table = table_name()
    keys = config(table_name(), limits={"temperature": {"max": 19}})
    keys["sinks"] = {
        "files": {"type": "files"},
        "letters": {**section(table), "type": "postgres-dead-letters"},
    }
    unopened(PostgresDeadLettersSink, table=table).init()
    run(read_config(keys), tmp_path / "r")
    left = pq.read_table(tmp_path / "r/dead_letters").select(DEAD_LETTERS.names).to_pylist()
    columns = ", ".join(f'"{name}"' for name in DEAD_LETTERS.names)
    found = [dict(zip(DEAD_LETTERS.names, row, strict=True)) for row in sql(
        f"SELECT {columns} FROM {table}"
    )]  # fmt: skip
    assert len(found) > 100
    assert sorted(found, key=str) == sorted(left, key=str)


def test_a_dead_letter_may_have_bytes_but_no_nul_in_a_name():
    table = table_name()
    sink = unopened(PostgresDeadLettersSink, table=table)
    sink.init()
    sink.open(JOB, "g")
    raw = [b"\0\xff", None, b""]
    letters = pa.Table.from_batches(
        [dead_letters("why", "p", [1, None, 3], sensor=["a", None, "x\0"], raw=raw)]
    )
    outcome = sink.write(0, letters)
    assert isinstance(outcome, Rejected)
    assert outcome.rows == [2]
    assert isinstance(sink.write(0, letters.slice(0, 2)), Committed)
    found = sql(f'SELECT "offset", sensor, raw FROM {table}')
    assert found == [(1, "a", b"\0\xff"), (None, None, None)]
    sink.close()


def test_a_run_outlives_a_killed_server(server, tmp_path, caplog):
    """Killed with all its processes while the fourth epoch waits for a lock of ours; in the end it
    has what the files have."""
    table = table_name()
    made(table)
    sql(
        f"CREATE FUNCTION {table}_waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$"
    )
    sql(
        f"CREATE TRIGGER waits BEFORE UPDATE ON {table}_runs FOR EACH ROW WHEN (NEW.epoch = 3) "
        f"EXECUTE FUNCTION {table}_waits()"
    )
    ours = server.connect()
    ours.execute("SELECT pg_advisory_lock(1)")
    ended: list[object] = []
    keys = config(table, backend={"type": "local", "batch": 200})
    job = partial(run, read_config(keys), tmp_path / "run", bounds=OFTEN)
    running = threading.Thread(target=lambda: ended.append(job()))
    running.start()
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wait(lambda: bool(sql(waiting)), 120, "the fourth epoch", [])
    server.kill(0)
    ours.close()
    try:
        wait(lambda: "asks to be tried again" in caplog.text, 60, "the sink to notice", [])
    finally:
        server.restart(0)
    running.join(180)
    assert ended
    assert forecasts(table).equals(in_files(tmp_path / "run"))


def test_the_config_that_ships_runs_with_what_libpq_finds_in_the_environment(
    server, tmp_path, monkeypatch
):
    monkeypatch.chdir(SAMPLE.parents[1])
    monkeypatch.setenv("PGUSER", "gapcast")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    ports = ["--set", f"sinks.db.port={server.port}", "--set", f"sinks.letters.port={server.port}"]
    path = "configs/to-postgres.yaml"
    assert gapcast("sink", "init", path, *ports).returncode == 0
    done = gapcast("run", path, *ports, "--run-dir", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stderr + (tmp_path / "r/manifest.json").read_text()
    counted = json.loads((tmp_path / "r/manifest.json").read_text())["forecasts"]
    assert sql("SELECT count(*) FROM forecasts") == [(counted,)]


RUN = """
import sys
from pathlib import Path
from gapcast import load_config, run
from gapcast.engine.run.bounds import Bounds
often = Bounds(epoch_seconds=0.0)
run(load_config(sys.argv[1]), Path(sys.argv[2]), resume=len(sys.argv) > 3, bounds=often)
"""


def test_a_killed_run_ends_with_each_forecast_once(tmp_path):
    table, path = table_name(), tmp_path / "run.yaml"
    made(table)
    keys = config(table, checkpoint={"interval": "1ms"}, backend={"type": "local", "batch": 200})
    path.write_text(json.dumps(keys))
    command = [sys.executable, "-c", RUN, path, tmp_path / "r"]
    process = subprocess.Popen(command)
    until(lambda: sql(f"SELECT epoch FROM {table}_runs WHERE epoch > 3"), 180)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(forecasts(table))
    assert subprocess.run([*command, "resume"]).returncode == 0
    assert before < len(forecasts(table))
    assert forecasts(table).equals(in_files(tmp_path / "r"))
