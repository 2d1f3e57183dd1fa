"""The section that says where a run shows how it is getting on."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from gapcast.engine.config.section import Section
from gapcast.engine.redaction import secrets_hidden
from gapcast.engine.units import MICROSECONDS, Duration, expecting

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that only programs of this machine reach."""
SHORTEST = 16
"""Characters of a token, at least: a shorter one can be guessed."""


class Serve(Section):
    """A page about the run, and figures for Prometheus, while it goes."""

    port: int = Field(
        default=8080, ge=0, le=65_535, description="Port to listen on; 0: one that is free."
    )
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on: 127.0.0.1, ::1 or localhost is for programs of this "
        "machine; any other one needs a token.",
    )
    token: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="What one must have to see anything, of 16 characters or more, as a "
        "placeholder such as `${TOKEN}`. Default, on loopback only: nothing is needed.",
    )
    sensors: bool = Field(
        default=False,
        description="Whether the figures for Prometheus also have some of each target, with its "
        "sensor and quantity as labels.",
    )
    silent: Duration = Field(
        default=MICROSECONDS["d"],
        gt=0,
        description="A sensor that has been missing for so long, in event time, is called silent.",
    )

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        return self.host in LOOPBACK

    @field_validator("token")
    @classmethod
    def _safe(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        host = info.data.get("host", LOOPBACK[0])
        if token is None:
            if host not in LOOPBACK:
                raise expecting("given where the host is not loopback, such as ${TOKEN}")
            return token
        secrets_hidden({"token": token.get_secret_value()})
        if len(token.get_secret_value()) < SHORTEST:
            raise expecting(f"a secret of at least {SHORTEST} characters")
        return token
