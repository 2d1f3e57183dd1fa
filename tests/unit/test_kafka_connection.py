"""What is said of brokers that hang up, whichever side notices first."""

from __future__ import annotations

import pytest

from gapcast.plugins.kafka.connection import Trouble


class Told:
    """An error as librdkafka reports it."""

    def __init__(self, name, text):
        self._name, self._text = name, text

    def name(self):
        return self._name

    def str(self):
        return self._text

    def fatal(self):
        return False


@pytest.mark.parametrize("text", ["Disconnected while requesting", "Send failed: Broken pipe"])
def test_a_connection_that_is_closed_says_where_to_look(text):
    trouble = Trouble()
    trouble.note(Told("_TRANSPORT", text))
    words = "no topic"
    assert (
        trouble.after(words)
        == f"{words}: {text}; is a broker there, with `tls` and `sasl` as given?"
    )


def test_what_is_clear_by_itself_is_left_alone():
    trouble = Trouble()
    assert trouble.after("no topic") == "no topic"
    trouble.note(Told("_AUTHENTICATION", "Authentication failed"))
    assert trouble.after("no topic") == "no topic: Authentication failed"
    trouble.cleared()
    assert trouble.after("no topic") == "no topic"
