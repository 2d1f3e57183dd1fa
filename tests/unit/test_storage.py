"""Folders: the same promises on a local disk, on a filesystem with renames, on an object store."""

from __future__ import annotations

import sys

import pytest
from faulty import Died, Faulty
from fsspec.registry import _registry
from packages import install

from gapcast.engine.config import read_config
from gapcast.engine.errors import ConfigError, RunError
from gapcast.engine.storage import check_url, open_folder


@pytest.fixture(params=["local", "renames", "objects"])
def folder(request, tmp_path):
    Faulty.clear()
    places = {"local": tmp_path / "a/b", "renames": "faulty://a/b", "objects": "oci://a/b"}
    yield open_folder(places[request.param])
    Faulty.clear()


def holding(content):
    return lambda file: file.write(content)


def test_what_is_put_is_there_until_it_is_removed(folder):
    assert folder.names() == []
    with pytest.raises(FileNotFoundError):
        folder.read("x")
    folder.remove("x")
    folder.drop()
    folder.put("x", holding(b"1"))
    folder.put("empty", holding(b""))
    (folder / "below" / "deep").put("y", holding(b"2"))
    (folder / "below").write("z", holding(memoryview(b"345")[1:]))
    assert folder.names() == ["below", "empty", "x"]
    assert (folder / "below").names() == ["deep", "z"]
    assert [folder.read("x"), folder.read("empty")] == [b"1", b""]
    assert [(folder / "below/deep").read("y"), (folder / "below").read("z")] == [b"2", b"45"]
    folder.put("x", holding(b"another"))
    assert folder.read("x") == b"another"
    folder.remove("x", "never there")
    assert folder.names() == ["below", "empty"]
    (folder / "below").drop()
    assert folder.names() == ["empty"]
    folder.drop()
    assert folder.names() == []
    folder.put("x", holding(b"again"))
    assert folder.names() == ["x"]
    assert folder.url.endswith("a/b")


def test_a_file_whose_writing_fails_never_appears(folder):
    def fails(file):
        file.write(b"half of ")
        raise ValueError("the other half")

    folder.put("old", holding(b"old"))
    for name in ("old", "new"):
        with pytest.raises((ValueError, OSError), match="the other half"):
            folder.put(name, fails)
    assert [n for n in folder.names() if n[0] != "."] == ["old"]
    assert folder.read("old") == b"old"


@pytest.mark.parametrize("protocol", ["faulty", "oci"])
def test_killed_at_any_operation_a_file_is_whole_or_not_there(protocol):
    for moment in range(20):
        Faulty.clear()
        folder = open_folder(f"{protocol}://a")
        Faulty.begin(moment)
        try:
            folder.put("x", holding(b"whole"))
            break
        except Died:
            Faulty.begin()
            assert "x" not in folder.names() or folder.read("x") == b"whole"
    assert moment == {"faulty": 4, "oci": 1}[protocol]
    Faulty.clear()


def test_whatever_a_driver_raises_is_an_os_error(monkeypatch):
    def broken(*arguments, **more):
        raise RuntimeError("name node in safe mode\n\tat Java\n\tat length")

    Faulty.clear()
    folder = open_folder("faulty://a")
    for method in ("ls", "_open", "cat_file", "rm_file", "rm"):
        monkeypatch.setattr(Faulty, method, broken)
    for call in (
        folder.names, folder.drop, lambda: folder.put("x", holding(b"")),
        lambda: folder.read("x"), lambda: folder.remove("x"),
    ):  # fmt: skip
        with pytest.raises(OSError, match="RuntimeError: name node in safe mode") as caught:
            call()
        assert "faulty://a" in str(caught.value)
        assert "Java" not in str(caught.value)


def config(**checkpoint):
    return read_config(
        {
            "name": "test",
            "source": {"type": "doubles:Played", "script": "test"},
            "grid": {"interval": "30min"},
            "targets": {"quantities": ["temperature"]},
            "models": {"last": {"type": "persistence"}},
            "checkpoint": checkpoint,
        }
    )


