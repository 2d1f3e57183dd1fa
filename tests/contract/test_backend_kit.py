"""Every check of the kit of backends catches the backend it was written for."""

from __future__ import annotations

import broken_backends
import pytest

from gapcast.engine.testing import backend
from gapcast.engine.testing.backend import CHECKS
from gapcast.engine.testing.kit import KitError

BROKEN = {
    "results_are_the_references": {
        "DropsAFrame": "forecasts differ",
        "RepeatsAFrame": "forecasts differ",
        "JoinsInTheWrongOrder": "forecasts differ",
        "EndsInTheWrongOrder": "scores differ",
        "ForgetsTheHalo": "forecasts differ",
    },
    "checkpoints_hold_the_references_state": {
        "SavesAnEarlierState": "the checkpoint at .* has",
        "SavesInTheWrongOrder": "has another shards/",
    },
    "batches_change_nothing": {"MindsTheBatches": "all at once"},
    "a_stopped_run_goes_on_anywhere": {
        "IgnoresTheCheckpoint": "has another shards/",
        "RestoresTheWrongShare": "has another shards/",
        "ForgetsTheSpan": "has another shards/",
    },
    "epochs_come_in_order": {"OutOfOrder": "begins at"},
    "a_slow_sink_pushes_back": {"BuffersWithoutBound": "steps were read"},
    "an_error_ends_the_run": {"SwallowsErrors": "ended with None", "SaysNothing": "a task failed"},
    "nothing_is_left_behind": {"LeavesAThread": "thread", "LeavesAProcess": "process"},
    "a_lost_worker_changes_nothing": {"BeginsAfresh": "forecasts differ"},
    "losses_without_progress_end_the_run": {"BuriesTheLoss": "reset by peer"},
}


@pytest.fixture
def _nothing_stays():
    broken_backends.LeavesAThread.over.clear()
    yield
    broken_backends.LeavesAThread.over.set()
    for process in broken_backends.LeavesAProcess.started:
        process.communicate()


@pytest.mark.usefixtures("_nothing_stays")
@pytest.mark.parametrize(
    ("check", "bad"), [(c, bad) for c, wrong in BROKEN.items() for bad in wrong]
)
def test_backend_check_catches(check, bad, tmp_path):
    run = getattr(of(bad, patience=0.2)(), f"test_{check}")
    with pytest.raises(AssertionError, match=BROKEN[check][bad]):
        run(tmp_path)


def test_every_backend_check_has_its_defect():
    assert list(BROKEN) == [check.__name__ for check in CHECKS]


def of(name, **more):
    kill = getattr(broken_backends, name).kill
    return backend({"type": f"broken_backends:{name}"}, kill=kill, **more)


TestGood = of("Good")


def test_losses_are_not_left_out_in_silence():
    with pytest.raises(KitError, match="need kill=, or a reason"):
        backend({"type": "local"})
    with pytest.raises(KitError, match="a_lost_worker_changes_nothing need"):
        backend({"type": "local"}, skip={"losses_without_progress_end_the_run": "no workers"})
