"""Epochs: results of frames gathered and delivered, a bounded number on their way."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from typing import Generic

from gapcast.engine.output.delivery import SinkWriter
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.output.outlets import Outlet, Result


class Epochs(Generic[Result]):
    """Gathers results into epochs and hands them to a writer thread, at most two epochs ahead.

    Rows are made of a whole epoch, so that they do not depend on how it was cut into frames. The
    bound is what pushes back: when the sinks are slow, `add` waits and nothing is read. An epoch
    ends when it has `most` rows, and, unless two others are still being written, when it is
    `seconds` old or the source has nothing just now: what comes faster than sinks take it makes
    larger epochs. With 0 seconds every result is an epoch. Where the log has ends of epochs that a
    crash cut short, they end at these.
    """

    def __init__(
        self,
        delivery: SinkWriter,
        outlet: Outlet[Result],
        log: EpochLog,
        most: int,
        seconds: float,
    ) -> None:
        self._delivery = delivery
        self._outlet: Outlet[Result] = outlet
        self._log = log
        self._most = most
        self._seconds = seconds
        self._fixed = deque(log.since(delivery.epoch))
        self._logged = max((epoch for epoch, _ in self._fixed), default=-1)
        self._gathered: list[Result] = []
        self._count = 0
        self._since = time.monotonic()
        self._queue: queue.Queue[list[Result] | None] = queue.Queue(maxsize=2)
        self._failure: BaseException | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="gapcast-write", daemon=True)
        self._writer.start()

    def add(self, result: Result) -> None:
        """Take the joined result of one frame. Raises what a sink raised."""
        while self._fixed and self._fixed[0][1] <= result.first + len(result):
            _, until = self._fixed.popleft()
            head, result = result.cut(until - result.first)
            self._gather(head)
            self._end()
        if len(result):
            self._gather(result)
        if self._fixed:
            return
        if self._count >= self._most or self._seconds == 0:
            self._end()
        elif time.monotonic() - self._since >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """End the epoch in progress, if it has rows and its end was not fixed before a crash, or
        leave it while two others are being written."""
        if not self._fixed and self._queue.unfinished_tasks < 2:
            self._end()

    def end(self) -> None:
        """Deliver everything added so far. Where a crash cut epochs short, one ended here before
        it, too: nothing is cut otherwise."""
        self._end()
        self._queue.join()
        if self._failure is not None:
            raise self._failure

    def turn(self, outlet: Outlet[Result]) -> None:
        """Go on with another outlet, once everything was delivered."""
        self._outlet = outlet

    def settle(self) -> bool:
        """Deliver everything added so far.

        False while epochs that a crash cut short are being made again: their ends are fixed.
        """
        if self._fixed:
            return False
        self.end()
        return True

    def close(self, deliver: bool) -> None:
        """Wait until every epoch has its outcome; `deliver` what is gathered, or drop it.

        Does nothing the second time. Raises what a sink raised, if asked to deliver.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if deliver and not self._fixed:
                self._end()
        finally:
            self._hand_over(None)
            self._writer.join()
        if deliver and self._failure is not None:
            raise self._failure

    def _gather(self, result: Result) -> None:
        self._gathered.append(result)
        self._count += result.forecasts

    def _end(self) -> None:
        if self._count:
            self._hand_over(self._gathered)
        self._gathered, self._count = [], 0
        self._since = time.monotonic()

    def _hand_over(self, epoch: list[Result] | None) -> None:
        self._queue.put(epoch)
        if epoch is not None and self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        while (epoch := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    self._deliver(epoch)
            except BaseException as error:
                self._failure = error
            finally:
                self._queue.task_done()

    def _deliver(self, results: list[Result]) -> None:
        epoch = self._delivery.epoch
        if not self._outlet.prepare(epoch, results):
            return
        if epoch > self._logged:
            self._log.append(epoch, results[-1].first + len(results[-1]))
        self._outlet.commit()
