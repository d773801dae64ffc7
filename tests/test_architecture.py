"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import importlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "morphoscope"

# The way of the data: a module may import only from rows above its own.
ORDER = [
    "errors",
    "progress",
    "catalog",
    "recipe",
    "provenance",
    "source_code",
    "engine",
    "images",
    "sources",
    "inclination",
    "acquire",
    "simulate",
    "clean",
    "split",
    "prepare",
    "familiarity",
    "streaming",
    "measure",
    "augment",
    "networks",
    "train",
    "evaluate",
    "bundle",
    "predict",
    "fitness",
    "label",
    "serve",
    "stages",
    "stage_folders",
    "pipeline",
    "retraining",
    "search",
    "comparison",
    "watching",
    "workflow",
    "cli",
    "__main__",
]
FORBIDDEN = {"utils", "helpers", "common", "misc", "base", "core", "manager", "deprecated"}
FORBIDDEN |= {name.rstrip("s") for name in FORBIDDEN} | {f"{name}s" for name in FORBIDDEN}
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """Name of the stage a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Names of the stages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "morphoscope":
                names = [f"morphoscope.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("morphoscope.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_up_the_way_of_the_data(path: Path) -> None:
    own = place(path)
    if own == "__init__":
        assert not imported(path)
        return
    assert own in ORDER, f"{own} has no place in the order"
    later = {name for name in imported(path) - {own} if ORDER.index(name) >= ORDER.index(own)}
    assert not later, f"{own} imports {later}, which come after it"


def test_no_relative_imports() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


@pytest.mark.parametrize(
    "path",
    [p for folder in ("src", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_files_are_small_and_named(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in FORBIDDEN
    assert path.parent.name not in FORBIDDEN


def test_functions_are_short() -> None:
    lengths = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append(sum(isinstance(n, ast.stmt) for n in ast.walk(node)) - 1)
    lengths.sort()
    assert lengths[len(lengths) // 2] <= 8


def test_public_lists_are_true() -> None:
    for path in MODULES:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        module = importlib.import_module(".".join(parts))
        for name in getattr(module, "__all__", []):
            assert hasattr(module, name), f"{'.'.join(parts)} lists {name}, which is not there"


def test_no_pickle() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {"pickle", "joblib", "dill"} & {a.name for a in node.names}, path


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "try:\n    from morphoscope.cli import main; main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'polars', 'astropy', 'cv2', 'galsim', 'matplotlib', 'distributed'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    best = 9.0  # seconds of a core: what else the machine does is no matter
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, spent)
        assert done.returncode == 0, done.stderr
        assert "predict" in done.stdout
    assert best < 0.5


@pytest.mark.parametrize(
    "module", ["morphoscope.predict", "morphoscope.bundle", "morphoscope.familiarity"]
)
def test_predicting_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
