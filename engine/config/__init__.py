"""The config of a run: reading it, checking it, and types for the parameters of plugins."""

from gapcast.engine.config.load import load_config, load_production, read_config
from gapcast.engine.config.runconfig import Chosen, ChosenModel, ProductionConfig, RunConfig, redact
from gapcast.engine.config.schema import schema
from gapcast.engine.neighbours import Neighbours

__all__ = [
    "Chosen",
    "ChosenModel",
    "Neighbours",
    "ProductionConfig",
    "RunConfig",
    "load_config",
    "load_production",
    "read_config",
    "redact",
    "schema",
]
