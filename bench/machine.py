"""What every table of bench/ says of the machine it was made on, and where its JSON goes."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median


def describe(*packages: str) -> dict[str, str]:
    """Processor, cores, memory, Python, and the versions of what was measured."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "python": platform.python_version(),
    }
    for name in ("gapcast", "numpy", "numba", "pyarrow", *packages):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def rates(of: list[float]) -> dict[str, object]:
    """The columns that tables of repeated runs have: median, least and greatest rate."""
    return {"readings/s": median(of), "min": min(of), "max": max(of)}


def print_table(title: str, facts: dict[str, str], rows: list[dict[str, object]]) -> None:
    """The facts on one line, then aligned columns; numbers right."""
    print(f"\n{title}\n{', '.join(f'{k} {v}' for k, v in facts.items())}\n")
    names = list(rows[0])
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]
    print(
        "  ".join(
            n.ljust(w) if i == 0 else n.rjust(w)
            for i, (n, w) in enumerate(zip(names, widths, strict=True))
        )
    )
    for row in cells:
        print(
            "  ".join(
                c.ljust(w) if i == 0 else c.rjust(w)
                for i, (c, w) in enumerate(zip(row, widths, strict=True))
            )
        )


def save(name: str, facts: dict[str, str], rows: list[dict[str, object]]) -> None:
    """Write the table to bench/results/NAME.json."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"machine": facts, "rows": rows}, indent=2))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
