"""Log lines: their form, what is shown at which verbosity, and that secrets are not."""

from __future__ import annotations

import logging
import re

import pytest

from gapcast.engine.cli.log import configure
from gapcast.engine.plugin import Params
from gapcast.engine.redaction import mask, remember

log = logging.getLogger("gapcast.test")
other = logging.getLogger("elsewhere")


@pytest.fixture
def logged(capsys):
    """The lines that a call logs at a verbosity."""
    root, ours = logging.getLogger(), logging.getLogger("gapcast")
    before = root.handlers[:], root.level, ours.level

    def run(call, verbosity=1):
        configure(verbosity)
        call()
        return capsys.readouterr().err.splitlines()

    yield run
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def test_a_line_has_time_level_logger_message_and_fields(logged):
    (line,) = logged(lambda: log.info("%d idle", 2, extra={"partition": "0", "after": 1.5}))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info gapcast\.test: 2 idle partition=0 after=1\.5",
        line,
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b", "'a b'"),
        ('a"b', "'a\"b'"),
        ("a=b", "'a=b'"),
        ("", "''"),
        ("a\nb", r"'a\nb'"),
        (7, "7"),
    ],
)
def test_a_field_is_one_word_or_quoted(logged, value, shown):
    (line,) = logged(lambda: log.info("x", extra={"key": value}))
    assert line.endswith(f" key={shown}")


def test_a_message_stays_on_its_line(logged):
    (line,) = logged(lambda: log.warning("two\nlines"))
    assert line.endswith(r": two\nlines")


def test_a_traceback_follows_its_line(logged):
    def call():
        try:
            raise ValueError("why")
        except ValueError:
            log.exception("failed")

    first, *rest = logged(call)
    assert first.endswith("error gapcast.test: failed")
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "ValueError: why"


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [(0, ["warning"]), (1, ["info", "warning"]), (2, ["debug", "info", "warning"]), (9, 3)],
)
def test_verbosity(logged, verbosity, shown):
    def call():
        for level in ("debug", "info", "warning"):
            getattr(log, level)("x")
            getattr(other, level)("y")

    lines = logged(call, verbosity)
    ours = [line.split()[1] for line in lines if "gapcast.test" in line]
    assert (len(ours) if isinstance(shown, int) else ours) == shown
    assert [line.split()[1] for line in lines if "elsewhere" in line] == ["warning"]


def test_configuring_twice_logs_once(logged):
    configure(1)
    assert len(logged(lambda: log.info("x"))) == 1


def test_secrets_show_as_placeholders_in_message_field_and_traceback(logged):
    remember("hush-hush", "${HUSH}")

    def call():
        other.warning("login hush-hush failed", extra={"url": "x?k=hush-hush"})
        try:
            raise ValueError("hush-hush")
        except ValueError:
            log.exception("%s", {"token": "hush-hush"})

    text = "\n".join(logged(call))
    assert "hush-hush" not in text
    assert text.count("${HUSH}") == 5  # the traceback shows it in two lines


def test_the_longer_of_two_secrets_is_hidden_whole():
    remember("swordfish", "${A}")
    remember("swordfish-42", "${B}")
    assert mask("swordfish-42 swordfish") == "${B} ${A}"


def test_a_placeholder_is_not_masked_again():
    remember("MASK_ME", "${SHOWN}")
    remember("shown to none", "${MASK_ME}")
    assert mask("shown to none") == "${MASK_ME}"


def test_short_secrets_are_hidden_only_where_asked():
    remember("1x", "${TINY}")
    assert mask("1x") == "1x"
    assert mask("1x", shortest=1) == "${TINY}"


def test_parameters_show_placeholders_for_secrets():
    class Login(Params):
        password: str

    remember("hunter2!", "${PASSWORD}")
    login = Login(password="hunter2!")
    assert login.password == "hunter2!"
    assert "hunter2!" not in f"{login!r} {login}"
    assert "${PASSWORD}" in repr(login)
    with pytest.raises(ValueError, match="user") as rejected:
        Login(password="hunter2!", user="x")
    assert "hunter2!" not in str(rejected.value)
