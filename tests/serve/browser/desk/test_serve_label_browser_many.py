"""Several people at once, and the expert who settles what they do not agree on."""

from __future__ import annotations

import time

from morphoscope.serve.settings import ServeSettings
from serve.browser.desk.desk_hands import SAVED, keys, ready, until, votes_of
from serve.label.desks_to_try import set_up
from serve.servers import ServerThread, wait_for

AGREEMENT = "[agreement]\nvotes = 3\nmost = 3\n"


def test_three_people_and_an_expert(open_page, tmp_path, tiny_model) -> None:
    tried = set_up(tmp_path / "many", "many", "tree", 4, 48, AGREEMENT)
    settings = ServeSettings(
        models=[tiny_model], storage=tmp_path / "storage", threads=1, campaigns=[tried.file]
    )
    with ServerThread(settings) as running:
        desk = running.service.campaigns["many"].desk
        pages = []
        for _ in range(3):
            pages.append(open_page(f"{running.url}/label/many/sign-in"))
            pages[-1].click("text=Begin without a name")
            ready(pages[-1])
        # In turns, each at another galaxy's pace; one sees an artefact in the third.
        for turn in range(4):
            for index, page in enumerate(pages):
                ready(page)
                keys(page, *("3" if (turn, index) == (2, 1) else "112"))
        for page in pages:
            until(page, SAVED)
            assert len(votes_of(page, "many")) == 4
        states = [one["state"] for one in desk.subjects()]
        assert {one["votes"] for one in desk.subjects()} == {3}
        assert sorted(states) == ["disputed", "done", "done", "done"]
        (disputed,) = (one["id"] for one in desk.subjects() if one["state"] == "disputed")
        expert = open_page(
            f"{running.url}/label/many/sign-in#link={desk.people.invite('expert', 'Eve')}"
        )
        expert.click("#by-link button")
        expert.wait_for_url(lambda url: "sign-in" not in url)
        expert.goto(f"{running.url}/label/many?mode=disputes&galaxy={disputed}")
        ready(expert)
        keys(expert, "3")
        wait_for(lambda: "settled" in {one["state"] for one in desk.subjects()})
        (verdict,) = (one for one in desk.votes() if one["settles"])
        assert verdict["content"] == {"answers": [["shape", "artifact"]]}


def test_a_label_takes_a_moment(begun) -> None:
    page = begun("shapes")
    took = []
    for _ in range(8):
        ready(page)
        begin = time.perf_counter()
        keys(page, "3")
        ready(page)
        took.append(time.perf_counter() - begin)
    # From the last answer to the next galaxy: what is left of three seconds is for looking.
    assert sorted(took)[len(took) // 2] < 1.0
    print(f"median {sorted(took)[len(took) // 2]:.2f} s")
