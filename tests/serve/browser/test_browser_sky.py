"""Positions and names: read as people write them, shown with north and scale."""

from __future__ import annotations

import pytest

from serve.browser.hands import evaluate


def test_from_a_position_with_north_and_scale(open_page) -> None:
    page = open_page()
    page.fill("#where", "12h30m49s +12d23m28s")
    page.locator("#reading").filter(
        has_text="12:30:49.0 +12:23:28 (187.70417°, +12.39111°), ICRS"
    ).first.wait_for(state="attached")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tools:not([hidden])")
    assert "arrows; the bar is 30″ long" in page.get_attribute("svg.bearings", "aria-label")
    north = page.locator("svg.bearings line").first
    upright = [float(north.get_attribute(name)) for name in ("x1", "y1", "x2", "y2")]
    assert upright[0] == pytest.approx(upright[2])
    assert upright[3] < upright[1]
    page.focus("#view")
    for _ in range(18):
        page.keyboard.press("[")
    turned = [float(north.get_attribute(name)) for name in ("x1", "y1", "x2", "y2")]
    assert turned[2] < turned[0]
    assert turned[1] == pytest.approx(turned[3])
    answer = evaluate(page)
    assert answer["placement"]["turn"] == 90
    assert answer["image"]["ra"] == pytest.approx(187.704167)
    assert "q=12h30m49s" in page.url
    again = open_page(page.url)
    again.wait_for_selector("#tools:not([hidden])")


def test_unknown_names_and_bad_positions(open_page) -> None:
    page = open_page()
    page.fill("#where", "no such galaxy")
    page.keyboard.press("Enter")
    page.wait_for_selector("#error:not([hidden])")
    page.locator("#error").filter(has_text="What to do:").first.wait_for(state="attached")
    page.fill("#where", "3738")
    page.locator("#reading").filter(has_text="PGC 3738").first.wait_for(state="attached")
    page.keyboard.press("Enter")
    page.locator("#error").filter(has_text="One number is not a position").first.wait_for(
        state="attached"
    )


READ = {
    "12:30:49.4 +12:23:28": (187.705833, 12.391111),
    "187.706 12.391": (187.706, 12.391),
    "187.706, -12.391": (187.706, -12.391),
    "12h30m49s +12d23m28s": (187.704167, 12.391111),
    "12 30 49.4 −00 23 28": (187.705833, -0.391111),
    "00:42:44 +41°16′09″": (10.683333, 41.269167),
    "RA=10.68 Dec=-41.27": (10.68, -41.27),
    "12:30:49-12:23:28": (187.704167, -12.391111),
    "05:35 -05:23": (83.75, -5.383333),
}
NOT_READ = {
    "360.0 0": "wrong",
    "10 91": "wrong",
    "24:00:00 +10:00:00": "wrong",
    "12:60:00 +10:00:00": "wrong",
    "3738": "wrong",
    "PGC": "wrong",
    "12:30:49": "wrong",
    "": "empty",
    "PGC 3738": "name",
    "M51": "name",
    "NGC 4565": "name",
    "2MASX J00120604+3400157": "name",
    "3C 273": "name",
    "SDSS J123049.4+122328": "name",
    "https://skyserver.sdss.org/a.jpg": "url",
}


def test_positions_are_read_as_people_write_them(open_page) -> None:
    page = open_page()
    read = "texts => import('/static/sky.js').then(m => texts.map(m.read))"
    found = page.evaluate(read, list(READ))
    for (text, place), one in zip(READ.items(), found, strict=True):
        assert one["kind"] == "position", text
        assert (one["ra"], one["dec"]) == pytest.approx(place, abs=1e-6), text
    kinds = [one["kind"] for one in page.evaluate(read, list(NOT_READ))]
    assert dict(zip(NOT_READ, kinds, strict=True)) == NOT_READ


def test_the_centre_of_a_view_lies_where_astropy_says(open_page) -> None:
    from astropy.wcs import WCS

    page = open_page()
    for ra, dec, right, down in ((187.7, 12.4, 40, -25), (0.001, 85.0, -300, 200), (10, -60, 9, 0)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [ra, dec], [1, 1], [-1 / 3600, 1 / 3600]
        there = wcs.wcs_pix2world([[right, -down]], 0)[0]
        moved = "place => import('/static/sky.js').then(m => m.moved(...place))"
        assert page.evaluate(moved, [ra, dec, right, down]) == pytest.approx(list(there), abs=1e-7)
