"""How PostgreSQL is reached: address, encryption, who asks; and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from gapcast.engine.errors import SinkError
from gapcast.engine.extras import extra
from gapcast.engine.plugin import Params
from gapcast.engine.sink import Outcome, Rejected, Retry
from gapcast.engine.units import MICROSECONDS, Duration, expecting

SETTINGS = """
SET CONSTRAINTS ALL IMMEDIATE;
SELECT set_config('lock_timeout', '30s', true),
       set_config('idle_in_transaction_session_timeout', '60s', true),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
           WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)
"""
"""Of each transaction: constraints reject rows at once, not at its end; it waits for no lock for
ever, lets go of its own when this process is stopped, and is durable when it has been committed,
whatever the server's default."""

_VANISHED = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""A server that is gone without a word is noticed after half a minute, not after hours."""

_PASSING = ("08", "40", "53", "57", "58")
"""Classes of errors that may be over at the next try: the connection, serialisation and deadlock,
full disks and the like, a server that stops or starts, its input and output."""
_PASSING_TOO = ("25006", "25P03", "55P03")
"""A standby after a failover; our own pause was too long; a lock was not to be had."""
_ROWS = ("21", "22", "23", "44", "54", "P0001")
"""Errors of rows: values, constraints, limits such as that of an index, and what a trigger says."""
_FOREIGN = ("42703", "42P10", "42804")
"""No such column, no such key, another type."""


class Server(Params):
    """Keys that every PostgreSQL plugin has. What they leave open, libpq takes from its own
    environment variables and from the password file."""

    host: str = Field(
        default="localhost",
        min_length=1,
        description="Host, or the folder of a Unix socket; several with commas between them.",
    )
    port: int = Field(default=5432, ge=1, le=65_535, description="Port.")
    database: str = Field(min_length=1, description="Name of the database.")
    user: str | None = Field(
        default=None, description="Who we are. Default: `$PGUSER`, or the user of the system."
    )
    password: SecretStr | None = Field(
        default=None,
        description="Write `${NAME}` or `${file:/path}`. Default: `$PGPASSWORD`, or the password "
        "file, `~/.pgpass`.",
    )
    tls: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        default="prefer",
        description="Encryption, as libpq's `sslmode`. Only verify-full makes sure that the "
        "server is the one named.",
    )
    ca: Path | None = Field(
        default=None,
        description="Certificates of authorities to trust, PEM; for verify-ca and verify-full.",
    )
    connect: Duration = Field(
        default=10 * MICROSECONDS["s"],
        ge=2 * MICROSECONDS["s"],
        description="How long the server may take to accept a connection.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.ca and not self.tls.startswith("verify"):
            raise expecting("tls: verify-full (or verify-ca) beside ca")
        return self

    def settings(self) -> dict[str, Any]:
        """The connection as libpq has it."""
        given = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": self.password and self.password.get_secret_value(),
            "sslmode": self.tls,
            "sslrootcert": self.ca and str(self.ca),
            "connect_timeout": self.connect // MICROSECONDS["s"],
            "target_session_attrs": "read-write",
            "client_encoding": "UTF8",
            "application_name": "gapcast",
        }
        return {**_VANISHED, **{name: value for name, value in given.items() if value is not None}}


def psycopg() -> Any:
    """The module of that name, or RunError saying what to install."""
    with extra("postgres"):
        import psycopg
    return psycopg


class Transactions:
    """Transactions on one connection, which is made anew after any error."""

    def __init__(self, params: Server, tables: str) -> None:
        """tables: what their user needs rights on, for errors."""
        self._params = params
        self._tables = tables
        self._connection: Any = None

    def attempt(self, work: Callable[[Any], Outcome]) -> Outcome:
        """What `work` answers, its changes durable; unless it answers `Rejected`: then there are
        none. An error that may be over at the next try is a `Retry`; others raise SinkError."""
        outcome: Outcome
        try:
            connection = self._connected()
            with connection.transaction():
                connection.execute(SETTINGS)
                outcome = work(connection)
                if isinstance(outcome, Rejected):
                    raise psycopg().Rollback
        except psycopg().Error as error:
            self.close()
            if _passing(error):
                return Retry(words(error))
            raise SinkError(f"sink postgres: {self._advice(error)}") from None
        return outcome

    def try_rows(self, connection: Any, work: Callable[[], None]) -> str:
        """Do `work` within the transaction. Why the server rejects rows, in which case it has
        changed nothing; else empty."""
        try:
            with connection.transaction():
                work()
        except psycopg().Error as error:
            if (error.sqlstate or "").startswith(_ROWS):
                return f"PostgreSQL rejects it: {words(error)}"
            raise
        return ""

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Any:
        if self._connection is None:
            # no prepared statements, so that a pooler may stand between
            self._connection = psycopg().connect(
                **self._params.settings(), autocommit=True, prepare_threshold=None
            )
        return self._connection

    def _advice(self, error: Any) -> str:
        """What an error says and what to do about it."""
        said = words(error)
        if error.sqlstate == "42P01":
            return f"{said}; make it: gapcast sink init CONFIG"
        if error.sqlstate == "3F000":
            return f"{said}; make it: CREATE SCHEMA"
        if error.sqlstate == "42501":
            return (
                f"{said}; the user needs SELECT, INSERT and UPDATE on {self._tables}, and "
                f"TEMPORARY on the database {self._params.database} (to make tables: CREATE on "
                "their schema)"
            )
        if error.sqlstate in _FOREIGN:
            return f"{said}; the tables {self._tables} must be as gapcast sink init makes them"
        return said


def _passing(error: Any) -> bool:
    """Whether the next try may succeed. Without a code, the connection itself has failed."""
    state = error.sqlstate
    if state is None:
        return type(error).__name__ in ("OperationalError", "ConnectionTimeout")
    return bool(state.startswith(_PASSING) or state in _PASSING_TOO)


def words(error: Any) -> str:
    """What an error says, in one line."""
    return " ".join(str(error.diag.message_primary or error).split())
