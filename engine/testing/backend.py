"""The conformance kit of backends: each is held against one shard of all targets in this process.

Runs are small and several checks look at the same one.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gapcast.engine.errors import RunError, SinkError, SourceError
from gapcast.engine.testing.kit import KitError, suite
from gapcast.engine.testing.played import (
    EVALUATIONS,
    REFERENCE,
    Played,
    config,
    once,
    play,
    same,
    same_states,
)
from gapcast.engine.testing.stage import HOUR, START, STEPS, Stage, gone

Params = Mapping[str, Any]

MODELS: Params = {
    "plain": {"type": "gapcast.engine.testing.reference:Plain", "horizons": [0, 3]},
    "joint": {"type": "gapcast.engine.testing.reference:Joint"},
}
CUTS = {"prequential": 5, "each": 15, "each-sensor": 40, "together": 100_000}
"""Readings of a call of the source: about a step of its partition, three, more, all there are."""
AGAIN = {"prequential": 100_000, "together": 15}
"""How the reference reads where its checkpoints need not be those of the other run."""
MOST_AHEAD = 24
"""Steps of the kit's source, each a call, that may be read and not yet be delivered."""
STALLED_EPOCH = 8
NEVER, ALWAYS = "1h", "1us"
"""Time between checkpoints."""


