"""How Kafka is reached: brokers, encryption, who asks; and what went wrong, in one line."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gapcast.engine.extras import extra
from gapcast.engine.plugin import Params
from gapcast.engine.redaction import secrets_hidden
from gapcast.engine.units import MICROSECONDS, Duration, expecting

log = logging.getLogger("gapcast.kafka")

OWN = (
    "acks", "auto.offset.reset", "bootstrap.servers", "delivery.report.only.error",
    "enable.auto.commit", "enable.auto.offset.store", "enable.idempotence", "enable.partition.eof",
    "error_cb", "group.id", "isolation.level", "logger", "sasl.mechanism", "sasl.mechanisms",
    "sasl.password", "sasl.username", "security.protocol", "ssl.ca.location",
    "ssl.certificate.location", "ssl.endpoint.identification.algorithm", "ssl.key.location",
    "ssl.key.password", "transactional.id",
)  # fmt: skip
"""Settings of librdkafka that gapcast makes itself, because its promises rest on them."""

RUNS_CODE = (
    "plugin.library.paths", "sasl.kerberos.kinit.cmd", "ssl.engine.location", "ssl.providers",
)  # fmt: skip
"""Settings by which a config would have librdkafka load a library or run a command."""

ALLOWED = "GAPCAST_ALLOW_CODE_IN_SETTINGS"
"""A variable of the environment: with the value 1, these settings are taken."""

DENIED = ("_AUTHENTICATION", "_SSL", "SASL_AUTHENTICATION_FAILED", "TOPIC_AUTHORIZATION_FAILED")
"""Errors that trying again does not mend."""


class Tls(Params):
    """Encryption of the connection."""

    ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust. Default: the system's."
    )
    certificate: Path | None = Field(default=None, description="PEM file that says who we are.")
    key: Path | None = Field(default=None, description="PEM file of its private key.")
    key_password: SecretStr | None = Field(default=None, description="What the key is locked with.")
    check_host: bool = Field(
        default=True, description="Whether a broker's certificate must name its host."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise expecting("certificate and key together")
        return self


class Sasl(Params):
    """Who we are, by name and password or by what the mechanism asks for."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] = Field(
        description="GSSAPI is Kerberos; its keys, like those of OAUTHBEARER, go into `settings`."
    )
    username: str | None = Field(default=None, description="For PLAIN and SCRAM.")
    password: SecretStr | None = Field(
        default=None, description="For PLAIN and SCRAM; write `${NAME}` or `${file:/path}`."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        by_name = self.mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
        if by_name and not (self.username and self.password):
            raise expecting(f"username and password, which {self.mechanism} needs")
        return self


def _others(settings: dict[str, Any]) -> dict[str, Any]:
    for name in settings:
        if name in OWN:
            raise ValueError(f"{name} must not be set here: gapcast sets it")
        if name in RUNS_CODE and os.environ.get(ALLOWED) != "1":
            raise ValueError(
                f"{name} makes librdkafka run code that the config chooses; if you trust this "
                f"config, set {ALLOWED}=1 in the environment"
            )
    return secrets_hidden(settings)


class Connection(Params):
    """Keys that every Kafka plugin has."""

    brokers: str = Field(
        min_length=1, description="Some of the brokers, `host:port,host:port`; one that answers."
    )
    topic: str = Field(min_length=1, description="The topic.")
    tls: Tls | None = Field(
        default=None, description="Encryption; `{}` trusts whom the system trusts."
    )
    sasl: Sasl | None = Field(default=None, description="Who we are, where brokers ask.")
    connect: Duration = Field(
        default=20 * MICROSECONDS["s"],
        gt=0,
        description="How long brokers may take to answer at the start.",
    )
    settings: Annotated[dict[str, str | int | float | bool], AfterValidator(_others)] = Field(
        default_factory=dict,
        description="Further settings of librdkafka, by its own names, e.g. `client.rack`; "
        "secrets among them as `${NAME}` only.",
    )

    @property
    def seconds(self) -> float:
        """`connect` as clients take it."""
        return self.connect / MICROSECONDS["s"]

    def client(self, trouble: Trouble, **own: Any) -> dict[str, Any]:
        """The settings of a client; `own` are librdkafka's with ``_`` for a dot."""
        made: dict[str, Any] = {
            "client.id": "gapcast",
            "log_level": 1,  # what matters comes to `trouble`
            "reconnect.backoff.max.ms": 2000,
            **self.settings,
            "bootstrap.servers": self.brokers,
            "error_cb": trouble.note,
        }
        made["security.protocol"] = ("SASL_" if self.sasl else "") + (
            "SSL" if self.tls else "PLAINTEXT"
        )
        if self.tls:
            made |= {
                "ssl.ca.location": self.tls.ca and str(self.tls.ca),
                "ssl.certificate.location": self.tls.certificate and str(self.tls.certificate),
                "ssl.key.location": self.tls.key and str(self.tls.key),
                "ssl.key.password": _plain(self.tls.key_password),
                "ssl.endpoint.identification.algorithm": "https" if self.tls.check_host else "none",
            }
        if self.sasl:
            made |= {
                "sasl.mechanism": self.sasl.mechanism,
                "sasl.username": self.sasl.username,
                "sasl.password": _plain(self.sasl.password),
            }
            if self.sasl.mechanism == "PLAIN" and not self.tls:
                log.warning("%s: the password is sent unencrypted; set `tls` too", self.brokers)
        made |= {name.replace("_", "."): value for name, value in own.items()}
        return {name: value for name, value in made.items() if value is not None}


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


class Trouble:
    """The last thing a client complained of. Called from whichever thread serves the client."""

    def __init__(self) -> None:
        self.code = ""
        self.text = ""
        self.fatal = False

    def note(self, error: Any) -> None:
        """Take note of an error that a client reports; tells of each kind once until `cleared`."""
        if error.name() != self.code and error.name() != "_ALL_BROKERS_DOWN":
            log.info("%s", error.str())
        if error.name() == "_ALL_BROKERS_DOWN" and self.text:
            return
        self.code, self.text = error.name(), error.str()
        self.fatal = self.fatal or error.fatal()

    def cleared(self) -> None:
        """All is well again."""
        self.code = self.text = ""

    @property
    def denied(self) -> bool:
        """Whether trying again is of no use."""
        return self.code in DENIED

    def after(self, message: str) -> str:
        """`message` with what is known of its cause, and what to look at."""
        if not self.text:
            return message
        # A broker that closes a connection without a word shows as either side's failure.
        look = "; is a broker there, with `tls` and `sasl` as given?"
        return f"{message}: {self.text}" + (look if self.code == "_TRANSPORT" else "")


def kafka() -> Any:
    """The module `confluent_kafka`, or RunError saying what to install."""
    with extra("kafka"):
        import confluent_kafka
    return confluent_kafka


def words(error: Any) -> str:
    """What a KafkaException says."""
    cause = error.args[0] if error.args else error
    return str(cause.str()) if hasattr(cause, "str") else str(cause)
