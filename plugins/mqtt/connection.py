"""How an MQTT broker is reached: its address, encryption, who asks."""

from __future__ import annotations

import logging
import ssl
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gapcast.engine.errors import SourceError
from gapcast.engine.extras import extra
from gapcast.engine.plugin import Params
from gapcast.engine.units import MICROSECONDS, Duration, expecting
from gapcast.plugins.kafka.connection import Tls

log = logging.getLogger("gapcast.mqtt")


def _broker(value: str) -> str:
    try:
        parts = urlsplit(f"//{value}")
        whole = parts.hostname and parts.port != 0 and parts.netloc == value and "@" not in value
    except ValueError:
        whole = False
    if not whole:
        raise expecting("host or host:port")
    return value


class Connection(Params):
    """Keys that say how the broker is reached. It must know MQTT 5."""

    broker: Annotated[str, AfterValidator(_broker)] = Field(
        description="The broker, `host` or `host:port`. Default port: 1883, or 8883 with `tls`."
    )
    tls: Tls | None = Field(
        default=None, description="Encryption; `{}` trusts whom the system trusts."
    )
    username: str | None = Field(default=None, description="Who we are, where the broker asks.")
    password: SecretStr | None = Field(
        default=None, description="Write `${NAME}` or `${file:/path}`."
    )
    client: str | None = Field(
        default=None,
        min_length=1,
        description="Our client id, under which the broker holds messages for us. Default: one "
        "made for the spool and stored in it.",
    )
    connect: Duration = Field(
        default=20 * MICROSECONDS["s"],
        gt=0,
        description="How long the broker may take to answer at the start.",
    )
    patience: Duration = Field(
        default=10 * MICROSECONDS["min"],
        gt=0,
        description="How long the broker may be away before the run fails; meanwhile it is called "
        "again with growing pauses.",
    )
    session: Duration = Field(
        default=MICROSECONDS["d"],
        ge=MICROSECONDS["s"],
        le=((1 << 32) - 2) * MICROSECONDS["s"],
        description="How long the broker is asked to hold messages for a run that is stopped.",
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.password is not None and self.username is None:
            raise expecting("a username with the password")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(f"//{self.broker}")
        return str(parts.hostname), parts.port or (8883 if self.tls else 1883)

    def paho(self, client_id: str) -> Any:
        """A client of paho, not connected; it acknowledges nothing by itself.

        Raises RunError when paho is not installed, SourceError when a file of `tls` is wrong.
        """
        with extra("mqtt"):
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        made = Client(
            CallbackAPIVersion.VERSION2,
            self.client or client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self.username is not None:
            secret = self.password.get_secret_value() if self.password else None
            made.username_pw_set(self.username, secret)
            if secret and not self.tls:
                log.warning("%s: the password is sent unencrypted; set `tls` too", self.broker)
        if self.tls:
            made.tls_set_context(self._context(self.tls))
            made.tls_insecure_set(not self.tls.check_host)
        return made

    def _context(self, tls: Tls) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=tls.ca)
            if tls.certificate:
                locked = tls.key_password.get_secret_value() if tls.key_password else ""
                context.load_cert_chain(tls.certificate, tls.key, locked)
        except OSError as error:
            files = ", ".join(str(f) for f in (tls.ca, tls.certificate, tls.key) if f)
            raise SourceError(
                f"source mqtt: tls: {files} cannot be used: {error.strerror or error}"
            ) from None
        return context
