"""``mqtt``: the messages of a topic, by way of a journal on disk."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.source import Position, Proposal, Read, Source
from gapcast.engine.spelling import counted
from gapcast.engine.units import MICROSECONDS, Duration, Size
from gapcast.plugins.kafka.decoders import Columns
from gapcast.plugins.kafka.json_values import JsonObjects
from gapcast.plugins.kafka.look import LOOKED, shape_of, tally
from gapcast.plugins.kafka.records import Decoded
from gapcast.plugins.mqtt.connection import Connection
from gapcast.plugins.mqtt.journal import Journal, Message
from gapcast.plugins.mqtt.look import look, proposed
from gapcast.plugins.mqtt.payloads import Numbers, Payloads
from gapcast.plugins.mqtt.session import Session
from gapcast.plugins.mqtt.topic import Pattern
from gapcast.plugins.sources.formats.columns import TableOptions

log = logging.getLogger("gapcast.mqtt")

WAIT = 0.2
"""Seconds that one call waits for messages."""
_LOOK = 0.02


def _topic(text: str) -> str:
    Pattern(text)
    return text


class MqttParams(TableOptions, Connection):
    """Parameters of the source ``mqtt``; the keys of tables are those of ``replay``."""

    topic: Annotated[str, AfterValidator(_topic)] = Field(
        description="What to subscribe to, such as `home/{sensor}/{quantity}`: these two stand for "
        "a level each, `+` for any, `#` at the end for any number of them."
    )
    spool: Path = Field(
        description="Folder on a local disk where messages are stored as they come, before they "
        "are acknowledged; runs go on from there."
    )
    format: Literal["json", "number"] = Field(
        default="json", description="What a message is: json (an object) or number (`21.5`)."
    )
    time: str | None = Field(  # type: ignore[assignment]
        default=None, description="Field of the time. Default: the time of arrival is taken."
    )
    retained: bool = Field(
        default=False,
        description="Whether to read what the broker retains when the subscription is new: old "
        "values, so only where messages say their `time`.",
    )
    backlog: Size = Field(
        default=1 << 30,
        gt=0,
        description="How much may wait in the spool to be read before no more is taken from the "
        "broker.",
    )
    retain: Duration = Field(
        default=MICROSECONDS["d"],
        description="How long messages stay in the spool after a checkpoint covers them; a return "
        "to an older checkpoint or savepoint needs them.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        pattern = self.pattern
        if self.format == "number":
            if not (pattern.sensor and pattern.quantity):
                raise ValueError("format number needs {sensor} and {quantity} in the topic")
            if self.wide is not None or self.time is not None:
                raise ValueError("a number has no fields: neither wide nor time")
        if pattern.quantity and self.wide is not None:
            raise ValueError("wide names quantities, so {quantity} cannot be in the topic")
        if self.retained and self.time is None:
            raise ValueError(
                "retained messages are old values: name the field of their time, or leave out "
                "retained"
            )
        return self

    @cached_property
    def pattern(self) -> Pattern:
        """What `topic` says."""
        return Pattern(self.topic)

    def columns(self, wanted: frozenset[str] | None) -> Columns:
        """What is a message's columns: fields, levels of its topic, the time of its arrival."""
        own = {name: getattr(self, name) for name in TableOptions.model_fields}
        if self.time is None:
            own |= {"time": TableOptions.model_fields["time"].default, "time_format": "ms"}
        pattern = self.pattern
        return Columns(
            TableOptions(**own), wanted, pattern.sensor, self.time is None, pattern.quantity
        )


