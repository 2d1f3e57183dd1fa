"""The `opentsdb` sink: forecasts, bounds, truth and errors as points of OpenTSDB, each accounted
for.

It posts by `requests` (see `opentsdb_http`) and goes without opentsdb-py, of which nothing would be
left but an address and a session of `requests`. The rest of it loses data: its queue drops the
oldest points when full, the thread behind it repeats a body for ever when the answer is not JSON,
``sendall`` never looks at the status nor asks the storage to confirm, ``send`` cuts times to whole
seconds and lets NaN and bad tags pass.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, SecretStr, field_validator, model_validator

from gapcast.engine.errors import SinkError
from gapcast.engine.sink import (
    AlreadyCommitted,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    Rejected,
    Retry,
    Sink,
    is_ahead,
)
from gapcast.engine.units import Duration
from gapcast.plugins.sinks.bodies import Body
from gapcast.plugins.sinks.http import HttpParams, Sent, login
from gapcast.plugins.sinks.opentsdb_http import Connections
from gapcast.plugins.sinks.opentsdb_points import (
    SHARED,
    Layout,
    Template,
    alike,
    bodies,
    escape,
    figures,
)

log = logging.getLogger("gapcast.sinks.opentsdb")

Series = Literal["forecast", "lower", "upper", "truth", "status", "residual", "squared_error"]
_ALL: tuple[Series, ...] = Series.__args__  # type: ignore[attr-defined]
_MOST_TAGS = 8


class OpenTsdbParams(HttpParams):
    """Parameters of the sink ``opentsdb``."""

    metric: str = Field(
        default="{quantity}.{series}",
        description="Name of a metric. May hold {quantity}, {series} and {run}.",
    )
    tags: dict[str, str] = Field(
        default={"sensor": "{sensor}", "model": "{model}", "horizon": "{horizon}"},
        description="Tags of a point; {sensor}, {quantity}, {model}, {horizon}, {series} and {run} "
        "may be in them. Series of a sensor (truth, status) go without those that name the model "
        "or the horizon.",
    )
    series: list[Series] = Field(
        default=list(_ALL),
        min_length=1,
        description="What becomes a series. status: 0 observed, 1 missing, 2 withheld, 3 rejected. "
        "squared_error: of what is scored; its mean over any span is the MSE.",
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Sent with each request, as {Authorization: '${TOKEN}'}."
    )
    connections: int = Field(default=4, ge=1, le=64, description="Posts on their way at once.")
    bytes: int = Field(
        default=1_000_000,
        ge=1024,
        description="Most bytes of JSON in a post. tsd.http.request.max_chunk must allow it; "
        "halved by itself when the server rejects.",
    )
    progress: Duration = Field(
        default=10_000_000,
        ge=1_000_000,
        description="How often gapcast.rate, gapcast.lag (seconds), gapcast.readings and "
        "gapcast.rows are written, with the tag run.",
    )

    @field_validator("metric")
    @classmethod
    def _metric(cls, metric: str) -> str:
        if wrong := Template(metric).fields - {"quantity", "series", "run"}:
            raise ValueError(f"{{{min(wrong)}}} belongs in tags")
        return metric

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: dict[str, str]) -> dict[str, str]:
        if len(tags) > _MOST_TAGS:
            raise ValueError(f"OpenTSDB stores at most {_MOST_TAGS} tags")
        for name, text in tags.items():
            Template(text)
            if escape(name) != name:
                raise ValueError(f"{name!r} has characters other than A-Z a-z 0-9 - _ . /")
        return tags

    @model_validator(mode="after")
    def _fits_together(self) -> OpenTsdbParams:
        plain, named = set(Template(self.metric).fields), set(Template(self.metric).fields)
        for text in self.tags.values():
            fields = Template(text).fields
            named |= fields
            plain |= fields if not fields & {"model", "horizon"} else set()
        if missing := {"quantity", "series", "sensor", "model", "horizon"} - named:
            raise ValueError(f"neither metric nor tags name {{{min(missing)}}}: points would clash")
        if missing := {"quantity", "series", "sensor"} - plain:
            raise ValueError(
                f"{{{min(missing)}}} must be in a tag without {{model}} or {{horizon}}"
            )
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        return self


class OpenTsdbSink(Sink):
    """Posts epochs to OpenTSDB's ``/api/put``, every point confirmed by its storage.

    A point ends stored, posted again, or rejected, in which case its row is a dead letter with the
    reason; points of that row that were stored stay. While an epoch is tried again, only what was
    not confirmed is posted; after a crash all of it, in the same bytes. Times are starts of steps,
    in seconds if the grid's interval is whole seconds, else in milliseconds. Of a row
    ahead, forecast and bounds are stored at once, at its time in the future; truth, status and
    errors follow with the final row. Runs that forecast the same series need a `metric` or `tags`
    with {run}, or they overwrite each other.
    """

    Params = OpenTsdbParams
    params: OpenTsdbParams
    delivery = Delivery.IDEMPOTENT

    def open(self, job: JobInfo, generation: str) -> None:
        """Look at the server; it may be down, but a wrong password or certificate is rejected."""
        if job.interval % 1000:
            raise SinkError(
                f"OpenTSDB stores milliseconds; grid.interval, {job.interval} µs, is finer"
            )
        p = self.params
        headers = {name: value.get_secret_value() for name, value in p.headers.items()}
        if p.user is not None and p.password is not None:
            headers["Authorization"] = login(p.user, p.password)
        self._job = job
        self._layout = Layout(
            job.name,
            Template(p.metric),
            {name: Template(text) for name, text in p.tags.items()},
            p.series,
            1_000_000 if job.interval % 1_000_000 == 0 else 1000,
            job.scored,
            job.periods,
        )
        self._connections = Connections(p.url, headers, p.ca, p.timeout / 1e6, p.gzip)
        self._connections.check()
        self._pool = ThreadPoolExecutor(p.connections, "gapcast-opentsdb")
        self._work: _Work | None = None
        self._last: int | None = None
        self._told = -float("inf")
        self.counts = {"stored": 0, "retried": 0, "rejected": 0}

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Post what is not stored yet of the epoch."""
        if self._last is not None and epoch <= self._last:
            return AlreadyCommitted()
        if self._work is None or self._work.epoch != epoch:
            self._work = self._begin(epoch, forecasts)
        work = self._work
        reason = self._post(work)
        if reason:
            return Retry(reason)
        if work.rejected:
            rejected, work.rejected = _spread(forecasts, work.rejected), {}
            return Rejected(list(rejected), list(rejected.values()))
        self._last, self._work = epoch, None
        return Committed()

    def close(self) -> None:
        """Close the connections and log what became of the points."""
        self._pool.shutdown()
        self._connections.close()
        counts = (f"{number:,} {what}" for what, number in self.counts.items())
        log.info("%s: points %s", self.params.url, ", ".join(counts))

    def _begin(self, epoch: int, forecasts: pa.Table) -> _Work:
        unfit = self._layout.unfit(forecasts)
        made = bodies(self._layout, forecasts, sorted(unfit), self.params.bytes)
        return _Work(epoch, chain(self._figures(), made), unfit)

    def _figures(self) -> Iterator[Body]:
        """The run's own figures, when they are due."""
        if time.monotonic() - self._told >= self.params.progress / 1e6:
            self._told = time.monotonic()
            at = self._job.progress()
            values = {"rate": at.rate, "readings": at.readings, "rows": at.forecasts}
            if at.lag is not None:
                values["lag"] = at.lag
            yield figures(values, self._job.name, int(time.time()))

    def _post(self, work: _Work) -> str:
        """Post until nothing is left, or until a body must be tried again: then says why."""
        running: set[Future[Sent]] = set()
        reason = ""
        while True:
            while not reason and len(running) < self.params.connections:
                body = work.next()
                if body is None:
                    break
                running.add(self._pool.submit(self._connections.post, body))
            if not running:
                return reason
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for sent in (future.result() for future in done):
                self._take(work, sent)
                reason = reason or sent.reason

    def _take(self, work: _Work, sent: Sent) -> None:
        self.counts["stored"] += sent.stored
        self.counts["retried"] += sum(map(len, sent.again))
        self.counts["rejected"] += len(sent.rejected)
        work.again += sent.again
        for row, reason in sent.rejected:
            if row < 0:
                log.warning("%s: a figure of the run: %s", self.params.url, reason)
            else:
                work.rejected.setdefault(row, reason)


def _spread(forecasts: pa.Table, rejected: Mapping[int, str]) -> dict[int, str]:
    """Rows rejected and why, in order: a point that several rows share takes all of them."""
    rows = {row: reason for row, reason in rejected.items() if row < SHARED}
    if len(rows) < len(rejected):
        group = alike(forecasts)
        of = {group[row - SHARED]: reason for row, reason in rejected.items() if row >= SHARED}
        shared = np.isin(group, list(of)) & ~is_ahead(forecasts)
        for row in np.flatnonzero(shared).tolist():
            rows.setdefault(row, of[group[row]])
    return dict(sorted(rows.items()))


class _Work:
    """An epoch on its way: bodies left to post, rows rejected so far with the reason."""

    def __init__(self, epoch: int, left: Iterator[Body], rejected: dict[int, str]) -> None:
        self.epoch = epoch
        self.again: deque[Body] = deque()
        self.rejected = rejected  # or `SHARED` more than the row, for a point of several
        self._left = left

    def next(self) -> Body | None:
        """The next body to post, one that was posted before if there is one."""
        return self.again.popleft() if self.again else next(self._left, None)
