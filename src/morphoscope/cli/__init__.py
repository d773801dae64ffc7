"""The command line: one command a stage, the same words.

Everything heavy is imported inside the command that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from morphoscope import __version__

# Imported for the commands that they add, in the order in which help shows them.
from morphoscope.cli import recipes, images, renewal, servers, desks, workflows, lists  # isort: skip
from morphoscope.cli.app import app, spoken
from morphoscope.errors import MorphoscopeError

__all__ = [
    "app",
    "desks",
    "images",
    "lists",
    "main",
    "recipes",
    "renewal",
    "servers",
    "workflows",
]

INTERRUPTED = 130


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line: exit 0 if all went well, 2 for misuse, 1 for failure."""
    words = sys.argv[1:] if arguments is None else arguments
    spoken[:] = words
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app(args=words, prog_name="morphoscope")
    except MorphoscopeError as error:
        if debug:
            raise
        print(f"morphoscope: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, SystemExit) as error:
        # Typer makes the one into the other.
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.code
        if code == INTERRUPTED:
            print("morphoscope: stopped; run the same command to go on", file=sys.stderr)
        raise SystemExit(code) from None
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        print(f"morphoscope: unexpected {kind}: {error}; --debug shows where", file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(0)
