"""Forecasters within a forecaster: from the config, and each before its own part of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ValidationError, WithJsonSchema

from gapcast.engine.description import Description, describe
from gapcast.engine.errors import PluginError
from gapcast.engine.forecaster import Forecaster, Frame, Layout, Needs
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.registry import Kind, Registry

TARGETS = "targets"


def _described(section: Any) -> Any:
    """A forecaster's section as plain data that needs no registry; such data as it is."""
    if not isinstance(section, dict) or not isinstance(section.get("type"), str):
        raise ValueError("must be a section with the type of a forecaster")
    if section.keys() == {"type", "module", "class", "params"}:
        return section
    try:
        plugin = Registry.installed().load(Kind.FORECASTER, section["type"])
        own = {key: value for key, value in section.items() if key != "type"}
        return {"type": section["type"], **describe(plugin(plugin.Params.model_validate(own)))}
    except PluginError as error:
        raise ValueError(str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']} ({section['type']})") from None


Expert = Annotated[
    Description,
    BeforeValidator(_described),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"type": {"type": "string", "description": "Name of the forecaster."}},
            "required": ["type"],
            "additionalProperties": True,
        }
    ),
]
"""A forecaster as a model's section has it, `type` and its own keys; held as `describe` says."""


def needs_of(experts: Mapping[str, Forecaster]) -> Needs:
    """What experts read together. Raises ValueError where they cannot be given one layout."""
    needs = {name: expert.needs() for name, expert in experts.items()}
    blocks = {need.block: name for name, need in needs.items() if need.block is not None}
    if len(blocks) > 1:
        raise ValueError(f"{' and '.join(blocks.values())} must have blocks of one size")
    if partnered := [name for name, need in needs.items() if need.partners]:
        raise ValueError(f"{partnered[0]} reads partners, which an expert cannot")
    quantities = tuple(dict.fromkeys(q for need in needs.values() for q in need.quantities))
    inputs = any(need.inputs for need in needs.values())
    return Needs(_neighbours(needs), quantities, next(iter(blocks), None), inputs=inputs)


def _neighbours(needs: Mapping[str, Needs]) -> Neighbours | None:
    """One choice that holds all: the most of several `correlated`, or of several `nearest`."""
    found = {name: need.neighbours for name, need in needs.items() if need.neighbours}
    for kind in ("correlated", "nearest"):
        most = [k for chosen in found.values() if (k := getattr(chosen, kind)) is not None]
        if most and len(most) == len(found):
            return Neighbours(**{kind: max(most)})
    if any(chosen != next(iter(found.values())) for chosen in found.values()):
        raise ValueError(
            f"{' and '.join(found)} must choose neighbours in one way, all by correlated or all "
            "by nearest, or all the same"
        )
    return next(iter(found.values()), None)


def cut_layout(layout: Layout, whole: Needs, needs: Needs, horizons: Sequence[int]) -> Layout:
    """The layout of one expert, as if it were alone, within that of all."""
    reads = _quantities(layout, whole, needs)
    regressors = np.take_along_axis(layout.regressors, reads[:, :, None], axis=1)
    regressors[reads < 0] = -1
    companions = np.take_along_axis(np.pad(layout.companions, ((0, 0), (1, 0))), reads, axis=1)
    companions[reads < 0] = -1
    most = regressors.shape[2]
    if needs.neighbours is None:
        most = 0
    elif needs.neighbours.nearest is not None:
        most = needs.neighbours.nearest
    units, members = layout.units, layout.members
    if needs.block is None:
        units, members = np.arange(layout.n), np.empty((layout.n, 0), np.int64)
    mine = replace(
        layout.at(np.array(horizons, np.int64)),
        regressors=np.ascontiguousarray(regressors[:, :, :most]),
        companions=np.ascontiguousarray(companions[:, 1:]),
        choose=needs.neighbours.correlated if needs.neighbours else None,
        units=units,
        members=members,
    )
    return mine if needs.block is not None and needs.inputs else mine.without_inputs()


def cut_frame(frame: Frame, layout: Layout, whole: Needs, needs: Needs) -> Frame:
    """The frame as one expert with its `layout` may see it."""
    reads = _quantities(frame.layout, whole, needs)[:, 1:]
    found = np.take_along_axis(frame.companions, np.maximum(reads - 1, 0)[None], axis=2)
    found[:, reads < 0] = np.nan
    return replace(frame, layout=layout, companions=np.ascontiguousarray(found))


def _quantities(layout: Layout, whole: Needs, needs: Needs) -> NDArray[np.int64]:
    """(N, Q) where each target's quantities that one expert reads stand among those of all, -1
    behind the last; its own first."""
    table = np.full((layout.n, 1 + len(needs.quantities)), -1, np.int64)
    for own, columns in layout.of_quantity.items():
        mine = [own, *(q for q in whole.quantities if q != own)]
        wanted = [own, *(q for q in needs.quantities if q != own)]
        rows = np.isin(layout.targets, columns)
        table[rows, : len(wanted)] = [mine.index(q) for q in wanted]
    used = max(1, int((table >= 0).any(axis=0).sum()))
    return table[:, :used]


def prefix(name: str, needs: Needs) -> str:
    """Where an expert's arrays stand in the state: with the targets leading, or the units."""
    return f"experts/{name}" if needs.block is not None else f"{TARGETS}/experts/{name}"
