"""Rehearsals: what is compiled is told, a second process shares the work and is gone afterwards."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numba import njit
from test_wire import plan

from gapcast.engine.errors import ContractError
from gapcast.engine.forecaster import Forecast
from gapcast.engine.parallel import wire
from gapcast.engine.run.rehearsal import SecondProcess, compilations, only, rehearse
from gapcast.plugins.forecasters.persistence import Persistence


def test_what_is_compiled_is_told_once():
    @njit
    def double(x):
        return 2 * x

    told = []
    with compilations(told.append):
        assert double(1) == 2
        assert double(2) == 4
        assert told == [1]
        assert double(1.5) == 3.0
    assert told == [1, 2]


def test_a_second_process_takes_models_from_the_end_and_the_first_one_waits_for_them():
    whole = plan()
    models = range(len(whole.models))
    assert len(models) > 1
    second = SecondProcess()
    second.begin(whole)
    second.wait_for_grid()
    for model in models:
        second.take(model)
        assert model not in second._left
        assert model not in second._begun or second._begun[model].is_set()
    second.close()
    assert second._process.poll() is not None
    assert not second._sender.is_alive()


@pytest.mark.parametrize("begun", [True, False])
def test_closing_ends_a_process_that_is_still_at_work(begun):
    second = SecondProcess()
    if begun:
        second.begin(plan())
    second.close()
    assert second._process.poll() is not None


def test_the_second_process_answers_each_plan_with_a_line():
    blobs = [wire.pack(only(plan(), m).parcel()).to_pybytes() for m in range(2)]
    sent = b"".join(len(b).to_bytes(8, "big") + b for b in blobs)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gapcast.engine.run.rehearsal"],
        input=sent, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b"\n\n\n"  # the grid, and two plans


def test_a_model_that_breaks_its_contract_shows(monkeypatch):
    monkeypatch.setattr(Persistence, "step", lambda self, state, frame: Forecast(*np.zeros((3, 1))))
    with pytest.raises(ContractError, match="step returned mean of shape"):
        rehearse(only(plan(), 0))