class MqttSource(Source):
    """Readings from the messages of a topic: JSON objects, or plain numbers.

    A broker has no history, so messages are first stored in the spool and then acknowledged, and
    positions are places in the spool. Of several runs with one spool, the first takes messages
    from the broker, and another goes on when it ends; all of them read all there is. Messages are
    taken at least once: after a crash of broker or run, some may be in the spool twice.
    """

    Params = MqttParams
    resumable = frozenset(
        {"broker", "tls", "username", "password", "connect", "patience", "backlog", "retain"}
    )

    params: MqttParams

    @classmethod
    def propose(cls, host: str, topic: str, seconds: float) -> Proposal:
        """See `Source.propose`: of what is published meanwhile, and what the broker retains."""
        subscribed = Pattern(topic).filter
        messages = look(Connection(broker=host, connect="5s"), subscribed, seconds, LOOKED)
        shape = shape_of([m.payload for m in messages], key=False, live=True)
        own = {"type": "mqtt", "broker": host}
        own |= proposed(topic, messages, "sensor" in shape.keys or "sensor" in shape.same)
        own["spool"] = "spool/" + re.sub(r"[^a-zA-Z0-9]+", "-", topic).strip("-")
        if own.get("format") != "number":
            own |= shape.keys
        if "{quantity}" in own["topic"] and "wide" in own:
            own["value"] = next(iter(own.pop("wide")), "value")
        unsure = {} if messages and own.get("format") == "number" else dict(shape.unsure)
        if {"+", "#"} & {*own["topic"]} and "{sensor}" not in own["topic"]:
            unsure["topic"] = "put {sensor} and {quantity} for the levels that name them"
        params = cls.Params(**{k: v for k, v in own.items() if k != "type"})
        seen = tally(_decoded(params, messages))
        count = counted(len(messages), "message")
        facts = {"topic": f"{own['topic']}; {count} in {seconds:g} s", **seen.facts}
        return Proposal(
            own, seen.quantities, seen.sensors, seen.interval, unsure=unsure, facts=facts
        )

    _session: Session | None = None
    _covered: int | None = None

    def open(self, quantities: Collection[str] | None) -> None:
        """See `Source.open`. Raises SourceError when the broker does not answer, or lets us not
        in, or the spool cannot be used."""
        params = self.params
        self._payloads = _payloads(params, None if quantities is None else frozenset(quantities))
        self._per_record = len(params.wide or ()) or 1
        self._journal = Journal(params.spool, params.pattern.filter)
        self._reached: int | None = None
        if self._session is None and (session := self._begun()) is not None:
            session.wait(params.connect / MICROSECONDS["s"])

    @property
    def live(self) -> bool:
        """See `Source.live`."""
        return True

    def partitions(self) -> list[str]:
        """See `Source.partitions`: one, the topic."""
        return [self.params.topic]

    def discover(self) -> Iterable[Series]:
        """Raises SourceError: nobody knows what will be published."""
        raise SourceError(f"topic {self.params.topic!r}: a broker does not say what is published")

    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """See `Source.read`."""
        start = None if position is None else self._start(position)
        most = max(1, limit // self._per_record)
        until = time.monotonic() + WAIT
        while True:
            found, after = self._journal.take(start, most)
            self._reached = max(self._reached or 0, after)
            if found or time.monotonic() > until:
                break
            self._look_after()
            time.sleep(_LOOK)
        self._forget()
        at = {"journal": self._journal.id, "offset": after}
        return Read(*self._payloads.decode(found), at)

    def checkpointed(self, positions: Mapping[str, Position]) -> None:
        """See `Source.checkpointed`. The next read removes what is old and covered."""
        for position in positions.values():
            self._covered = position["offset"]

    def close(self) -> None:
        """See `Source.close`."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _start(self, position: Position) -> int:
        if position["journal"] != self._journal.id:
            raise SourceError(
                f"spool {self.params.spool} is not the one that the run has read so far: it was "
                "removed or replaced; restore it, or start a new run in another --run-dir"
            )
        return int(position["offset"])

    def _begun(self) -> Session | None:
        """A session, unless another run has one for this spool."""
        journal = self._journal.claim()
        if journal is None:
            return None
        try:
            client = self.params.paho(f"gapcast-{self._journal.id}")
        except BaseException:
            journal.close()
            raise
        end = journal.end

        def room() -> bool:
            reached = end if self._reached is None else self._reached
            return journal.end - reached < self.params.backlog

        params = self.params
        self._session = Session(
            params, client, params.pattern.filter, params.retained, journal, room
        )
        return self._session

    def _look_after(self) -> None:
        """See that someone takes messages from the broker. Raises what ended our session."""
        if self._session is None:
            self._begun()
        else:
            self._session.check()

    def _forget(self) -> None:
        """Remove what a checkpoint covers and is old enough."""
        if self._covered is not None and self._session is not None:
            covered, self._covered = self._covered, None
            self._journal.forget(covered, self.params.retain / MICROSECONDS["s"])


def _payloads(params: MqttParams, wanted: frozenset[str] | None) -> Payloads:
    columns = params.columns(wanted)
    number = params.format == "number"
    decoder = Numbers(columns) if number else JsonObjects(columns, params.topic)
    return Payloads(params.topic, params.pattern, wanted, decoder)


def _decoded(params: MqttParams, messages: list[Message]) -> Decoded:
    """Readings of messages, numbered as they came."""
    return _payloads(params, None).decode(list(enumerate(messages)))
