"""Galaxies whose images could not be shown come last, and nobody is kept from them for that."""

from __future__ import annotations

import dataclasses

from label.conftest import MakeDesk, tilted, volunteers


def test_they_come_when_there_is_nothing_else_and_are_kept(make_desk: MakeDesk) -> None:
    desk = make_desk()
    ann, bob, eve = volunteers(desk, 3)
    last = [f"g{k:02d}" for k in range(9)]
    first = {f"g{k:02d}" for k in range(9, 12)}
    for person in (ann, bob):
        assert {one.id for one in desk.next(person, 12, last=last)[0]} == first
        given, left = desk.next(person, 12, held=first, last=last)
        assert ({one.id for one in given}, left) == (set(last), 12)
    # Two people are enough, also for these: until one of them could not see it.
    assert desk.next(eve, 12, last=last)[0] == []
    desk.let_go(bob, "g03")
    assert [one.id for one in desk.next(eve, 12, last=last)[0]] == ["g03"]
    assert {one.id for one in desk.next(ann, 12)[0]} == {*first, *last}


def test_an_expert_settles_a_dispute_that_could_not_be_shown(make_desk: MakeDesk) -> None:
    desk = make_desk()
    people = volunteers(desk, 4)
    disputed = ["g00", "g01"]
    for person, angle in zip(people, (10, 50, 88), strict=False):
        desk.record(person, [tilted(name, angle) for name in disputed])
    expert = dataclasses.replace(people[3], role="expert")
    (given,), _ = desk.next(expert, disputes=True, last=["g00"])
    assert given.id == "g01"
    (given,), _ = desk.next(expert, disputes=True, held=["g01"], last=["g00"])
    assert given.id == "g00"
    # Nor do images that fail, for a moment or for others, take a dispute away that is looked at.
    desk.let_go(people[0], "g00")
    desk.let_go(expert, "g01")
    for name in disputed:
        desk.record(expert, [tilted(name, 52)])
        assert desk.subject(name)["state"] == "settled"
