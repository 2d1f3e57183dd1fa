"""The sink `opentsdb` against a double with OpenTSDB's real contract: no point is ever lost."""

from __future__ import annotations

import base64
import logging
import os
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import trustme
import tsd
import tsdrows
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from proxy import FAULTS, Proxy

from gapcast.engine.errors import SinkError
from gapcast.engine.output.dead_letters import DeadLetters
from gapcast.engine.output.delivery import SinkWriter
from gapcast.engine.progress import Progress
from gapcast.engine.sink import AlreadyCommitted, Committed, JobInfo, Rejected, Retry
from gapcast.engine.testing import sink as kit
from gapcast.engine.testing.sink import epoch
from gapcast.plugins.sinks.opentsdb import OpenTsdbSink

ROOT = Path(__file__).parents[2]
JOB = JobInfo("kit", None, 1_800_000_000, ("m",), 2, ("observed",))
POINTS = 40 + 3 * 26 + 40 + 3
"""Of `epoch(0)`: forecasts; truth, residual and squared error where known; statuses; figures."""


def opened(url, **params):
    sink = OpenTsdbSink(OpenTsdbSink.Params(url=url, **{"timeout": "10s", **params}))
    sink.open(JOB, "g")
    return sink


def write(sink, number=0, table=None, attempts=400):
    """Write as the engine does, without its pauses; the rows rejected and the reasons."""
    table = epoch(number) if table is None else table
    dead = {}
    for _ in range(attempts):
        left = pa.array([i for i in range(len(table)) if i not in dead], pa.int64())
        outcome = sink.write(number, table.take(left))
        if isinstance(outcome, Rejected):
            assert not dead, "rejected again"
            dead = dict(zip(outcome.rows, outcome.reasons, strict=True))
        elif not isinstance(outcome, Retry):
            assert isinstance(outcome, Committed)
            return dead
    raise AssertionError(f"not committed after {attempts} attempts")


def complete(server, table, dead=()):
    """Assert that all rows but those of `dead` are stored, each once, every value bit for bit."""
    wanted = {tsdrows.key(r): r for i, r in enumerate(tsdrows.expected(table)) if i not in dead}
    found = {tsdrows.key(r): r for r in tsdrows.rows(server.series)}
    assert {k: found.get(k) for k in wanted} == wanted
    assert len(found) <= len(table)


@pytest.fixture(scope="module", autouse=True)
def servers():
    """Doubles of the kit, one a folder; all end with the module."""
    yield _servers
    for server in _servers.values():
        server.__exit__()
    _servers.clear()


_servers: dict[object, tsd.Tsd] = {}


def on_double(folder):
    if folder not in _servers:
        _servers[folder] = tsd.Tsd().__enter__()
    return OpenTsdbSink(OpenTsdbSink.Params(url=_servers[folder].url, bytes=2048))


TestOpenTsdb = kit(
    on_double,
    lambda folder: tsdrows.table(tsdrows.rows(_servers[folder].series)),
    lacks=tsdrows.LACKS,
)


