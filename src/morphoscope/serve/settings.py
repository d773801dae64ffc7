"""The settings of a server: one table, a TOML file, each with its meaning."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from morphoscope.bundle import Precision
from morphoscope.errors import RecipeError
from morphoscope.recipe.tables import settings_tables
from morphoscope.serve.archives import ArchiveSettings

__all__ = ["ServeSettings", "Token", "describe_server", "load_settings"]


class Token(BaseModel):
    """Who may do what is costly; the token itself is nowhere, only its digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Whose token it is; stands in the log and beside jobs.")
    sha256: str = Field(
        description="SHA-256 of the token, as `morphoscope token NAME` prints it.",
        pattern=r"^[0-9a-f]{64}$",
    )


class ServeSettings(BaseModel):
    """A server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: list[Path] = Field(
        [], description="Bundles, or folders of bundles; empty: the models that come along."
    )
    campaigns: list[Path] = Field(
        [], description="Campaigns of labelling, as `morphoscope label new` sets them up."
    )
    storage: Path = Field(Path("serve-data"), description="The one folder that is written to.")
    database: str = Field("", description="SQLAlchemy URL; empty: SQLite in the storage folder.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, description="Port to listen on; 0: any that is free.", ge=0, le=65535)
    proxies: list[str] = Field(
        [], description="Addresses of reverse proxies whose X-Forwarded-For is believed."
    )
    threads: int = Field(
        0,
        description="Batches that one model computes at once, each on one core; 0: all cores.",
        ge=0,
    )
    precision: Precision = Field(
        "f32",
        description=(
            "Of what models compute: f32, or bf16, which needs OpenVINO and is faster on CPUs that "
            "have instructions for it."
        ),
    )
    batch: int = Field(64, description="Most images that a model is asked at once.", ge=1)
    waiting: int = Field(
        256, description="Images that may wait for an answer; more are sent away with 503.", ge=1
    )
    upload_bytes: int = Field(32_000_000, description="Largest request (bytes).", ge=1000)
    pixels: int = Field(30_000_000, description="Largest image (pixels).", ge=1000)
    batch_files: int = Field(64, description="Most images of one batch request.", ge=1)
    table_rows: int = Field(1_000_000, description="Most rows of a job's table.", ge=1)
    keep_days: float = Field(
        30.0, description="Days that kept answers, jobs and alarms stay; 0: for ever.", ge=0
    )
    watch_s: float = Field(2.0, description="Seconds between looks for new bundles.", gt=0)
    tokens: list[Token] = Field(
        [],
        description=(
            "Who may start jobs and settle alarms; empty: anyone on this machine, and nobody else."
        ),
    )
    rate_per_s: float = Field(
        20.0,
        description=(
            "Images a second that one address may send in the long run; 0: no limit. "
            "This machine and holders of a token are not limited."
        ),
        ge=0,
    )
    burst: int = Field(200, description="Images that it may send at once before that.", ge=1)
    log_addresses: bool = Field(False, description="Write addresses of clients to the log.")
    archives: ArchiveSettings = Field(
        default_factory=ArchiveSettings, description="Where cutouts and positions come from."
    )

    @field_validator("storage")
    @classmethod
    def _plain_path(cls, storage: Path) -> Path:
        """Refuse what readers of images take for a band, a row or an extension."""
        found = [sign for sign in ("{", "[", "::") if sign in str(storage.absolute())]
        if found:
            raise ValueError(f"{storage} has {found[0]} in its path; choose another folder")
        return storage

    @property
    def database_url(self) -> str:
        """Where the tables are."""
        return self.database or f"sqlite:///{(self.storage / 'serve.sqlite').absolute()}"


def load_settings(path: Path | None, **changes: Any) -> ServeSettings:
    """Settings of a file, changed by the command line.

    Parameters
    ----------
    path
        TOML file; None: the defaults.
    **changes
        Values that override it; None leaves it as it is.

    Raises
    ------
    RecipeError
        The file cannot be read, or a setting is unknown or out of range.
    """
    stored: dict[str, Any] = {}
    if path is not None:
        try:
            stored = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"the settings {path} cannot be read ({error})", expected="a TOML file"
            ) from error
    stored |= {key: value for key, value in changes.items() if value is not None}
    try:
        return ServeSettings.model_validate(stored)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RecipeError(
            f"the server's setting {place}: {first['msg']}",
            do="see docs/serve.md for the settings",
        ) from error


def describe_server() -> str:
    """Markdown tables of the settings with their defaults."""
    return settings_tables(
        [
            ("", ServeSettings, ("tokens", "archives")),
            ("`[[tokens]]`", Token, ()),
            ("`[archives]`", ArchiveSettings, ()),
        ]
    )
