"""What a run says of readings that it did not use."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from command import gapcast

CONFIG = """
name: strangers
source: {{type: replay, order: as-is, path: {folder}{more}}}
grid: {{interval: 30min}}
targets: {{sensors: all, quantities: [temperature]}}
models: {{p: {{type: persistence}}}}
sinks: {{files: {{type: files}}}}
screen: {{quantities: none}}
"""


def lines(days=4, sensors=("a",), wrong=lambda k, line: line):
    """A CSV of a reading of each sensor every half hour."""
    found = []
    for k in range(48 * days):
        for sensor in sensors:
            time = f"2024-03-{1 + k // 48:02}T{k // 2 % 24:02}:{30 * (k % 2):02}:00Z"
            found.append(wrong(k, f"{time},{sensor},temperature,{20 + k % 7}"))
    return "\n".join(["time,sensor,quantity,value", *found]) + "\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the config on files of these texts: (how it ended, its manifest)."""
    monkeypatch.setenv("COLUMNS", "200")

    def begun(*arguments, more="", **texts):
        (tmp_path / "data").mkdir()
        for name, text in texts.items():
            (tmp_path / "data" / f"{name}.csv").write_text(text)
        config = tmp_path / "run.yaml"
        config.write_text(CONFIG.format(folder=tmp_path / "data", more=more))
        done = gapcast("run", config, "--run-dir", tmp_path / "run", *arguments)
        manifest = tmp_path / "run" / "manifest.json"
        return done, json.loads(manifest.read_text()) if manifest.exists() else None

    return begun


def late(k, line):
    """Every tenth line is written with the time of the first."""
    return "2024-03-01T00:01:00Z" + line[20:] if k % 10 == 9 else line


def test_it_says_how_many_why_where_and_which_keys_help(run):
    done, manifest = run(x=lines(wrong=late))
    assert done.returncode == 0
    warning = done.stdout[done.stdout.index("warning: ") :].splitlines()
    assert warning[0] == "warning: 19 of 192 readings (9.9%) were not used:"
    assert warning[1].split("; ") == [
        "  19 late: its step had been closed",
        "the first: x.csv:11 a/temperature 2024-03-01 00:01:00 22",
        "see source.order, grid.lateness, grid.future",
    ]
    assert [(k["reason"], k["count"]) for k in manifest["unused"]] == [
        ("late: its step had been closed", 19)
    ]


def test_strict_makes_it_an_exit_code(run):
    done, manifest = run("--strict", x=lines(wrong=late))
    assert (done.returncode, manifest["state"]) == (3, "complete")


def test_a_percent_is_passed_over(run):
    done, _ = run("--strict", x=lines(wrong=lambda k, line: late(9, line) if k == 50 else line))
    assert done.returncode == 0
    assert "warning" not in done.stdout
    assert "1 late" in done.stdout


def test_a_source_of_which_nothing_can_be_read_is_told_before_the_run(run, tmp_path):
    done = run(more=", time_format: '%d.%m.%Y'", x=lines())[0]
    assert done.returncode == 1
    assert "192 malformed time; the first: x.csv:2 '2024-03-01T00:00:00Z,a,temp" in done.stderr
    assert "source.time_format" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_that_used_nothing_fails(run):
    text = lines().replace("2024-", "1984-")
    done, manifest = run(x=text)
    assert (done.returncode, manifest["state"]) == (1, "failed")
    assert "no reading was used" in done.stderr
    assert "192 time before grid.earliest; the first: x.csv:2 a/temperature 1984" in done.stderr


def test_names_reach_the_terminal_as_text_only(run):
    names = ("\x1b[31mred", "[/]", "line\u2028feed", "[bold]b")
    done, _ = run(x=lines(sensors=names, wrong=late))
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "\x1b" not in said
    assert "\u2028" not in said
    assert r"\x1b[31mred/temperature" in said


def test_every_kind_is_told_and_counted(run):
    def wrong(k, line):
        broken = {1: late(9, line), 2: line + "x", 3: "2024-03", 4: line}
        return broken.get(k % 6, line) + ("\n" + line if k % 6 == 4 else "")

    _, manifest = run(x=lines(wrong=wrong))
    counts = manifest["counts"]
    assert counts["read"] == sum(counts.values()) - counts["read"]
    assert sum(kind["count"] for kind in manifest["unused"]) == counts["read"] - counts["used"]
    assert {kind["reason"].split(":")[0] for kind in manifest["unused"]} == {
        "late", "malformed field", "malformed time", "duplicate",
    }  # fmt: skip


def test_a_logger_that_is_away_for_months_loses_and_invents_nothing(run, tmp_path):
    winter = lines(days=20).replace("2024-03-", "2024-11-").split("\n", 1)[1]
    done, manifest = run("--set", "grid.max_gap=2d", x=lines(days=20) + winter)
    assert done.returncode == 0, done.stderr
    assert manifest["counts"]["used"] == 2 * 20 * 48
    rows = pq.read_table(tmp_path / "run" / "forecasts")
    status = rows["status"].cast("string").to_pylist()
    assert status.count("observed") == 2 * 20 * 48 - 1
    assert status.count("missing") == 2 * 48


def rows_of(tmp_path):
    table = pq.read_table(tmp_path / "run" / "forecasts", columns=["time", "truth"])
    return {f"{r['time']:%d %H:%M}": r["truth"] for r in table.to_pylist()}


def test_sensors_that_report_on_the_half_hour_give_or_take(run, tmp_path):
    seconds = [1800 * k + 4 * (-1) ** k for k in range(2, 40)]
    text = "time,sensor,quantity,value\n" + "".join(
        f"{datetime.fromtimestamp(1709251200 + s, UTC):%Y-%m-%dT%H:%M:%SZ},a,temperature,{k}\n"
        for k, s in enumerate(seconds, 2)
    )
    done, manifest = run("--set", "grid.align=nearest", x=text)
    assert (done.returncode, manifest["counts"]["used"]) == (0, 38)
    rows = rows_of(tmp_path)
    assert rows == {f"01 {k // 2:02}:{30 * (k % 2):02}": float(k) for k in range(3, 40)}


def test_days_of_local_time(run, tmp_path):
    settings = ["grid.interval=1d", "grid.offset=1110min", "grid.aggregate=sum"]
    done, _ = run(
        *(part for s in settings for part in ("--set", s)),
        "--set", "source.timezone=Asia/Kolkata", x=lines(days=5).replace("Z,", ","),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path)
    assert sorted(rows) == [f"{day:02} 18:30" for day in range(1, 5)]  # days 2 to 5 in India
    day = [20 + k % 7 for k in range(48, 96)]
    assert rows["01 18:30"] == sum(day)


def test_a_quantity_mistyped_is_told_with_what_there_is(run):
    done, _ = run("--set", "targets.quantities=[temprature]", x=lines() + "oops,a,temperature,1\n")
    assert done.returncode == 1
    assert "has no 'temprature'; did you mean 'temperature'?, only temperature" in done.stderr


def test_files_without_lines_are_told(run):
    done, _ = run(x="time,sensor,quantity,value\n")
    assert done.returncode == 1
    assert "the source has no readings; see source.path" in done.stderr
