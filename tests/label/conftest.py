"""Campaigns on SQLite and on PostgreSQL, and galaxies to label."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from morphoscope.label import Campaign, Desk
from morphoscope.label.founding import found
from morphoscope.label.people import Person

MakeDesk = Callable[..., Desk]
SMALL = {"per_angle": 1, "size": 64, "least": 80}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of twelve small images, g00.png to g11.png."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(12):
        image = np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8)
        cv2.imwrite(str(folder / f"g{index:02d}.png"), image)
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """URL of an empty database; for SQLite empty, which is a file in the campaign's folder."""
    return "" if request.param == "sqlite" else new_database(request)


def new_database(request: pytest.FixtureRequest) -> str:
    import psycopg

    server = request.getfixturevalue("postgresql")
    name = f"label_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    return f"{server.replace('postgresql:', 'postgresql+psycopg:')}/{name}"


def campaign_of(folder: Path, pictures: Path, **changes: Any) -> Campaign:
    settings: dict[str, Any] = {
        "name": "zoo",
        "task": "inclination",
        "images": str(pictures),
        "file": str(folder / "zoo.toml"),
        "standards": SMALL,
        "agreement": {"votes": 2, "most": 3, "spread_deg": 5.0},
        "people": {"join": "anonymous"},
    }
    return Campaign.model_validate(settings | changes)


@pytest.fixture
def make_desk(database: str, tmp_path: Path, pictures: Path) -> Iterator[MakeDesk]:
    """Set a campaign up, with settings changed as told, on either database."""
    desks: list[Desk] = []

    def make(**changes: Any) -> Desk:
        campaign = campaign_of(tmp_path, pictures, **{"database": database} | changes)
        found(campaign)
        desks.append(Desk(campaign))
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()


def volunteers(desk: Desk, n: int) -> list[Person]:
    return [desk.people.come_unnamed().person for _ in range(n)]


def vote(subject: str, content: dict[str, Any], key: str = "") -> dict[str, Any]:
    return {"key": key or secrets.token_hex(8), "subject": subject, "content": content}


def tilted(subject: str, inclination: float, key: str = "") -> dict[str, Any]:
    return vote(subject, {"inclination": inclination}, key)
