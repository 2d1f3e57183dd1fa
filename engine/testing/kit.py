"""Makes a pytest class out of a list of checks, and runs one without pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

from gapcast.engine.errors import PluginError

Check = Callable[..., None]


class KitError(PluginError):
    """A kit was used in a way that would weaken it."""


def suite(name: str, checks: Sequence[Check], case: Any, skip: Mapping[str, str]) -> type:
    """A class with one test method a check, each called with `case` and pytest's ``tmp_path``.

    skip: names of checks not to run, each with its reason.
    """
    known = {check.__name__ for check in checks}
    for unknown in set(skip) - known:
        raise KitError(f"{name}: no check is called {unknown!r}; there are {sorted(known)}")
    for check, reason in skip.items():
        if not reason.strip():
            raise KitError(f"{name}: skipping {check} needs a reason")
    methods = {f"test_{c.__name__}": _method(c, case, skip.get(c.__name__)) for c in checks}
    return type(name, (_Sealed,), {**methods, "conformance": (checks, case, skip)})


@dataclass(frozen=True)
class Result:
    """What became of a check; `why` says it for one that failed or was skipped."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    why: str = ""


def run(of: Any) -> Iterator[Result]:
    """Run the checks of a suite (see `suite`), each in a temporary folder of its own.

    Raises KitError if `of` is not a suite.
    """
    if not (isinstance(of, type) and issubclass(of, _Sealed)):
        raise KitError(f"{of!r} was not made by a kit of gapcast.engine.testing")
    checks, case, skip = of.conformance
    for check in checks:
        name = check.__name__
        if name in skip:
            yield Result(name, "skipped", skip[name])
            continue
        with TemporaryDirectory(prefix="gapcast-check-") as folder:
            try:
                check(case, Path(folder))
            except Exception as error:
                yield Result(name, "failed", _first_line(error))
            else:
                yield Result(name, "ok")


class _Sealed:
    """A finished suite: deriving from it could silence a check, so it is rejected."""

    conformance: ClassVar[tuple[Sequence[Check], Any, Mapping[str, str]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__mro__[1] is not _Sealed:
            raise KitError("a conformance suite cannot be subclassed; use skip={check: reason}")
        super().__init_subclass__(**kwargs)


_NUMPYS = "Arrays are not equal"
"""Stands before the message in what numpy.testing raises."""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if line != _NUMPYS] or lines
    text = lines[0] if lines else "no reason given"
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"


def _method(check: Check, case: Any, reason: str | None) -> Callable[..., None]:
    def test(self: object, tmp_path: Any) -> None:
        if reason is not None:
            import pytest

            pytest.skip(reason)
        check(case, tmp_path)

    test.__doc__ = check.__doc__
    return test
