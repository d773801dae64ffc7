"""Standards: galaxies of known inclination beside which people put a target."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from morphoscope.catalog import atomic_path, read_table
from morphoscope.errors import CampaignError, UnknownError
from morphoscope.label.campaign import Campaign
from morphoscope.simulate.standard import draw_standard

__all__ = ["Rows", "draw_standards", "read_standards", "standard_file"]

FOLDER, INDEX = "standards", "index.json"
EDGE_ON = 90
# Of the images that a table names: what browsers show.
SHOWN = (".jpg", ".jpeg", ".png", ".webp")
# Images of each whole degree.
Rows = dict[int, list[str]]


def draw_standards(campaign: Campaign) -> Rows:
    """Make the standards of a campaign; those that are there already stay.

    Parameters
    ----------
    campaign
        Where they come from, and how many there are of each degree.

    Raises
    ------
    CampaignError
        A table has no such column, or no inclination at all that belongs to the row.
    """
    folder = campaign.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    simulated = campaign.standards.source == "simulated"
    rows = _simulated(campaign, folder) if simulated else _labelled(campaign, folder)
    with atomic_path(folder / INDEX) as path:
        path.write_text(json.dumps(rows), encoding="utf-8")
    return rows


def read_standards(campaign: Campaign) -> Rows:
    """The standards that there are.

    Raises
    ------
    CampaignError
        They have not been made.
    """
    try:
        stored = json.loads((campaign.folder / FOLDER / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CampaignError(
            "the campaign has no standards", do=f"morphoscope label new {campaign.file}"
        ) from error
    return {int(angle): files for angle, files in stored.items()}


def standard_file(campaign: Campaign, rows: Rows, angle: int, number: int) -> Path:
    """File of one of them.

    Raises
    ------
    UnknownError
        There is none.
    """
    files = rows.get(angle, [])
    if not 0 <= number < len(files):
        raise UnknownError(f"there is no standard {number} of {angle}°")
    return campaign.folder / FOLDER / files[number]


def _simulated(campaign: Campaign, folder: Path) -> Rows:
    settings = campaign.standards
    rows: Rows = {}
    for angle in range(settings.least, EDGE_ON + 1):
        rows[angle] = []
        for number in range(settings.per_angle):
            path = folder / f"simulated-{campaign.seed}-{settings.size}-{angle}-{number}.png"
            if not path.exists():
                drawing = draw_standard(campaign.seed, number, float(angle), settings.size)
                with atomic_path(path) as temporary:
                    temporary.write_bytes(drawing.png())
            rows[angle].append(path.name)
    return rows


def _labelled(campaign: Campaign, folder: Path) -> Rows:
    from morphoscope.streaming.tables import table_rows

    settings = campaign.standards
    path = campaign.place(settings.source)
    table = read_table(path)
    if settings.column not in table.columns:
        raise CampaignError(
            f"{path} has no column {settings.column!r}",
            expected=f"one of {', '.join(table.columns)}",
            do="set standards.column",
        )
    if not table[settings.column].dtype.is_numeric():
        raise CampaignError(
            f"the column {settings.column!r} of {path} holds no numbers",
            expected="inclinations in degrees",
        )
    rows: Rows = {}
    values = table[settings.column].to_list()
    for (_, file), value in zip(table_rows(path, campaign.id_column, ""), values, strict=True):
        if value is None or not settings.least <= value <= EDGE_ON or not file:
            continue
        source = Path(file)
        if source.suffix.lower() not in SHOWN or not source.exists():
            continue
        angle = round(value)
        name = f"given-{angle}-{len(rows.get(angle, []))}{source.suffix.lower()}"
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(source, temporary)
        rows.setdefault(angle, []).append(name)
    if not rows:
        raise CampaignError(
            f"{path} has no standard from {settings.least} to {EDGE_ON} degrees",
            expected=f"inclinations in {settings.column!r}, and JPEG or PNG images",
        )
    return rows
