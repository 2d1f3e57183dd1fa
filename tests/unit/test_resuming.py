"""A run is resumed with another config: what may change, and what is said where it may not."""

from __future__ import annotations

import pytest

from gapcast import read_config, run
from gapcast.engine.errors import RunError, SourceError
from gapcast.plugins.sources.replay import ReplaySource

HEADER = "time,sensor,quantity,value\n"


def rows(first, last):
    return "".join(
        f"2024-03-{1 + k // 24:02}T{k % 24:02}:00:00Z,a,temperature,{k}\n"
        for k in range(first, last)
    )


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(HEADER + rows(0, 40))
    return file


def config(path, source=None, **more):
    return read_config(
        {
            "name": "x",
            "source": {"type": "replay", "path": str(path), **(source or {})},
            "grid": {"interval": "1h"},
            "targets": {"quantities": ["temperature"]},
            "models": {"last": {"type": "persistence"}},
            **more,
        }
    )


def grow(path):
    with path.open("a") as file:
        file.write(rows(40, 50))


@pytest.mark.parametrize(
    "changed",
    [
        {"source": {"speed": "1000000x"}},
        {"limits": {"temperature": {"max": 1000}}},
        {"backend": {"type": "local", "threads": 1}},
        {"checkpoint": {"interval": "1h"}},
        {"grid": {"interval": "1h", "lateness": "3h", "max_gap": "9d"}},
        {"models": {"last": {"type": "ema"}}},
    ],
)
def test_what_changes_no_position_may_change(path, tmp_path, changed):
    run(config(path), tmp_path / "r")
    grow(path)
    result = run(config(path, **changed), tmp_path / "r", resume=True)
    assert (result.complete, result.counts.used) == (True, 50)


def test_limits_count_from_then_on(path, tmp_path):
    run(config(path), tmp_path / "r")
    grow(path)
    strict = config(path, limits={"temperature": {"max": 44}})
    assert run(strict, tmp_path / "r", resume=True).counts.rejected == 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": {"skip": 1}}, r"r was started with another source\.skip \(0, now 1\): cannot"),
        ({"grid": {"interval": "30min"}}, r"another grid\.interval \(1h, now 30min\): cannot be"),
        (
            {"targets": {"quantities": ["temperature"], "sensors": ["a"]}},
            r"targets\.sensors \(all, now",
        ),
        ({"source": {"timezone": "Europe/Paris"}}, r"timezone \(UTC, now Europe/Paris\): cannot"),
        ({"network": {"sensors": ["a", "b"]}}, r'network\.sensors \(not given, now \["a", "b"\]\)'),
    ],
)
def test_what_may_not_change_is_named_with_both_values(path, tmp_path, changed, message):
    run(config(path), tmp_path / "r")
    grow(path)
    with pytest.raises(RunError, match=message):
        run(config(path, **changed), tmp_path / "r", resume=True)


def test_a_list_of_many_differences_is_bounded(path, tmp_path):
    run(config(path), tmp_path / "r")
    other = config(path, {"columns": ["t", "v" * 200], "skip": 1, "comment": "#", "decimal": ",",
                          "time": "t", "sensor": "s"})  # fmt: skip
    with pytest.raises(RunError, match="and 1 other keys: cannot be resumed so; set it back") as e:
        run(other, tmp_path / "r", resume=True)
    assert len(str(e.value)) < 600


# --- files that are followed from then on -----------------------------------------------------


def position_at_the_end(path, **params):
    source = ReplaySource(ReplaySource.Params(path=str(path), **params))
    source.open(None)
    read = source.read("a.csv", None, 1000)
    while not read.ended:
        read = source.read("a.csv", read.position, 1000)
    return read.position


def followed(path):
    source = ReplaySource(ReplaySource.Params(path=str(path), follow=True))
    source.open(None)
    return source


def test_a_file_that_was_read_to_its_end_may_be_followed(path):
    path.write_text(HEADER + rows(0, 39) + "2024-03-02T15:00:00Z,a,temperature,1")
    position = position_at_the_end(path)
    source = followed(path)
    (change,) = source.changed({"a.csv": position})
    assert (change.partition, change.more) == ("a.csv", True)
    told = []
    for text, lines in (
        ("", []), ("5", []), (".85\n", []), (rows(40, 41)[:-3], []),
        (rows(40, 41)[-3:] + rows(41, 42), [42, 43]),
    ):  # fmt: skip
        with path.open("a") as file:
            file.write(text)
        found = []
        for _ in range(3):
            read = source.read("a.csv", position, 100)
            position = read.position
            found += read.readings["offset"].to_pylist()
            told += [(d["offset"], d["raw"]) for d in read.dead_letters.to_pylist()]
            assert not read.ended
        assert found == lines
    assert told == [(41, b"5.85")]


def test_one_that_was_sorted_may_not(path):
    path.write_text(HEADER + rows(20, 40) + rows(0, 20))
    position = position_at_the_end(path)
    with pytest.raises(SourceError, match=r"has been sorted .* resume without source\.follow, or"):
        followed(path).read("a.csv", position, 100)
