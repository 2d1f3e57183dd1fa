"""Hadoop's file systems: what their drivers say, as errors of Python's."""

from __future__ import annotations

import errno
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from json import dumps
from urllib.parse import parse_qs, urlsplit

import pytest
from hdfs_native.fsspec import HdfsFileSystem

from gapcast.engine.storage import check_url, open_folder

ACCESS = (
    'RPCError("org.apache.hadoop.security.AccessControlException", "Permission denied: user=x, '
    r'inode=\"/runs\":root\n\tat org.apache.Hadoop.check(Hadoop.java:663)")'
)
"""hdfs-native writes line ends and quotes of what the name node says as escapes."""
SAFE = 'RPCError("org.apache.hadoop.ipc.RetriableException", "Name node is in safe mode.")'
OPERATIONS = {
    "ls": lambda folder: folder.names(),
    "mkdir": lambda folder: folder.put("x", lambda file: None),
    "_open": lambda folder: folder.read("x"),
    "rm": lambda folder: folder.remove("x"),
    "mv": lambda folder: folder.put("x", lambda file: file.write(b"1")),
    "close": lambda folder: folder.write("x", lambda file: file.write(b"1")),
}


class Opened:
    """A file open for writing; closing it raises `error`, if there is one."""

    def __init__(self, error=None):
        self._error = error

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        if self._error:
            raise self._error

    def write(self, content):
        return len(content)


def runs(monkeypatch, operation, error):
    """A folder whose driver fails at `operation`; it can make folders and open files otherwise."""

    def fails(*arguments, **more):
        raise error

    opened = Opened(error if operation == "close" else None)
    monkeypatch.setattr(HdfsFileSystem, "mkdir", lambda *arguments, **more: None)
    monkeypatch.setattr(HdfsFileSystem, "_open", lambda *arguments, **more: opened)
    if operation != "close":
        monkeypatch.setattr(HdfsFileSystem, operation, fails)
    return open_folder("hdfs://127.0.0.1:9/runs")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (
            RuntimeError(ACCESS),
            errno.EACCES,
            'AccessControlException: Permission denied: user=x, inode="/runs":root',
        ),
        (RuntimeError(SAFE), errno.EIO, "RetriableException: Name node is in safe mode."),
        (RuntimeError("BlocksNotFound(0)\n\tat length"), errno.EIO, "BlocksNotFound(0)"),
        (PermissionError("not you"), errno.EACCES, "not you"),
    ],
)
def test_what_the_name_node_says_is_one_line_with_its_code(
    monkeypatch, operation, raised, code, told
):
    folder = runs(monkeypatch, operation, raised)
    with pytest.raises(OSError, match=r".") as caught:
        OPERATIONS[operation](folder)
    assert (caught.value.errno, caught.value.strerror) == (code, told)
    assert caught.value.filename.startswith("hdfs://127.0.0.1:9/runs")


def test_a_file_takes_the_place_of_another_in_one_step(monkeypatch):
    moves = []
    folder = runs(monkeypatch, "ls", RuntimeError())
    monkeypatch.setattr(
        HdfsFileSystem, "mv", lambda self, *paths, **more: moves.append((paths, more))
    )
    folder.put("x", lambda file: file.write(b"1"))
    assert moves == [(("/runs/.x.tmp", "/runs/x"), {"overwrite": True})]


@pytest.mark.parametrize(
    ("protocol", "module", "missing"),
    [("hdfs", "native", "hdfs_native"), ("viewfs", "native", "hdfs_native"),
     ("webhdfs", "web", "requests")],
)  # fmt: skip
def test_without_its_driver_an_address_says_what_to_install(monkeypatch, protocol, module, missing):
    monkeypatch.delitem(sys.modules, f"gapcast.plugins.hdfs.{module}", raising=False)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.webhdfs", raising=False)
    for name in [missing, *(m for m in sys.modules if m.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"no driver for {protocol}://; .*{missing}.*") as caught:
        check_url(f"{protocol}://name-node:9000/runs")
    assert str(caught.value).endswith("; pip install 'gapcast[hdfs]'")


class Gateway(BaseHTTPRequestHandler):
    """WebHDFS of a name node and a data node in one: by operation, `answers` of its server."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        (op,) = parse_qs(urlsplit(self.path).query).get("op", ["DATA"])
        status, told = self.server.answers.get(op, (200, {"boolean": True}))
        body = dumps(told).encode()
        self.send_response(status)
        if status == 307:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/data")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer  # noqa: N815

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def gateway():
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.answers = {"CREATE": (307, {}), "APPEND": (307, {}), "GETFILESTATUS": MISSING}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def remote(exception, message):
    return {"RemoteException": {"exception": exception, "message": message}}


MISSING = (404, remote("FileNotFoundException", "no /runs/x"))


def through(gateway):
    return open_folder(f"webhdfs://127.0.0.1:{gateway.server_port}/runs")


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ((403, remote("AccessControlException", "Permission denied: user=x\n\tat Java")),
         errno.EACCES, "Permission denied: user=x"),
        ((403, remote("SafeModeException", "in safe mode.\nIt was turned on")),
         errno.EIO, "in safe mode."),
        ((400, remote("IllegalArgumentException", "Invalid value")), errno.EIO, "Invalid value"),
        (MISSING, errno.ENOENT, "no /runs/x"),
    ],
)  # fmt: skip
def test_what_the_gateway_says_is_one_line_with_its_code(gateway, answer, code, told):
    gateway.answers["GETFILESTATUS"] = answer
    with pytest.raises(OSError, match=r".") as caught:
        through(gateway).read("x")
    assert (caught.value.errno, caught.value.strerror) == (code, told)


@pytest.mark.parametrize("moved", [True, False])
def test_a_gateway_that_has_not_moved_a_file_says_so_in_its_answer_s_body_alone(gateway, moved):
    gateway.answers["RENAME"] = (200, {"boolean": moved})
    folder = through(gateway)
    if moved:
        folder.put("x", lambda file: file.write(b"1"))
        return
    with pytest.raises(OSError, match="could not be moved into its place") as caught:
        folder.put("x", lambda file: file.write(b"1"))
    assert caught.value.errno == errno.EIO
