"""A campaign is set up: its file, its tables, its galaxies in their order, its standards."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from morphoscope.catalog import atomic_path, read_table, write_catalogue
from morphoscope.errors import CampaignError, ImageError
from morphoscope.images import image_size
from morphoscope.label.campaign import Campaign
from morphoscope.label.desk import Desk
from morphoscope.label.standards import draw_standards
from morphoscope.label.tables import FACTS, SUBJECTS, VOTES, Database
from morphoscope.label.teaching import order, teaches
from morphoscope.label.votes import LONGEST_ID
from morphoscope.streaming import flag_of
from morphoscope.streaming.inputs import write_listing

__all__ = ["Founded", "found", "write_campaign"]

# Name, file and reason of images that cannot be used.
Rejects = list[tuple[str, str, str]]
SHARD_ROWS = 10_000
REJECTS = "rejects.parquet"
TEMPLATE = """\
# A campaign of labelling. All settings: docs/label.md

name = {name}
title = {title}
task = {task}                # inclination, or tree: questions one after the other
{tree}images = {images}

[agreement]
votes = 5                # each galaxy gets so many votes,
most = 15                # more while people do not agree, and goes to an expert after so many

[people]
join = "invited"         # invited, open (with name and password) or anonymous
"""


@dataclass(frozen=True)
class Founded:
    """What setting up a campaign came to.

    Attributes
    ----------
    galaxies, gold
        Galaxies that it has now, hidden gold ones apart.
    added
        Of them, those that came in now.
    rejects
        Images that cannot be used: name, file and reason.
    link
        Token of a link for a coordinator; None where there is one already.
    """

    galaxies: int
    gold: int
    added: int
    rejects: Rejects
    link: str | None


def write_campaign(path: Path, images: str, task: str, tree: str = "galaxy-zoo-2") -> None:
    """Write the file of a new campaign, for people to go on with.

    Parameters
    ----------
    path
        TOML file, named as the campaign shall be.
    images, task, tree
        As in `Campaign`.

    Raises
    ------
    CampaignError
        There is a file already.
    """
    if path.exists():
        raise CampaignError(f"there is a file {path} already", do="change it, or choose another")
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.stem.lower()).strip("-")
    facts = {
        "name": json.dumps(name or "campaign"),
        "title": json.dumps(path.stem.replace("-", " ").replace("_", " ").capitalize()),
        "task": json.dumps(task),
        "tree": f"tree = {json.dumps(tree)}\n" if task == "tree" else "",
        "images": json.dumps(images),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(TEMPLATE.format(**facts), encoding="utf-8")


def found(campaign: Campaign) -> Founded:
    """Set a campaign up, or add to it what its file names now; votes stay as they are.

    Parameters
    ----------
    campaign
        As its file has it.

    Raises
    ------
    CampaignError
        It is another campaign's database, or two galaxies have one name.
    SourceError, CatalogueError
        The images, or the gold galaxies, cannot be read.
    """
    try:
        campaign.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CampaignError(
            f"the folder {campaign.folder} cannot be made ({error.strerror})",
            do="mend `storage` in the campaign's file",
        ) from error
    database = Database(campaign.database_url)
    try:
        database.create()
        with database.writing() as link:
            _put_down(link, {"name": campaign.name, "task": campaign.task})
            _put_down(link, {"pseudonyms": secrets.token_hex(16)})
            _put_tree_down(link, campaign)
    finally:
        database.close()
    desk = Desk(campaign)
    try:
        return _fill(desk)
    finally:
        desk.close()


def _fill(desk: Desk) -> Founded:
    campaign = desk.campaign
    rejects: Rejects = []
    gold = _gold(campaign, rejects)
    files = _usable(_listed(campaign.place(campaign.images), campaign.id_column), rejects)
    hidden = {os.path.realpath(file) for file, _ in gold.values()}
    # Under another name it is the same galaxy.
    queue = _ordered(
        campaign,
        [n for n, file in files.items() if n not in gold and os.path.realpath(file) not in hidden],
    )
    with desk.database.writing() as link:
        added = _put_in(link, queue, files, gold)
    desk.count_again()
    if campaign.task == "inclination":
        draw_standards(campaign)
    _write_rejects(campaign, rejects)
    states = [one["state"] for one in desk.subjects()]
    n_gold = states.count("gold")
    has = any(person.role == "coordinator" for person in desk.people.all())
    link_token = None if has else desk.people.invite("coordinator")
    return Founded(len(states) - n_gold, n_gold, added, rejects, link_token)


def _put_in(
    link: sa.Connection,
    queue: list[dict[str, Any]],
    files: dict[str, str],
    gold: dict[str, tuple[str, Any]],
) -> int:
    """Put new galaxies in, bring the others into the order of now; how many are new."""
    known = set(link.execute(sa.select(SUBJECTS.c.id)).scalars())
    rows = [row | {"file": files[row["id"]]} for row in queue if row["id"] not in known]
    rows += [_gold_row(name, *gold[name]) for name in gold if name not in known]
    if rows:
        link.execute(SUBJECTS.insert(), rows)
    places = [{"name": row["id"], "place": row["position"], "how": row["drawn"]} for row in queue]
    if places:
        change = SUBJECTS.update().where(
            SUBJECTS.c.id == sa.bindparam("name"), SUBJECTS.c.state != "gold"
        )
        change = change.values(position=sa.bindparam("place"), drawn=sa.bindparam("how"))
        link.execute(change, places)
    for name in known & set(gold):
        became = {"state": "gold", "drawn": "gold", "gold": gold[name][1]}
        link.execute(SUBJECTS.update().where(SUBJECTS.c.id == name).values(**became))
    return len(rows)


def _put_tree_down(link: sa.Connection, campaign: Campaign) -> None:
    """The tree that is answered; it may be another one until the first vote."""
    tree = campaign.questions()
    if tree is None:
        return
    if link.execute(sa.select(VOTES.c.key).limit(1)).first() is None:
        link.execute(FACTS.delete().where(FACTS.c.key == "tree"))
    _put_down(link, {"tree": tree.digest})


def _put_down(link: sa.Connection, facts: dict[str, Any]) -> None:
    """Facts that are not there yet."""
    known = set(link.execute(sa.select(FACTS.c.key)).scalars())
    rows = [{"key": key, "value": value} for key, value in facts.items() if key not in known]
    if rows:
        link.execute(FACTS.insert(), rows)


def _listed(images: Path, id_column: str) -> dict[str, str]:
    """File of each galaxy."""
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        listing = write_listing(
            str(images),
            Path(folder) / "listing.parquet",
            shard_rows=SHARD_ROWS,
            id_column=id_column,
        )
        for index in range(listing.shards):
            for row in listing.shard(index).to_pylist():
                name = str(row["id_str"] or "")
                if not 0 < len(name) <= LONGEST_ID or name in (".", "..") or not name.isprintable():
                    raise CampaignError(
                        f"a galaxy of {images} is called {name[:LONGEST_ID]!r}",
                        expected=f"names of 1 to {LONGEST_ID} printable characters",
                    )
                if name in files:
                    raise CampaignError(
                        f"{images} has two galaxies {name!r}",
                        expected="a name for each",
                        do="name them in a table, and its column as id_column",
                    )
                files[name] = row["file_loc"] or ""
    return files


def _usable(files: dict[str, str], rejects: Rejects) -> dict[str, str]:
    """Those whose image is there and can be read; the others are put aside with the reason."""
    good = {}
    for name, file in files.items():
        try:
            if not file:
                raise ImageError("the table names no image", reason="missing")
            image_size(file)
        except (ImageError, OSError) as error:
            rejects.append((name, file, flag_of(error)))
        else:
            good[name] = file
    return good


def _ordered(campaign: Campaign, names: list[str]) -> list[dict[str, Any]]:
    """Rows of new galaxies, in the order in which they are asked about."""
    if not names:
        return []
    scores, share = np.full(len(names), np.nan), 1.0
    if campaign.queue.order != "random":
        named = [campaign.place(one) for one in campaign.queue.predictions]
        tables = [read_table(path, text=("id_str",)) for path in named]
        told = teaches(tables, campaign.queue.order, ids=names)["teaches"]
        scores = told.cast(pl.Float64).fill_null(np.nan).to_numpy()
        share = campaign.queue.random_share
    table = order(names, scores, share, campaign.seed)
    return [
        {
            "id": name,
            "position": position,
            "drawn": drawn,
            "state": "open",
            "votes": 0,
            "wanted": campaign.agreement.votes,
            "gold": None,
        }
        for position, (name, drawn) in enumerate(table.select("id_str", "drawn").iter_rows())
    ]


def _gold(campaign: Campaign, rejects: Rejects) -> dict[str, tuple[str, Any]]:
    """File and known answer of each gold galaxy whose image can be used."""
    if not campaign.gold.table:
        return {}
    path, column = campaign.place(campaign.gold.table), campaign.gold.column
    files = _listed(path, campaign.id_column)
    table = read_table(path)
    if column not in table.columns:
        raise CampaignError(
            f"{path} has no column {column!r}",
            expected=f"one of {', '.join(table.columns)}",
            do="set gold.column",
        )
    tree = campaign.questions()
    if tree is not None and column not in tree.of:
        raise CampaignError(
            f"gold.column is {column!r}, which is no question",
            expected=f"one of {', '.join(tree.of)}",
        )
    values = dict(zip(files, table[column].to_list(), strict=True))
    good = _usable({n: file for n, file in files.items() if _is_known(values[n])}, rejects)
    return {n: (file, _known_answer(campaign, n, values[n])) for n, file in good.items()}


def _is_known(value: Any) -> bool:
    return value is not None and value == value


def _known_answer(campaign: Campaign, name: str, value: Any) -> dict[str, Any]:
    tree, column = campaign.questions(), campaign.gold.column
    if tree is None:
        if not isinstance(value, int | float) or not 0 <= value <= 90:
            raise CampaignError(
                f"gold galaxy {name} has the inclination {value!r}", expected="0 to 90 degrees"
            )
        return {"inclination": float(value)}
    known = [one.key for one in tree.of[column].answers]
    if value not in known:
        raise CampaignError(
            f"gold galaxy {name} has the answer {value!r} to {column!r}",
            expected=f"one of {', '.join(known)}",
        )
    return {"answers": {column: value}}


def _gold_row(name: str, file: str, answer: Any) -> dict[str, Any]:
    return {
        "id": name,
        "file": file,
        "position": 0,
        "drawn": "gold",
        "state": "gold",
        "votes": 0,
        "wanted": 0,
        "gold": answer,
    }


def _write_rejects(campaign: Campaign, rejects: Rejects) -> None:
    schema = {"id_str": pl.String, "file_loc": pl.String, "reason": pl.String}
    table = pl.DataFrame(rejects, schema=schema, orient="row")
    write_catalogue(campaign.folder / REJECTS, table, {"campaign": campaign.name})
