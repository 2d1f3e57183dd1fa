"""How much a run gathers before it writes, and how many losses it bears."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """None of them changes a number of any row; tests narrow them.

    epoch_rows, epoch_seconds: an epoch ends when it has so many rows or is so old; None: as the
    config says, 0: with every result. dead_letters, scores: rows of them that gather before a
    file of them is written. checkpoints_beside: whether the run goes on while a checkpoint is
    written. losses: how often in a row workers may be lost without a checkpoint in between before
    the run fails.
    """

    epoch_rows: int = 400_000
    epoch_seconds: float | None = None
    dead_letters: int = 200_000
    scores: int = 100_000
    checkpoints_beside: bool = True
    losses: int = 3
