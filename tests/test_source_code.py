"""The digest of code is that of what it says, and is not found out anew by every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from morphoscope import source_code

DIGEST = """
import ast, sys
from morphoscope.source_code import code_digest
if {without_parsing}:
    ast.parse = None
print(code_digest(["split"]))
"""


def digest(cache: Path, *, parsing: bool = True) -> str:
    """That of a process of its own, which has its cache there."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    code = DIGEST.format(without_parsing=not parsing)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_next_process_knows_it(tmp_path: Path) -> None:
    found = digest(tmp_path)
    assert digest(tmp_path, parsing=False) == found
    (kept,) = tmp_path.rglob("source-code-*.json")
    for damaged in ("{", "[1]", '{"a": 3}', '{"a": ["b"]}'):
        kept.write_text(damaged)
        assert digest(tmp_path) == found
    assert digest(tmp_path, parsing=False) == found


def test_where_nothing_can_be_kept_it_is_found_out_anew(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert digest(tmp_path / "file") == digest(tmp_path / "folder")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("def f(x):\n    return x\n", 'def f(x):\n    """Say."""\n    return x\n', False),
        ('def f():\n    """Say."""\n', 'def f():\n    """Say something else."""\n', True),
        ("x = 1\n", "# One.\nx = (\n    1\n)\n", True),
        ("x = 1\n", "x = 2\n", False),
        ("x = 'a'\n", "x = 'b'\n", False),
    ],
)
def test_what_does_not_work_does_not_count(before: str, after: str, same: bool) -> None:
    one, other = (source_code._parse(text.encode()).digest for text in (before, after))
    assert (one == other) is same
