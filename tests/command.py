"""The command line, called in this process: for tests of what it says, not of the process."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from gapcast.engine.cli import main
from gapcast.engine.registry import FOLDERS


@dataclass(frozen=True)
class Done:
    """How it ended: what `subprocess.run` would say of it."""

    returncode: int
    stdout: str
    stderr: str


def gapcast(*arguments: object) -> Done:
    """``gapcast ARGUMENTS``, here and now; warnings are errors."""
    out, err, code = StringIO(), StringIO(), 0
    with (
        patch.object(sys, "argv", ["gapcast", *map(str, arguments)]),
        patch.object(sys.modules["__main__"], "__package__", None, create=True),  # click looks
        _left_as_it_was(),
        warnings.catch_warnings(action="error"),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Forgets modules of the working directory, puts back logging and the path of imports."""
    root, own = logging.getLogger(), logging.getLogger("gapcast")
    handlers, level, verbosity = root.handlers[:], root.level, own.level
    path, here, there = sys.path[:], Path.cwd(), {*sys.modules}
    folders = FOLDERS[:]
    installed = Path(sys.prefix)  # which may lie in the working directory
    try:
        yield
    finally:
        root.handlers[:], sys.path[:], FOLDERS[:] = handlers, path, folders
        root.setLevel(level)
        own.setLevel(verbosity)
        for name in {*sys.modules} - there:
            file = getattr(sys.modules[name], "__file__", None)
            within = Path(file).parents if file else ()
            if here in within and installed not in within:
                del sys.modules[name]
