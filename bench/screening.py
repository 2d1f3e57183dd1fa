"""Faults planted into unlike networks: what screening finds, how soon, and what it finds in none.

    python bench/screening.py [--sets nycw,lab | tune | held] [--draws 4] [--data build/suite]

Twice: as shipped, and with all that can be looked for rejected.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path

import machine
import numpy as np
from networks import ROOT, networks
from suite.faults import KINDS, Planted, plant
from suite.ours import BEGIN, QUANTITY, SECOND
from suite.patterns import Mask
from suite.sets import Floats, Network, read

from gapcast.engine.config.screen import ScreenSection
from gapcast.engine.forecaster import Series
from gapcast.engine.grid.screening import Screener, ScreeningSpec
from gapcast.engine.network.series import Network as Sensors

YEAR = 365.25 * 86_400
_SHIPPED = ScreenSection()
HOWS = {
    "shipped": ScreeningSpec(
        _SHIPPED.outliers.action != "off",
        _SHIPPED.stuck.after,
        _SHIPPED.drift.after,
        _SHIPPED.trust,
        reject=("stuck",),
    ),
    "all": ScreeningSpec(),
}
"""By name. Both look for the same; as shipped only what is stuck is rejected."""


def judged(network: Network, values: Floats, how: str, rejected: bool = False) -> Mask:
    """(T, N) which values are suspected, or rejected. Directions are not screened."""
    quantities = np.where(np.isnan(network.circle), QUANTITY, "direction")
    sensors = Sensors.of(Series(f"{i:04d}", str(q)) for i, q in enumerate(quantities))
    step = round(network.interval * SECOND)
    screener = Screener(sensors, step, replace(HOWS[how], quantities=(QUANTITY,)))
    found, alarms = screener.judge(BEGIN // step, values.copy()), np.zeros(values.shape, bool)
    found = found.rejected if rejected else found
    alarms[found.step, found.series] = True
    return alarms


@dataclass
class Found:
    """What became of the faults of one kind, over sets and draws."""

    faults: int = 0
    detected: int = 0
    values: int = 0
    found: int = 0
    others: int = 0
    delays: list[int] = field(default_factory=list)

    def add(self, planted: Planted, alarms: Mask, before: Mask) -> None:
        """Take in one draw. alarms: what was found of it; before: of the same set without faults.

        What is found anyway is not counted as found, unless a fault has changed its value.
        """
        hit = alarms & planted.where
        self.values += int(planted.where.sum())
        self.found += int(hit.sum())
        self.others += int((alarms & ~planted.where & ~before).sum())
        for series, begin, end in planted.spells:
            at = np.flatnonzero(hit[begin:end, series])
            self.faults += 1
            if len(at):
                self.detected += 1
                self.delays.append(int(at[0]))

    def row(self, name: str) -> dict[str, object]:
        """A line of the table."""
        return {
            name: f"{self.detected / max(1, self.faults):.0%}",
            f"{name} values": f"{self.found / max(1, self.values):.0%}",
            f"{name} delay": int(np.median(self.delays)) if self.delays else "",
            f"{name} others": self.others / max(1, self.faults),
        }


def quiet(network: Network, how: str, alarms: Mask) -> dict[str, object]:
    """Alarms of a set in which nothing was planted, values and spells a sensor-year."""
    years = int((~np.isnan(network.values)).sum()) * network.interval / YEAR
    return {f"{how} values": alarms.sum() / years, f"{how} spells": spells(alarms) / years}


def spells(alarms: Mask) -> int:
    """Runs of alarms, of each series."""
    before = np.vstack([np.zeros((1, alarms.shape[1]), bool), alarms[:-1]])
    return int((alarms & ~before).sum())


def main() -> None:
    """Judge every set as it is and with every kind of fault; print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default="all")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "suite")
    options = parser.parse_args()
    found = {(kind.name, how): Found() for kind in KINDS for how in HOWS}
    calm: list[dict[str, object]] = []
    for name in networks(options.sets, options.data):
        network = read(options.data, name)
        before = {how: judged(network, network.values, how) for how in HOWS}
        calm.append({"set": name, "sensors": int(np.isnan(network.circle).sum())})
        for how in HOWS:
            calm[-1] |= quiet(network, how, before[how])
        rejected = judged(network, network.values, "shipped", rejected=True)
        calm[-1]["shipped rejected"] = int(rejected.sum())
        for kind in KINDS:
            for draw in range(options.draws):
                planted = plant(network, kind, draw)
                for how in HOWS if planted else ():
                    alarms = judged(network, planted.values, how)
                    found[kind.name, how].add(planted, alarms, before[how])
    facts = machine.describe()
    rows = [
        {"fault": kind.name, "faults": found[kind.name, "shipped"].faults}
        | {k: v for how in HOWS for k, v in found[kind.name, how].row(how).items()}
        for kind in KINDS
    ]
    machine.print_table("planted faults", facts, rows)
    machine.print_table("found where nothing was planted, a sensor-year", {}, calm)
    machine.save("screening", facts, rows + calm)


if __name__ == "__main__":
    main()
