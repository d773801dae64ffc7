"""People at the pages: image in, placed by hand, asked about, shared; tables; alarms."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from astropy.io import fits

from serve.browser.hands import evaluate, put

ALARM = "one takes it for a spiral, the other for an elliptical"


def query_of(address: str) -> dict[str, float]:
    found = parse_qs(urlsplit(address).query)
    return {name: float(found[name][0]) for name in ("turn", "zoom", "x", "y") if name in found}


def test_what_is_seen_is_what_is_asked_about(open_page, galaxy_file, server, grey) -> None:
    """Turned, zoomed and moved by keys, buttons and mouse: the server's picture is the window's."""
    page = open_page()
    put(page, galaxy_file)
    page.focus("#view")
    for key in ("[", "[", "[", "+", "+", *["ArrowLeft"] * 4, *["ArrowUp"] * 3):
        page.keyboard.press(key)
    page.click("[aria-label='Turn anticlockwise']")
    page.click("[aria-label='Zoom in']")
    box = page.locator("#view").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 30, middle[1] - 12, steps=3)
    page.mouse.up()
    page.mouse.move(middle[0] + 60, middle[1] + 20)
    page.mouse.wheel(0, -120)
    seen = page.evaluate("document.querySelector('#view').toDataURL('image/png')")
    with page.expect_response(re.compile(r"/api/v1/predict")) as asked:
        page.click("#go")
    query = query_of(asked.value.url)
    assert query["turn"] == 30
    assert query["zoom"] > 1.4
    assert min(abs(query["x"]), abs(query["y"])) > 0.02
    page.wait_for_selector("#answer .verdict")
    page.click("#keep")
    page.wait_for_selector("#link:not([hidden])")
    name = page.input_value("#address").split("/r/")[1]
    theirs = server.client.get(f"/api/v1/results/{name}/image.jpg").content
    mine = grey(base64.b64decode(seen.split(",")[1]))
    other = grey(theirs)
    assert np.corrcoef(mine.ravel(), other.ravel())[0, 1] > 0.995
    assert np.abs(mine - other).mean() < 2.5


def test_turning_with_the_mouse_and_back_again(open_page, galaxy_file) -> None:
    page = open_page()
    put(page, galaxy_file)
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.keyboard.down("Shift")
    page.mouse.move(x + 100, y)
    page.mouse.down()
    page.mouse.move(x, y - 100, steps=8)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert page.inner_text("#placed") == "turned 90° anticlockwise"
    page.focus("#view")
    page.keyboard.press("0")
    assert page.inner_text("#placed") == "as it came"
    page.keyboard.press("Shift+BracketRight")
    assert page.inner_text("#placed") == "turned 1° clockwise"


def test_two_fingers_pinch_and_turn_about_their_middle(open_page, galaxy_file) -> None:
    page = open_page(width=390, height=844, has_touch=True, is_mobile=True)
    put(page, galaxy_file)
    page.locator("#view").scroll_into_view_if_needed()
    box = page.locator("#view").bounding_box()
    side = box["width"]
    # Right of and above the window's middle, in shares of its side.
    at = np.array([0.15, -0.1])
    x, y = np.array([box["x"], box["y"]]) + side * (0.5 + at)
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x + dx, "y": y + dy, "id": i} for i, (dx, dy) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (-40, 0), (40, 0))
    for step in range(1, 11):
        angle, length = np.radians(3 * step), 40 * (1 + step / 10)
        along = (length * np.cos(angle), length * np.sin(angle))
        fingers("touchMove", (-along[0], -along[1]), along)
    fingers("touchEnd")
    with page.expect_response(re.compile(r"/api/v1/predict")) as asked:
        page.click("#go")
    query = query_of(asked.value.url)
    assert query["turn"] == pytest.approx(-30, abs=1)
    assert query["zoom"] == pytest.approx(2, abs=0.05)
    # What lay between the fingers lies there still.
    turn = np.radians(query["turn"])
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    there = np.array([query["x"], query["y"]]) + back @ at / query["zoom"]
    assert there == pytest.approx(at, abs=0.01)


def test_an_answer_is_told_in_words_and_drawings(open_page, galaxy_file) -> None:
    page = open_page()
    assert page.is_disabled("#go")
    put(page, galaxy_file)
    answer = evaluate(page)
    assert page.inner_text("#answer .verdict") == answer["sentence"]
    assert page.locator("#answer .model").count() == len(answer["answers"])
    classes, inclination = answer["answers"]
    card = page.locator("#answer .model").first
    assert card.locator(".bars tbody tr").count() == len(classes["probabilities"])
    assert classes["class"].replace("_", " ") in card.locator(".figure").inner_text()
    if inclination["reject"] is None:
        said = page.locator("svg.tilt").get_attribute("aria-label")
        assert f"{inclination['inclination']:.0f}°" in said
    page.locator("#answer").filter(has_text=f"{answer['shape']['axial_ratio']:.2f}").first.wait_for(
        state="attached"
    )
    page.focus("#view")
    page.keyboard.press("[")
    assert page.is_visible("#stale")
    page.keyboard.press("]")
    assert page.is_hidden("#stale")


def test_what_the_networks_looked_at(open_page, galaxy_file) -> None:
    page = open_page()
    put(page, galaxy_file)
    answer = evaluate(page)
    with page.expect_response(re.compile("explain=true")) as asked:
        page.click("text=Show what the networks looked at")
    page.wait_for_selector(".looked")
    looked = [one["looked"] for one in asked.value.json()["answers"]]
    assert page.locator(".looked").count() == len(answer["answers"])
    shown = page.locator(".looked").first.locator("rect")
    opacities = [float(shown.nth(i).get_attribute("fill-opacity")) for i in range(64)]
    assert np.argmax(opacities) == np.argmax(np.ravel(looked[0]["grid"]))
    page.locator(".looking input").first.uncheck()
    assert page.locator(".heat").first.get_attribute("visibility") == "hidden"


def test_only_the_chosen_models_are_asked(open_page, galaxy_file) -> None:
    page = open_page()
    put(page, galaxy_file)
    page.uncheck("input[value=inclination]")
    assert [one["model"] for one in evaluate(page)["answers"]] == ["galaxy-zoo-1"]
    page.uncheck("input[value=galaxy-zoo-1]")
    page.click("#go")
    page.locator("#error").filter(has_text="No model is chosen.").first.wait_for(state="attached")


def test_a_shared_link_opens_elsewhere(open_page, galaxy_file) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    put(page, galaxy_file)
    sentence = evaluate(page)["sentence"]
    page.click("#keep")
    page.wait_for_selector("#link:not([hidden])")
    page.click("#link [data-copy]")
    page.wait_for_selector("text=Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(link)
    assert other.inner_text(".verdict") == sentence
    assert other.locator("#answer .model").count() == 2
    assert other.input_value("#address") == link
    assert other.evaluate("document.querySelector('img.shown').naturalWidth") > 0


def test_the_browser_cannot_show_fits_and_the_server_can(open_page, tmp_path, drawn) -> None:
    path = tmp_path / "galaxy.fits"
    fits.PrimaryHDU(drawn[..., 1].astype(np.float32)).writeto(path)
    page = open_page()
    page.set_input_files("#file", path)
    page.wait_for_selector("#unseen:not([hidden])")
    page.locator("#unseen").filter(has_text="cannot show FITS").first.wait_for(state="attached")
    assert page.is_hidden("#tools")
    assert evaluate(page)["image"]["kind"] == "FITS"
    page.wait_for_selector("#seen img")
    page.wait_for_function("document.querySelector('#seen img').naturalWidth > 0")
    assert page.is_hidden("#unseen")


def test_errors_say_what_to_do(open_page, tmp_path, galaxy_file, server) -> None:
    page = open_page()
    words = tmp_path / "words.jpg"
    words.write_text("no image at all, but some words that are long enough")
    page.set_input_files("#file", words)
    page.wait_for_selector("#unseen:not([hidden])")
    page.click("#go")
    page.wait_for_selector("#error:not([hidden])")
    assert page.get_attribute("#error", "role") == "alert"
    large = tmp_path / "large.fits"
    with large.open("wb") as file:
        file.truncate(server.service.limits()["upload_bytes"] + 1)
    page.set_input_files("#file", large)
    page.wait_for_selector("#error >> text=at most 32 MB")
    put(page, galaxy_file)
    assert page.is_hidden("#error")
    page.route("**/api/v1/predict*", lambda route: route.abort())
    page.click("#go")
    page.wait_for_selector("#error >> text=The server cannot be reached.")


def test_models_that_disagree_raise_an_alarm(open_page, galaxy_file, server) -> None:
    # The browser does not tell a route the bytes of a file: the answer is asked for beside it.
    files = {"file": ("galaxy.png", galaxy_file.read_bytes())}
    answer = server.client.post("/api/v1/predict", files=files).json()
    answer["alarm"] = [{"kind": "kinds_disagree", "models": ["a", "b"], "text": ALARM}]
    answer["answers"][0]["flag"] = "unlike_training"
    answer["answers"][0]["familiar"] = {"distance": 4.2, "limit": 3.1}
    answer["answers"][1] |= {"reject": "not_galaxy", "class": "not_galaxy"}
    joint = {"class": "edge_on", "probability": 0.61, "set": ["edge_on", "spiral"]}
    answer["combined"]["class"] = joint | {"models": ["first", "second"]}

    def disagree(route: Any) -> None:
        route.fulfill(status=200, content_type="application/json", body=json.dumps(answer))

    page = open_page()
    page.route("**/api/v1/predict*", disagree)
    put(page, galaxy_file)
    page.click("#go")
    page.wait_for_selector("#answer .alarm")
    assert page.get_attribute("#answer .alarm", "role") == "alert"
    assert ALARM in page.inner_text("#answer .alarm")
    models = page.locator("#answer .model")
    assert "unlike those that the model was trained on (distance 4.2" in models.nth(0).inner_text()
    assert "does not look like a galaxy" in models.nth(1).inner_text()
    assert page.locator("svg.tilt").count() == 0
    together = page.inner_text("#answer .together").replace("\u202f", " ")
    assert "edge on, 61 %; spiral possible too from first and second" in together
