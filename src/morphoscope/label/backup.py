"""A campaign's tables as one file, and back again: into the same or another kind of database."""

from __future__ import annotations

import datetime
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from morphoscope.catalog import atomic_path
from morphoscope.errors import CampaignError
from morphoscope.label.campaign import Campaign
from morphoscope.label.desk import Desk
from morphoscope.label.standards import draw_standards
from morphoscope.label.tables import NAMES, PEOPLE, VOTES, Database

__all__ = ["back_up", "restore"]

FORMAT = 1
HEAD = "backup.json"
CHUNK = 5_000
# What readers of a damaged file raise.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    LookupError,
    OSError,
    ValueError,
    EOFError,
)


def back_up(desk: Desk, path: Path) -> int:
    """Write all tables, as they are at one moment; how many votes there are.

    Parameters
    ----------
    desk
        May be at work meanwhile.
    path
        ZIP file of one JSON line a row. It holds names and hashed passwords: keep it safe.
    """
    head = {"format": FORMAT, "campaign": desk.campaign.name, "task": desk.campaign.task}
    counted = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
        desk.database.reading() as link,
    ):
        for table in NAMES.sorted_tables:
            with archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as file:
                for row in link.execute(sa.select(table)).mappings():
                    file.write(json.dumps(dict(row), default=_moment).encode() + b"\n")
                    counted += table is VOTES
        archive.writestr(HEAD, json.dumps(head | {"votes": counted}))
    path.chmod(0o600)
    return counted


def restore(campaign: Campaign, path: Path) -> int:
    """Fill an empty database from a backup; how many votes there are.

    Parameters
    ----------
    campaign
        The same one; its database may be of another kind than the one that was backed up.
    path
        File of `back_up`.

    Raises
    ------
    CampaignError
        The file is no backup of this campaign, or people are in the database already.
    """
    campaign.folder.mkdir(parents=True, exist_ok=True)
    database = Database(campaign.database_url)
    try:
        with zipfile.ZipFile(path) as archive:
            _check(campaign, path, json.loads(archive.read(HEAD)))
            database.create()
            with database.writing() as link:
                _make_room(link)
                counted = _fill(link, archive)
        if campaign.task == "inclination":
            draw_standards(campaign)
        return counted
    except BROKEN as error:
        if isinstance(error, CampaignError):
            raise
        raise CampaignError(
            f"{path} is no backup of a campaign, or damaged ({error})",
            expected="a file of `morphoscope label backup`",
        ) from error
    finally:
        database.close()


def _check(campaign: Campaign, path: Path, head: dict[str, Any]) -> None:
    if head["format"] != FORMAT:
        raise CampaignError(
            f"{path} has the format {head['format']}", expected=str(FORMAT), do="update Morphoscope"
        )
    if (head["campaign"], head["task"]) != (campaign.name, campaign.task):
        raise CampaignError(
            f"{path} is of the campaign {head['campaign']!r} ({head['task']})",
            expected=f"{campaign.name!r} ({campaign.task})",
        )


def _make_room(link: sa.Connection) -> None:
    """Remove what `label new` has made, if nobody has come yet."""
    for table in (VOTES, PEOPLE):
        if link.execute(sa.select(table).limit(1)).first() is not None:
            raise CampaignError(
                "the database is not empty: people have come already",
                do="name another database or storage folder, or remove this one by hand",
            )
    for table in reversed(NAMES.sorted_tables):
        link.execute(table.delete())


def _fill(link: sa.Connection, archive: zipfile.ZipFile) -> int:
    counted = 0
    for table in NAMES.sorted_tables:
        moments = [c.name for c in table.columns if isinstance(c.type, sa.DateTime)]
        with archive.open(f"{table.name}.jsonl") as file:
            for rows in _chunks(file):
                for row in rows:
                    row |= {name: datetime.datetime.fromisoformat(row[name]) for name in moments}
                link.execute(table.insert(), rows)
                counted += len(rows) if table is VOTES else 0
    return counted


def _chunks(lines: Any) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for line in lines:
        rows.append(json.loads(line))
        if len(rows) == CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows


def _moment(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value)} is nothing that a backup holds")
