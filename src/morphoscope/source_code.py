"""Digests of the code that makes a result."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from morphoscope.catalog import atomic_path
from morphoscope.errors import MorphoscopeError
from morphoscope.provenance import file_digest, files_within

__all__ = ["code_digest", "package_digest"]

PACKAGE = Path(__file__).parent
# What words messages, draws bars, names settings (their values are digested) or places work
# changes no result.
WITHOUT_EFFECT = frozenset(
    {"engine", "errors.py", "progress.py", "provenance.py", "recipe", "source_code.py"}
)
MOST = 5_000  # texts; as a developer changes files there come ever more


class Syntax(NamedTuple):
    """What a file's text says: the digest of its syntax, and the modules that it imports."""

    digest: str
    imports: tuple[str, ...]


def code_digest(modules: Iterable[str]) -> str:
    """Digest of modules of this package and of all that they import from it.

    Comments, docstrings and layout do not count. What each file says is kept in the user's cache
    folder (``$XDG_CACHE_HOME/morphoscope``, ``~/.cache/morphoscope``), for the next process.

    Parameters
    ----------
    modules
        Names below the package, as ``"prepare"`` or ``"split"``; a package counts whole.
    """
    known = _known()
    before = len(known)
    pending = [path for name in modules for path in _module_files(name.replace(".", "/"))]
    seen: set[Path] = set()
    lines: list[str] = []
    while pending:
        path = pending.pop()
        name = path.relative_to(PACKAGE)
        if path in seen or name.parts[0] in WITHOUT_EFFECT:
            continue
        seen.add(path)
        syntax = _syntax_of(path)
        pending.extend(_files_of(syntax.imports))
        lines.append(f"{name.as_posix()} {syntax.digest}")
    if len(known) > before:
        _keep(known)
    return _digest("\n".join(sorted(lines)).encode())


@functools.cache
def package_digest() -> str:
    """Digest of all source files of this package as this process found them, byte for byte."""
    files = [path for path in files_within(PACKAGE) if _is_source(path)]
    lines = [
        f"{path.relative_to(PACKAGE).as_posix()} {file_digest(path)}" for path in sorted(files)
    ]
    return _digest("\n".join(lines).encode())


def _is_source(path: Path) -> bool:
    return path.suffix != ".pyc" and path.parent.name != "__pycache__"


def _module_files(name: str) -> list[Path]:
    place = PACKAGE / name
    if place.is_dir():
        return [p for p in sorted(place.rglob("*")) if p.suffix in {".py", ".html", ".css"}]
    file = place.with_suffix(".py")
    return [file] if file.exists() else []


@functools.cache
def _files_of(names: tuple[str, ...]) -> list[Path]:
    places = [PACKAGE / name.removeprefix("morphoscope.").replace(".", "/") for name in names]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return [file for file in files if file.exists()]


@functools.cache
def _syntax_of(path: Path) -> Syntax:
    """What a file says, as this process found it."""
    content = path.read_bytes()
    digest = _digest(content)
    if path.suffix != ".py":
        return Syntax(digest, ())
    known = _known()
    if digest not in known:
        known[digest] = _parse(content)
    return known[digest]


def _parse(content: bytes) -> Syntax:
    tree = ast.parse(content)
    imports: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            imports |= dict.fromkeys(named)
        elif isinstance(node, ast.Import):
            imports |= dict.fromkeys(alias.name for alias in node.names)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Expr(ast.Constant(...))
    ours = tuple(name for name in imports if name.startswith("morphoscope."))
    return Syntax(_digest(ast.unparse(tree).encode()), ours)


def _place() -> Path:
    """Where it is kept: a file for each version of what finds it out, this module and Python."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    maker = _digest(Path(__file__).read_bytes() + sys.version.encode())
    return Path(cache, "morphoscope", f"source-code-{maker[:16]}.json")


@functools.cache
def _known() -> dict[str, Syntax]:
    """What was kept, by the digest of the text; whatever is not as written is made again."""
    try:
        kept = json.loads(_place().read_bytes())
        found = {text: Syntax(str(digest), tuple(names)) for text, (digest, names) in kept.items()}
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError):
        return {}
    return found if len(found) < MOST else {}


def _keep(known: dict[str, Syntax]) -> None:
    try:
        with atomic_path(_place()) as temporary:
            temporary.write_text(json.dumps(known))
    except (OSError, RuntimeError, MorphoscopeError):
        return  # no such place, or not ours to write: the next process finds it out again


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
