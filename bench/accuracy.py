"""How well a dark day is filled on the shipped sample, every model by its defaults.

    python bench/accuracy.py

Splits of the three days: the days before the dark one are learnt, then each mote is dark in turn.
Beside ours, offline: ridge regression with its penalty chosen by cross-validation over the learnt
days, refitted for every mote on all the others' values.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import machine
import numpy as np

from gapcast import load_config, run

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "intel-lab-3days.txt.gz"
SPLITS = {
    "day 3 dark, days 1-2 learnt": ("2004-03-03T00:00:00Z", "2004-03-04T00:00:00Z"),
    "day 2 dark, day 1 learnt": ("2004-03-02T00:00:00Z", "2004-03-03T00:00:00Z"),
    "days 2-3 dark, day 1 learnt": ("2004-03-02T00:00:00Z", "2004-03-04T00:00:00Z"),
}
PENALTIES = 10.0 ** np.arange(-3, 4)


def scores(start: str, end: str, folder: Path) -> dict[str, float]:
    """Mean over motes of each model's MSE in the dark."""
    config = load_config(
        ROOT / "configs" / "quickstart.yaml",
        [
            f"source.path={SAMPLE}",
            f"evaluation.spans=[{{from: {start}, to: {end}}}]",
            "sinks={files: {type: files}}",
        ],
    )
    table = run(config, folder).scores
    models = np.array(table["model"].to_pylist())
    mse = table["mse"].to_numpy()
    return {str(name): float(mse[models == name].mean()) for name in dict.fromkeys(models)}


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
        for i, (name, (start, end)) in enumerate(SPLITS.items()):
            found = scores(start, end, Path(folder) / str(i))
            steps = [
                int((np.datetime64(t[:-1]) - np.datetime64("2004-03-01")) / np.timedelta64(30, "m"))
                for t in (start, end)
            ]
            rows.append({"split": name, **found, "offline ridge, CV": offline(*steps)})
    facts = machine.describe()
    machine.print_table("Mean over 50 motes of the MSE in the dark, °C²", facts, rows)
    machine.save("accuracy", facts, rows)


if __name__ == "__main__":
    main()
