"""The `dask` backend: shards on the workers of a Dask cluster, frames carried by streamz.

The driver reads, grids and delivers; a frame goes to each worker once, in the columns that its
shards read, and from there to the shards as a stream of futures. Every step of a shard depends on
the one before, so that its steps keep their order while shards run in parallel; state never
leaves a worker but for checkpoints.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gapcast.backends.dask_worker import Step, begin, forget, prepare, tell
from gapcast.engine.backend import Backend
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.extras import extra
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.remote import Remote, RemoteParams
from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.parallel.writing import Prepared
from gapcast.engine.shard.results import Stepped, StepResult
from gapcast.engine.sink import Reach
from gapcast.engine.state import Parcel

if TYPE_CHECKING:
    from distributed import Client, Future

POLL = 0.5
"""Seconds between two looks at whether workers were lost while results are waited for."""


class DaskBackend(Backend):
    """Starts a cluster on this machine, or uses one that runs.

    Whoever can reach a scheduler can run code on its workers: keep it on a trusted network, or
    give both sides TLS by Dask's own configuration.
    """

    class Params(RemoteParams):
        address: str | None = Field(
            default=None,
            description="A running scheduler, as tcp://host:8786; by default a cluster is started.",
        )
        workers: int = Field(default=2, ge=1, description="Processes of the cluster started here.")
        threads: int = Field(default=4, ge=1, description="Threads of each of them.")
        timeout: float = Field(
            default=60.0, gt=0, description="Seconds to wait for the scheduler and its workers."
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.batch, self.linger = params.batch, params.linger
        self._client: Client | None = None

    @contextmanager
    def workers(self, work: Work) -> Iterator[Workers]:
        """The workers of the cluster."""
        client = self._client or self._connect()
        self._client = client
        addresses = self._addresses(client)
        with Cluster(work, client, addresses, self._size(len(addresses))) as workers:
            yield workers

    def close(self) -> None:
        """Leave the cluster; end it if it was started here."""
        if self._client is not None:
            cluster = self._client.cluster
            self._client.close()
            if cluster is not None:
                cluster.close()
            self._client = None

    def _connect(self) -> Client:
        with extra("dask"):
            import cryptography  # noqa: F401
            import dask
            import streamz.dask  # noqa: F401
            from distributed import Client, LocalCluster
            from distributed.security import Security
        dask.config.set({"distributed.logging.distributed": "critical"})
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        if self.params.address is None:
            cluster = LocalCluster(
                protocol="tls",
                security=Security.temporary(),  # else any user here could run code as this one
                n_workers=self.params.workers,
                threads_per_worker=self.params.threads,
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # of what is there without
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                local_directory=tempfile.gettempdir(),
            )
            return Client(cluster, set_as_default=True)
        try:
            return Client(self.params.address, timeout=self.params.timeout)
        except (OSError, ValueError) as error:
            raise RunError(
                f"backend.address: no Dask scheduler at {self.params.address}: {error}"
            ) from None

    def _size(self, present: int) -> int:
        return self.params.workers if self.params.address is None else present

    def _addresses(self, client: Client) -> list[str]:
        """A place for each shard: the address of every worker as often as it has threads."""
        wanted = 1 if self.params.address else self.params.workers
        try:
            client.wait_for_workers(wanted, timeout=self.params.timeout)
        except TimeoutError:
            raise RunError(
                f"no Dask worker connected to {client.scheduler.address} "
                f"within {self.params.timeout:g} s"
            ) from None
        found = client.scheduler_info(n_workers=-1)["workers"]
        threads = {address: about["nthreads"] for address, about in sorted(found.items())}
        rounds = range(max(threads.values()))
        return [a for i in rounds for a, n in threads.items() if n > i]


@dataclass
class Post:
    """A worker and what goes there: `columns` of every frame, to the shards numbered `shards`."""

    address: str
    columns: NDArray[np.int64]
    shards: list[int]
    frames: Any


class Cluster(Remote):
    """Shards held in the memory of Dask workers."""

    ahead = 2

    def __init__(self, work: Work, client: Client, places: Sequence[str], expected: int) -> None:
        super().__init__(work, len(places))
        self.client = client
        self.run = f"{work.generation}:{uuid4().hex}"
        self.expected = expected
        self.writes = work.writing is not None and work.writing.reach >= (
            Reach.ANYWHERE if client.cluster is None else Reach.MACHINE
        )
        self.lost: set[str] = set()
        self._stepped: list[Sequence[Future]] = []
        self._last: Sequence[Future] = ()
        homes = list(islice(cycle(places), len(self.shares)))
        self.addresses = set(homes)
        client.subscribe_topic("all", self._watch)
        self.lost |= self.addresses - set(client.scheduler_info(n_workers=-1)["workers"])
        self._ship()
        self.posts = [self._post(a, homes) for a in dict.fromkeys(homes)]
        self._begin()

    def step(self, frame: GridFrame) -> Callable[[], StepResult | Stepped]:
        """Send each worker its columns of the frame and have its shards step it."""
        for post in self.posts:
            parcel = wire.of_frame(frame.narrow(post.columns))
            post.frames.emit(self._send(post.address, parcel))
        futures = self._stepped.pop()
        self._last = futures
        return lambda: self.joined(frame, self._wait(futures))

    def prepare(self, epoch: int, until: int, silence: dict[str, Any]) -> list[Prepared]:
        """Have each shard store its part of an epoch on its worker."""
        places = self._places()
        futures = [
            self._submit(places[i], prepare, self.run, i, epoch, until, silence)
            for i in range(len(places))
        ]
        return [Prepared(**about) for about, _ in self._wait(futures)]

    def ask(self, what: Literal["snapshot", "finish"]) -> list[Parcel]:
        """What each shard answers, after its last step."""
        places = self._places()
        return self._wait(
            [
                self._submit(places[i], tell, self.run, i, what, after)
                for i, after in enumerate(self._last)
            ]
        )

    def _places(self) -> dict[int, str]:
        return {i: post.address for post in self.posts for i in post.shards}

    def alive(self) -> tuple[int, int, int]:
        """Shards, workers that hold some of them, workers there should be."""
        return len(self.shares), len(self.addresses - self.lost), self.expected

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the workers forget the shards. After a loss the run's next life does it: a worker
        that has only just died would be waited for."""
        if self.client.status != "running":
            return
        self.client.unsubscribe_topic("all")
        there = [a for a in self.addresses if a not in self.lost]
        if there and not isinstance(error, ShardsLost):
            self.client.run(forget, self.run, workers=there, on_error="ignore")

    def _ship(self) -> None:
        """Give the workers the modules of plugins that no package has installed there."""
        for path in self.work.loose_modules():
            self.client.upload_file(str(path))

    def _post(self, address: str, homes: Sequence[str]) -> Post:
        from streamz.dask import DaskStream

        shards = [i for i, home in enumerate(homes) if home == address]
        columns = np.unique(np.concatenate([self.plans[i].columns() for i in shards]))
        return Post(address, columns, shards, DaskStream())

    def _begin(self) -> None:
        """Start or restore every shard on its worker, and lay the streams of futures."""
        homes, begun = {}, {}
        writing = self.work.writing.json() if self.writes and self.work.writing else None
        for post in self.posts:
            homes |= dict.fromkeys(post.shards, post)
            for i in post.shards:
                parcels = self.beginning(i, post.columns)
                sent = [self._send(post.address, parcel) for parcel in parcels]
                begun[i] = self._submit(post.address, begin, self.run, i, writing, *sent)
        self._last = [begun[i] for i in range(len(self.shares))]
        self._wait(self._last)
        branches = [
            homes[i].frames.accumulate(
                Step(self.run, i), start=begun[i], **_pinned(homes[i].address)
            )
            for i in range(len(self.shares))
        ]
        branches[0].zip(*branches[1:]).sink(self._stepped.append)

    def _submit(self, address: str, task: Callable[..., Any], *args: Any) -> Future:
        return self.client.submit(task, *args, **_pinned(address))

    def _send(self, address: str, parcel: Parcel) -> Future:
        from distributed.core import CommClosedError

        while True:
            if address in self.lost:
                raise ShardsLost(f"lost Dask worker {address}")
            try:
                sent = self.client.scatter(
                    [parcel], workers=[address], hash=False, direct=True, timeout=POLL
                )
                return sent[0]
            except TimeoutError:  # it is paused, or has just gone
                continue
            except (OSError, CommClosedError) as error:
                raise ShardsLost(f"Dask worker {address} cannot be reached ({error})") from error

    def _watch(self, event: tuple[float, Any]) -> None:
        """Called in the client's own thread when something happens in the cluster."""
        _, what = event
        if isinstance(what, dict) and what.get("action") == "remove-worker":
            self.lost |= {what.get("worker")} & self.addresses

    def _wait(self, futures: Sequence[Future]) -> list[Parcel]:
        """The results of tasks pinned to workers that may die. Raises ShardsLost if one has."""
        from concurrent.futures import CancelledError

        from distributed import wait
        from distributed.scheduler import KilledWorker

        try:
            while True:
                try:
                    wait(futures, timeout=POLL)
                    break
                except TimeoutError:
                    if self.lost:
                        lost = ", ".join(sorted(self.lost))
                        raise ShardsLost(f"lost Dask worker {lost}") from None
            return list(self.client.gather(futures, direct=True))
        except (CancelledError, KilledWorker) as error:
            reason = str(error).partition("\n")[0]
            raise ShardsLost(f"a Dask worker is gone ({reason})") from error


def _pinned(address: str) -> dict[str, Any]:
    return {"workers": [address], "allow_other_workers": False, "pure": False, "retries": 0}
