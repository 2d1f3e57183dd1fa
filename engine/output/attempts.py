"""One epoch to one sink: called until its outcome is final."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    sleep_using_event,
    stop_any,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from gapcast.engine.errors import SinkError
from gapcast.engine.sink import Outcome, Retry, Sink

log = logging.getLogger("gapcast.delivery")


def write(name: str, sink: Sink, epoch: int, table: pa.Table, stopping: threading.Event) -> Outcome:
    """Call the sink until it answers anything but `Retry`, waiting longer each time.

    Raises SinkError when the run is `stopping` and the sink still asks to be tried again.
    """
    outcome: Outcome = again(name, epoch, partial(sink.write, epoch, table), stopping)
    return outcome


def again(name: str, epoch: int, call: Callable[[], Retry | Any], stopping: threading.Event) -> Any:
    """What `call` returns at last, as `write` does, for the sink of that name."""

    def tell(state: RetryCallState) -> None:
        assert state.outcome is not None
        reason = state.outcome.result().reason
        log.warning("sink %s asks to be tried again: %s", name, reason)

    retrying = Retrying(
        retry=retry_if_result(lambda outcome: isinstance(outcome, Retry)),
        wait=wait_random_exponential(multiplier=0.1, max=30),
        stop=stop_any(stop_when_event_set(stopping), _OutOfPatience()),
        sleep=sleep_using_event(stopping),
        before_sleep=tell,
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    outcome = retrying(call)
    if isinstance(outcome, Retry):
        if stopping.is_set():
            raise SinkError(
                f"sink {name!r} had not taken epoch {epoch} when the run stopped: {outcome.reason}"
            )
        raise SinkError(
            f"sink {name!r} has not taken epoch {epoch} for {outcome.patience:g} s: "
            f"{outcome.reason}; everything before it is delivered, go on with --resume when this "
            "is mended"
        )
    return outcome


class _OutOfPatience(stop_base):
    """The sink will not be asked again though the run goes on."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Whether it has answered for so long as it has patience."""
        outcome, since = retry_state.outcome, retry_state.seconds_since_start
        patience = outcome.result().patience if outcome else None
        return patience is not None and since is not None and since >= patience
