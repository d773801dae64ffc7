"""Who comes in, what they may take along, and what a coordinator sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.browser.desk.desk_hands import (
    OVERFLOW,
    after_saving,
    keys,
    ready,
    smooth,
)


def test_an_invitation_by_a_link_and_the_dashboard(open_page, tried) -> None:
    page = open_page(f"/label/tilts/sign-in#link={tried['tilts'].link}")
    assert page.evaluate("location.hash") == ""
    page.fill("#link-name", "Coordinator")
    page.fill("#link-password", "long enough")
    page.click("#by-link button")
    page.wait_for_selector("#board:not([hidden])")
    page.locator("#bar").filter(has_text="of 40 galaxies measured").first.wait_for(state="attached")
    assert page.locator(".number").count() == 6
    page.wait_for_selector("#alarms >> text=No open alarm")
    page.click("#inviting button")
    page.wait_for_selector("#link:not([hidden])")
    link = page.input_value("#address")
    assert "#link=" in link
    other = open_page(link)
    other.fill("#link-name", "Henrietta")
    other.click("#by-link button")
    ready(other)
    other.click("#hint-away")
    keys(other, "Enter", "Enter")
    assert len(after_saving(other, "tilts")) == 1
    page.reload()
    page.wait_for_selector("#board:not([hidden])")
    page.click("summary >> text=Everybody")
    page.wait_for_selector("#people >> text=Henrietta")
    with page.expect_download() as taken:
        page.click("#export-title ~ table a >> nth=4")
    assert "67.5" in Path(taken.value.path()).read_text()


STATISTICS = {
    "progress": {
        "n": 200,
        "done": 50,
        "votes": 300,
        "per_day": [["2026-03-01", 100], ["2026-03-02", 200]],
        "days_left": 3.2,
    },
    "agreement": {
        "pair_rms_deg": {"value": 4.2, "low": 3.6, "high": 4.9, "n": 90},
        "differences": [[-5, 3], [0, 80], [5, 7]],
    },
    "raters": [
        {
            "name": "bold <b>owl</b>",
            "role": "volunteer",
            "votes": 300,
            "offset": 7.1,
            "scatter": 3.0,
            "gold": {"n": 10, "error": 9.1},
            "flag": "outlier",
        },
        {"name": None, "votes": 1},
    ],
    "disputes": [{"id": name, "votes": 9, "image": "/static/icon.svg"} for name in ("a", "b")],
    "unreadable": [{"id": "J0943", "why": f"/{'images' * 30}/J0943.jpg: there is no such file"}],
}


def test_the_dashboard_draws_what_there_is(open_page, tried, server) -> None:
    entry = server.service.campaigns["tilts"].desk.people.invite("coordinator")
    page = open_page(f"/label/tilts/sign-in#link={entry}")
    page.route("**/statistics", lambda route: route.fulfill(json=STATISTICS))
    page.fill("#link-name", "Second")
    page.click("#by-link button")
    page.wait_for_selector("#board:not([hidden])")
    said = page.inner_text("#board").replace("\u202f", " ")
    for words in (
        "50 of 200 galaxies",
        "4.2°",
        "90 galaxies with two votes or more",
        "bold <b>owl</b>",
        "outlier",
        "2 galaxies on",
        "1 image could not be read",
    ):
        assert words in said
    assert page.locator("svg.plot").count() == 3
    assert page.locator("#board .flagged").count() == 2
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate(OVERFLOW) <= 0


def test_own_data_are_taken_along_and_removed(begun) -> None:
    page = begun("shapes")
    smooth(page)
    assert len(after_saving(page, "shapes")) == 1
    page.goto("/label/shapes/me")
    page.wait_for_selector("#mine:not([hidden])")
    with page.expect_download() as taken:
        page.click("#download")
    assert '"smooth"' in Path(taken.value.path()).read_text()
    assert page.is_disabled("#remove")
    page.fill("#confirmation", "anonymous")
    page.click("#remove")
    page.wait_for_selector("#gone >> text=1 vote")
    page.goto("/label/shapes")
    page.wait_for_url("**/sign-in")


def test_campaigns_are_listed_and_unknown_ones_are_not(open_page, server) -> None:
    page = open_page("/label")
    page.wait_for_selector("text=of 40 galaxies measured")
    assert page.locator(".shelf section").count() == 2
    assert page.get_attribute("nav a[aria-current]", "href") == "/label"
    assert server.client.get("/label/none").status_code == 404
    assert server.client.get("/label/none/dashboard").status_code == 404


# Ratio of contrast of every text that is seen (WCAG 2.2, 1.4.3), in the colours of the page.
CONTRASTS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3)
    .map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = getComputedStyle(at).backgroundColor;
      if ((numbers(found)[3] ?? 1) > 0.5) return found;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .filter((one) => one.checkVisibility() && !one.closest("svg, :disabled, .unseen, .skip"))
    .map((one) => {
      const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort();
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 120)];
    });
}"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_all_can_be_read(begun, scheme) -> None:
    page = begun("shapes", color_scheme=scheme)
    smooth(page)
    ready(page)
    keys(page, "2")
    found = page.evaluate(CONTRASTS)
    for path in ("/label/shapes/me", "/label/tilts/sign-in", "/label"):
        page.goto(path)
        page.wait_for_selector("html[data-ready]", state="attached")
        found += page.evaluate(CONTRASTS)
    assert len(found) > 40
    assert [one for one in found if one[0] < 4.5] == []