@settings(max_examples=50, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(
    moods=st.lists(st.sampled_from([m for m in tsd.MOODS if m != "slow"]), max_size=40),
    poison=st.sets(st.integers(0, 39), max_size=3),
    seed=st.integers(0, 1 << 30),
    compress=st.booleans(),
)
def test_whatever_is_answered_stored_and_dead_is_what_was_sent(moods, poison, seed, compress):
    bad = {epoch(0)["forecast"][i].as_py() for i in poison}

    def rejects(point):
        return "Invalid tag value" if float(point["value"]) in bad else None

    with tsd.Tsd(moods, rejects, seed) as server:
        sink = opened(server.url, bytes=2048, connections=2, gzip=compress)
        dead = write(sink)
        sink.close()
        assert poison <= dead.keys()
        assert dead.keys() == poison or {"unreadable", "unlisted"} & set(moods)
        complete(server, epoch(0), dead)
        assert sink.counts["rejected"] >= len(dead)


@settings(max_examples=10, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(seed=st.integers(0, 1 << 30), poison=st.integers(0, 39))
def test_late_answers_are_tried_again(seed, poison):
    bad = epoch(0)["forecast"][poison].as_py()
    rejects = lambda point: "no" if float(point["value"]) == bad else None  # noqa: E731
    with tsd.Tsd(["slow", "honest", "slow"], rejects, seed, late=0.3) as server:
        sink = opened(server.url, bytes=8000, connections=2, timeout="100ms")
        assert write(sink).keys() == {poison}
        sink.close()
        complete(server, epoch(0), [poison])


@pytest.mark.parametrize("over", ["413", "chunked", "close"])
def test_bodies_too_large_are_halved_until_they_pass(over, caplog):
    with tsd.Tsd(limit=2500, over=over) as server:
        sink = opened(server.url, gzip=False)
        assert write(sink) == {}
        complete(server, epoch(0))
        assert sink.counts["stored"] == POINTS
        if over != "close":
            rejected = [p for mood, p in server.puts if mood == "large"]
            assert len(rejected) <= 6, "the limit is learnt, not found again for each body"
            assert "raise tsd.http.request.max_chunk" in caplog.text
        sink.close()


def test_one_point_too_large_is_rejected():
    with tsd.Tsd(limit=10) as server:
        sink = opened(server.url)
        dead = write(sink, table=epoch(0, rows=4))
        assert dead.keys() == set(range(4))
        assert "413 Request Entity Too Large" in dead[0]
        sink.close()


def test_only_what_is_not_stored_is_sent_again():
    with tsd.Tsd(["storage"]) as server:
        sink = opened(server.url, connections=1)
        outcome = sink.write(0, epoch(0))
        assert isinstance(outcome, Retry)
        assert "points were not stored: " in outcome.reason
        assert "Storage exception: null" in outcome.reason
        assert isinstance(sink.write(0, epoch(0)), Committed)
        first, again = (number for _, number in server.puts[:2])
        assert 0 < again < first
        assert sink.counts["stored"] == POINTS
        assert isinstance(sink.write(0, epoch(0)), AlreadyCommitted)
        sink.close()


def test_rejected_rows_become_dead_letters_with_the_reason(tmp_path):
    table = epoch(0)
    bad = table["truth"][8].as_py()
    rejects = lambda point: "Invalid tag value" if float(point["value"]) == bad else None  # noqa: E731
    with tsd.Tsd(["busy"], rejects) as server:
        sink = opened(server.url)
        stopping = threading.Event()
        sinks = {"tsdb": sink}
        delivery = SinkWriter(sinks, DeadLetters(tmp_path, sinks, stopping), stopping)
        delivery.write(table)
        delivery.close()
        complete(server, table, [8])
    letters = pq.read_table(tmp_path).to_pylist()
    assert [(r["sensor"], r["time"]) for r in letters] == [
        (table["sensor"][8].as_py(), table["time"][8].as_py())
    ]
    assert letters[0]["reason"] == (
        "sink tsdb: OpenTSDB rejects temperature.truth: Invalid tag value"
    )


@pytest.mark.parametrize(("series", "rows"), [("truth", {8, 48}), ("forecast", {8})])
def test_rows_that_share_a_rejected_truth_are_all_dead_letters(series, rows):
    one = epoch(0)
    field = one.schema.field("model")
    other = one.set_column(3, field, pa.array(["n"] * 40).cast(field.type))
    both = pa.concat_tables([one, other.set_column(5, one.field(5), one["truth"].fill_null(1.25))])
    bad = one[series][8].as_py()

    def rejects(point):
        of = point["metric"] == f"temperature.{series}"
        return "Invalid tag value" if of and float(point["value"]) == bad else None

    with tsd.Tsd([], rejects) as server:
        sink = opened(server.url)
        assert write(sink, table=both).keys() == rows
        sink.close()
        complete(server, both, rows)


def test_killed_in_mid_epoch_a_new_process_stores_the_same():
    with tsd.Tsd(["honest", "busy"], seed=3) as server:
        dying = opened(server.url, bytes=2048, connections=1)
        assert isinstance(dying.write(0, epoch(0)), Retry)
        before = dict(server.stored)
        after = opened(server.url, bytes=2048)
        assert write(after) == {}
        complete(server, epoch(0))
        kept = {k: v for k, v in server.stored.items() if k in before and "gapcast" not in k[0]}
        assert kept == {k: v for k, v in before.items() if "gapcast" not in k[0]}
        for sink in (dying, after):
            sink.close()


def test_through_a_bad_network_every_point_arrives():
    struck = set()
    for seed in range(8):
        with tsd.Tsd() as server, Proxy(server.port, seed, faults=0.8, within=6000) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            sink = opened(url, bytes=2048, connections=2, timeout="150ms", gzip=False)
            for number in range(2):
                assert write(sink, number) == {}
            sink.close()
            complete(server, pa.concat_tables([epoch(e) for e in range(2)]))
            struck |= set(proxy.struck)
    assert struck == set(FAULTS[1:])


def test_a_server_that_is_down_at_the_start_is_waited_for(caplog):
    with tsd.Tsd() as server:
        port = server.port
    sink = opened(f"http://127.0.0.1:{port}")
    outcome = sink.write(0, epoch(0))
    assert outcome == Retry(f"http://127.0.0.1:{port} cannot be reached: Connection refused")
    sink.close()


def test_figures_of_the_run_come_with_its_epochs():
    with tsd.Tsd() as server:
        sink = OpenTsdbSink(OpenTsdbSink.Params(url=server.url))
        at = Progress(readings=1200, rate=7.5, lag=2.5, forecasts=40)
        sink.open(JobInfo("my run", None, 1_800_000_000, ("m",), 2, (), lambda: at), "g")
        sink.write(0, epoch(0))
        sink.write(1, epoch(1))
        sink.close()
        for name, value in {"rate": 7.5, "lag": 2.5, "readings": 1200, "rows": 40}.items():
            (only,) = server.series(f"gapcast.{name}").values()
            assert list(only.values()) == [value]


def test_a_grid_finer_than_milliseconds_is_rejected():
    sink = OpenTsdbSink(OpenTsdbSink.Params(url="http://127.0.0.1:1"))
    with pytest.raises(SinkError, match=r"stores milliseconds; grid.interval, 1500 µs, is finer"):
        sink.open(JobInfo("kit", None, 1500, ("m",), 2, ()), "g")


SECRET = "plantedSecret7"


@pytest.fixture
def quiet(caplog):
    """All that is logged; the planted secret must not be in it."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    for record in caplog.records:
        assert SECRET not in record.getMessage()
        assert "Z3Vlc3Q6cGxhbnRlZFNlY3JldDc" not in record.getMessage()


@pytest.mark.parametrize("wrong", [{}, {"user": "guest", "password": SECRET}])
def test_a_wrong_password_is_rejected_in_one_line(wrong, quiet):
    with (
        tsd.Tsd(token="Basic bWU6cmlnaHQ=") as server,
        pytest.raises(SinkError) as rejected,
    ):
        opened(server.url, **wrong)
    assert str(rejected.value) == (
        f"{server.url} answers 401 Unauthorized: check user and password, or headers"
    )


def test_the_right_password_or_header_is_let_in(quiet):
    with tsd.Tsd(token="Basic bWU6cmlnaHQ=") as server:
        for right in (
            {"user": "me", "password": "right"},
            {"headers": {"Authorization": "Basic bWU6cmlnaHQ="}},
        ):
            sink = opened(server.url, **right)
            assert write(sink) == {}
            sink.close()
        complete(server, epoch(0))


def test_a_password_changed_in_mid_run_stops_it(quiet):
    with tsd.Tsd(token="Basic bWU6cmlnaHQ=") as server:
        sink = opened(server.url, user="me", password="right")
        server.token = "Basic b3RoZXI="
        with pytest.raises(SinkError, match="401 Unauthorized: check user"):
            sink.write(0, epoch(0))
        sink.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority of our own, and the file that makes it trusted."""
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return ca, file


def served(ca, *names, **options):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **options).configure_cert(tls)
    return tsd.Tsd(tls=tls, token="Basic bWU6cmlnaHQ=")


LOGIN = {"user": "me", "password": "right"}


def test_over_tls_with_an_authority_of_ones_own(authority, quiet):
    ca, file = authority
    with served(ca, "localhost") as server:
        sink = opened(server.url, ca=file, **LOGIN)
        assert write(sink) == {}
        sink.close()
        complete(server, epoch(0))


PAST = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("names", "options", "trusted", "words"),
    [
        (["localhost"], {}, False, "unable to get local issuer certificate"),
        (["localhost"], {"not_after": PAST}, True, "certificate has expired"),
        (["elsewhere.example"], {}, True, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_does_not_hold_is_rejected_in_one_line(
    authority, names, options, trusted, words, quiet
):
    ca, file = authority
    with served(ca, *names, **options) as server, pytest.raises(SinkError) as rejected:
        opened(server.url, **LOGIN, **({"ca": file} if trusted else {}))
    said = str(rejected.value)
    assert said.startswith(f"{server.url}: its certificate is rejected: ")
    assert words in said
    assert "\n" not in said


def test_tls_spoken_to_a_plain_server_is_rejected(quiet):
    with tsd.Tsd() as server, pytest.raises(SinkError, match="does not speak TLS"):
        opened(server.url.replace("http:", "https:"))


def test_a_file_that_holds_no_authority_is_rejected(tmp_path, quiet):
    file = tmp_path / "ca.pem"
    for content in (None, "no certificate\n"):
        if content:
            file.write_text(content)
        with pytest.raises(SinkError, match=r"ca: .*cannot be read"):
            opened("https://localhost:1", ca=file)


def test_a_header_that_cannot_be_sent_is_not_shown(quiet):
    with tsd.Tsd() as server, pytest.raises(SinkError, match="not sent: InvalidHeader") as rejected:
        opened(server.url, headers={"Authorization": f"{SECRET}\nx"})
    assert SECRET not in str(rejected.value)


CONFIG = """
name: planted
source: {type: replay, path: data/intel-lab-3days.txt.gz, format: intel-lab}
grid: {interval: 6h}
targets: {sensors: [1, 2], quantities: [temperature]}
models: {last: {type: persistence}}
sinks:
  tsdb: {type: opentsdb, url: %s, user: me, password: "${PLANTED}"}
"""


@pytest.mark.parametrize("right", [False, True])
def test_a_password_is_in_nothing_that_a_run_leaves(right, tmp_path):
    token = base64.b64encode(f"me:{SECRET}".encode()).decode()
    with tsd.Tsd(token=f"Basic {token if right else 'b3RoZXI='}") as server:
        (tmp_path / "run.yaml").write_text(CONFIG % server.url)
        done = subprocess.run(
            [sys.executable, "-c", "from gapcast.engine.cli import main; main()", "run",
             str(tmp_path / "run.yaml"),
             "--run-dir", str(tmp_path / "run")],
            env={**os.environ, "PLANTED": SECRET}, cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode == 0) == right, done.stderr
        assert bool(server.stored) == right
        if not right:
            (line,) = [x for x in done.stderr.splitlines() if "401" in x]
            assert "check user and password, or headers" in line
            assert "Traceback" not in done.stderr
    left = [p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert b"${PLANTED}" in (tmp_path / "run/manifest.json").read_bytes()
    for text in (*left, done.stdout.encode(), done.stderr.encode()):
        assert SECRET.encode() not in text
        assert token.encode() not in text


def test_a_password_written_into_the_config_itself_is_not_shown():
    params = OpenTsdbSink.Params(url="http://tsd", user="me", password=SECRET)
    assert SECRET not in repr(params)
    assert SECRET not in params.model_dump_json()
