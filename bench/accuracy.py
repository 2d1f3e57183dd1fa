"""How well a withheld day is filled on the shipped sample, every model by its defaults.

    python bench/accuracy.py

Writes bench/results/accuracy.json, which is tracked: pages quote it, and a test holds every figure
marked with its row and column against it. Splits of the three days: the days before the withheld
one are learnt, then each mote's temperature is withheld from its own models. `day 3` with
screening on is `gapcast run configs/quickstart.yaml`. Beside ours, offline: ridge regression with
its penalty chosen by cross-validation over the learnt days, refitted for every mote on all the
others' values.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import machine
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gapcast import load_config, run

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "intel-lab-3days.txt.gz"
DAYS = [f"2004-03-0{d}T00:00:00Z" for d in (1, 2, 3, 4)]
SPLITS = {"day 3": (2, 3), "day 2": (1, 2), "days 2-3": (1, 3)}
"""First withheld day and the first one after, counted from 0."""
SCREENING = {"screened": "all", "unscreened": "none"}
STEPS = 48
"""Of a day."""
PENALTIES = 10.0 ** np.arange(-3, 4)


def scores(split: str, screening: str, folder: Path) -> list[dict[str, object]]:
    """Each model's scores on the withheld values, means over the motes, and the run's counts."""
    start, end = SPLITS[split]
    config = load_config(
        ROOT / "configs" / "quickstart.yaml",
        [
            f"source.path={SAMPLE}",
            f"evaluation.spans=[{{from: {DAYS[start]}, to: {DAYS[end]}}}]",
            f"screen.quantities={SCREENING[screening]}",
            "sinks={files: {type: files}}",
        ],
    )
    result = run(config, folder)
    rows: list[dict[str, object]] = []
    for model in config.models:
        table = result.scores.filter(pc.equal(result.scores["model"], model))
        means = {
            name: pc.mean(table[name]).as_py()
            for name, kind in zip(table.column_names, table.schema.types, strict=True)
            if pa.types.is_floating(kind)
        }
        about = {"split": split, "screening": screening, "model": model}
        rows.append(about | {"n": pc.sum(table["n"]).as_py(), **means})
    counts = {"read": result.counts.read, "rejected": result.counts.rejected}
    return [*rows, {"split": split, "screening": screening, "model": "readings", **counts}]


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of a ridge regression with an intercept; x is centred, the last column is ones."""
    gram = x.T @ x + penalty * np.diag([*np.ones(x.shape[1] - 1), 0.0])
    return np.linalg.solve(gram, x.T @ y)


def offline(first: int, last: int) -> float:
    """The ridge peer's mean MSE over the steps [first, last), learnt from those before."""
    with gzip.open(SAMPLE, "rt") as file:
        values = np.array([float(line.split()[4]) for line in file]).reshape(-1, 50)
    errors = []
    for mote in range(50):
        others = np.delete(values, mote, axis=1)
        x = np.column_stack([others - others[:first].mean(axis=0), np.ones(len(values))])
        y = values[:, mote]
        folds = np.array_split(np.arange(first), 5)
        losses = [
            sum(
                (
                    (x[f] @ ridge(np.delete(x[:first], f, 0), np.delete(y[:first], f), p) - y[f])
                    ** 2
                ).sum()
                for f in folds
            )
            for p in PENALTIES
        ]
        weights = ridge(x[:first], y[:first], PENALTIES[int(np.argmin(losses))])
        errors.append(((x[first:last] @ weights - y[first:last]) ** 2).mean())
    return float(np.mean(errors))


def main() -> None:
    """Print the table."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for split, (start, end) in SPLITS.items():
            for screening in SCREENING:
                rows += scores(split, screening, Path(folder) / split / screening)
            peer = {"split": split, "screening": "screened", "model": "offline ridge"}
            rows.append(peer | {"mse": offline(STEPS * start, STEPS * end)})
    facts = machine.describe()
    shown = [row for row in rows if "mse" in row]
    machine.print_table("A withheld day of the sample, means over 50 motes, °C", facts, shown)
    machine.save("accuracy", facts, rows)


if __name__ == "__main__":
    main()
