"""Fields of JSON objects by name; a dot in a name leads into an object within.

``uplink.temperature`` is the field of that very name, or else the field ``temperature`` of the
object ``uplink``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gapcast.engine.errors import SourceError
from gapcast.plugins.sources.formats.columns import REST, Column

_Tree = dict[str, "pa.DataType | _Tree"]


def named(
    wide: Mapping[str, Column], wanted: frozenset[str] | None, where: str
) -> dict[str, Column]:
    """`wide` with ``*`` and ``uplink.*`` replaced by fields named as the `wanted` quantities are.

    The quantity of a dotted name is its last part, unless it says otherwise. Raises SourceError if
    the names that ``*`` stands for cannot be known.
    """
    found = {
        name: column if column.quantity else column.model_copy(update={"quantity": last(name)})
        for name, column in wide.items()
        if not _rest(name)
    }
    for name, column in wide.items():
        if not _rest(name):
            continue
        if wanted is None:
            raise SourceError(f"{where}: {name!r} in `wide` is not possible here; name the fields")
        for quantity in sorted(wanted):
            own = column.quantity or quantity
            field = name.removesuffix(REST) + quantity
            found.setdefault(field, column.model_copy(update={"quantity": own}))
    return found


def _rest(name: str) -> bool:
    return name == REST or name.endswith("." + REST)


def last(name: str) -> str:
    """The last part of a name: the key of the field itself."""
    return name.rpartition(".")[2]


def schema(types: Mapping[str, pa.DataType], where: str) -> pa.Schema:
    """The schema of objects whose fields have these types. Raises SourceError if a field would have
    to be an object and something else."""
    tree: _Tree = dict(types)
    for name, kind in types.items():
        *path, key = name.split(".")
        at = tree
        for part in path:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                raise _both(part, name, where)
            at = inner
        if isinstance(at.get(key), dict):
            raise _both(key, name, where)
        at[key] = kind
    return pa.schema(list(_struct(tree)))


def _both(part: str, name: str, where: str) -> SourceError:
    return SourceError(f"{where}: field {part!r} cannot be a value and hold {name!r}, too")


def _struct(tree: _Tree) -> pa.StructType:
    return pa.struct(
        [(name, _struct(of) if isinstance(of, dict) else of) for name, of in tree.items()]
    )


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The column of the field `name`, of objects that were read by `schema`."""
    plain = batch.column(name)
    first, *path = name.split(".")
    return pc.coalesce(plain, pc.struct_field(batch.column(first), path)) if path else plain


def value(found: dict[str, Any], name: str) -> Any:
    """The field `name` of one object, or None."""
    plain = found.get(name)
    if plain is not None or "." not in name:
        return plain
    holder = _holder(found, name)
    return None if holder is None else holder.get(last(name))


def has(found: dict[str, Any], name: str) -> bool:
    """Whether there is a field `name`, null or not."""
    holder = _holder(found, name)
    return name in found or (holder is not None and last(name) in holder)


def _holder(found: Any, name: str) -> dict[str, Any] | None:
    """The object in which the last part of `name` is looked for."""
    for part in name.split(".")[:-1]:
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None
