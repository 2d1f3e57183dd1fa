"""Going on with other models: what a checkpoint has learnt goes to those that are as they were,
the rest begin afresh."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.errors import RunError
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.run.job import Job
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.shard import Shard
from gapcast.engine.state import Arrays, below, within

log = logging.getLogger("gapcast.run")

Sections = Mapping[str, Mapping[str, Any]]
"""Of each model its section of a config, as it is written to a manifest."""


def same(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a model may go on: nothing of its section is another but its role. A key that was
    not there then came with a newer version."""
    learnt = {key: value for key, value in then.items() if key != "role"}
    return all(key in now and now[key] == value for key, value in learnt.items())


def check_epochs(job: Job, then: Sections) -> None:
    """Raises RunError where rows of models as they were `then` may be in sinks beyond the
    checkpoint of `job`, whose models are others."""
    now, epoch = job.sections, job.resume.epoch if job.resume else 0
    if then.keys() == now.keys() and all(same(of, now[name]) for name, of in then.items()):
        return
    if any(True for _ in EpochLog(job.checkpoint.folder / "epochs").since(epoch)):
        raise RunError(
            "the run was killed, and rows of its models after its newest checkpoint may be in the "
            "sinks: resume it with the models as they were, stop it, then change them"
        )


def renewed(job: Job, contents: Contents, then: Sections) -> Contents:
    """`contents`, of a run with the models `then`, for a job that may have others."""
    now = job.sections
    names = [model.name for model in job.models]
    old = contents.job.get("order", names)
    going_on = [name for name in old if name in now and same(then.get(name, {}), now[name])]
    if names == old == going_on:
        return contents
    for name in names:
        if name not in going_on:
            log.info("models.%s begins to learn", name)
    shards, layouts = _fresh(job.plan, contents.shards), dict[str, NDArray[Any]]()
    for name in going_on:
        m, before = names.index(name), old.index(name)
        shards = {key: a for key, a in shards.items() if not key.startswith(f"{m}/")}
        shards |= within(str(m), below(contents.shards, str(before)))
        layouts |= within(str(m), below(contents.layouts, str(before)))
    versions = {model.name: model.forecaster.state_version for model in job.models}
    versions |= {name: contents.job["models"][name] for name in going_on}
    about = contents.job | {"models": {name: versions[name] for name in names}}
    return replace(contents, job=about, shards=shards, layouts=layouts)


def _fresh(plan: Plan, before: Arrays) -> dict[str, NDArray[Any]]:
    """The snapshot of a shard that has learnt nothing, at the moment of the snapshot `before`."""
    shard = Shard(plan)
    withholding = any("/saved/" in name for name in before)
    if withholding:
        for intervals in shard.intervals:
            intervals.open()
    found = shard.snapshot()
    if withholding:
        for m in range(len(plan.models)):
            found |= within(f"{m}/saved", {n: a.copy() for n, a in shard.states[m].items()})
    if "last_seen" in before:
        found["last_seen"] = before["last_seen"]
    lagged, fresh = below(before, "lagged"), below(found, "lagged")
    return found | within("lagged", {name: _newest(a, fresh[name]) for name, a in lagged.items()})


def _newest(old: NDArray[Any], fresh: NDArray[Any]) -> NDArray[Any]:
    """The newest steps of `old`, as many as `fresh` has, or behind some of these."""
    steps = min(old.shape[1], fresh.shape[1])
    found = np.array(fresh)
    if steps:
        found[:, -steps:] = old[:, -steps:]
    return found
