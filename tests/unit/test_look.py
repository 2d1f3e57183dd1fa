"""``gapcast check`` looks at the files of a source, with the code that reads them in a run."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import gapcast

from gapcast.plugins.sources.files import File


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(folder, source, quantities="temperature"):
    path = folder / "c.yaml"
    path.write_text(
        f"name: x\nsource: {{type: replay, {source}}}\ngrid: {{interval: 1h}}\n"
        f"targets: {{quantities: [{quantities}]}}\nmodels: {{last: {{type: persistence}}}}\n"
    )
    return path


def check(folder, source, *more, quantities="temperature"):
    return gapcast("check", config(folder, source, quantities), *more)


def facts(done):
    """What was understood, by what it is."""
    return dict(line.strip().split(None, 1) for line in done.stdout.splitlines()[1:])


LONG = "time,sensor,quantity,value\n2024-03-01T00:30:00Z,a,temperature,1.5\n"


def test_what_was_understood_is_said(folder):
    (folder / "a.csv").write_text(
        "Datum;Zeit;Temp;RH;Note\n01.03.2024;00:30;1,5;80;ok\n01.03.2024;01:30;---;81;ok\n"
    )
    done = check(
        folder,
        'path: a.csv, time: [Datum, Zeit], time_format: "%d.%m.%Y %H:%M", decimal: ",", '
        "timezone: Europe/Berlin, wide: {Temp: {sensor: roof, quantity: temperature}}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{folder}/c.yaml: valid; run 'x', models last\n"
        f"  files       {folder}/a.csv\n"
        "  format      csv, utf-8, delimiter ';', decimal ','\n"
        "  time        Datum Zeit, as %d.%m.%Y %H:%M; Europe/Berlin where it does not say its "
        "zone\n"
        "  columns     Datum, Zeit, Temp, RH, Note\n"
        "  values      Temp (temperature, of roof)\n"
        "  quantities  temperature\n"
        "  sensors     1 in the first lines: roof\n"
        "  first       2024-02-29 23:30:00 UTC, roof/temperature 1.5\n"
    )
    assert "a.csv: '---' is read as missing (source.missing)" in done.stderr


def test_the_sensor_may_be_in_the_path_or_in_a_column(folder):
    for name in "abc":
        (folder / f"{name}.csv").write_text("time,temperature\n2024-03-01,1\n")
    said = facts(check(folder, 'path: "{sensor}.csv"'))
    assert said["files"] == f"3, from {folder}/a.csv to {folder}/c.csv"
    assert said["sensors"] == "3 in the first lines: a, b, c"
    (folder / "l").mkdir()
    (folder / "l/x.csv").write_text(LONG)
    said = facts(check(folder, "path: l"))
    assert said["values"] == "value (quantity in quantity, sensor in sensor)"


def test_parquet_is_looked_at_too(folder):
    times = pa.array([0, 3600], pa.timestamp("s"))
    pq.write_table(pa.table({"time": times, "temperature": [1.0, 2.0]}), folder / "x.parquet")
    said = facts(check(folder, "path: x.parquet"))
    assert said["format"] == "parquet"
    assert said["columns"] == "time, temperature"
    assert said["first"] == "1970-01-01 00:00:00 UTC, temperature/temperature 1"


def test_so_is_a_format_without_columns(folder):
    (folder / "x").write_text("2004-03-01 00:00:00 1 7 20.5 40\n")
    said = facts(check(folder, "path: x, format: intel-lab"))
    assert said["format"] == "intel-lab, utf-8"
    assert said["sensors"] == "1 in the first lines: 7"


WIDE = "time,temperature\n2024-03-01,1\n"


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ({}, "path: '*.csv'", "*.csv: no such file; give a file, a folder or a glob"),
        ({"a.csv": LONG}, "path: a.csv, sensor: mote", "no column 'mote' (found: time, sensor"),
        ({"a.csv": LONG}, "path: a.csv, time: when", "no column 'when'"),
        (
            {"a.csv": LONG.replace("2024-03-01T00:30:00Z", "01.03.2024 00:30")}, "path: a.csv",
            "no reading can be used:\n  1 malformed time; the first: a.csv:2 '01.03.2024 00:30,a,",
        ),
        (
            {"a.csv": WIDE, "b.csv": WIDE}, "path: '*.csv'",
            "a.csv and {0}/b.csv have a column 'temperature', and neither says of which sensor",
        ),
        (
            {"a.csv": "time,temperature,temperature\n2024-03-01,1,2\n"}, "path: a.csv",
            "2 columns are called 'temperature'",
        ),
        ({"a.txt": LONG}, "path: a.txt", "the file name does not show the format"),
        (
            {"a.csv": LONG.replace("temperature", "temperatur")}, "path: a.csv",
            "targets.quantities: the source has no 'temperature'; did you mean 'temperatur'?, only",
        ),
        (
            {"a.csv": "t;temp\n2024-03-01;1,5\n"},
            'path: a.csv, time: t, decimal: ",", wide: [temp]',
            "targets.quantities: the source has no 'temperature', only temp",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_would_stop_a_run_stops_the_check_with_the_same_words(
    folder, files, source, message, command
):
    for name, text in files.items():
        (folder / name).write_text(text)
    done = gapcast(command, config(folder, source))
    assert done.returncode == 1
    assert message.replace("{0}", str(folder)) in done.stderr.replace("''", "'")
    assert "Traceback" not in done.stderr
    assert gapcast("check", config(folder, source), "--no-source").returncode == 0


def test_of_many_and_long_files_few_lines_are_read(folder, monkeypatch):
    row = "2024-03-01T00:30:00Z,a,temperature,1.5\n"
    for k in range(400):
        (folder / f"f{k}.csv").write_text(LONG)
    (folder / "f0.csv").write_text(LONG + row * 100_000)
    opened, read, kept = [], [], File.open

    class Counted:
        def __init__(self, raw):
            self.raw = raw

        def __getattr__(self, name):
            return getattr(self.raw, name)

        def __enter__(self):
            return self

        def __exit__(self, *why):
            self.raw.close()

        def readinto(self, buffer):
            read.append(self.raw.readinto(buffer))
            return read[-1]

    def counting(file):
        opened.append(file.path)
        return Counted(kept(file))

    monkeypatch.setattr(File, "open", counting)
    done = check(folder, "path: '*.csv'")
    assert done.returncode == 0, done.stderr
    assert "; 3 of them were looked into" in facts(done)["files"]
    assert len(set(opened)) == 3
    assert sum(read) < 1_000_000


def test_a_target_that_may_come_later_is_told_only(folder):
    row = "2024-03-01T00:30:00Z,a,humidity,50\n"
    (folder / "a.csv").write_text(LONG.splitlines()[0] + "\n" + row * 10_000 + LONG.split("\n")[1])
    said = facts(check(folder, "path: a.csv"))
    assert said["quantities"] == "humidity; not in the first lines: temperature"


def test_what_of_the_first_lines_cannot_be_read_is_told(folder):
    (folder / "a.csv").write_text(LONG + "yesterday,a,temperature,1\n")
    done = check(folder, "path: a.csv")
    assert done.returncode == 0
    assert "not used    1 of 2 readings (50.0%) were not used: 1 malformed time; the first: a." in (
        done.stdout
    )


def test_files_of_other_forms_are_told_apart(folder):
    (folder / "a.csv").write_text(LONG)
    (folder / "b.csv").write_bytes(LONG.replace(",a,", ",ä,").encode("latin-1"))
    said = facts(check(folder, "path: '*.csv'"))
    assert said["format"] == (
        "csv, utf-8, delimiter ',', decimal '.' | csv, cp1252, delimiter ',', decimal '.'"
    )
