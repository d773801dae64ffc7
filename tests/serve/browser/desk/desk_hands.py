"""What the tests do at the label desk again and again."""

from __future__ import annotations

import time
from typing import Any

PHONE = {"width": 360, "height": 640, "has_touch": True, "is_mobile": True}
SAVED = "text('#saved') === 'All saved'"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def ready(page: Any) -> None:
    """A galaxy is shown, and answers are taken."""
    page.wait_for_selector("#work:not([hidden]) #frame:not([aria-busy], [data-fresh])")


def until(page: Any, true: str) -> None:
    """Wait for an expression; the pages' policy forbids Playwright's own way to."""
    asked = f"(text => {true})(one => document.querySelector(one).textContent)"
    end = time.monotonic() + 20
    while not page.evaluate(asked):
        assert time.monotonic() < end, f"{true} does not come true"
        page.wait_for_timeout(20)


def keys(page: Any, *names: str) -> None:
    for name in names:
        page.keyboard.press(name)


def votes_of(page: Any, campaign: str) -> list[dict[str, Any]]:
    """What the server has of whoever sits at a page, without what was taken back."""
    found = page.evaluate(
        "name => fetch(`/api/v1/campaigns/${name}/me/data`).then(one => one.json())", campaign
    )
    return [one for one in found["votes"] if not one["withdrawn"]]


def after_saving(page: Any, campaign: str) -> list[dict[str, Any]]:
    until(page, SAVED)
    return votes_of(page, campaign)


def waiting(page: Any) -> list[str]:
    stored = "Object.keys(localStorage).filter(one => one.startsWith('morphoscope-vote:'))"
    return list(page.evaluate(stored))


def smooth(page: Any) -> None:
    """A whole answer: smooth, completely round, nothing odd."""
    ready(page)
    keys(page, "1", "1", "2")