@pytest.mark.parametrize(
    ("checkpoint", "missing", "message"),
    [
        ({"path": "s33://x/y"}, "", "no filesystem is known by 's33'; did you mean 's3'"),
        ({"path": "smb://h/y"}, "smbprotocol", "no driver for smb://; SMB requires "),
        ({"path": ""}, "", "must have at least 1 character"),
        ({"keep": 0}, "", "must be greater than or equal to 1"),
    ],
)
def test_a_path_that_cannot_work_is_rejected_with_what_to_do(
    monkeypatch, checkpoint, missing, message
):
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError) as caught:
        config(**checkpoint)
    (problem,) = caught.value.problems
    assert problem.key == f"checkpoint.{next(iter(checkpoint))}"
    assert message in problem.message


def test_local_paths_are_held_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config(path="states").checkpoint.path == str(tmp_path / "states")
    assert check_url("file:///a/b") == "/a/b"
    assert check_url("memory://x") == "memory://x"
    assert config().checkpoint.path is None
    assert open_folder("file:///a/b").url == open_folder("/a/b").url == "/a/b"


def test_a_filesystem_that_cannot_be_reached_is_one_line(monkeypatch):
    def rejects(self, **more):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(Faulty, "__init__", rejects)
    with pytest.raises(RunError, match=r"faulty://a cannot be opened: .*Connection refused"):
        open_folder("faulty://a")


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (OSError(13, "not you"), PermissionError, "not you"),
        (OSError("no answer\n\tat length"), OSError, "no answer"),
        (PermissionError("not you"), PermissionError, "not you"),
        (FileExistsError("a file"), FileExistsError, "a file"),
        (NotADirectoryError("a file"), NotADirectoryError, "a file"),
    ],
)
def test_what_kind_of_error_it_is_is_not_lost(monkeypatch, raised, kind, told):
    def rejects(*arguments, **more):
        raise raised

    Faulty.clear()
    monkeypatch.setattr(Faulty, "makedirs", rejects)
    with pytest.raises(kind) as caught:
        open_folder("faulty://a").put("x", holding(b"1"))
    assert type(caught.value) is kind
    assert caught.value.strerror == told


def test_a_file_is_replaced_in_one_step_where_the_filesystem_can(monkeypatch):
    def replace(self, path1, path2):
        self.step()
        self.store[path2] = self.store.pop(path1)

    monkeypatch.setattr(Faulty, "replace", replace, raising=False)
    for moment in range(20):
        Faulty.clear()
        folder = open_folder("faulty://a")
        folder.put("x", holding(b"old"))
        Faulty.begin(moment)
        try:
            folder.put("x", holding(b"new"))
            break
        except Died:
            Faulty.begin()
            assert folder.read("x") == b"old"
    assert moment == 3
    assert folder.read("x") == b"new"
    Faulty.clear()


@pytest.fixture
def drivers():
    """What fsspec knows, as it was before."""
    before = dict(_registry)
    yield
    _registry.clear()
    _registry.update(before)


def test_a_filesystem_that_a_package_announces_comes_before_fsspec_s(site, drivers):
    module = (
        "from fsspec.implementations.memory import MemoryFileSystem\n"
        "class Tape(MemoryFileSystem):\n"
        "    protocol = 'tape'\n"
        "    cachable = False\n"
        "    def cat_file(self, path, **more): raise OSError(5, 'the tape is torn')\n"
    )
    points = {"gapcast.filesystems": {"tape": "tapes:Tape", "ftp": "tapes:Tape"}}
    install(site, "tapes", "1.0", points, {"tapes": module})
    for url in ("tape://reel", "ftp://reel"):
        folder = open_folder(url)
        folder.put("x", holding(b"1"))
        assert folder.names() == ["x"]
        with pytest.raises(OSError, match="the tape is torn"):
            folder.read("x")
        folder.drop()
    with pytest.raises(ValueError, match="'tapee'; did you mean 'tape'"):
        check_url("tapee://reel")
