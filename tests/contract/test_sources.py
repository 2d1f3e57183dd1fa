"""The built-in sources pass the kit, through the same line as anyone's."""

from __future__ import annotations

import gzip

from gapcast.engine.testing import source
from gapcast.plugins.sources.intel_lab import IntelLabSource
from gapcast.plugins.sources.replay import ReplaySource

POISON = "no reading at all\n"


def lines(first, order=1):
    """Twelve records of two motes, one value of them no number."""
    return [
        f"2004-03-01 00:{i:02}:00.5 {i} {first + i % 2} 2{i}.5 {'nan' if i == 3 else 40} 100 2.7\n"
        for i in range(12)
    ][::order]


def replay(folder):
    (folder / "b").mkdir(exist_ok=True)
    (folder / "a.txt").write_text("".join(lines(1)))
    (folder / "b/c.txt.gz").write_bytes(gzip.compress("".join(lines(3)).encode()))
    return ReplaySource(ReplaySource.Params(path=str(folder), format="intel-lab"))


def replay_spoiled(folder):
    made = replay(folder)
    (folder / "a.txt").write_text(POISON + "".join([*lines(1)[:5], POISON, *lines(1)[5:]]))
    return made


TestReplay = source(replay, replay_spoiled)


def csv(folder):
    names = ("humidity", "temperature")
    rows = [f"2004-03-01T00:{i:02}:00Z,{i % 3},{names[i % 2]},{i}.5\n" for i in range(12)]
    (folder / "a.csv").write_text("time,sensor,quantity,value\n" + "".join(rows))
    return ReplaySource(ReplaySource.Params(path=str(folder)))


def csv_spoiled(folder):
    made = csv(folder)
    text = (folder / "a.csv").read_text().splitlines(keepends=True)
    (folder / "a.csv").write_text("".join([*text[:4], "yesterday,1,humidity,3\n", *text[4:]]))
    return made


TestReplayOfCsv = source(csv, csv_spoiled)


def intel_lab(folder, extra=()):
    log = folder / "log.txt"
    if not log.exists():
        log.write_text("".join([*lines(1, -1), *extra, *lines(7, -1)]))
    return IntelLabSource(IntelLabSource.Params(path=log))


def intel_lab_spoiled(folder):
    return intel_lab(folder, [POISON])


TestIntelLab = source(intel_lab, intel_lab_spoiled)
