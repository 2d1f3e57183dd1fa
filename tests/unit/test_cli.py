"""The command line as a user meets it: a process, its exit code, its two streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
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


@pytest.fixture
def gapcast(tmp_path):
    """Runs gapcast in a working folder with a right config, in a world with acme-plugins."""
    for name in ("site", "work"):
        (tmp_path / name).mkdir()
    install_acme(tmp_path / "site")
    (tmp_path / "work/c.yaml").write_text(RIGHT)

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", MAIN, *arguments],
            cwd=tmp_path / "work",
            env={
                **os.environ,
                "PYTHONPATH": str(tmp_path / "site"),
                "GAPCAST_TOKEN": "s3cr3t-t0ken",
            }
            | environment,
            capture_output=True,
            text=True,
        )

    run.folder = tmp_path / "work"
    run.site = tmp_path / "site"
    return run


def test_help_lists_every_command_and_imports_none(gapcast):
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


def test_no_argument_shows_the_help(gapcast):
    done = gapcast()
    assert done.returncode == 2
    assert "Usage: gapcast" in done.stdout + done.stderr


def test_version(gapcast):
    done = gapcast("--version")
    assert (done.returncode, done.stdout) == (0, f"gapcast {VERSION}\n")


@pytest.mark.parametrize("command", ["check", "plugins", "doctor", "run"])
def test_help_of_a_command_is_the_command_s_own(gapcast, command):
    done = gapcast(command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: gapcast {command} " in done.stdout
    assert ("--set" in done.stdout) == (command in ("check", "run"))


def test_an_unknown_command_names_the_nearest(gapcast):
    done = gapcast("chekc")
    assert done.returncode == 2
    assert "No such command 'chekc'; did you mean 'check'?" in done.stderr


def test_a_command_that_was_shorter_once_names_the_one_of_today(gapcast):
    done = gapcast("dead", "list", "runs/a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'dead'; did you mean 'dead-letters'?" in done.stderr


def test_check_of_a_right_config(gapcast):
    done = gapcast("check", "c.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "c.yaml: valid; run 'x', models one, two\n"


def test_check_of_a_wrong_config_is_one_line_a_mistake_and_exit_code_2(gapcast):
    done = gapcast("check", "c.yaml", "--set", "grid.latenes=0s", "--set", "name=a b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--set grid.latenes  grid.latenes: unknown key; did you mean 'lateness'?\n"
        "--set name  name: must be a name of letters, digits, - and _, got 'a b'\n"
    )


def test_run_of_a_wrong_config_says_the_same(gapcast):
    done = gapcast("run", "c.yaml", "--set", "grid.interval=5")
    assert done.returncode == 2
    assert done.stderr.startswith("--set grid.interval  grid.interval: must be a duration")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_sink_that_promises_less_than_is_required_is_told_before_anything_starts(
    gapcast, command
):
    text = RIGHT + "sinks:\n  shown:\n    type: console\n    require: transactional\n"
    (gapcast.folder / "c.yaml").write_text(text)
    done = gapcast(command, "c.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "c.yaml:9:5  sinks.shown.require: console promises only at-least-once, expected "
        "transactional: choose another sink, or require less\n"
    )
    assert not (gapcast.folder / "runs").exists()
    assert gapcast("check", "c.yaml", "--set", "sinks.shown.require=at-least-once").returncode == 0


def test_a_missing_config_is_one_line(gapcast):
    done = gapcast("check", "nowhere.yaml")
    assert done.returncode == 2
    assert done.stderr == "nowhere.yaml  cannot be read: No such file or directory\n"


def test_check_of_nothing_says_what_it_wants(gapcast):
    done = gapcast("check")
    assert done.returncode == 2
    assert "name a config, or ask for --schema" in done.stderr


def test_check_schema_prints_a_schema_with_what_is_installed(gapcast):
    done = gapcast("check", "--schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert "http" in schema["$defs"]["Source"]["properties"]["type"]["anyOf"][0]["enum"]


def test_plugins_list_shows_the_broken_among_the_others(gapcast):
    install(
        gapcast.site,
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


def test_doctor_tells_what_there_is_and_what_to_install(gapcast):
    done = gapcast("doctor", JAVA_HOME=str(gapcast.folder))
    assert done.returncode == 0, done.stderr
    for word in ("gapcast", "python", "cores", "memory", "numpy", "pyarrow", "extra kafka"):
        assert f"\n{word} " in f"\n{done.stdout}"
    assert "java      not found; the spark backend needs Java 17 or later" in done.stdout
    kafka = next(line for line in done.stdout.split("\n") if line.startswith("extra kafka"))
    assert "works: confluent-kafka" in kafka or kafka.endswith("pip install 'gapcast[kafka]'")


def test_doctor_tells_of_a_package_that_is_there_but_does_not_work(gapcast):
    install(
        gapcast.site, "confluent-kafka", "2.0", {}, {"confluent_kafka": "raise OSError('no lib')"}
    )
    info = gapcast.site / "confluent_kafka-2.0.dist-info"
    (info / "top_level.txt").write_text("confluent_kafka\n")
    line = next(s for s in gapcast("doctor").stdout.split("\n") if s.startswith("extra kafka"))
    assert "confluent-kafka cannot be imported (OSError: no lib)" in line


def test_a_class_in_the_working_directory_can_be_named(gapcast):
    (gapcast.folder / "my_model.py").write_text(ACME)
    assert gapcast("check", "c.yaml", "--set", "models.one.type=my_model:Level").returncode == 0


RAISES = """
from gapcast.engine.errors import SourceError
def boom(url): raise {0}
"""


@pytest.mark.parametrize(
    ("raised", "traceback"),
    [("SourceError(f'cannot log in with {url}')", False), ("RuntimeError(f'bug at {url}')", True)],
)
def test_errors_beyond_the_config_show_no_secret(gapcast, raised, traceback):
    source = ACME.replace('raise ValueError(f"{token!r} has a blank")', "boom(token)").replace(
        'if " " in token', "if token"
    ) + RAISES.format(raised)
    (gapcast.folder / "mine.py").write_text(source)
    done = gapcast("check", "c.yaml", "--set", "source.type=mine:Http")
    assert done.returncode == 1
    assert "with ${GAPCAST_TOKEN}" in done.stderr or "at ${GAPCAST_TOKEN}" in done.stderr
    assert "s3cr3t" not in done.stderr
    assert ("Traceback" in done.stderr) == traceback
