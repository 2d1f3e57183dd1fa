"""Packages with plugins, laid down on a temporary path just as pip would: no mocks of metadata."""

from __future__ import annotations

from pathlib import Path

ACME = """
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gapcast.engine import plugin
from gapcast.engine.backend import Backend
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.units import Duration, Size
from gapcast.engine.forecaster import Forecast, Forecaster
from gapcast.engine.sink import Committed, Delivery, Sink
from gapcast.engine.source import Source


class Tls(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ca: str = Field(description="Certificate.")
    verify: bool = Field(default=True, description="Whether to check.")


class Http(Source):
    class Params(plugin.Params):
        url: str = Field(description="Where to ask.")
        token: str = Field(default="", description="Who asks.")
        port: int = Field(default=80, ge=1, description="Port.")
        format: Literal["csv", "parquet"] = Field(default="csv", description="Form.")
        timeout: Duration = Field(default=30_000_000, description="How long to wait.")
        batch: Size = Field(default=1 << 20, description="How much to ask for.")
        tls: Tls | None = Field(default=None, description="Encryption.")
        path: int | Literal["auto"] = Field(default="auto", description="Which way.")

        @field_validator("token")
        @classmethod
        def _no_blank(cls, token):
            if " " in token:
                raise ValueError(f"{token!r} has a blank")
            return token

    def open(self, quantities): ...
    def partitions(self): return []
    def discover(self): return []
    def read(self, partition, position, limit): raise AssertionError


class Level(Forecaster):
    horizons = (-2, 48)

    class Params(plugin.Params):
        alpha: float = Field(default=0.5, gt=0, lt=1, description="Weight of the newest.")
        neighbours: Neighbours | None = Field(default=None, description="Who is read.")

    def start(self, layout): return {}
    def step(self, state, frame): return Forecast.empty(frame)


class Null(Sink):
    delivery = Delivery.IDEMPOTENT

    def open(self, job, generation): ...
    def write(self, epoch, forecasts): return Committed()


class Tsdb(Null):
    class Params(plugin.Params):
        url: str = Field(description="Where it is.")


class Here(Backend):
    def workers(self, work): raise AssertionError
"""

ACME_POINTS = {
    "gapcast.sources": {"http": "acme_plugins:Http"},
    "gapcast.forecasters": {"level": "acme_plugins:Level"},
    "gapcast.sinks": {"null": "acme_plugins:Null", "tsdb": "acme_plugins:Tsdb"},
    "gapcast.backends": {"here": "acme_plugins:Here"},
}


def install(
    folder: Path,
    package: str,
    version: str,
    points: dict[str, dict[str, str]],
    modules: dict[str, str] | None = None,
    requires: tuple[str, ...] = (),
    extras: tuple[str, ...] = (),
) -> None:
    """Lay down `modules` (name -> source) and a dist-info with entry points by group."""
    for name, source in (modules or {}).items():
        (folder / f"{name}.py").write_text(source)
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}"]
    lines += [f"Provides-Extra: {e}" for e in extras] + [f"Requires-Dist: {r}" for r in requires]
    (info / "METADATA").write_text("\n".join(lines))
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in names.items())])
        for group, names in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))


def install_acme(folder: Path) -> None:
    """The package acme-plugins 1.2: a source, a forecaster, two sinks and a backend."""
    install(folder, "acme-plugins", "1.2", ACME_POINTS, {"acme_plugins": ACME})
