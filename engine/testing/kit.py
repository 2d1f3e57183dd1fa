"""Makes a pytest class out of a list of checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Check = Callable[..., None]


class KitError(Exception):
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
    return type(name, (_Sealed,), methods)


class _Sealed:
    """A finished suite: deriving from it could silence a check, so it is refused."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__mro__[1] is not _Sealed:
            raise KitError("a conformance suite cannot be subclassed; use skip={check: reason}")
        super().__init_subclass__(**kwargs)


def _method(check: Check, case: Any, reason: str | None) -> Callable[..., None]:
    def run(self: object, tmp_path: Any) -> None:
        if reason is not None:
            import pytest

            pytest.skip(reason)
        check(case, tmp_path)

    run.__doc__ = check.__doc__
    return run
