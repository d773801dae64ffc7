"""Tables, alarms and what all pages have: width, keyboard, colours."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from morphoscope.serve.settings import ServeSettings, Token
from serve.browser.hands import evaluate, put
from serve.servers import ServerThread

ALARM = "one takes it for a spiral, the other for an elliptical"


def test_the_queue_of_alarms_is_worked_off(open_page, server, galaxy_file) -> None:
    data = galaxy_file.read_bytes()
    answer = server.client.post("/api/v1/predict", files={"file": ("a.png", data)}).json()
    text = f"<b>{ALARM}</b>"
    answer["alarm"] = [{"kind": "kinds_disagree", "models": ["a", "b"], "text": text}]
    answer["image"]["sha256"] = hashlib.sha256(data).hexdigest()
    server.service.store.keep(answer, galaxy_file)
    page = open_page("/alarms")
    item = page.locator(".queue li", has_text=text)
    item.wait_for()
    assert item.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)")
    item.get_by_role("button").click()
    item.wait_for(state="detached")
    page.click("text=Seen")
    page.wait_for_selector(f".queue li >> text={text}")
    page.locator(".queue li", has_text=text).get_by_role(
        "link", name="the answer", exact=True
    ).click()
    assert text in page.inner_text(".alarm")


def test_a_table_is_sent_watched_and_taken(open_page, tmp_path) -> None:
    table = tmp_path / "mine.csv"
    rows = [f"g{i},{150 + 0.7 * i},{2 + 0.5 * i}" for i in range(24)]
    table.write_text("\n".join(["id,ra,dec", *rows]) + "\n")
    page = open_page("/jobs")
    held = {"state": "running", "n": 24, "done": 9, "rows_per_s": 12.3, "seconds_left": 151.0}

    def early(route: Any) -> None:
        body = json.dumps(route.fetch().json() | held)
        route.fulfill(status=200, content_type="application/json", body=body)

    page.route(re.compile(r"/api/v1/jobs/\w+$"), early)
    page.set_input_files("#table", table)
    page.click("#start")
    page.wait_for_url("**/jobs/*")
    page.wait_for_selector("text=9 of 24 rows, 12 rows/s, 3 min left")
    assert page.evaluate("document.querySelector('#done').value") == 9
    assert page.title().startswith("37 %")
    assert page.is_visible("#cancel")
    assert page.is_hidden("#results")
    page.unroute(re.compile(r"/api/v1/jobs/\w+$"))
    page.wait_for_selector("text=Done: 24 of 24 rows", timeout=60_000)
    assert page.is_hidden("#cancel")
    with page.expect_download() as taken:
        page.click("text=CSV")
    path = tmp_path / taken.value.suggested_filename
    taken.value.save_as(path)
    found = pl.read_csv(path)
    assert found["id"].to_list() == [row.split(",")[0] for row in rows]
    page.click("nav >> text=Tables")
    page.wait_for_selector("#jobs >> text=Done: 24 of 24 rows")


def test_a_table_without_a_place_is_refused(open_page, tmp_path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("a,b\n1,2\n")
    page = open_page("/jobs")
    page.click("#start")
    page.wait_for_selector("#error >> text=No table is chosen.")
    page.set_input_files("#table", table)
    page.click("#start")
    page.wait_for_selector("#error:not([hidden]) >> text=ra")
    assert page.is_enabled("#start")


def test_a_token_opens_the_lists(open_page, tmp_path) -> None:
    token = Token(name="ann", sha256=hashlib.sha256(b"secret").hexdigest())
    settings = ServeSettings(storage=tmp_path / "storage", threads=1, tokens=[token])
    with ServerThread(settings) as guarded:
        page = open_page(f"{guarded.url}/jobs")
        assert page.is_hidden("#none")
        page.fill("#token", "wrong")
        page.click("text=Use it")
        page.wait_for_selector("#error >> text=The token is not known.")
        page.fill("#token", "secret")
        page.keyboard.press("Enter")
        page.wait_for_selector("#none:not([hidden])")
        assert page.is_hidden("#error")
        page.goto(f"{guarded.url}/alarms")
        page.wait_for_selector("text=Nothing waits for a look.")


PAGES = ("/", "/jobs", "/models", "/models/inclination", "/alarms", "/api", "/nowhere")


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(open_page, galaxy_file, width) -> None:
    page = open_page("/", width, 740)

    def wide() -> list[str]:
        return page.evaluate(
            """() => document.documentElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll("*")]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.tagName + "#" + e.id)"""
        )

    for path in PAGES:
        page.goto(path)
        assert wide() == [], path
    page.goto("/")
    put(page, galaxy_file)
    evaluate(page)
    page.click("text=Show what the networks looked at")
    page.wait_for_selector(".looked")
    page.click("summary >> text=The image")
    assert wide() == []


def test_all_is_reached_by_keyboard_alone(open_page, galaxy_file) -> None:
    """Tab through the page; each stop is to be seen, and Enter on the image asks."""
    page = open_page()
    put(page, galaxy_file)
    page.focus(".skip")
    stops: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            if (e === document.body) return "";
            const name = e.id || e.dataset.move || e.value || e.textContent.trim();
            const seen = e.id === "file" || s.outlineStyle !== "none" || e.className === "skip";
            return name + (seen ? "" : " UNSEEN"); }"""
        )
        if not stop or stop in stops:
            break
        stops.append(stop)
    assert not [stop for stop in stops if stop.endswith("UNSEEN")]
    wanted = ["where", "survey", "size", "view", "anticlockwise", "reset", "file", "go"]
    assert [stop for stop in stops if stop in wanted] == wanted
    page.focus("#view")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer .verdict")
    page.locator("#placed").filter(has_text="centre 5 % left").first.wait_for(state="attached")


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_dark_as_the_sky_unless_light_is_wished_for(open_page, scheme, dark) -> None:
    page = open_page(color_scheme=scheme)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", colour))) < 60) == dark


def test_nothing_moves_for_those_who_wish_it_still(open_page) -> None:
    page = open_page(reduced_motion="reduce")
    page.evaluate("document.body.setAttribute('aria-busy', 'true')")
    moving = "getComputedStyle(document.querySelector('#busy'), '::before').animationName"
    assert page.evaluate(moving) == "none"


def test_a_token_stays_in_its_tab(open_page: Callable[..., Any]) -> None:
    page = open_page()
    read = "import('/static/ask.js').then(m => { m.keepToken('secret'); return m.keptToken(); })"
    assert page.evaluate(read) == "secret"
    page.reload()
    assert page.evaluate("sessionStorage.length") == 1
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []
    other = open_page()
    assert other.evaluate("import('/static/ask.js').then(m => m.keptToken())") == ""
