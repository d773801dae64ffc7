"""The application that commands join, and what they share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from morphoscope.recipe import EngineSettings, Recipe

__all__ = ["app", "enter_container", "load", "misuse", "show_summary", "spoken"]

app = typer.Typer(
    name="morphoscope",
    help="Galaxy images in, a morphology catalogue and a trustworthy model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

# The words of the command at work, without `morphoscope`.
spoken: list[str] = []


def enter_container(
    settings: EngineSettings, *paths: str | Path | None, recipe: Recipe | None = None
) -> None:
    """Run the command again in a container, if the settings name one; see the paths there."""
    from morphoscope.engine.containers import enter
    from morphoscope.recipe import named_paths

    own = [Path(path) for path in paths if path]
    enter(settings, spoken, [*own, *(named_paths(recipe) if recipe else ())])


def load(
    recipe: Path,
    data: str,
    changes: list[str],
    out: Path | None,
    engine: str = "",
    profile: Path | None = None,
) -> tuple[Recipe, Path]:
    import json

    from morphoscope.recipe import load_recipe

    if data:
        path = str(Path(data).expanduser().absolute())
        changes = [*changes, f"acquire.data={json.dumps(path)}"]
    loaded = load_recipe(recipe, changes, profile=profile, kind=engine)
    folder = out or Path("runs") / loaded.name
    return loaded, folder


def show_summary(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.pretty import Pretty

    Console(highlight=False).print(Pretty(summary, max_length=40))


def misuse(message: str) -> NoReturn:
    print(f"morphoscope: {message}", file=sys.stderr)
    raise SystemExit(2)
