"""Accounts: one name for one person, roles that hold, links and sessions that end."""

from __future__ import annotations

import datetime
import json

import pytest
import sqlalchemy as sa

from label.conftest import MakeDesk, tilted
from morphoscope.errors import PersonError, UnknownError
from morphoscope.label import tables
from morphoscope.label.tables import LINKS, PEOPLE, SESSIONS

PASSWORD = "correct horse"


def rows(desk, table) -> str:
    with desk.database.reading() as link:
        found = [dict(row) for row in link.execute(sa.select(table)).mappings()]
    return json.dumps(found, default=str)


def test_a_name_is_one_persons_whatever_its_capitals_and_spaces(make_desk: MakeDesk) -> None:
    people = make_desk(people={"join": "open"}).people
    ann = people.join("  Ann Å ", PASSWORD).person
    assert (ann.name, ann.role) == ("Ann Å", "volunteer")
    for name in ("ann å", "ANN Å", "Ann Å"):
        with pytest.raises(PersonError, match="taken"):
            people.join(name, PASSWORD)
        assert people.sign_in(name, PASSWORD).person == ann
    for name in ("", "A", "x" * 61, "a\nb", "a\u202eb"):
        with pytest.raises(PersonError, match="will not do"):
            people.join(name, PASSWORD)
    for password in ("", "short", "x" * 201):
        with pytest.raises(PersonError, match="characters"):
            people.join("Bob", password)
    assert [one.name for one in people.all()] == ["Ann Å"]


def test_neither_passwords_nor_tokens_are_in_the_tables(make_desk: MakeDesk) -> None:
    desk = make_desk(people={"join": "open"})
    entry = desk.people.join("Ann", PASSWORD)
    token = desk.people.invite("expert")
    stored = rows(desk, PEOPLE) + rows(desk, SESSIONS) + rows(desk, LINKS)
    for secret in (PASSWORD, entry.session, token):
        assert secret not in stored
    assert "$argon2id$" in stored


def test_sessions_and_links_end(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make_desk(people={"join": "open", "session_days": 2.0})
    people = desk.people
    ann = people.join("Ann", PASSWORD)
    token = people.invite("expert", "Eve")
    assert people.of_session(ann.session) == ann.person
    assert people.of_session(ann.session + "x") is None
    later = tables.now() + datetime.timedelta(days=3)
    for module in ("people", "tables"):
        monkeypatch.setattr(f"morphoscope.label.{module}.now", lambda: later)
    assert people.of_session(ann.session) is None
    # Who comes back before the end stays in.
    bob = people.join("Bob", PASSWORD)
    for _ in range(3):
        later += datetime.timedelta(days=1.5)
        assert people.of_session(bob.session) == bob.person
    eve = people.follow(token)
    assert (eve.person.name, eve.person.role) == ("Eve", "expert")
    later += datetime.timedelta(days=30)
    with pytest.raises(PersonError, match="too old"):
        people.follow(token)


def test_a_session_ends_with_signing_out_and_with_leaving(make_desk: MakeDesk) -> None:
    desk = make_desk(people={"join": "open"})
    first = desk.people.join("Ann", PASSWORD)
    second = desk.people.sign_in("Ann", PASSWORD)
    desk.people.sign_out(first.session)
    assert desk.people.of_session(first.session) is None
    assert desk.people.of_session(second.session) is not None
    desk.remove(first.person.id)
    assert desk.people.of_session(second.session) is None
    with pytest.raises(PersonError, match="do not fit"):
        desk.people.sign_in("Ann", PASSWORD)


def test_who_may_come(make_desk: MakeDesk) -> None:
    people = make_desk(people={"join": "invited"}).people
    with pytest.raises(PersonError, match="invited"):
        people.join("Ann", PASSWORD)
    with pytest.raises(PersonError, match="names"):
        people.come_unnamed()
    # A volunteer may come by a link without a name, an expert not.
    assert people.follow(people.invite("volunteer")).person.name is None
    with pytest.raises(PersonError, match="will not do"):
        people.follow(people.invite("expert"))


def test_roles(make_desk: MakeDesk) -> None:
    people = make_desk().people
    chief = people.follow(people.invite("coordinator", "Chief")).person
    ann = people.come_unnamed().person
    assert [chief.may(role) for role in ("volunteer", "expert", "coordinator")] == [True] * 3
    assert [ann.may(role) for role in ("volunteer", "expert", "coordinator")] == [
        True,
        False,
        False,
    ]
    with pytest.raises(PersonError, match="only coordinator"):
        people.promote(chief.id, "expert")
    assert people.promote(ann.id, "coordinator").role == "coordinator"
    assert people.promote(chief.id, "expert").role == "expert"
    with pytest.raises(UnknownError):
        people.promote("nobody", "expert")


def test_a_link_for_somebody_who_is_there_is_a_way_back_in(make_desk: MakeDesk) -> None:
    people = make_desk(people={"join": "open"}).people
    ann = people.join("Ann", PASSWORD).person
    back = people.follow(people.invite("coordinator", "ANN"), "Somebody", "another password")
    assert back.person == ann
    assert people.sign_in("Ann", "another password").person == ann
    with pytest.raises(PersonError, match="do not fit"):
        people.sign_in("Ann", PASSWORD)
    assert people.named("ann") == ann
    with pytest.raises(UnknownError, match="Bob"):
        people.named("Bob")


def test_who_only_passed_by_is_forgotten(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(people={"join": "anonymous", "session_days": 1.0})
    passed, voted = (desk.people.come_unnamed().person for _ in range(2))
    desk.record(voted, [tilted("g00", 60)])
    later = tables.now() + datetime.timedelta(days=2)
    monkeypatch.setattr("morphoscope.label.people.now", lambda: later)
    fresh = desk.people.come_unnamed().person
    assert {one.id for one in desk.people.all()} == {voted.id, fresh.id}
    assert passed.id not in desk.people.counts()
