"""Conformance kits: one line in a plugin author's tests runs every clause of its contract.

    TestMine = conformance.forecaster(MyForecaster, MyForecaster.Params(lags=4))
    TestMySource = conformance.source(make_source, make_spoiled)
    TestMySink = conformance.sink(make_sink, read_back)
    TestMyParallelSink = conformance.parallel_sink(make_sink, read_back)
    TestMyDerivation = conformance.derivation(MyDerivation)
    TestMyBackend = conformance.backend({"type": "mine", "workers": 2}, kill=kill_one)

Each check's docstring is the clause it enforces. A check cannot be overridden; one can be skipped
only with a reason, which pytest prints and counts.
"""

from __future__ import annotations

from gapcast.engine.testing.backend import backend
from gapcast.engine.testing.derivation import derivation
from gapcast.engine.testing.forecaster import forecaster
from gapcast.engine.testing.parallel_sink import parallel_sink
from gapcast.engine.testing.sink import sink
from gapcast.engine.testing.source import source

__all__ = ["backend", "derivation", "forecaster", "parallel_sink", "sink", "source"]
