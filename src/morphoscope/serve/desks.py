"""The campaigns of a server: opened once, their galaxies and standards as pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from morphoscope.errors import CampaignError, ImageError, UnknownError
from morphoscope.images import read_image
from morphoscope.label import Campaign, Desk, load_campaign
from morphoscope.label.people import Person
from morphoscope.label.progress import progress
from morphoscope.label.standards import Rows, read_standards, standard_file
from morphoscope.label.statistics import statistics
from morphoscope.label.trees import Tree
from morphoscope.serve.intake import encoded
from morphoscope.serve.unreadable import Unreadable

__all__ = ["COLOUR", "Counter", "open_campaigns"]

COLOUR = "colour"
OF_PICTURES = (COLOUR, "red", "green", "blue")
JPEG = (".jpg", ".jpeg")
PICTURES = (*JPEG, ".png", ".webp", ".bmp", ".tif", ".tiff")
PROGRESS_S, STATISTICS_S = 5.0, 60.0
REMEMBERED = 20_000
API = "/api/v1/campaigns"


class Counter:
    """A campaign as the server shows it.

    Parameters
    ----------
    campaign
        What is asked.

    Attributes
    ----------
    campaign, desk
        What is asked, and where votes are counted.
    unreadable
        Galaxies whose files could not be read lately.

    Raises
    ------
    CampaignError
        It has not been set up.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.desk = Desk(campaign)
        self.unreadable = Unreadable()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}
        self._turn = threading.Lock()

    @cached_property
    def standards(self) -> Rows:
        """Images of each whole degree; none where questions are asked."""
        return read_standards(self.campaign) if self.campaign.task == "inclination" else {}

    def progress(self) -> dict[str, Any]:
        """`morphoscope.label.progress`, some seconds old."""
        return self._lately("progress", PROGRESS_S, progress)

    def statistics(self) -> dict[str, Any]:
        """`morphoscope.label.statistics`, a minute old: they take seconds of many votes."""
        found = self._lately("statistics", STATISTICS_S, statistics)
        return found | {"progress": self.progress()}

    def _lately(
        self, name: str, seconds: float, make: Callable[[Desk], dict[str, Any]]
    ) -> dict[str, Any]:
        """What was made a moment ago, or made now, for all who ask at once."""
        with self._turn:
            then, found = self._kept.get(name, (0.0, {}))
            if time.monotonic() - then > seconds or not found:
                found = make(self.desk)
                self._kept[name] = (time.monotonic(), found)
            return dict(found)

    def summary(self) -> dict[str, Any]:
        """What a list of campaigns says of it."""
        campaign = self.campaign
        return {
            "name": campaign.name,
            "title": campaign.title or campaign.name,
            "description": campaign.description,
            "task": campaign.task,
            "join": campaign.people.join,
            "n": self.progress()["n"],
            "links": {"self": f"{API}/{campaign.name}", "page": f"/label/{campaign.name}"},
        }

    def whole(self) -> dict[str, Any]:
        """All that a page needs to ask people."""
        reasons = [{"key": key, "text": text} for key, text in self.campaign.reasons.items()]
        tree = self.desk.tree
        return {
            **self.summary(),
            "reject": reasons,
            "tree": _asked(tree) if tree else None,
            "standards": self._rows() if self.standards else None,
        }

    def _rows(self) -> dict[str, Any]:
        place = f"{API}/{self.campaign.name}/standards"
        return {
            "angles": sorted(self.standards),
            "least": self.campaign.standards.least,
            "images": {
                str(angle): [f"{place}/{angle}/{k}" for k in range(len(files))]
                for angle, files in sorted(self.standards.items())
            },
        }

    def standard(self, angle: int, number: int) -> Path:
        """File of a standard.

        Raises
        ------
        UnknownError
            There is none.
        """
        return standard_file(self.campaign, self.standards, angle, number)

    def picture(self, person: Person, subject: str, band: str) -> bytes:
        """JPEG of a galaxy for a person: in colour, or one band of it in grey.

        Raises
        ------
        UnknownError
            There is no such galaxy or band.
        ImageError
            Its file cannot be read any more; others come before it for some minutes.
        """
        file = self.desk.subject(subject)["file"]
        try:
            shown = _drawn(file, band)
        except UnknownError:
            raise
        except Exception as error:
            self.unreadable.note(subject, str(error) or type(error).__name__)
            self.desk.let_go(person, subject)
            raise
        self.unreadable.forget(subject)
        return shown


def _drawn(file: str, band: str) -> bytes:
    pixels = read_image(file)
    known = bands_of(file)
    if band not in known:
        raise UnknownError(f"there is no band {band!r}", expected=f"one of {', '.join(known)}")
    if band != COLOUR:
        pixels = pixels[..., [min(known.index(band), pixels.shape[2]) - 1]]
    return encoded(pixels)


def _asked(tree: Tree) -> dict[str, Any]:
    questions = [one.model_dump() for one in tree.questions]
    return {"title": tree.title, "first": tree.first, "questions": questions}


def bands_of(file: str) -> tuple[str, ...]:
    """Ways to see an image: in colour, then each of its bands."""
    try:
        return _bands(file)
    except (ImageError, OSError):
        return (COLOUR,)


@lru_cache(REMEMBERED)
def _bands(file: str) -> tuple[str, ...]:
    suffix = Path(file).suffix.lower()
    if suffix in JPEG:
        return OF_PICTURES
    n = np.shape(read_image(file))[2]
    if suffix in PICTURES:
        return OF_PICTURES if n == 3 else (COLOUR,)
    return (COLOUR, *(f"band {index + 1}" for index in range(n))) if n > 1 else (COLOUR,)


def open_campaigns(files: Sequence[Path]) -> dict[str, Counter]:
    """Open the campaigns that a server serves, by name.

    Raises
    ------
    CampaignError
        One is not valid or not set up, or two have one name.
    """
    counters: dict[str, Counter] = {}
    for file in files:
        campaign = load_campaign(file)
        if campaign.name in counters:
            raise CampaignError(
                f"two campaigns are called {campaign.name!r}", do="name one of them anew"
            )
        counters[campaign.name] = Counter(campaign)
    return counters
