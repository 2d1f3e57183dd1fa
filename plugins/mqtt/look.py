"""A first look at what a broker delivers: a session that ends with it and stores nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from gapcast.engine.errors import SourceError
from gapcast.engine.units import MICROSECONDS
from gapcast.plugins.kafka.look import is_number
from gapcast.plugins.mqtt.connection import Connection
from gapcast.plugins.mqtt.journal import Message

_WAIT = 0.1
_KEEPALIVE = 60


def look(connection: Connection, topic: str, seconds: float, most: int) -> list[Message]:
    """What comes of `topic` within some seconds, `most` messages at most. Raises SourceError when
    the broker does not answer, or lets us not in."""
    client = connection.paho(f"gapcast-look-{uuid4().hex[:12]}")
    found: list[Message] = []
    answers: list[Any] = []

    def received(_: Any, __: Any, message: Any) -> None:
        found.append(Message(time.time_ns() // 1_000_000, message.topic.encode(), message.payload))
        client.ack(message.mid, message.qos)

    client.on_message = received
    client.on_connect = lambda _, __, ___, code, ____: answers.append(code)
    client.on_subscribe = lambda _, __, ___, codes, ____: answers.append(codes[0])
    try:
        client.connect(*connection.address, _KEEPALIVE)
        _answered(client, answers, 1, connection)
        client.subscribe(topic, qos=1)
        _answered(client, answers, 2, connection)
        until = time.monotonic() + seconds
        while time.monotonic() < until and len(found) < most:
            client.loop(_WAIT)
    except OSError as error:
        raise SourceError(
            f"{connection.broker}: no broker answers: {error.strerror or error}"
        ) from None
    finally:
        client.disconnect()
    return found[:most]


def _answered(client: Any, answers: Sequence[Any], number: int, connection: Connection) -> None:
    """Wait for an answer of the broker. Raises SourceError when it does not come, or is a no."""
    until = time.monotonic() + connection.connect / MICROSECONDS["s"]
    while len(answers) < number:
        code = client.loop(_WAIT)
        if len(answers) < number and (code or time.monotonic() > until):
            raise SourceError(f"{connection.broker}: no MQTT 5 broker answers there")
    if answers[-1].is_failure:
        raise SourceError(f"{connection.broker}: the broker does not let us in: {answers[-1]}")


def proposed(topic: str, messages: Sequence[Message], sensor: bool = False) -> dict[str, Any]:
    """`topic` with levels named, and the format where messages are plain numbers: their last open
    level is the quantity then, the one before the sensor. Of objects, the only open level that
    differs is the sensor, unless a field of theirs is. sensor: whether one is."""
    numbers = sum(is_number(m.payload) for m in messages) > len(messages) / 2
    levels, topics = topic.split("/"), [m.topic.decode(errors="replace") for m in messages]
    depths = {of.count("/") + 1 for of in topics}
    if levels[-1] == "#" and len(depths) == 1 and (numbers or not sensor):
        levels = [*levels[:-1], *["+"] * (depths.pop() - len(levels) + 1)]
    open_ = [i for i, level in enumerate(levels) if level == "+"]
    if numbers:
        for name in ("{quantity}", "{sensor}"):
            if name not in levels and open_:
                levels[open_.pop()] = name
        named = {"{sensor}", "{quantity}"} <= {*levels}
        return {"topic": "/".join(levels)} | ({"format": "number"} if named else {})
    differ = [i for i in open_ if len({of.split("/")[i] for of in topics}) > 1] or open_
    if len(differ) == 1 and not sensor and "{sensor}" not in levels:
        levels[differ[0]] = "{sensor}"
        return {"topic": "/".join(levels)}
    return {"topic": topic}
