"""Only the server's own word about a vote is final; whatever else is answered, votes stay."""

from __future__ import annotations

from typing import Any

import pytest

from serve.browser.desk.desk_hands import after_saving, ready, smooth, until, votes_of, waiting

PORTAL = {"content_type": "text/html", "body": "<h1>Welcome to the hotel</h1>"}


def ours(code: str, found: str = "no such galaxy") -> dict[str, Any]:
    return {"error": {"code": code, "found": found, "expected": "one of it", "do": "look again"}}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 403, **PORTAL}, "the server answered 403"),
        ({"status": 400, **PORTAL}, "the server answered 400"),
        ({"status": 200, **PORTAL}, "something on the way answers"),
        ({"status": 422, "json": {"error": "no"}}, "the server answered 422"),
        ({"status": 200, "json": {"votes": [{"key": "x", "state": "fine"}]}}, "on the way"),
        ({"status": 409, "json": ours("bad_vote", "the desk moves")}, "the desk moves"),
        ({"status": 403, "json": ours("cross_site", "another site")}, "another site"),
        ({"status": 503, "json": ours("overload", "too many")}, "too many"),
    ],
)
def test_what_a_proxy_answers_takes_no_vote_away(begun, answer, words) -> None:
    page = begun("shapes")
    page.route("**/votes", lambda route: route.fulfill(**answer))
    smooth(page)
    until(page, f"/1 vote waits for the server: .*{words}/.test(text('#saved'))")
    assert len(waiting(page)) == 1
    assert page.locator("#refused li").count() == 0
    page.unroute("**/votes")
    assert len(after_saving(page, "shapes")) == 1


@pytest.mark.parametrize(("status", "code"), [(422, "bad_value"), (400, "bad_vote")])
def test_one_that_the_server_refuses_can_be_tried_again(begun, status, code) -> None:
    """Of two that are sent together, the good one is counted."""
    page = begun("shapes")
    page.context.set_offline(True)
    smooth(page)
    smooth(page)
    ready(page)
    bad = page.evaluate(
        "key => JSON.parse(localStorage[key]).vote.subject", min(waiting(page), key=len)
    )

    def refuse(route: Any) -> None:
        if any(one["subject"] == bad for one in route.request.post_data_json["votes"]):
            return route.fulfill(status=status, json=ours(code))
        return route.continue_()

    page.route("**/votes", refuse)
    page.context.set_offline(False)
    page.wait_for_selector(f"#refused >> text=Your vote on {bad} was not taken: no such galaxy")
    assert len(after_saving(page, "shapes")) == 1
    page.click("text=Try again")
    page.wait_for_selector("#refused >> text=no such galaxy")
    page.unroute("**/votes")
    page.click("text=Try again")
    page.wait_for_selector("#refused:empty", state="attached")
    assert len(after_saving(page, "shapes")) == 2
    assert waiting(page) == []


def test_a_vote_is_not_forgotten_that_a_proxy_keeps_from_being_taken_back(begun) -> None:
    page = begun("shapes")
    smooth(page)
    assert len(after_saving(page, "shapes")) == 1
    page.route("**/undo", lambda route: route.fulfill(status=404, **PORTAL))
    ready(page)
    page.keyboard.press("u")
    until(page, "/waits for the server: the server answered 404/.test(text('#saved'))")
    page.unroute("**/undo")
    assert after_saving(page, "shapes") == []


def test_nothing_is_taken_back_in_the_session_of_another_tab(begun) -> None:
    """Of two people the browser has one session: that of whoever came last."""
    page = begun("shapes")
    smooth(page)
    (counted,) = after_saving(page, "shapes")
    mine = page.context.cookies()
    page.context.clear_cookies()
    # The cookie of somebody else is there before their page has said who they are.
    headers = {"X-Morphoscope": "label"}
    page.context.request.post("/api/v1/campaigns/shapes/join", data={}, headers=headers)
    page.keyboard.press("u")
    until(page, "/1 vote waits until you sign in again/.test(text('#saved'))")
    page.wait_for_selector("#other-person:not([hidden])")
    assert page.get_attribute("#other-person a", "href") == "/label/shapes/sign-in"
    ready(page)
    page.keyboard.press("1")
    page.keyboard.press("1")
    until(page, "/2 votes wait until you sign in again/.test(text('#saved'))")
    assert votes_of(page, "shapes") == []
    page.context.clear_cookies()
    page.context.add_cookies(mine)
    (mended,) = after_saving(page, "shapes")
    assert mended["subject"] == counted["subject"]
    assert mended["key"] != counted["key"]
    assert page.is_hidden("#other-person")


def test_it_is_taken_back_though_one_returns_before_the_refusal_does(begun) -> None:
    """What the server said to somebody else is not taken for what it says to oneself."""
    page = begun("shapes")
    smooth(page)
    assert len(after_saving(page, "shapes")) == 1
    mine = page.context.cookies()
    page.context.clear_cookies()
    headers = {"X-Morphoscope": "label"}
    page.context.request.post("/api/v1/campaigns/shapes/join", data={}, headers=headers)
    refused = []

    def return_meanwhile(route: Any) -> None:
        answered = route.fetch()
        if answered.status == 403:
            refused.append(answered.json()["error"]["code"])
            page.context.clear_cookies()
            page.context.add_cookies(mine)
        route.fulfill(response=answered)

    page.route("**/undo", return_meanwhile)
    ready(page)
    page.keyboard.press("u")
    assert after_saving(page, "shapes") == []
    assert refused == ["other_person"]


def test_votes_go_out_under_the_name_they_were_made(begun) -> None:
    """Also where only the session says that another has come: the server refuses them."""
    page = begun("shapes")
    mine = page.context.cookies()
    page.context.clear_cookies()
    headers = {"X-Morphoscope": "label"}
    page.context.request.post("/api/v1/campaigns/shapes/join", data={}, headers=headers)
    with page.expect_response("**/votes") as answered:
        smooth(page)
    assert answered.value.status == 403
    assert answered.value.json()["error"]["code"] == "other_person"
    page.wait_for_selector("#other-person:not([hidden])")
    page.locator("#saved").filter(has_text="1 vote waits until you sign in again").first.wait_for(
        state="attached"
    )
    assert votes_of(page, "shapes") == []
    page.context.clear_cookies()
    page.context.add_cookies(mine)
    assert len(after_saving(page, "shapes")) == 1
