"""Fetching, against a real server on this machine that can misbehave."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from typer.testing import CliRunner

from gapcast.engine.cli.data import app
from gapcast.engine.data import fetch as fetching
from gapcast.engine.data.fetch import DataSet, fetch
from gapcast.engine.errors import DataError

TEXT = " ".join(map(str, np.random.default_rng(1).integers(0, 1 << 30, 60_000))).encode()
PACKED = gzip.compress(TEXT, mtime=0)


class Server(ThreadingHTTPServer):
    """Serves `body`; may cut an answer, ignore ranges, or answer with an error."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = PACKED
        self.cut = None
        self.ranges = True
        self.status = None
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/data.txt.gz"


class Handler(BaseHTTPRequestHandler):
    """Answers GET as its server says."""

    def log_message(self, *args):
        """Keep quiet."""

    def do_GET(self):
        """Send the body, or the rest of it that is asked for."""
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        body = self.server.body
        if self.server.status:
            self.send_error(self.server.status)
            return
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not self.server.ranges:
            first = 0
        elif first >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self.wfile.write(body[first : first + self.server.cut] if self.server.cut else body[first:])


@pytest.fixture
def server():
    """A server that runs for one test."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def data_set(server, text=TEXT):
    return DataSet("lab", server.url, "lab.txt", len(text), hashlib.sha256(text).hexdigest())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("body", [PACKED, TEXT], ids=["gzip", "plain"])
def test_a_file_is_fetched_unpacked_and_checked(tmp_path, server, body):
    server.body = body
    told = []
    path = fetch(data_set(server), tmp_path / "new", progress=told.append)
    assert path.read_bytes() == TEXT
    assert names(tmp_path / "new") == ["lab.txt"]
    assert told[-1] == 1.0


def test_a_file_already_there_is_checked_and_not_fetched(tmp_path, server):
    (tmp_path / "lab.txt").write_bytes(TEXT)
    assert fetch(data_set(server), tmp_path).read_bytes() == TEXT
    assert server.asked == []
    (tmp_path / "lab.txt").write_bytes(TEXT[:-1])
    with pytest.raises(DataError, match=r"lab\.txt: remove it and fetch again: it is not lab"):
        fetch(data_set(server), tmp_path)


def test_a_cut_connection_is_told_and_the_next_fetch_goes_on(tmp_path, server):
    server.cut = 100_000
    with pytest.raises(DataError, match=r"cut after 100,000 of [\d,]+ bytes; run the same command"):
        fetch(data_set(server), tmp_path)
    assert names(tmp_path) == ["lab.txt.part"]
    server.cut = 150_000
    with pytest.raises(DataError, match="cut after 250,000 of"):
        fetch(data_set(server), tmp_path)
    server.cut = None
    assert fetch(data_set(server), tmp_path).read_bytes() == TEXT
    assert server.asked == [None, "bytes=100000-", "bytes=250000-"]
    assert names(tmp_path) == ["lab.txt"]


def test_a_server_without_ranges_begins_again(tmp_path, server):
    (tmp_path / "lab.txt.part").write_bytes(PACKED[:5000])
    server.ranges = False
    assert fetch(data_set(server), tmp_path).read_bytes() == TEXT
    assert server.asked == ["bytes=5000-"]


def test_a_download_complete_but_not_unpacked_is_not_fetched_again(tmp_path, server):
    (tmp_path / "lab.txt.part").write_bytes(PACKED)
    assert fetch(data_set(server), tmp_path).read_bytes() == TEXT
    assert server.asked == [f"bytes={len(PACKED)}-"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(TEXT[:-1] + b"x", "SHA-256 .* was expected"), (TEXT + b"x", "bytes of text where"),
     (TEXT[:-1], "bytes of text where"), (b"<html>Sorry</html>", "18 bytes of text where")],
)  # fmt: skip
def test_what_is_not_the_data_set_is_rejected_and_removed(tmp_path, server, text, message):
    server.body = gzip.compress(text)
    with pytest.raises(DataError, match=f"not lab: .*{message}"):
        fetch(data_set(server), tmp_path)
    assert names(tmp_path) == []


def test_damaged_gzip_is_removed(tmp_path, server):
    server.body = PACKED[:1000] + b"\xff" * 100 + PACKED[1100:]
    with pytest.raises(DataError, match=r"damaged|not lab"):
        fetch(data_set(server), tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_unpacks_without_end_fills_no_disk(tmp_path, server):
    server.body = gzip.compress(b"0" * 200_000_000, 1)
    with pytest.raises(DataError, match="bytes of text where") as caught:
        fetch(data_set(server), tmp_path)
    (written,) = re.findall(r"([\d,]+) bytes", str(caught.value))
    assert int(written.replace(",", "")) < 2_000_000


@pytest.mark.parametrize("status", [404, 503])
def test_an_answer_that_is_an_error_is_told(tmp_path, server, status):
    server.status = status
    with pytest.raises(DataError, match=f"data.txt.gz: the server answers {status}"):
        fetch(data_set(server), tmp_path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://nowhere.invalid/x", "x"])
def test_no_network_is_one_clear_line(tmp_path, server, url):
    with pytest.raises(DataError, match=r"cannot be fetched: .*--url") as caught:
        fetch(data_set(server), tmp_path, url)
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, server):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: cannot be made"):
        fetch(data_set(server), tmp_path / "file")


def test_the_command_fetches_by_name(tmp_path, server, monkeypatch):
    monkeypatch.setitem(fetching.DATA_SETS, "lab", data_set(server))
    result = CliRunner().invoke(app, ["fetch", "lab", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "lab.txt: complete" in result.output
    result = CliRunner().invoke(app, ["fetch", "lib", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "did you mean 'lab'" in " ".join(result.output.split())


def test_the_real_data_set_is_the_documented_one():
    real = fetching.INTEL_LAB
    assert (real.size, real.sha256[:8]) == (150_910_946, "21d15688")
