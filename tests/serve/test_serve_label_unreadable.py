"""Galaxies whose files cannot be read keep nobody from the others; the coordinator hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from morphoscope.errors import UnknownError
from morphoscope.serve.unreadable import MOST, REMEMBERED_S, Unreadable
from serve.label.desks_to_try import set_up
from serve.servers import API

PLACE = f"{API}/campaigns/some"
GALAXIES = 6


@pytest.fixture
def desk(make_client: Callable[..., Any], tmp_path: Path) -> Any:
    client = make_client(campaigns=[set_up(tmp_path / "some", "some", "tree", GALAXIES, 48).file])
    client.headers.update({"X-Morphoscope": "label"})
    return client


def come_in(desk: Any, **sent: str) -> None:
    desk.cookies.clear()
    way = "sign-in" if sent else "join"
    assert desk.post(f"{PLACE}/{way}", json=sent).status_code == 200


def handed(desk: Any) -> tuple[set[str], dict[str, Any]]:
    found = desk.get(f"{PLACE}/next", params={"n": 20}).json()
    return {one["id"] for one in found["subjects"]}, found


def test_all_others_come_before_it_for_a_while(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_in(desk)
    first, second = desk.get(f"{PLACE}/next", params={"n": 2}).json()["subjects"]
    file = tmp_path / "some/images" / f"{first['id']}.jpg"
    content = file.read_bytes()
    file.write_bytes(content[:200])
    assert desk.get(first["image"]).json()["error"]["code"] == "truncated"
    assert desk.get(second["image"]).status_code == 200
    for _ in range(2):
        names, found = handed(desk)
        assert (len(names), found["left"]) == (GALAXIES - 1, GALAXIES)
        assert first["id"] not in names
        assert second["id"] in names
        come_in(desk)
    file.write_bytes(content)
    then = time.monotonic() + REMEMBERED_S
    later = SimpleNamespace(monotonic=lambda: then)
    monkeypatch.setattr("morphoscope.serve.unreadable.time", later)
    assert len(handed(desk)[0]) == GALAXIES


def test_it_comes_when_there_is_nothing_else(desk: Any, tmp_path: Path) -> None:
    come_in(desk)
    names, found = handed(desk)
    first = found["subjects"][0]
    (tmp_path / "some/images" / f"{first['id']}.jpg").unlink()
    assert desk.get(first["image"]).status_code == 422
    others = {"held": sorted(names - {first["id"]})}
    (again,) = desk.get(f"{PLACE}/next", params=others).json()["subjects"]
    assert (again["id"], again["unreadable"], first["unreadable"]) == (first["id"], True, False)
    expert = desk.app.state.service.campaigns["some"].desk.people.invite("expert")
    come_in(desk, link=expert, name="Eve")
    reply = desk.get(f"{PLACE}/next", params={"mode": "disputes"}).json()
    assert (reply["subjects"], reply["done"]) == ([], True)


def test_the_coordinator_is_told_which_and_why(desk: Any, tmp_path: Path) -> None:
    come_in(desk)
    (first,) = desk.get(f"{PLACE}/next", params={"n": 1}).json()["subjects"]
    file = tmp_path / "some/images" / f"{first['id']}.jpg"
    away = file.rename(tmp_path / "away.jpg")
    assert desk.get(first["image"]).status_code == 422
    people = desk.app.state.service.campaigns["some"].desk.people
    come_in(desk, link=people.invite("coordinator"), name="Eve")
    (told,) = desk.get(f"{PLACE}/statistics").json()["unreadable"]
    assert told["id"] == first["id"]
    assert file.name in told["why"]
    away.rename(file)
    assert desk.get(first["image"]).status_code == 200
    assert desk.get(f"{PLACE}/statistics").json()["unreadable"] == []
    assert first["id"] in handed(desk)[0]


def test_whatever_fails_is_told(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what the server did not foresee, and has no words for."""
    come_in(desk)
    (first,) = desk.get(f"{PLACE}/next", params={"n": 1}).json()["subjects"]
    counter = desk.app.state.service.campaigns["some"]

    def fail(pixels: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr("morphoscope.serve.desks.encoded", fail)
    person = counter.desk.people.come_unnamed().person
    with pytest.raises(MemoryError):
        counter.picture(person, first["id"], "colour")
    assert counter.unreadable.lately() == {first["id"]: "MemoryError"}
    with pytest.raises(UnknownError):
        counter.picture(person, first["id"], "x-ray")


def test_all_are_away(desk: Any, tmp_path: Path) -> None:
    """As when the folder is on a disk that is not there: nobody is told that all is done."""
    come_in(desk)
    (tmp_path / "some/images").rename(tmp_path / "away")
    names, found = handed(desk)
    for one in found["subjects"]:
        assert desk.get(one["image"]).status_code == 422
    assert len(names) == GALAXIES
    for _ in range(5):
        come_in(desk)
        names, found = handed(desk)
        assert (len(names), found["done"]) == (GALAXIES, False)
        for one in found["subjects"]:
            assert desk.get(one["image"]).status_code == 422
    (tmp_path / "away").rename(tmp_path / "some/images")
    for one in found["subjects"]:
        assert desk.get(one["image"]).status_code == 200
    # Nothing is kept for those to whom it could not be shown.
    come_in(desk)
    assert len(handed(desk)[0]) == GALAXIES


def test_it_does_not_grow_without_end() -> None:
    unreadable = Unreadable()
    for index in range(MOST + 5):
        unreadable.note(f"g{index}", "no such file")
    unreadable.note("g9", "it is empty")
    found = unreadable.lately()
    assert len(found) == MOST
    assert next(iter(found)) == "g5"
    assert list(found.items())[-1] == ("g9", "it is empty")
    unreadable.forget("g9")
    unreadable.forget("g0")
    assert "g9" not in unreadable.lately()
