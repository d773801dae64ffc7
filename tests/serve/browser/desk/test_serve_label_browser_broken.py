"""Images that cannot be shown keep nobody from measuring the others."""

from __future__ import annotations

import re
from typing import Any

import pytest

from morphoscope.serve.settings import ServeSettings
from serve.browser.desk.desk_hands import SAVED, ready, smooth, until, votes_of
from serve.label.desks_to_try import set_up
from serve.servers import ServerThread, wait_for

GOOD = 4
# More than a page can name when it asks for others.
BROKEN = 60


@pytest.fixture
def damaged(tmp_path, tiny_model) -> Any:
    """A campaign most of whose files are away since it was set up."""
    made = set_up(tmp_path / "some", "some", "tree", GOOD + BROKEN, 48)
    (tmp_path / "away").mkdir()
    for image in sorted((tmp_path / "some" / "images").iterdir())[GOOD:]:
        image.rename(tmp_path / "away" / image.name)
    settings = ServeSettings(
        models=[tiny_model], storage=tmp_path / "storage", threads=1, campaigns=[made.file]
    )
    with ServerThread(settings) as running:
        yield running


def test_galaxies_that_can_be_shown_come_after_all_that_cannot(open_page, damaged) -> None:
    page = open_page(f"{damaged.url}/label/some/sign-in")
    page.click("text=Begin without a name")
    for _ in range(GOOD):
        smooth(page)
    page.wait_for_selector("#rest-title >> text=No other galaxy can be shown now")
    until(page, f"/ · {BROKEN} images could not be shown/.test(text('#count'))")
    wait_for(lambda: len(votes_of(page, "some")) == GOOD)
    link = damaged.service.campaigns["some"].desk.people.invite("coordinator")
    page = open_page(f"{damaged.url}/label/some/sign-in#link={link}")
    page.fill("#link-name", "Eve")
    page.click("#by-link button")
    page.wait_for_selector(f"#unreadable-say >> text={BROKEN} images could not be read")
    assert page.locator("#unreadable-list li").count() == 25
    assert "no such file" in page.inner_text("#unreadable-list li >> nth=0")
    assert page.inner_text("#unreadable-list li >> nth=24") == f"and {BROKEN - 24} more"


def test_it_goes_on_when_the_server_has_forgotten_and_when_files_return(
    open_page, damaged, tmp_path
) -> None:
    unreadable = damaged.service.campaigns["some"].unreadable
    page = open_page(f"{damaged.url}/label/some/sign-in")
    page.click("text=Begin without a name")
    for turn in range(GOOD):
        # As after some minutes, or a new start; the page still knows which it could not show.
        for name in unreadable.lately() if turn == 1 else ():
            unreadable.forget(name)
        smooth(page)
    page.wait_for_selector("#rest-title >> text=No other galaxy can be shown now")
    for image in (tmp_path / "away").iterdir():
        image.rename(tmp_path / "some" / "images" / image.name)
    for _ in range(4):
        smooth(page)
    until(page, SAVED)
    assert len(votes_of(page, "some")) == GOOD + 4


def test_the_last_one_comes_when_it_can_be_drawn(open_page, tmp_path, tiny_model) -> None:
    """One that the server has and the browser could not draw, when all others are measured."""
    made = set_up(tmp_path / "some", "some", "tree", 3, 48)
    settings = ServeSettings(
        models=[tiny_model], storage=tmp_path / "storage", threads=1, campaigns=[made.file]
    )
    with ServerThread(settings) as running:
        page = open_page(f"{running.url}/label/some/sign-in")
        page.clock.install()
        cut = {"status": 200, "content_type": "image/jpeg", "body": "cut"}
        page.route(re.compile("galaxy-01/image"), lambda route: route.fulfill(**cut))
        page.click("text=Begin without a name")
        smooth(page)
        smooth(page)
        page.wait_for_selector("#rest-title >> text=No other galaxy can be shown now")
        until(page, "/ · 1 image could not be shown/.test(text('#count'))")
        page.unroute(re.compile("galaxy-01/image"))
        page.clock.fast_forward(300_000)
        smooth(page)
        page.wait_for_selector("#rest-title >> text=All measured")
        until(page, SAVED)
        assert len(votes_of(page, "some")) == 3


def test_a_portal_is_no_broken_image(open_page) -> None:
    """What is not the server's own answer says nothing of a galaxy."""
    page = open_page("/label/shapes/sign-in")
    welcome = {"status": 404, "content_type": "text/html", "body": "<h1>Welcome</h1>"}
    page.route(re.compile("/image"), lambda route: route.fulfill(**welcome))
    page.click("text=Begin without a name")
    page.wait_for_selector("#rest-title >> text=The connection is away")
    page.unroute(re.compile("/image"))
    ready(page)
    assert "could not be shown" not in page.inner_text("#count")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "content_type": "image/jpeg", "body": "no image"},
        {"status": 500, "json": {"error": {"code": "failed", "found": "an error of its own"}}},
    ],
)
def test_an_image_that_cannot_be_drawn_is_passed_over(open_page, answer) -> None:
    page = open_page("/label/shapes/sign-in")
    damaged: list[str] = []

    def damage(route: Any) -> None:
        if len(damaged) < 5 and route.request.url not in damaged:
            damaged.append(route.request.url)
        if route.request.url in damaged:
            return route.fulfill(**answer)
        return route.continue_()

    page.route(re.compile("/image"), damage)
    page.click("text=Begin without a name")
    ready(page)
    until(page, "/ · 5 images could not be shown/.test(text('#count'))")
