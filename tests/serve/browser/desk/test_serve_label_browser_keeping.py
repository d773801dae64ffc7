"""No vote is lost and none counted twice, whatever becomes of connections and sessions."""

from __future__ import annotations

from typing import Any

from serve.browser.desk.desk_hands import (
    SAVED,
    after_saving,
    keys,
    ready,
    smooth,
    until,
    votes_of,
    waiting,
)


def test_the_connection_goes_and_comes(begun) -> None:
    """No vote is lost, none is counted twice; what was fetched ahead can be measured."""
    page = begun("shapes")
    until(page, SAVED)
    # Five were fetched: those in front of a person and behind it.
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    for _ in range(3):
        smooth(page)
    until(page, "/3 votes wait for the connection/.test(text('#saved'))")
    while page.is_visible("#work"):
        smooth(page)
        page.wait_for_timeout(50)
    assert page.inner_text("#rest-title") == "The connection is away"
    made = waiting(page)
    assert len(made) >= 4
    page.context.set_offline(False)
    ready(page)
    votes = after_saving(page, "shapes")
    assert len(votes) == len({one["subject"] for one in votes}) == len(made)
    assert waiting(page) == []


def test_an_answer_that_is_lost_on_its_way_is_not_counted_twice(begun) -> None:
    page = begun("shapes")
    lost = []

    def lose(route: Any) -> None:
        """The server counts it, the browser never hears of that."""
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/votes", lose, times=2)
    smooth(page)
    smooth(page)
    votes = after_saving(page, "shapes")
    assert lost == [200, 200]
    assert len(votes) == len({one["subject"] for one in votes}) == 2


def test_votes_outlive_the_page(begun) -> None:
    page = begun("tilts")
    page.route("**/votes", lambda route: route.abort())
    keys(page, "Enter", "Enter")
    ready(page)
    assert len(waiting(page)) == 1
    page.unroute("**/votes")
    page.reload()
    ready(page)
    (vote,) = after_saving(page, "tilts")
    assert vote["content"] == {"inclination": 67.5}
    keys(page, "u")
    until(page, "/Taken back/.test(text('#said'))")
    until(page, SAVED)
    assert votes_of(page, "tilts") == []


def test_signed_out_and_in_again(open_page, tried, server) -> None:
    page = open_page("/label/shapes/sign-in")
    page.fill("#join-name", "Vera")
    page.fill("#join-password", "long enough")
    page.click("#joining button")
    ready(page)
    page.context.clear_cookies()
    smooth(page)
    page.wait_for_selector("#signed-out:not([hidden])")
    page.locator("#saved").filter(has_text="until you sign in").first.wait_for(state="attached")
    page.click("#signed-out a")
    page.wait_for_selector("#waits:not([hidden])")
    page.fill("#sign-in-name", "Vera")
    page.fill("#sign-in-password", "wrong password")
    page.click("#signing button")
    page.wait_for_selector("#error >> text=do not fit")
    page.fill("#sign-in-password", "long enough")
    page.click("#signing button")
    ready(page)
    assert len(after_saving(page, "shapes")) == 1


def test_nobody_votes_under_anothers_name(begun) -> None:
    page = begun("shapes")
    page.context.route("**/votes", lambda route: route.abort())
    smooth(page)
    ready(page)
    other = page.context.new_page()
    other.goto("/label/shapes/me")
    other.click("#leave")
    other.wait_for_url("**/sign-in")
    other.click("text=Begin without a name")
    ready(other)
    page.context.unroute("**/votes")
    until(page, "/until you sign in/.test(text('#saved'))")
    assert votes_of(other, "shapes") == []
    assert len(waiting(other)) == 1


def test_a_refused_vote_is_shown_until_it_is_dismissed(begun) -> None:
    page = begun("shapes")

    def refuse(route: Any) -> None:
        error = {"code": "bad_vote", "found": "the campaign is over", "expected": "", "do": "rest"}
        sent = route.request.post_data_json["votes"]
        told = [{"key": one["key"], "state": "refused", "error": error} for one in sent]
        route.fulfill(json={"votes": told})

    page.route("**/votes", refuse)
    smooth(page)
    page.wait_for_selector("#refused >> text=the campaign is over")
    page.click("text=Dismiss this vote")
    page.wait_for_selector("#refused:empty", state="attached")
    assert waiting(page) == []
