"""Backtests: models × settings × patterns of gaps on one record, in parallel, as one table."""

from gapcast.engine.backtesting.compare import Backtested, backtest
from gapcast.engine.backtesting.patterns import Ground, defaults, withheld

__all__ = ["Backtested", "Ground", "backtest", "defaults", "withheld"]
