"""Which columns of a long table say what series a row is of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from gapcast.engine.errors import DataError, Undecided
from gapcast.engine.forecaster import Ints

APART = 0.99
"""Share of the rows that are the first of their time and series, at least;"""
WIDE = 0.9
"""and of their time, in a wide table."""
SENSOR = re.compile(
    r"(sensor|station|device|mote|node|site|location|series|entity|meter|tag|point|name|messstelle"
    r"|_?id$|id_)",
    re.I,
)
QUANTITY = re.compile(
    r"(quantity|variable|param|measure|metric|_?field|channel|property|kind)", re.I
)


def keys_of(times: Ints, columns: Sequence[str], codes: Callable[[str], Ints]) -> tuple[str, ...]:
    """The columns by which rows of one time differ; none where there is one row for a time.

    times: of the rows. columns: names of those that may be. codes: of one of them, the number of
    each row's text. Raises Undecided where it may be one or another.
    """
    moments = np.unique(times, return_inverse=True)[1]
    if _apart(moments, len(times), WIDE):
        return ()
    known = {name: codes(name) for name in columns}
    for size in (1, 2):
        fit = [
            names
            for names in combinations(columns, size)
            if _apart(_joined(moments, *(known[n] for n in names)), len(times))
        ]
        if fit:
            return _best(fit, known)
    found = f"{len(times):,} rows have {int(moments.max()) + 1:,} different times"
    if not columns:
        raise DataError(f"{found}: expected one row for each, or a column of sensors")
    raise Undecided(f"{found}, and no column tells those of one time apart", "--sensor", columns)


def _best(fit: list[tuple[str, ...]], columns: dict[str, Ints]) -> tuple[str, ...]:
    """The only one, or the one with the usual names, or the first of such that say the same."""
    named = [names for names in fit if _named(names)] or fit
    if len(named) > 1:
        first = _joined(*(columns[n] for n in named[0]))
        other = [_joined(*(columns[n] for n in names)) for names in named[1:]]
        count = int(first.max()) + 1
        if any(int(o.max()) + 1 != count for o in other) or any(
            int(_joined(first, o).max()) + 1 != count for o in other
        ):
            raise Undecided(
                "rows of one time differ by several columns",
                "--sensor",
                [" ".join(names) for names in named] if len(named[0]) == 1 else columns,
            )
    return named[0]


def _named(names: tuple[str, ...]) -> bool:
    if len(names) == 1:
        return bool(SENSOR.search(names[0]))
    one, other = names
    return any(SENSOR.search(a) and QUANTITY.search(b) for a, b in ((one, other), (other, one)))


def _apart(groups: Ints, rows: int, share: float = APART) -> bool:
    return int(groups.max(initial=-1)) + 1 >= share * rows


def _joined(*of: Ints) -> Ints:
    """The number of each row's combination."""
    found = of[0]
    for more in of[1:]:
        found = np.unique(found * (int(more.max()) + 1) + more, return_inverse=True)[1]
    return np.unique(found, return_inverse=True)[1] if len(of) == 1 else found
