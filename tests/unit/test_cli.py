"""The command line as a user meets it: its exit code, its two streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from command import gapcast
from packages import ACME, install, install_acme

from gapcast.engine._version import VERSION

MAIN = "import sys; sys.argv[0] = 'gapcast'; from gapcast.engine.cli import main; main()"
RIGHT = """\
name: x
source: {type: http, url: u, token: '${GAPCAST_TOKEN}'}
grid: {interval: 30min}
targets: {quantities: [temperature]}
models: {one: {type: level}, two: {type: level}}
"""
SAID = "c.yaml: valid; run 'x', models one, two\n"


@pytest.fixture
def folder(tmp_path, site, monkeypatch):
    """A working folder with a right config, in a world with acme-plugins."""
    install_acme(site)
    (tmp_path / "c.yaml").write_text(RIGHT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAPCAST_TOKEN", "s3cr3t-t0ken")
    return tmp_path


@pytest.fixture
def process(folder, site):
    """Runs gapcast in a process of its own."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", MAIN, *arguments],
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )

    return run


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys; sys.argv = ['gapcast', '--help'];\n"
        "from gapcast.engine.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'numpy', 'pyarrow', 'pydantic', 'yaml', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    for command in ("run", "check", "plugins", "data", "doctor"):
        assert f"\n  {command} " in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_a_process_ends_with_the_code_and_has_nothing_else_on_its_streams(process):
    done = process("check", "c.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, SAID, "")
    done = process("check", "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nowhere.yaml  cannot be read: No such file or directory\n"


def test_no_argument_shows_the_help():
    done = gapcast()
    assert done.returncode == 2
    assert "Usage: gapcast" in done.stdout + done.stderr


def test_version():
    done = gapcast("--version")
    assert (done.returncode, done.stdout) == (0, f"gapcast {VERSION}\n")


@pytest.mark.parametrize("command", ["check", "plugins", "doctor", "run"])
def test_help_of_a_command_is_the_command_s_own(command):
    done = gapcast(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: gapcast {command} " in done.stdout
    assert ("--set" in done.stdout) == (command in ("check", "run"))


def test_an_unknown_command_names_the_nearest():
    done = gapcast("chekc")
    assert done.returncode == 2
    assert "No such command 'chekc'; did you mean 'check'?" in done.stderr


def test_a_command_that_was_shorter_once_names_the_one_of_today():
    done = gapcast("dead", "list", "runs/a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'dead'; did you mean 'dead-letters'?" in done.stderr


def test_check_of_a_right_config(folder):
    done = gapcast("check", "c.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SAID


def test_check_of_a_wrong_config_is_one_line_a_mistake_and_exit_code_2(folder):
    done = gapcast("check", "c.yaml", "--set", "grid.latenes=0s", "--set", "name=a b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--set grid.latenes  grid.latenes: unknown key; did you mean 'lateness'?\n"
        "--set name  name: must be a name of letters, digits, - and _, got 'a b'\n"
    )


def test_run_of_a_wrong_config_says_the_same(folder):
    done = gapcast("run", "c.yaml", "--set", "grid.interval=5")
    assert done.returncode == 2
    assert done.stderr.startswith("--set grid.interval  grid.interval: must be a duration")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_sink_that_promises_less_than_is_required_is_told_before_anything_starts(folder, command):
    text = RIGHT + "sinks:\n  shown:\n    type: console\n    require: transactional\n"
    (folder / "c.yaml").write_text(text)
    done = gapcast(command, "c.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "c.yaml:9:5  sinks.shown.require: console promises only at-least-once, expected "
        "transactional: choose another sink, or require less\n"
    )
    assert not (folder / "runs").exists()
    assert gapcast("check", "c.yaml", "--set", "sinks.shown.require=at-least-once").returncode == 0


def test_check_of_nothing_says_what_it_wants():
    done = gapcast("check")
    assert done.returncode == 2
    assert "name a config, or ask for --schema" in done.stderr


def test_check_schema_prints_a_schema_with_what_is_installed(folder):
    done = gapcast("check", "--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert "http" in schema["$defs"]["Source"]["properties"]["type"]["anyOf"][0]["enum"]


def test_plugins_list_shows_the_broken_among_the_others(folder, site):
    install(
        site,
        "crumbling",
        "9.9",
        {"gapcast.sinks": {"crumb": "crumbs:X"}},
        {"crumbs": "1/0"},
    )
    done = gapcast("plugins", "list")
    assert done.returncode == 0
    lines = {tuple(line.split()[:2]): line.split() for line in done.stdout.split("\n") if line}
    assert lines["sink", "crumb"][2:] == ["crumbling", "9.9", "broken"]
    assert lines["sink", "tsdb"][2:] == ["acme-plugins", "1.2", "ok"]
    assert lines["backend", "here"][2:] == ["acme-plugins", "1.2", "ok"]
    assert "ZeroDivisionError: division by zero" in done.stdout


def test_doctor_tells_what_there_is_and_what_to_install(folder, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(folder))
    done = gapcast("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("gapcast", "python", "cores", "memory", "numpy", "pyarrow", "extra kafka"):
        assert f"\n{word} " in f"\n{done.stdout}"
    assert "java      not found; the spark backend needs Java 17 or later" in done.stdout
    kafka = next(line for line in done.stdout.split("\n") if line.startswith("extra kafka"))
    assert "works: confluent-kafka" in kafka or kafka.endswith("pip install 'gapcast[kafka]'")


def test_doctor_tells_of_a_package_that_is_there_but_does_not_work(process, site):
    install(site, "confluent-kafka", "2.0", {}, {"confluent_kafka": "raise OSError('no lib')"})
    info = site / "confluent_kafka-2.0.dist-info"
    (info / "top_level.txt").write_text("confluent_kafka\n")
    line = next(s for s in process("doctor").stdout.split("\n") if s.startswith("extra kafka"))
    assert "confluent-kafka cannot be imported (OSError: no lib)" in line


def test_a_class_in_the_working_directory_can_be_named(folder):
    (folder / "my_model.py").write_text(ACME)
    assert gapcast("check", "c.yaml", "--set", "models.one.type=my_model:Level").returncode == 0


def test_a_sink_that_needs_nothing_says_so(folder):
    (folder / "s.yaml").write_text(
        (folder / "c.yaml").read_text() + "sinks: {out: {type: files}, console: {type: console}}\n"
    )
    done = gapcast("sink", "init", "s.yaml")
    assert done.stdout == "out: nothing is needed\nconsole: nothing is needed\n", done.stderr
    assert gapcast("sink", "init", "s.yaml", "out").stdout == "out: nothing is needed\n"
    wrong = gapcast("sink", "init", "s.yaml", "consol")
    assert wrong.returncode == 2
    assert "has no sink 'consol'; did you mean 'console'?" in " ".join(wrong.stderr.split())


RAISES = """
from gapcast.engine.errors import SourceError
def boom(url): raise {0}
"""


@pytest.mark.parametrize(
    ("raised", "traceback"),
    [("SourceError(f'cannot log in with {url}')", False), ("RuntimeError(f'bug at {url}')", True)],
)
def test_errors_beyond_the_config_show_no_secret(folder, raised, traceback):
    source = ACME.replace('raise ValueError(f"{token!r} has a blank")', "boom(token)").replace(
        'if " " in token', "if token"
    ) + RAISES.format(raised)
    (folder / "mine.py").write_text(source)
    done = gapcast("check", "c.yaml", "--set", "source.type=mine:Http")
    assert done.returncode == 1
    assert "with ${GAPCAST_TOKEN}" in done.stderr or "at ${GAPCAST_TOKEN}" in done.stderr
    assert "s3cr3t" not in done.stderr
    assert ("Traceback" in done.stderr) == traceback
