"""The session with a broker: what it delivers goes into the journal, and only then is acknowledged.

All of it happens in one thread. While the journal is not to grow, nothing is acknowledged, so the
broker sends no more than it may have on its way to us; it is still told that we are alive.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from gapcast.engine.errors import SourceError
from gapcast.engine.units import MICROSECONDS
from gapcast.plugins.mqtt.connection import Connection
from gapcast.plugins.mqtt.journal import Message, Writer

log = logging.getLogger("gapcast.mqtt")

ON_THEIR_WAY = 1000
"""Messages that the broker may have sent and we not acknowledged."""
HELD = 16 << 20
"""Bytes of messages in memory from which on no more are read."""
PAUSES = 0.5, 30.0
"""Seconds between the first two calls of a broker that is away, and at most."""
_WAIT = 0.2
_KEEPALIVE = 60
_DENIED = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}
"""Reasons that calling again does not mend: version, client id, password, rights, banned, method"""


class _Lost(Exception):
    """The connection is gone, or did not come about; another call may do better."""


class Session:
    """Subscribes to `topic` and appends what comes to `journal`, until `close`.

    client: of paho, not connected. room: whether the journal may grow just now. retained: whether
    the broker shall send what it retains, when the subscription is new to it.
    """

    def __init__(
        self,
        connection: Connection,
        client: Any,
        topic: str,
        retained: bool,
        journal: Writer,
        room: Callable[[], bool],
    ) -> None:
        self._connection, self._client = connection, client
        self._topic, self._retained = topic, retained
        self._journal, self._room = journal, room
        self._expected = journal.end > 0
        self._id = connection.client or "made for the spool"
        self._held: list[tuple[int, int, Message]] = []  # message id, QoS
        self._bytes = 0
        self._answer: Any = None
        self._reason = ""
        self._well = time.monotonic()
        self._up = threading.Event()
        self._stopping = threading.Event()
        self._failed: Exception | None = None
        client.on_connect = self._connected
        client.on_subscribe = lambda _, __, ___, codes, ____: self._answered(codes[0])
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        self._thread = threading.Thread(target=self._run, name="gapcast-mqtt", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until the subscription stands. Raises SourceError when it does not in time."""
        self._up.wait(seconds)
        self.check()
        if not self._up.is_set():
            self.close()
            raise SourceError(
                f"{self._connection.broker}: no answer within {seconds:g} s, {self._reason}; is an "
                "MQTT 5 broker there, with `tls` as given?"
            )

    def check(self) -> None:
        """Raise what ended the session, if something did."""
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """End the connection, not the session: the broker holds for us what comes meanwhile."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._follow()
        except SourceError as error:
            self._failed = error
        except OSError as error:  # those of the connection have been dealt with
            self._failed = SourceError(
                f"the spool cannot be written: {error.strerror or error}; nothing of it was "
                "acknowledged, go on with --resume when it can be written again"
            )
        except Exception as error:
            log.exception("the session with %s failed", self._connection.broker)
            self._failed = error
        finally:
            self._client.disconnect()
            self._journal.close()
            if self._failed:
                self._up.set()

    def _follow(self) -> None:
        """Call the broker, and again whenever the connection is lost."""
        patience = self._connection.patience / MICROSECONDS["s"]
        pause, longest = PAUSES
        while not self._stopping.is_set():
            stood = None
            try:
                self._call()
                stood = time.monotonic()
                self._serve()
                return
            except _Lost as lost:
                self._reason = str(lost)
            now = time.monotonic()
            if now - self._well > patience:
                raise SourceError(
                    f"{self._connection.broker} has been away for {now - self._well:.0f} s: "
                    f"{self._reason}; go on with --resume when it is back"
                )
            if stood is not None and now - stood > longest:
                pause = PAUSES[0]
            elif stood is not None:
                self._reason += f" {now - stood:.1f} s after it was made; is there another client "
                self._reason += f"of the id {self._id!r}?"
            log.warning("%s: %s; calling again in %g s",
                        self._connection.broker, self._reason, pause)  # fmt: skip
            self._stopping.wait(pause)
            pause = min(2 * pause, longest)

    def _call(self) -> None:
        """Connect and subscribe. Raises _Lost, or SourceError when it is of no use."""
        # What was not acknowledged comes again; QoS 0 is never acknowledged.
        self._held = [one for one in self._held if one[1] == 0]
        self._bytes = sum(len(m.payload) for *_, m in self._held)
        self._answer, self._reason = None, ""
        problem: Exception | None = None
        try:
            self._client.connect(*self._connection.address, _KEEPALIVE, clean_start=False,
                                 properties=self._properties())  # fmt: skip
        except ssl.SSLCertVerificationError as error:
            problem = SourceError(f"{self._connection.broker}: {error.strerror or error}")
        except OSError as error:
            problem = _Lost(error.strerror or str(error))
        if problem:  # here, where nothing holds on to the client's socket any more
            raise problem
        self._await("connect")
        self._answer = None
        self._client.subscribe(self._topic, options=self._options())
        self._await(f"subscribe to {self._topic}")
        self._well = time.monotonic()
        self._up.set()
        log.info("%s: subscribed to %s", self._connection.broker, self._topic)

    def _await(self, what: str) -> None:
        """Wait for the broker's answer."""
        until = time.monotonic() + self._connection.connect / MICROSECONDS["s"]
        while self._answer is None:
            if self._stopping.is_set() or time.monotonic() > until:
                raise _Lost(f"no answer to our request to {what}")
            try:
                self._turn(_WAIT)
            except _Lost:
                if self._answer is None:  # a broker that says no hangs up
                    raise
        if self._answer.is_failure:
            words = f"the broker does not let us {what}: {self._answer}"
            if self._answer.value in _DENIED or "subscribe" in what:
                raise SourceError(f"{self._connection.broker}: {words}")
            raise _Lost(words)

    def _turn(self, seconds: float) -> None:
        """Let the client send and receive; wait if there is nothing."""
        if code := self._client.loop(seconds):
            from paho.mqtt.client import error_string

            raise _Lost(self._reason or error_string(code).rstrip("."))

    def _serve(self) -> None:
        """Take what comes, until the connection is lost or we are to stop."""
        waiting = False
        while not self._stopping.is_set():
            before, room = len(self._held), self._room()
            if not room and not waiting:
                log.info("the run is behind: no more is taken from the broker for now")
            waiting = not room
            if self._full:
                self._stopping.wait(0 if room else _WAIT)
            else:
                self._turn(0 if self._held and room else _WAIT)
            self._well = time.monotonic()
            if self._held and room and (len(self._held) == before or self._full):
                self._store()
        if self._held:
            self._store()

    @property
    def _full(self) -> bool:
        """Whether nothing more is read before what is here is stored. More than what we have not
        acknowledged comes only of QoS 0."""
        return len(self._held) >= 2 * ON_THEIR_WAY or self._bytes >= HELD

    def _store(self) -> None:
        """Make what is here durable, then acknowledge it. Raises OSError."""
        held, self._held, self._bytes = self._held, [], 0
        self._journal.append(message for *_, message in held)
        for number, qos, _ in held:
            self._client.ack(number, qos)

    def _properties(self) -> Any:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        made = Properties(PacketTypes.CONNECT)
        made.SessionExpiryInterval = self._connection.session // MICROSECONDS["s"]
        made.ReceiveMaximum = ON_THEIR_WAY
        return made

    def _options(self) -> Any:
        from paho.mqtt.subscribeoptions import SubscribeOptions

        new, never = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB, SubscribeOptions.RETAIN_DO_NOT_SEND
        return SubscribeOptions(qos=1, retainHandling=new if self._retained else never)

    def _connected(self, _: Any, __: Any, flags: Any, code: Any, ___: Any) -> None:
        self._answer = code
        if not code.is_failure:
            if self._expected and not flags.session_present:
                log.warning(
                    "%s: the broker does not know us any more: what was published while we "
                    "were away is lost (see the key `session`)", self._connection.broker,
                )  # fmt: skip
            self._expected = True

    def _answered(self, code: Any) -> None:
        self._answer = code
        if code.value == 0:
            log.warning("%s: the broker grants QoS 0 only: what is lost is not sent again",
                        self._connection.broker)  # fmt: skip

    def _disconnected(self, _: Any, __: Any, flags: Any, code: Any, ___: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = f"the broker ended the connection ({code})"

    def _received(self, _: Any, __: Any, message: Any) -> None:
        if message.retain and not self._retained:
            self._client.ack(message.mid, message.qos)
            return
        try:
            topic = message.topic.encode()
        except UnicodeDecodeError as error:
            topic = error.object
        made = Message(time.time_ns() // 1_000_000, topic, message.payload)
        self._held.append((message.mid, message.qos, made))
        self._bytes += len(message.payload)
