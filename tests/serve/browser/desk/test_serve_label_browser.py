"""Volunteers measure galaxies: by keys, by mouse, by finger."""

from __future__ import annotations

import re

import pytest

from morphoscope.serve.settings import ServeSettings
from serve.browser.desk.desk_hands import (
    OVERFLOW,
    PHONE,
    SAVED,
    after_saving,
    keys,
    ready,
    smooth,
    until,
    votes_of,
    waiting,
)
from serve.label.desks_to_try import set_up
from serve.servers import ServerThread, wait_for


def test_a_tree_by_keys_alone(begun) -> None:
    page = begun("shapes")
    assert page.inner_text("#question").startswith("Is the galaxy simply smooth")
    keys(page, "1")
    assert page.inner_text("#question") == "How rounded is it?"
    keys(page, "Backspace", "2", "1", "1")
    assert page.inner_text("#question") == "Is there anything odd?"
    steps = page.locator("#path button").all_inner_texts()
    assert steps == ["Features or disc", "Yes", "Rounded"]
    keys(page, "2")
    ready(page)
    assert page.inner_text("#question").startswith("Is the galaxy simply smooth")
    (vote,) = after_saving(page, "shapes")
    given = [["shape", "features"], ["edge_on", "yes"], ["edge_on_bulge", "rounded"], ["odd", "no"]]
    assert [list(one) for one in vote["content"]["answers"]] == given
    assert 0 < vote["seconds"] < 60


def test_an_inclination_by_keys_alone(begun) -> None:
    page = begun("tilts")
    assert page.inner_text("#reading") == "Between 65° and 70°"
    keys(page, "ArrowLeft", "Enter")
    assert page.inner_text("#reading") == "62.5°, between 62° and 63°"
    keys(page, "ArrowRight", "ArrowRight")
    assert page.get_attribute("#slot", "aria-valuetext") == "between 64° and 65°"
    keys(page, *["ArrowRight"] * 6)
    assert page.inner_text("#reading") == "70.5°, between 70° and 71°"
    keys(page, "Backspace")
    assert page.inner_text("#reading") == "Between 70° and 75°"
    keys(page, "Enter", "Enter")
    ready(page)
    keys(page, "Home")
    assert page.inner_text("#confirm-says") == "Face-on: save"
    keys(page, "Enter")
    ready(page)
    keys(page, "End", "Enter", "End", "Enter")
    ready(page)
    contents = [one["content"] for one in after_saving(page, "tilts")]
    assert contents == [{"inclination": 72.5}, {"reject": ["face_on"]}, {"inclination": 90}]


