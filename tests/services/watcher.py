"""Kills the processes it was told of when whoever told it goes away, however that happens.

Reads process ids from its standard input, one a line. Holds each process by a descriptor, so
that an id given anew to some other process is never hit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    held: list[int] = []
    for line in sys.stdin:
        with contextlib.suppress(ProcessLookupError):
            held.append(os.pidfd_open(int(line)))
    for descriptor in held:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


if __name__ == "__main__":
    main()
