"""Commands of the label desk."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from morphoscope.cli.app import app
from morphoscope.cli.servers import require

if TYPE_CHECKING:
    from morphoscope.label import Desk

__all__ = ["label", "open_desk"]

NEEDED = ("argon2", "sqlalchemy")
File = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Campaign, a TOML file.")]
SERVER = "http://127.0.0.1:8000"

label = typer.Typer(
    help="People measure galaxies: campaigns, invitations, labels.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(label, name="label")


class Task(StrEnum):
    """What people are asked."""

    INCLINATION = "inclination"
    TREE = "tree"


class Role(StrEnum):
    """What somebody may do."""

    VOLUNTEER = "volunteer"
    EXPERT = "expert"
    COORDINATOR = "coordinator"


@label.command()
def new(
    file: File,
    images: Annotated[
        str, typer.Option("--images", help="Folder, pattern or table; for a new file.")
    ] = "",
    task: Annotated[
        Task, typer.Option("--task", help="What people are asked; for a new file.")
    ] = Task.INCLINATION,
    tree: Annotated[
        str, typer.Option("--tree", help="Decision tree; for a new file.")
    ] = "galaxy-zoo-2",
) -> None:
    """Set a campaign up, or add the images that its file names now."""
    require("label", NEEDED)
    from morphoscope.label.campaign import load_campaign
    from morphoscope.label.founding import found, write_campaign
    from morphoscope.progress import say

    fresh = bool(images) and not file.exists()
    if fresh:
        tree = str(Path(tree).expanduser().absolute()) if tree.endswith(".toml") else tree
        write_campaign(file, str(Path(images).expanduser().absolute()), task.value, tree)
    elif images:
        say(f"{file} is there: its own settings hold")
    try:
        campaign = load_campaign(file)
        founded = found(campaign)
    except BaseException:
        if fresh:
            file.unlink()
        raise
    say(f"{campaign.name}: {founded.galaxies:,} galaxies, {founded.added:,} of them new")
    if founded.gold:
        say(f"{founded.gold:,} gold galaxies are hidden among them")
    if founded.rejects:
        say(
            f"{len(founded.rejects):,} images cannot be used: see "
            f"{campaign.folder / 'rejects.parquet'}",
            style="bold red",
        )
    say(f"serve it: morphoscope serve --campaign {file}")
    if founded.link:
        say(f"sign in as coordinator: {_address(SERVER, campaign.name, founded.link)}")


@label.command()
def invite(
    file: File,
    role: Annotated[Role, typer.Option("--role", help="What they may do.")] = Role.VOLUNTEER,
    name: Annotated[str, typer.Option("--name", help="Name proposed to them.")] = "",
    server: Annotated[str, typer.Option("--server", help="Address that they use.")] = SERVER,
) -> None:
    """Make a link that lets one person in."""
    from morphoscope.label.people import LINK_DAYS

    desk = open_desk(file)
    token = desk.people.invite(role.value, name)
    print(_address(server.rstrip("/"), desk.campaign.name, token))
    print(f"for one {role.value}, {LINK_DAYS} days")


@label.command()
def remove(file: File, name: Annotated[str, typer.Option("--name", help="Whose it is.")]) -> None:
    """Remove somebody's account with all votes, as they can do themselves."""
    desk = open_desk(file)
    print(f"{name} is removed, and {desk.remove(desk.people.named(name).id):,} votes")


@label.command()
def status(file: File) -> None:
    """Say how far a campaign is."""
    from morphoscope.label.progress import progress

    found = progress(open_desk(file))
    print(
        f"{found['done']:,} of {found['n']:,} galaxies done, {found['disputed']:,} disputed, "
        f"{found['votes']:,} votes of {found['people']:,} people"
    )


@label.command()
def export(
    file: File,
    out: Annotated[
        Path, typer.Option("--out", help="Table of labels; the votes go beside it.")
    ] = Path("labels.parquet"),
) -> None:
    """Write what people agree on, and every single vote."""
    from morphoscope.label.export import export as write

    for path, rows in write(open_desk(file), out).items():
        print(f"{path}: {rows:,} rows")


@label.command()
def backup(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="File; it holds names: keep it safe.")],
) -> None:
    """Write a campaign's people and votes into one file; it may be served meanwhile."""
    from morphoscope.label.backup import back_up

    print(f"{out}: {back_up(open_desk(file), out):,} votes")


@label.command()
def restore(
    file: File,
    backup: Annotated[Path, typer.Option("--from", help="File of `morphoscope label backup`.")],
) -> None:
    """Fill an empty campaign from a backup, whatever its database."""
    require("label", NEEDED)
    from morphoscope.label.backup import restore as fill
    from morphoscope.label.campaign import load_campaign

    print(f"{file}: {fill(load_campaign(file), backup):,} votes")


def open_desk(file: Path) -> Desk:
    """Open a campaign that has been set up."""
    require("label", NEEDED)
    from morphoscope.label import Desk, load_campaign

    return Desk(load_campaign(file))


def _address(server: str, campaign: str, token: str) -> str:
    # What stands behind the sign reaches no server's log.
    return f"{server}/label/{campaign}/sign-in#link={token}"
