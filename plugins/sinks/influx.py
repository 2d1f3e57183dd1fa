"""The `influx` sink: forecasts as points of InfluxDB, and of what else speaks line protocol."""

from __future__ import annotations

import logging
import re
from collections import deque
from dataclasses import dataclass, field

import pyarrow as pa
from pydantic import Field, SecretStr, field_validator, model_validator

from gapcast.engine.sink import (
    AlreadyCommitted,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    Rejected,
    Retry,
    Sink,
)
from gapcast.plugins.sinks.bodies import Body
from gapcast.plugins.sinks.http import HttpParams, login
from gapcast.plugins.sinks.influx_http import Connections
from gapcast.plugins.sinks.influx_lines import lines, unfit

log = logging.getLogger("gapcast.sinks.influx")


class InfluxParams(HttpParams):
    """Parameters of the sink ``influx``."""

    database: str | None = Field(
        default=None, min_length=1, description="Where to write, for the API of version 1."
    )
    policy: str | None = Field(
        default=None, description="Retention policy of the database. Default: its own default."
    )
    bucket: str | None = Field(
        default=None, min_length=1, description="Where to write, for the API of version 2."
    )
    org: str | None = Field(default=None, description="The bucket's organisation.")
    measurement: str = Field(
        default="forecasts",
        description="Name of the points. Runs that forecast the same series need different ones, "
        "or databases of their own.",
    )
    token: SecretStr | None = Field(
        default=None, description="Of version 2, instead of user and password; as ${NAME}."
    )
    bytes: int = Field(
        default=1_000_000,
        ge=1024,
        description="Most bytes of text in a post; halved by itself when the server says it is "
        "too large.",
    )

    @field_validator("measurement")
    @classmethod
    def _measurement(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII):
            raise ValueError("must be letters, digits, _ . and -, a letter first")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> InfluxParams:
        if (self.database is None) == (self.bucket is None):
            raise ValueError("give database (version 1) or bucket (version 2), and not both")
        if self.policy and self.bucket:
            raise ValueError("policy goes with database")
        if self.org and self.database:
            raise ValueError("org goes with bucket")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.token is not None:
            raise ValueError("give user and password or token, and not both")
        return self


@dataclass
class _Work:
    """An epoch on its way: bodies left to post, rows rejected so far with the reason."""

    epoch: int
    left: deque[Body]
    rejected: dict[int, str] = field(default_factory=dict)


class InfluxSink(Sink):
    """Posts epochs to InfluxDB's write API, a point for each row.

    Tags are sensor, quantity, model and horizon; the other columns are fields; times are in
    microseconds. A point written again replaces itself, so after a crash an epoch is posted once
    more. While it is tried again, only what was not confirmed is posted. Points that the server
    rejects are dead letters with its reason, and so are rows whose names no tag can hold.
    """

    Params = InfluxParams
    params: InfluxParams
    delivery = Delivery.IDEMPOTENT

    def open(self, job: JobInfo, generation: str) -> None:
        """Look at the server; it may be down, but a wrong password or database is an error."""
        p = self.params
        headers = {}
        if p.token is not None:
            headers["Authorization"] = f"Token {p.token.get_secret_value()}"
        elif p.user is not None and p.password is not None:
            headers["Authorization"] = login(p.user, p.password)
        self._connections = Connections(p.url, headers, p.ca, p.timeout / 1e6, p.gzip)
        if p.database is not None:
            path, query = "/write", {"db": p.database, "rp": p.policy, "precision": "u"}
        else:
            path, query = "/api/v2/write", {"org": p.org, "bucket": p.bucket, "precision": "us"}
        self._connections.aim(path, {k: v for k, v in query.items() if v})
        self._connections.check()
        self._work: _Work | None = None
        self._last: int | None = None

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Post what is not stored yet of the epoch."""
        if self._last is not None and epoch <= self._last:
            return AlreadyCommitted()
        if self._work is None or self._work.epoch != epoch:
            wrong = unfit(forecasts)
            made = lines(self.params.measurement, forecasts, list(wrong), self.params.bytes)
            self._work = _Work(epoch, deque(made), wrong)
        work = self._work
        while work.left:
            sent = self._connections.post(work.left.popleft())
            work.rejected |= dict(sent.rejected)
            work.left.extendleft(reversed(sent.again))
            if sent.again:
                return Retry(sent.reason)
        self._work = None
        if work.rejected:
            rejected = dict(sorted(work.rejected.items()))
            return Rejected(list(rejected), list(rejected.values()))
        self._last = epoch
        return Committed()

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()