@dataclass
class Case:
    """The configs of a backend to check, the models, what kills one of its workers."""

    configs: tuple[Params, ...]
    models: Params
    kill: Callable[[], None] | None
    patience: float
    runs: dict[str, Played] = field(default_factory=dict)

    def straight(self, how: str, folder: Path) -> Played:
        """A whole run. The prequential one has no checkpoints and a sink that stalls once; the
        others take as many checkpoints as they can."""
        if how not in self.runs:
            stage = Stage(CUTS[how])
            if how == "prequential":
                stage.on_write = once(
                    lambda epoch: epoch == STALLED_EPOCH, lambda: stage.stall(MOST_AHEAD)
                )
            every = NEVER if how == "prequential" else ALWAYS
            self.runs[how] = self.play(0, how, folder / how, stage, every)
        return self.runs[how].sound()

    def failed(self, what: str, folder: Path) -> Played:
        """A run in which a sink, the source or a model gives up half-way."""
        if what not in self.runs:
            stage, models = Stage(15), dict(self.models)
            if what == "source":
                stage.on_read = gone
            elif what == "sink":
                stage.on_write = _full
            else:
                fails = "gapcast.engine.testing.reference:Fails"
                models["fails"] = {"type": fails, "at": START // HOUR + STEPS // 2}
            place = folder / what
            self.runs[what] = self.play(0, "prequential", place, stage, NEVER, models=models)
        return self.runs[what]

    def play(
        self,
        which: int | None,
        how: str,
        folder: Path,
        stage: Stage,
        interval: str,
        *,
        resume: bool = False,
        models: Params | None = None,
        losses: int = 3,
    ) -> Played:
        """One life of a run on one of the backend's configs, or (None) on the reference."""
        backend = REFERENCE if which is None else self.configs[which]
        written = config(backend, models or self.models, how, folder, interval)
        return play(written, folder, stage, resume=resume, losses=losses)

    def reference(self, how: str, folder: Path) -> Played:
        """The reference's run, with a checkpoint at every position; made once for all backends."""
        key = json.dumps(self.models), how
        if key not in _REFERENCES:
            written = config(REFERENCE, self.models, how, folder / f"{how}-reference", ALWAYS)
            stage = Stage((CUTS | AGAIN)[how])
            _REFERENCES[key] = play(written, folder / f"{how}-reference", stage, every=True)
        return _REFERENCES[key].sound()


_REFERENCES: dict[tuple[str, str], Played] = {}


def _full(epoch: int) -> None:
    if epoch == STEPS // 3:
        raise SinkError("the kit's disk is full")


def results_are_the_references(case: Case, tmp_path: Path) -> None:
    """Forecasts, scores (whole, by gap, by window), dead letters and counts are, byte for byte,
    those of one shard of all targets in one process, whatever is withheld from which models."""
    for how in EVALUATIONS:
        same(case.reference(how, tmp_path), case.straight(how, tmp_path), how)


def checkpoints_hold_the_references_state(case: Case, tmp_path: Path) -> None:
    """A checkpoint holds the arrays that the reference has at the same positions of the source,
    of all shards and in the targets' order: it says nothing of workers."""
    for how in ("each", "each-sensor"):
        found = same_states(case.reference(how, tmp_path), case.straight(how, tmp_path), how)
        assert found, f"{how}: no checkpoint was taken where the reference took one"


def batches_change_nothing(case: Case, tmp_path: Path) -> None:
    """Read a few readings at a time or all at once, the results are the same."""
    for how, read in (("prequential", "a few at a time"), ("together", "all at once")):
        same(case.reference(how, tmp_path), case.straight(how, tmp_path), f"{how}, read {read}")


def a_stopped_run_goes_on_anywhere(case: Case, tmp_path: Path) -> None:
    """Stopped at any moment, within a withheld span too, a run goes on from its checkpoint with
    another number of workers or on another backend as if it had never stopped."""
    wanted, last = case.reference("each", tmp_path), len(case.configs) - 1
    epochs: dict[int, Any] = {}
    lives = ((0, 27), (last, 39), (None, 46), (0, None))
    for number, (which, until) in enumerate(lives):
        what = f"life {number}, on {'the reference' if which is None else case.configs[which]}"
        stage = Stage(CUTS["each"])
        stage.epochs = epochs
        if until is not None:
            stage.on_read = once(partial(int.__le__, until), _stop)
        life = case.play(which, "each", tmp_path / "lives", stage, NEVER, resume=number > 0).sound()
        ended = life.manifest["state"]
        assert ended == ("complete" if until is None else "interrupted"), f"{what}: {ended}"
        assert not stage.faults, f"{what}: {stage.faults[0]}"
        assert len(life.states) == number + 1, f"{what}: it ended without a checkpoint"
        same_states(wanted, life, what)
    same(wanted, life, "stopped three times")


def epochs_come_in_order(case: Case, tmp_path: Path) -> None:
    """Epochs grow by one, each is of later steps than the one before, and none comes before the
    outcome of that."""
    for how in EVALUATIONS:
        faults = case.straight(how, tmp_path).stage.faults
        assert not faults, f"{how}: {faults[0]}"


def a_slow_sink_pushes_back(case: Case, tmp_path: Path) -> None:
    """While a sink takes its time nothing piles up: the source is soon left alone."""
    ahead = case.straight("prequential", tmp_path).stage.ahead
    assert ahead <= MOST_AHEAD, f"{ahead} steps were read while a sink stood still"


def an_error_ends_the_run(case: Case, tmp_path: Path) -> None:
    """What a source or a sink raises ends the run as it is; the error of a model says what the
    model said. The manifest says so too."""
    for what, kind, text in (
        ("source", SourceError, "the kit's source is gone"),
        ("sink", SinkError, "the kit's disk is full"),
        ("model", Exception, "the kit's model gives up"),
    ):
        run = case.failed(what, tmp_path)
        about = f"a {what} gave up and the run ended with {run.error!r}"
        assert isinstance(run.error, kind), about
        assert text in str(run.error), about
        assert run.manifest["state"] == "failed", f"{about}, {run.manifest['state']}"


def nothing_is_left_behind(case: Case, tmp_path: Path) -> None:
    """After `close` no thread and no process is there that came with the run, however it ended."""
    for run in (
        case.straight("each", tmp_path),
        *(case.failed(what, tmp_path) for what in ("source", "sink", "model")),
    ):
        left = run.left_behind(case.patience)
        assert not left, f"left behind: {', '.join(left)}"


def a_lost_worker_changes_nothing(case: Case, tmp_path: Path) -> None:
    """A worker that dies in mid-run costs nothing but the work since the newest checkpoint."""
    assert case.kill is not None
    stage = Stage(CUTS["each"], once(lambda step: step >= STEPS // 2, case.kill))
    run = case.play(0, "each", tmp_path / "lost", stage, ALWAYS).sound()
    same(case.reference("each", tmp_path), run, "after the loss of a worker")
    assert not stage.faults, f"after the loss of a worker: {stage.faults[0]}"


def losses_without_progress_end_the_run(case: Case, tmp_path: Path) -> None:
    """When workers die again and again and no checkpoint comes in between, the run ends with
    RunError, which says so."""
    kill = case.kill
    assert kill is not None
    stage, died = Stage(CUTS["each"]), set[int]()

    def again(step: int) -> None:
        if step >= STEPS // 2 and stage.lives not in died:
            died.add(stage.lives)
            kill()

    stage.on_read = again
    run = case.play(0, "each", tmp_path / "lost", stage, NEVER, losses=1)
    assert isinstance(run.error, RunError), f"the run ended with {run.error!r}"
    assert "workers were lost" in str(run.error), f"the run ended with {run.error!r}"
    assert len(died) == 2, f"the run, to bear one loss, ended after {len(died)}"


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


LOSSES = [a_lost_worker_changes_nothing, losses_without_progress_end_the_run]
CHECKS = [
    results_are_the_references,
    checkpoints_hold_the_references_state,
    batches_change_nothing,
    a_stopped_run_goes_on_anywhere,
    epochs_come_in_order,
    a_slow_sink_pushes_back,
    an_error_ends_the_run,
    nothing_is_left_behind,
    *LOSSES,
]


def backend(
    *configs: Params,
    models: Params | None = None,
    kill: Callable[[], None] | None = None,
    skip: Mapping[str, str] | None = None,
    patience: float = 15.0,
) -> type:
    """A pytest class that checks a backend against its contract.

    configs: the ``backend`` sections to check: the first one, and others of the same backend with
    which a run of the first one goes on. They carry at once what each call of the source brings.
    models: as in a config, instead of the kit's own two (horizons from 0 up). kill: kills a worker
    process of the run in progress, from another thread than the run's; where workers cannot be
    lost, skip `a_lost_worker_changes_nothing` and `losses_without_progress_end_the_run` with that
    reason. patience: seconds in which threads and processes must have ended after `close`. The
    tests need psutil.
    """
    skip = skip or {}
    unnamed = [c.__name__ for c in LOSSES if c.__name__ not in skip]
    if kill is None and unnamed:
        raise KitError(f"TestBackend: {' and '.join(unnamed)} need kill=, or a reason to skip them")
    return suite("TestBackend", CHECKS, Case(configs, models or MODELS, kill, patience), skip)
