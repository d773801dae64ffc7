"""Nobody votes on a galaxy that they have not seen: double clicks and held keys count once."""

from __future__ import annotations

import time
from typing import Any

from serve.browser.desk.desk_hands import after_saving, keys, ready

SHOWN = "#frame:not([aria-busy])[data-fresh]"


def answer(page: Any, words: str) -> Any:
    return page.locator("#answers button", has=page.locator(f".says:text-is('{words}')"))


def hold(page: Any, key: str, times: int = 30) -> None:
    """Press a key and keep it down: the browser repeats it."""
    for _ in range(times):
        page.keyboard.down(key)
        page.wait_for_timeout(20)
    page.keyboard.up(key)


def test_a_double_click_on_the_last_answer_is_one_vote(begun) -> None:
    page = begun("shapes")
    answer(page, "Star or artefact").dblclick()
    ready(page)
    assert page.inner_text("#question").startswith("Is the galaxy simply smooth")
    assert page.locator("#path button").count() == 0
    answer(page, "Star or artefact").click(click_count=3, delay=5)
    ready(page)
    assert len(after_saving(page, "shapes")) == 2


def test_a_double_click_between_questions_is_one_answer(begun) -> None:
    page = begun("shapes")
    answer(page, "Smooth").dblclick()
    assert page.inner_text("#question") == "How rounded is it?"
    page.wait_for_timeout(320)
    # Still the browser's double click, but so late that it is meant.
    answer(page, "Completely round").click()
    assert page.inner_text("#question") == "Is there anything odd?"
    page.locator("#back").dblclick()
    assert page.inner_text("#question") == "How rounded is it?"


def test_a_double_click_in_the_row_is_one_step(begun) -> None:
    page = begun("tilts")
    page.locator("#confirm").dblclick()
    assert page.inner_text("#reading") == "67.5°, between 67° and 68°"
    page.wait_for_timeout(600)
    page.locator("#confirm").dblclick()
    ready(page)
    assert page.inner_text("#reading") == "Between 65° and 70°"
    assert len(after_saving(page, "tilts")) == 1
    page.locator("#undo").dblclick()
    ready(page)
    assert after_saving(page, "tilts") == []


def test_a_held_key_answers_once(begun) -> None:
    page = begun("shapes")
    hold(page, "1")
    assert page.locator("#path button").count() == 1
    answer(page, "Completely round").focus()
    hold(page, "Enter")
    assert page.locator("#path button").count() == 2
    keys(page, "Backspace", "Backspace")
    hold(page, "3")
    ready(page)
    assert page.locator("#path button").count() == 0
    assert len(after_saving(page, "shapes")) == 1


def test_a_held_key_measures_once(begun) -> None:
    page = begun("tilts")
    hold(page, "Enter")
    assert page.inner_text("#confirm-says") == "67.5°: save"
    page.locator("#confirm").focus()
    hold(page, "Enter")
    ready(page)
    assert page.inner_text("#reading") == "Between 65° and 70°"
    hold(page, "8")
    assert page.locator("#reasons input:checked").count() == 1
    hold(page, "Enter")
    ready(page)
    contents = [one["content"] for one in after_saving(page, "tilts")]
    assert contents == [{"inclination": 67.5}, {"reject": ["bad_image"]}]


def test_what_was_meant_for_the_last_galaxy_does_not_answer_the_next(begun) -> None:
    """For 0.3 s; whoever works fast loses nothing after that."""
    page = begun("tilts")
    page.clock.install()
    page.clock.pause_at(time.time() + 60)
    keys(page, "Enter", "Enter")
    page.wait_for_selector(SHOWN)
    keys(page, "Enter")
    page.clock.run_for(299)
    keys(page, "Enter")
    assert page.inner_text("#reading") == "Between 65° and 70°"
    # To move, to look and to take back is possible at once.
    keys(page, "ArrowLeft")
    assert page.inner_text("#reading") == "Between 60° and 65°"
    page.clock.run_for(1)
    keys(page, "Enter")
    assert page.inner_text("#reading") == "62.5°, between 62° and 63°"
    keys(page, "Enter")
    page.wait_for_selector(SHOWN)
    keys(page, "u")
    assert page.inner_text("#reading") == "62.5°, between 62° and 63°"
    page.clock.resume()
    ready(page)
    assert len(after_saving(page, "tilts")) == 1
