"""The sink `influx` on a real InfluxDB 1, read back by its queries, and on a double of other
servers."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import proxy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import gapcast
from lineprotocol import parse
from services.influx import Influx

from gapcast import read_config, run
from gapcast.engine.errors import SinkError
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.sink import FORECASTS, Committed, JobInfo, Rejected, Retry
from gapcast.engine.testing import sink as kit
from gapcast.engine.testing.sink import KEY, epoch
from gapcast.plugins.sinks.influx import InfluxSink

SAMPLE = Path(__file__).parents[2] / "data/intel-lab-3days.txt.gz"
JOB = JobInfo("kit", Path(), 1_800_000_000, ("m",), 2, ("observed",))
PLAIN = pa.schema(
    [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in FORECASTS]
)
ORDER = [(k, "ascending") for k in KEY]

_server: list[Influx] = []
_databases: dict[Path, str] = {}
_numbers = count()


@pytest.fixture(scope="module", autouse=True)
def server(installed, tmp_path_factory):
    with ExitStack() as stack:
        influx = Influx(tmp_path_factory.mktemp("influx"))
        _server[:] = [installed(partial(stack.enter_context, influx))]
        yield influx


def new_database():
    name = f"d{next(_numbers)}"
    _server[0].query(f"CREATE DATABASE {name}")
    return name


def database_of(folder):
    """Each folder of the kit has a database of its own."""
    if folder not in _databases:
        _databases[folder] = new_database()
    return _databases[folder]


def unopened(database, **keys):
    return InfluxSink(InfluxSink.Params(url=_server[0].url, database=database, **keys))


def opened(database, **keys):
    sink = unopened(database, **keys)
    sink.open(JOB, "g")
    return sink


def forecasts(database):
    """All points, in the order of their keys."""
    rows = []
    for series in _server[0].query("SELECT * FROM forecasts", database):
        for values in series["values"]:
            row = dict(zip(series["columns"], values, strict=True))
            row["horizon"] = int(row["horizon"])
            rows.append({name: row.get(name) for name in PLAIN.names})
    columns = {name: [row[name] for row in rows] for name in PLAIN.names}
    arrays = [pa.array(columns[f.name], _number(f.type)).cast(f.type) for f in PLAIN]
    return pa.table(arrays, schema=PLAIN).sort_by(ORDER)


def _number(kind):
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def plain(table):
    return table.cast(PLAIN).sort_by(ORDER)


def changed(table, column, values):
    place = table.schema.get_field_index(column)
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(values).cast(field.type))


TestInflux = kit(
    lambda folder: unopened(database_of(folder)), lambda folder: forecasts(database_of(folder))
)


@pytest.mark.parametrize("name", ["mote 1", "a,b=c d", "Ωmega/ä", '"quoted"', "it's", "#1"])
def test_any_usual_name_is_kept(name):
    database = new_database()
    table = changed(epoch(0), "sensor", [name if i % 2 else "1" for i in range(40)])
    assert isinstance(opened(database).write(0, table), Committed)
    assert forecasts(database).equals(plain(table))


def test_points_that_the_server_rejects_are_told_from_those_it_stores():
    """Some by their time, one by the length of its name, one by us."""
    database = new_database()
    moments = epoch(0)["time"].cast(pa.int64()).to_pylist()
    moments[5] = moments[31] = 2**63 // 1000 + 7
    names = epoch(0)["sensor"].to_pylist()
    names[17], names[20] = "x" * 70_000, "a\\b"
    table = changed(changed(epoch(0), "time", moments), "sensor", names)
    sink = opened(database)
    outcome = sink.write(0, table)
    assert isinstance(outcome, Rejected)
    assert outcome.rows == [5, 17, 20, 31]
    said = ["time outside range", "max key length exceeded", "sensor: 'a", "time outside range"]
    assert all(a in b for a, b in zip(said, outcome.reasons, strict=True))
    rest = table.filter(pa.array([i not in outcome.rows for i in range(40)]))
    assert isinstance(sink.write(0, rest), Committed)
    assert forecasts(database).equals(plain(rest))


def test_no_point_is_lost_where_connections_break(monkeypatch):
    monkeypatch.setattr(proxy, "FAULTS", ("none", "delay", "cut", "reset"))
    struck = []
    for seed in range(10):
        database = new_database()
        with proxy.Proxy(_server[0].port, seed, faults=0.7, within=2000) as between:
            url = f"http://127.0.0.1:{between.port}"
            sink = InfluxSink(InfluxSink.Params(url=url, database=database, bytes=2048))
            sink.open(JOB, "g")
            for e in range(3):
                outcomes = [sink.write(e, epoch(e))]
                while isinstance(outcomes[-1], Retry) and len(outcomes) < 200:
                    outcomes.append(sink.write(e, epoch(e)))
                assert isinstance(outcomes[-1], Committed)
            sink.close()
        struck += between.struck
        whole = pa.concat_tables([epoch(e) for e in range(3)])
        assert forecasts(database).equals(plain(whole))
    assert len(struck) > 10


def test_a_field_of_another_type_rejects_all_rows_at_once():
    database = new_database()
    sink = opened(database)
    first = epoch(0)["time"].cast(pa.int64())[0].as_py() * 1000
    _write(database, f"forecasts,sensor=0 status=1 {first}")
    posts = []
    call = sink._connections._call
    sink._connections._call = lambda *a: posts.append(a) or call(*a)
    outcome = sink.write(0, epoch(0).slice(0, 10))
    assert isinstance(outcome, Rejected)
    assert outcome.rows == list(range(10))
    assert "field type conflict" in outcome.reasons[0]
    assert len(posts) < 20


def _write(database, line):
    import urllib.request

    url = f"{_server[0].url}/write?db={database}"
    urllib.request.urlopen(urllib.request.Request(url, line.encode()), timeout=30).close()


def test_bodies_over_the_limit_are_halved():
    database = new_database()
    table = epoch(0, rows=3000)
    sink = opened(database, gzip=False)
    assert isinstance(sink.write(0, table), Committed)
    assert forecasts(database).equals(plain(table))


def test_an_error_says_what_to_do():
    with pytest.raises(SinkError, match=r"404: database not found: .no. ?; make the database"):
        opened("no")


def config(database, **changes):
    return {
        "name": "lab",
        "source": {"type": "replay", "path": str(SAMPLE), "format": "intel-lab"},
        "grid": {"interval": "30min"},
        "network": {"sensors": [1, 2, 3, 4, 5]},
        "targets": {"quantities": ["temperature"]},
        "models": {"rls": {"type": "rls"}, "ema": {"type": "ema"}},
        "sinks": {
            "files": {"type": "files"},
            "influx": {"type": "influx", "url": _server[0].url, "database": database},
        },
        "backend": {"type": "local", "batch": 200},
        **changes,
    }


def in_files(folder):
    return plain(pq.read_table(folder / "forecasts", partitioning=None))


def test_a_run_outlives_a_killed_server(server, tmp_path, monkeypatch):
    """Killed before the fourth epoch; in the end it has what the files have, bit for bit."""
    database, outcomes = new_database(), []
    write = InfluxSink.write

    def watched(sink, number, table):
        if number == 3 and not outcomes:
            server.kill(0)
            outcomes.append(write(sink, number, table))
            server.restart(0)
            return outcomes[0]
        return write(sink, number, table)

    monkeypatch.setattr(InfluxSink, "write", watched)
    often = Bounds(epoch_seconds=0.0)
    run(read_config(config(database)), tmp_path / "run", bounds=often)
    assert isinstance(outcomes[0], Retry)
    assert forecasts(database).equals(in_files(tmp_path / "run"))


def test_the_config_that_ships_runs(server, tmp_path, monkeypatch):
    monkeypatch.chdir(SAMPLE.parents[1])
    monkeypatch.setenv("INFLUX", server.url)
    server.query("CREATE DATABASE gapcast")
    done = gapcast("run", "configs/to-influx.yaml", "--run-dir", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    counted = json.loads((tmp_path / "r/manifest.json").read_text())["forecasts"]
    (found,) = server.query("SELECT count(forecast) FROM forecasts", "gapcast")
    assert found["values"][0][1] == counted


RUN = """
import sys
from pathlib import Path
from gapcast import load_config, run
from gapcast.engine.run.bounds import Bounds
often = Bounds(epoch_seconds=0.0)
run(load_config(sys.argv[1]), Path(sys.argv[2]), resume=len(sys.argv) > 3, bounds=often)
"""


def test_a_killed_run_ends_with_each_forecast_once(tmp_path):
    database, path = new_database(), tmp_path / "run.yaml"
    path.write_text(json.dumps(config(database, checkpoint={"interval": "1ms"})))
    command = [sys.executable, "-c", RUN, path, tmp_path / "r"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while len(forecasts(database)) < 40:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(forecasts(database))
    assert subprocess.run([*command, "resume"]).returncode == 0
    assert before < len(forecasts(database))
    assert forecasts(database).equals(in_files(tmp_path / "r"))


# Other servers, as a double


@contextmanager
def double(answer):
    """A server that answers each post as `answer(lines)` says, by status and text; its url, and
    the path, headers and lines of each post so far."""
    posts = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            text = body.decode()
            posts.append((self.path, dict(self.headers), text))
            status, said = answer(parse(text)) if text else (204, "")
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        serving = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", posts
        finally:
            httpd.shutdown()
            serving.join()


def on_bucket(url, **keys):
    keys = {"org": "lab", "bucket": "rooms 1", "token": "some-secret", **keys}
    sink = InfluxSink(InfluxSink.Params(url=url, **keys))
    sink.open(JOB, "g")
    return sink


def test_version_2_is_written_as_its_api_has_it():
    with double(lambda points: (204, "")) as (url, posts):
        sink = on_bucket(url)
        assert isinstance(sink.write(0, epoch(0)), Committed)
        sink.close()
    path, headers, text = posts[-1]
    assert path == "/api/v2/write?org=lab&bucket=rooms+1&precision=us"
    assert headers["Authorization"] == "Token some-secret"
    assert len(parse(text)) == 40


def test_rows_are_found_by_halves_where_the_answer_does_not_name_them():
    bad = [3, 4, 30]

    def answer(points):
        at = {wanted[i]["time"] for i in bad}
        if any((p.time, p.tags["sensor"]) in at for p in points):
            return 400, json.dumps({"code": "invalid", "message": "no such thing"})
        return 204, ""

    times = epoch(0)["time"].cast(pa.int64()).to_pylist()
    wanted = {i: {"time": (times[i], epoch(0)["sensor"][i].as_py())} for i in range(40)}
    with double(answer) as (url, _):
        sink = on_bucket(url)
        outcome = sink.write(0, epoch(0))
        sink.close()
    assert outcome == Rejected(bad, ["InfluxDB rejects it: no such thing"] * 3)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_busy_server_is_asked_again_for_what_it_has_not_confirmed(status):
    answers = iter([(204, ""), (status, "busy")])
    with double(lambda points: next(answers, (204, ""))) as (url, posts):
        sink = on_bucket(url, bytes=2048)
        outcome = sink.write(0, epoch(0))
        assert isinstance(outcome, Retry)
        assert f"{status}" in outcome.reason
        assert outcome.reason.endswith("busy")
        assert isinstance(sink.write(0, epoch(0)), Committed)
        sink.close()
    sent = [text for _, _, text in posts if text]
    assert sent[1] == sent[2]
    assert len(parse("".join(sent[:1] + sent[2:]))) == 40


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "check user and password, or token"),
        (403, "right to write"),
        (404, "bucket not found; make the database or bucket first"),
        (307, "redirects elsewhere"),
    ],
)
def test_what_repetition_does_not_mend_ends_the_run(status, said):
    with double(lambda points: (status, '{"message": "bucket not found"}')) as (url, _):
        sink = on_bucket(url)
        with pytest.raises(SinkError, match=said) as caught:
            sink.write(0, epoch(0))
        sink.close()
    assert "some-secret" not in str(caught.value)


def test_a_body_too_large_is_halved_and_so_are_those_after_it():
    limit = 15

    def answer(points):
        return (413, "") if len(points) > limit else (204, "")

    with double(answer) as (url, posts):
        sink = on_bucket(url)
        assert isinstance(sink.write(0, epoch(0)), Committed)
        before = len(posts)
        assert isinstance(sink.write(1, epoch(1)), Committed)
        sink.close()
    assert all(len(parse(text)) <= limit for _, _, text in posts[before:])
