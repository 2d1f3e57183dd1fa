"""What became of the readings of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counts:
    """What became of every reading: `read` is the sum of the others once all steps are closed."""

    read: int = 0
    used: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    invalid: int = 0
