"""Whether a run can be gone on with by a config: what of it may be another by then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gapcast.engine.config import RunConfig, redact
from gapcast.engine.errors import RunError
from gapcast.engine.run.job import Job
from gapcast.engine.run.manifest import NAME
from gapcast.engine.run.renewing import same

_FIXED = ("name", "source", "grid", "network", "targets", "inputs", "evaluation", "derive")
"""Parts of a config that a run keeps from its beginning to its end, but for what its source says
may change (`Source.resumable`), and for `_FREE`."""
_FREE = ("lateness", "idle", "future", "earliest", "duplicates", "max_gap")
"""Keys of `grid` that may change: what was learnt keeps its meaning."""

_TOLD, _LENGTH = 5, 60
"""So many keys are named, with so many characters of each value."""


def begun(folder: Path, config: RunConfig, resume: bool) -> dict[str, Any] | None:
    """The manifest of the run in `folder` to go on with, or None for a new one.

    Raises RunError when there is none to resume or one that is not to be, and when `config` differs
    from that of the run in what must stay.
    """
    if not resume:
        if not (folder / NAME).exists():
            return None
        raise RunError(
            f"{folder} already holds a run; continue it with --resume, choose another --run-dir "
            "or remove it"
        )
    manifest = _manifest(folder)
    found = changes(manifest["config"], _plain(config), config)
    changed = [f"{change.key} ({change.values})" for change in found if change.fixed]
    if changed:
        more = f" and {len(changed) - _TOLD} other keys" if len(changed) > _TOLD else ""
        raise RunError(
            f"{folder} was started with another {', '.join(changed[:_TOLD])}{more}: cannot be "
            "resumed so; set it back, or begin a new run"
        )
    return manifest


class Change(NamedTuple):
    """A key of a config that is another than it was; values: then and now, in words; fixed: whether
    it may not be another."""

    key: str
    values: str
    fixed: bool


def changes(then: Mapping[str, Any], now: Mapping[str, Any], config: RunConfig) -> list[Change]:
    """What is not the same in the configs of two manifests. config: the one of `now`."""
    return [
        Change(
            key,
            f"{_written(old)}, now {_written(new)}",
            _fixed(key, config) and not _more(key, old, new),
        )
        for key, old, new in different(then, now)
    ]


def carried(folder: Path, config: RunConfig) -> list[tuple[str, str]]:
    """What would become of a run in `folder` that goes on with `config`, as (what, how): each
    model, each key that changed. Raises RunError as `begun`, but for what may not change: that is
    told."""
    then, now = _manifest(folder)["config"], _plain(config)
    found = []
    for name, section in now["models"].items():
        old = then["models"].get(name)
        how = "new: begins to learn"
        if old is not None:
            how = "goes on" if same(old, section) else _changed_model(old, section)
        found.append((f"models.{name}", how))
    found += [(f"models.{name}", "removed") for name in then["models"] if name not in now["models"]]
    for key, values, fixed in changes(then, now, config):
        if not key.startswith("models."):
            found.append((key, f"{'may not change' if fixed else 'changes'}: {values}"))
    return found


def _manifest(folder: Path) -> dict[str, Any]:
    """That of the run in `folder`. Raises RunError where there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / NAME).read_text())
    except FileNotFoundError:
        raise RunError(
            f"{folder} holds no run to resume; give --run-dir the folder of one"
        ) from None
    return found


def _plain(config: RunConfig) -> dict[str, Any]:
    """A config as a manifest holds it."""
    found: dict[str, Any] = json.loads(json.dumps(redact(config)))
    return found


def _changed_model(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = ", ".join(key for key, _, _ in different(dict(then), dict(now)))
    return f"begins to learn anew: {keys} changed"


def more_since(job: Job) -> bool:
    """Whether the source of a run that was complete has more since."""
    if job.resume is None:
        return False
    known = job.resume.grid[0]["partitions"]
    return bool(job.reopened or {*job.source.partitions()} - {*known})


def different(then: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, value then, value now) of whatever is not the same in two configs."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in [*then, *(name for name in now if name not in then)]:
            within = f"{key}.{name}" if key else name
            yield from different(then.get(name), now.get(name), within)
    elif then != now:
        yield key, then, now


def _fixed(key: str, config: RunConfig) -> bool:
    section, _, rest = key.partition(".")
    if section == "source":
        return rest.partition(".")[0] not in config.source.plugin.resumable
    if section == "grid" and rest in _FREE:
        return False
    return section in _FIXED or key == "checkpoint.path"


def _more(key: str, then: Any, now: Any) -> bool:
    """Whether sensors are added to a list of them."""
    lists = isinstance(then, list) and isinstance(now, list)
    return key == "network.sensors" and lists and {*map(str, then)} <= {*map(str, now)}


def _written(value: Any) -> str:
    if value is None:
        return "not given"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"
