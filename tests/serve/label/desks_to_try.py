"""Campaigns of drawn galaxies, set up as `morphoscope label new` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morphoscope.label import load_campaign
from morphoscope.label.founding import found
from serve.servers import galaxy

ANYBODY = 'join = "anonymous"'


@dataclass(frozen=True)
class Tried:
    """A campaign that is set up.

    Attributes
    ----------
    file
        Its TOML file.
    name
        In addresses.
    link
        Token of the coordinator's link.
    """

    file: Path
    name: str
    link: str


def set_up(
    folder: Path, name: str, task: str, galaxies: int = 12, side: int = 160, more: str = ""
) -> Tried:
    """Draw galaxies, write a campaign about them and set it up.

    Parameters
    ----------
    folder
        New.
    name, task
        Of the campaign.
    galaxies, side
        How many, and their pixels.
    more
        Further lines of TOML.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    for index in range(galaxies):
        (images / f"galaxy-{index:02d}.jpg").write_bytes(galaxy(index, side))
    file = folder / f"{name}.toml"
    file.write_text(
        f'name = "{name}"\ntitle = "Try of {task}"\ntask = "{task}"\nimages = "images"\n'
        f"[standards]\nper_angle = 1\nsize = 64\n[people]\n{ANYBODY}\n{more}",
        encoding="utf-8",
    )
    return Tried(file, name, found(load_campaign(file)).link or "")
