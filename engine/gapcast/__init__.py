"""gapcast: online forecasting of missing sensor measurements.

    from gapcast import load_config, run
    result = run(load_config("configs/quickstart.yaml"))

Names are imported when they are used, so that ``import gapcast`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gapcast.engine._version import VERSION as __version__  # noqa: N811

if TYPE_CHECKING:
    from gapcast.engine.backtesting import Backtested, backtest
    from gapcast.engine.config import RunConfig, load_config, read_config
    from gapcast.engine.errors import GapcastError
    from gapcast.engine.filling.api import fill
    from gapcast.engine.run.loop import RunResult
    from gapcast.engine.serve.running import run
    from gapcast.engine.streaming.stream import Stream

_WHERE = {
    "Backtested": "gapcast.engine.backtesting",
    "GapcastError": "gapcast.engine.errors",
    "RunConfig": "gapcast.engine.config",
    "RunResult": "gapcast.engine.run.loop",
    "Stream": "gapcast.engine.streaming.stream",
    "backtest": "gapcast.engine.backtesting",
    "fill": "gapcast.engine.filling.api",
    "load_config": "gapcast.engine.config",
    "read_config": "gapcast.engine.config",
    "run": "gapcast.engine.serve.running",
}

__all__ = [
    "Backtested",
    "GapcastError",
    "RunConfig",
    "RunResult",
    "Stream",
    "__version__",
    "backtest",
    "fill",
    "load_config",
    "read_config",
    "run",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
