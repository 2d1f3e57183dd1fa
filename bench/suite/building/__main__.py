"""Write every set, or those that are named: ``python -m suite.building FOLDER [SET ...]``."""

from __future__ import annotations

import sys
from pathlib import Path

from suite.building import measured, simulated, weather

SETS = {f.__name__: f for f in (*weather.SETS, *measured.SETS, *simulated.SETS)}


def main(folder: str, *wanted: str) -> None:
    """Build them and say what each is. What cannot be built ends it."""
    unknown = [name for name in wanted if name not in SETS]
    if unknown:
        raise SystemExit(f"no set {', '.join(unknown)}; there are {', '.join(SETS)}")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name in wanted or SETS:
        built = SETS[name]()
        built.write(out / f"{name}.npz")
        (steps, series), missing = built.table.shape, built.table.isna().to_numpy().mean()
        about = f"{steps:5d} x {series:2d}, {built.interval:5d} s, {missing:5.1%} missing"
        print(f"{name:10s} {about}; {built.source}; {built.licence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
