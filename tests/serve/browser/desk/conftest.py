"""A server with a campaign of each task, and volunteers who have come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from morphoscope.serve.settings import ServeSettings
from serve.browser.desk.desk_hands import ready
from serve.label.desks_to_try import Tried, set_up
from serve.servers import ServerThread


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    folder = tmp_path_factory.mktemp("campaigns")
    return {
        name: set_up(folder / name, name, task, 40, 48)
        for name, task in (("tilts", "inclination"), ("shapes", "tree"))
    }


@pytest.fixture(scope="module")
def server(
    tried: dict[str, Tried], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    settings = ServeSettings(
        models=[tiny_model],
        storage=tmp_path_factory.mktemp("storage"),
        threads=1,
        campaigns=[one.file for one in tried.values()],
    )
    with ServerThread(settings) as running:
        yield running


@pytest.fixture
def begun(open_page: Callable[..., Any]) -> Callable[..., Any]:
    """Open a campaign as somebody without a name, at its first galaxy."""

    def opened(campaign: str, **options: Any) -> Any:
        page = open_page(f"/label/{campaign}/sign-in", **options)
        page.click("text=Begin without a name")
        ready(page)
        page.click("#hint-away")
        return page

    return opened
