"""A campaign: which galaxies people measure, what they are asked, and when they agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from morphoscope.errors import CampaignError
from morphoscope.label.trees import Tree, load_tree
from morphoscope.recipe import Section
from morphoscope.recipe.explaining import explain
from morphoscope.recipe.tables import settings_tables

__all__ = ["REASONS", "Campaign", "describe_campaign", "load_campaign"]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# Why a galaxy's inclination cannot be told, as astronomers sort them out.
REASONS = {
    "not_sure": "Not sure",
    "better_image_needed": "A better image is needed",
    "ambiguous": "Ambiguous",
    "disturbed": "Disturbed",
    "face_on": "Face-on",
    "not_a_spiral": "Not a spiral",
    "more_than_one": "More than one object",
    "bad_image": "Bad image",
}
OF_TREES = ("bad_image",)


class Standards(Section):
    """Galaxies of known inclination beside which a target is put."""

    source: str = Field(
        "simulated", description="`simulated`, or a table of images with their inclinations."
    )
    column: str = Field("inclination", description="Column of that table (deg).")
    least: int = Field(
        45, description="Inclination at which the row begins (deg); left of it is face-on.", ge=0
    )
    per_angle: int = Field(
        4, description="Examples of each degree, to be redrawn from.", ge=1, le=50
    )
    size: int = Field(160, description="Side of a simulated standard (pixels).", ge=64, le=512)

    @field_validator("least")
    @classmethod
    def _on_the_row(cls, least: int) -> int:
        if least % 5 or least > 80:
            raise ValueError("the row begins at a multiple of 5 from 0 to 80")
        return least


class Agreement(Section):
    """When a galaxy has been looked at by enough people."""

    votes: int = Field(5, description="Votes that each galaxy gets at least.", ge=1)
    most: int = Field(
        15, description="Votes after which people who do not agree leave it to an expert.", ge=1
    )
    spread_deg: float = Field(
        3.0, description="Standard error of the median inclination at which they agree.", gt=0
    )
    share: float = Field(
        0.7, description="Share of the leading answer at which they agree.", gt=0.5, le=1
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most < self.votes:
            raise ValueError(f"most is {self.most}, less than votes, {self.votes}")
        return self


class People(Section):
    """Who may take part."""

    join: Literal["anonymous", "open", "invited"] = Field(
        "invited",
        description="anonymous: anybody, without a name; open: anybody, with a name and a "
        "password; invited: whoever has a link.",
    )
    session_days: float = Field(
        30.0, description="Days after which whoever stays away signs in again.", gt=0, le=3650
    )


class Queue(Section):
    """Which galaxy comes next."""

    order: Literal["random", "information", "disagreement", "unlike", "mixed"] = Field(
        "random",
        description="`random`, or what teaches a model most, from its predictions: `information`, "
        "`disagreement`, `unlike` or `mixed` (docs/teaching.md).",
    )
    predictions: list[str] = Field(
        [], description="Tables of `morphoscope predict`, one a model, for the other orders."
    )
    random_share: float = Field(
        0.2,
        description="Share of the galaxies that are drawn at random all the same, for honest "
        "statistics.",
        ge=0,
        le=1,
    )


class Gold(Section):
    """Galaxies of known answer, hidden among the others, that measure each rater."""

    table: str = Field("", description="Table of them; empty: none.")
    column: str = Field("inclination", description="Column of their answer.")
    share: float = Field(0.1, description="Share of what a person sees.", ge=0, le=0.5)


class Campaign(Section):
    """A campaign of labelling, read from TOML."""

    name: str = Field(description="Name in addresses: small letters, digits and dashes.")
    title: str = Field("", description="Name that people read.")
    description: str = Field("", description="What it is for, in a sentence or two.")
    task: Literal["inclination", "tree"] = Field(
        description="What people are asked: `inclination`, or the questions of a `tree`."
    )
    tree: str = Field(
        "galaxy-zoo-2", description="Decision tree: one that comes along, or a TOML file."
    )
    images: str = Field(description="Folder of images, pattern or table.")
    id_column: str = Field("", description="Column of a table that names its galaxies.")
    storage: str = Field("", description="Folder of the campaign; empty: beside its file.")
    database: str = Field("", description="SQLAlchemy URL; empty: SQLite in that folder.")
    seed: int = Field(1, description="Seed of every draw.", ge=0)
    reject: list[str] = Field(
        [], description="Reasons for which people may pass a galaxy; empty: the usual ones."
    )
    standards: Standards = Standards()
    agreement: Agreement = Agreement()
    people: People = People()
    queue: Queue = Queue()
    gold: Gold = Gold()
    file: str = Field("", description="Where it was read from.", exclude=True)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("only small letters, digits and dashes, a letter or digit first")
        return name

    @field_validator("reject")
    @classmethod
    def _words(cls, reasons: list[str]) -> list[str]:
        for reason in reasons:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", reason):
                raise ValueError(f"{reason!r} is not one word of small letters and _")
        return reasons

    @model_validator(mode="after")
    def _predicted(self) -> Self:
        if self.queue.order != "random" and not self.queue.predictions:
            raise ValueError(f"queue.order {self.queue.order!r} needs queue.predictions")
        return self

    @property
    def folder(self) -> Path:
        """The one folder that is written to."""
        beside = Path(self.file).absolute().parent
        return beside / (self.storage or self.name)

    @property
    def database_url(self) -> str:
        """Where the votes are."""
        scheme, _, file = self.database.partition(":///")
        if scheme.startswith("sqlite") and file:
            return f"{scheme}:///{self.place(file)}"
        return self.database or f"sqlite:///{self.folder / 'campaign.sqlite'}"

    @property
    def reasons(self) -> dict[str, str]:
        """Reasons for passing a galaxy, and their words."""
        usual = list(REASONS) if self.task == "inclination" else OF_TREES
        return {
            key: REASONS.get(key, key.replace("_", " ").capitalize())
            for key in self.reject or usual
        }

    def place(self, name: str) -> Path:
        """Path of a file that the campaign names, from where its own lies."""
        return Path(self.file).absolute().parent / name

    def questions(self) -> Tree | None:
        """The decision tree; None where inclinations are asked."""
        if self.task != "tree":
            return None
        path = self.place(self.tree)
        return load_tree(path if self.tree.endswith(".toml") else self.tree)


def load_campaign(path: Path) -> Campaign:
    """Read a campaign.

    Parameters
    ----------
    path
        TOML file; names in it start where it lies.

    Raises
    ------
    CampaignError
        The file is absent or not TOML, or a key or value is not valid.
    """
    try:
        stored: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise CampaignError(
            f"there is no campaign {path}",
            do=f"make one: morphoscope label new {path} --images FOLDER",
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CampaignError(f"{path} is not TOML: {error}", do="mend that line") from error
    try:
        campaign = Campaign.model_validate({**stored, "file": str(path.absolute())})
        campaign.questions()
    except ValidationError as error:
        raise CampaignError(explain(error, Campaign), do=f"mend {path}") from error
    return campaign


def describe_campaign() -> str:
    """Markdown tables of a campaign's settings with their defaults."""
    sections: dict[str, type[Section]] = {
        "standards": Standards,
        "agreement": Agreement,
        "people": People,
        "queue": Queue,
        "gold": Gold,
    }
    parts: list[tuple[str, type[Section], tuple[str, ...]]] = [("", Campaign, (*sections, "file"))]
    parts += [(f"`[{name}]`", section, ()) for name, section in sections.items()]
    return settings_tables(parts)
