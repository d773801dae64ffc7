"""Commands of the server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from morphoscope.cli.app import app

__all__ = ["require"]

TOKEN_BYTES = 32
NEEDED = ("argon2", "fastapi", "httpx", "multipart", "prometheus_client", "sqlalchemy", "uvicorn")


@app.command()
def serve(
    models: Annotated[
        list[Path] | None,
        typer.Option("--models", help="Bundle, or folder of bundles [those that come along]."),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="TOML file of settings, see docs/serve.md.")
    ] = None,
    storage: Annotated[
        Path | None, typer.Option("--storage", help="The one folder it writes to [serve-data].")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port [8000].")] = None,
    campaigns: Annotated[
        list[Path] | None, typer.Option("--campaign", help="Campaign of labelling to serve.")
    ] = None,
) -> None:
    """Answer by web page and REST API, with models that stay in memory."""
    require("serve", NEEDED)
    from morphoscope.serve import load_settings
    from morphoscope.serve import serve as serve_models

    changes = {"models": models, "campaigns": campaigns, "storage": storage}
    serve_models(load_settings(settings, host=host, port=port, **changes))


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
) -> None:
    """Make a token for the server: one line to give away, and its lines for the settings."""
    import hashlib
    import json
    import secrets

    made = secrets.token_urlsafe(TOKEN_BYTES)
    digest = hashlib.sha256(made.encode()).hexdigest()
    print(f"token (give it to {name}; it is not stored anywhere): {made}")
    print(f'for the settings:\n\n[[tokens]]\nname = {json.dumps(name)}\nsha256 = "{digest}"')


def require(command: str, names: Sequence[str]) -> None:
    """Refuse a command whose libraries are not installed.

    Raises
    ------
    MissingDependencyError
        One of them is absent.
    """
    import importlib.util

    from morphoscope.errors import MissingDependencyError

    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingDependencyError(
            f"{command} needs {', '.join(absent)}", do="pip install 'morphoscope[serve]'"
        )
