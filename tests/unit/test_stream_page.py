"""docs/stream.md as a reader follows it: its programs run."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pages import code, text

PROGRAMS = [block for language, block in code(text("docs/stream.md"))[0] if language == "python"]


@pytest.mark.parametrize(
    ("program", "said"),
    [*zip(PROGRAMS, ["Counts(read=240, used=240, late=0", "29 ", "58 b "], strict=True)],
    ids=["first", "event loop", "Bytewax"],
)
def test_a_program_of_the_page_runs(program, said, tmp_path):
    if "bytewax" in program:
        pytest.importorskip("bytewax")
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert said in done.stdout