def test_the_galaxy_is_dragged_between_two_standards(begun) -> None:
    page = begun("tilts")
    slot = page.locator("#slot").bounding_box()
    there = page.locator(".tile[data-angle='50']").bounding_box()
    y = slot["y"] + slot["height"] / 2
    page.mouse.move(slot["x"] + slot["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(there["x"] + 0.8 * there["width"], y, steps=12)
    page.mouse.up()
    assert page.inner_text("#reading") == "Between 50° and 55°"
    page.click("#confirm")
    page.click(".tile[data-angle='54'] img", position={"x": 3, "y": 30})
    assert page.inner_text("#reading") == "53.5°, between 53° and 54°"
    page.click("#confirm")
    ready(page)
    assert after_saving(page, "tilts")[0]["content"] == {"inclination": 53.5}


def test_the_row_is_slid_by_a_finger(begun) -> None:
    page = begun("tilts", **PHONE)
    assert page.evaluate(OVERFLOW) == 0
    until(page, "document.querySelector('#standards').scrollLeft > 0")
    page.locator("#standards").scroll_into_view_if_needed()
    box = page.locator("#standards").bounding_box()
    y = box["y"] + 40
    touch = page.context.new_cdp_session(page)

    def finger(kind: str, *places: int) -> None:
        points = [{"x": x, "y": y} for x in places]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", 300)
    for x in range(290, 120, -10):
        finger("touchMove", x)
    finger("touchEnd")
    until(page, "text('#reading') !== 'Between 65° and 70°'")
    page.wait_for_timeout(400)
    said = page.inner_text("#reading")
    low = int(re.findall(r"\d+", said)[0])
    assert low > 65
    page.tap("#confirm")
    assert page.inner_text("#reading").startswith(f"{low + 2.5}°")
    # Sooner it would be a double tap.
    page.wait_for_timeout(350)
    page.tap("#confirm")
    ready(page)
    assert after_saving(page, "tilts")[0]["content"] == {"inclination": low + 2.5}


def test_answers_are_tapped_on_a_phone(begun) -> None:
    page = begun("shapes", **PHONE)
    assert page.evaluate(OVERFLOW) == 0
    for words in ("Smooth", "In between", "No"):
        button = page.locator("#answers button", has=page.locator(f".says:text-is('{words}')"))
        assert button.bounding_box()["height"] >= 44
        button.tap()
        # Two answers lie at one place: sooner it would be a double tap.
        page.wait_for_timeout(350)
    ready(page)
    (vote,) = after_saving(page, "shapes")
    assert [one[1] for one in vote["content"]["answers"]] == ["smooth", "in_between", "no"]


def test_a_vote_is_taken_back_and_mended(begun) -> None:
    page = begun("shapes")
    smooth(page)
    ready(page)
    (first,) = after_saving(page, "shapes")
    keys(page, "2", "2")
    keys(page, "u")
    ready(page)
    assert page.inner_text("#question") == "Is there anything odd?"
    assert page.inner_text("[aria-current] .says").startswith("No")
    until(page, SAVED)
    assert votes_of(page, "shapes") == []
    keys(page, "1", "1")
    ready(page)
    (mended,) = after_saving(page, "shapes")
    assert mended["subject"] == first["subject"]
    assert mended["key"] != first["key"]
    assert [one[1] for one in mended["content"]["answers"]] == ["smooth", "round", "yes", "ring"]


def test_taken_back_before_it_was_sent(begun) -> None:
    page = begun("tilts")
    page.context.set_offline(True)
    keys(page, "Enter", "Enter")
    ready(page)
    assert len(waiting(page)) == 1
    page.keyboard.press("Control+z")
    ready(page)
    assert page.inner_text("#reading") == "67.5°, between 67° and 68°"
    keys(page, "Enter")
    page.context.set_offline(False)
    (vote,) = after_saving(page, "tilts")
    assert vote["content"] == {"inclination": 67.5}


def test_rejected_with_reasons_and_a_note(begun) -> None:
    page = begun("tilts")
    keys(page, "n")
    page.keyboard.type("a star lies on it: u, x and 1 are letters here")
    page.keyboard.press("Control+Enter")
    assert page.get_attribute("#note", "aria-pressed") == "true"
    keys(page, "3", "8", "1", "1")
    assert page.locator("#reasons input:checked").count() == 2
    keys(page, "Enter")
    ready(page)
    page.locator("#said").filter(has_text="ambiguous, bad image").first.wait_for(state="attached")
    (vote,) = after_saving(page, "tilts")
    assert vote["content"] == {"reject": ["ambiguous", "bad_image"]}
    assert vote["note"].startswith("a star lies on it")
    keys(page, "x", "Escape")
    assert page.get_attribute("#note", "aria-pressed") == "false"
    assert len(votes_of(page, "tilts")) == 1


def test_looking_closely(begun) -> None:
    page = begun("tilts")
    keys(page, "i", "+", "]", "]")
    filters = "getComputedStyle(document.querySelector('#view')).filter"
    assert page.evaluate(filters) == "invert(1)"
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.tile img')).filter") == "invert(1)"
    )
    assert page.get_attribute("#ring g", "transform") == "rotate(10 50 50)"
    keys(page, "c")
    keys(page, *["ArrowRight"] * 4, "Escape")
    assert "contrast(1.2)" in page.evaluate(filters)
    with page.expect_response(re.compile("band=red")):
        keys(page, "b")
    assert page.inner_text("#band-name") == "red"
    box = page.locator("#view").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(100)
    keys(page, "0")
    assert page.evaluate(filters) == "none"
    page.mouse.move(middle[0] + 0.47 * box["width"], middle[1])
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] - 0.47 * box["height"], steps=8)
    page.mouse.up()
    turned = page.get_attribute("#ring g", "transform")
    assert float(re.findall(r"-?[\d.]+", turned)[0]) == pytest.approx(-90, abs=0.5)
    keys(page, "?")
    assert page.is_visible("#help >> text=take the last vote back")


def test_the_end_of_a_campaign(open_page, server, tmp_path, tiny_model) -> None:
    few = set_up(tmp_path / "few", "few", "tree", 2, 48)
    settings = ServeSettings(
        models=[tiny_model], storage=tmp_path / "storage", threads=1, campaigns=[few.file]
    )
    with ServerThread(settings) as running:
        page = open_page(f"{running.url}/label/few/sign-in")
        page.click("text=Begin without a name")
        smooth(page)
        smooth(page)
        page.wait_for_selector("#rest-title >> text=All measured")
        wait_for(lambda: len(votes_of(page, "few")) == 2)
