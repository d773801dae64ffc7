"""Which galaxies a person gets next.

Each goes to as many people as it needs and no more: what others have before them at the moment
counts as if they had voted, for as long as they are given. Gold galaxies are mixed in and look as
all others do.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from morphoscope.label.tables import HANDED, SUBJECTS, VOTES, now

__all__ = ["Subject", "hand_out", "left_for"]

# So long a galaxy is kept for whom it was given to.
HANDED_S = 20 * 60
Why = Literal["queue", "dispute"]


@dataclass(frozen=True)
class Subject:
    """A galaxy that is handed out.

    Attributes
    ----------
    id
        Its name.
    file
        Its image.
    why
        Whether it comes from the queue or is disputed.
    votes
        How many it has.
    """

    id: str
    file: str
    why: Why
    votes: int


def hand_out(
    link: sa.Connection,
    person: str,
    n: int,
    *,
    held: Collection[str] = (),
    disputes: bool = False,
    gold_share: float = 0.0,
) -> list[Subject]:
    """Choose the next galaxies of a person and keep them for a while.

    Parameters
    ----------
    link
        In a transaction that writes.
    person
        Who gets them.
    n
        How many at most.
    held
        What they have already and do not need again.
    disputes
        Galaxies on which others did not agree, instead of the queue.
    gold_share
        Share of hidden gold galaxies.
    """
    if disputes:
        rows = _chosen(link, _disputed(person, held), n)
    else:
        rows = _chosen(link, _given(person, held), n)
        held = {*held, *(row.id for row in rows)}
        for slot in range(n - len(rows)):
            rows += _one_more(link, person, held, slot, gold_share)
            held = {*held, *(row.id for row in rows)}
    _keep(link, person, [row.id for row in rows])
    why: Why = "dispute" if disputes else "queue"
    return [Subject(row.id, row.file, why, row.votes) for row in rows]


def left_for(link: sa.Connection, person: str, *, disputes: bool = False) -> int:
    """How many galaxies of the queue somebody has not voted on."""
    state = "disputed" if disputes else "open"
    all_open = sa.select(sa.func.count()).select_from(SUBJECTS).where(SUBJECTS.c.state == state)
    total = int(link.execute(all_open).scalar_one())
    if disputes:
        return total
    done = (
        sa.select(sa.func.count())
        .select_from(VOTES.join(SUBJECTS, SUBJECTS.c.id == VOTES.c.subject))
        .where(VOTES.c.person == person, ~VOTES.c.withdrawn, SUBJECTS.c.state == state)
    )
    return total - int(link.execute(done).scalar_one())


def _one_more(
    link: sa.Connection, person: str, held: Collection[str], slot: int, gold_share: float
) -> list[Any]:
    if gold_share and _chance(link, person, slot) < gold_share:
        found = _chosen(link, _new(person, held, "gold"), 1)
        if found:
            return found
    return _chosen(link, _new(person, held, "open"), 1)


def _chance(link: sa.Connection, person: str, slot: int) -> float:
    """A number from 0 to 1 that is another at every place of a person's own row of galaxies."""
    seen = sa.select(sa.func.count()).select_from(VOTES).where(VOTES.c.person == person)
    kept = sa.select(sa.func.count()).select_from(HANDED).where(HANDED.c.person == person)
    place = link.execute(seen).scalar_one() + link.execute(kept).scalar_one() + slot
    digest = hashlib.sha256(f"{person}/{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _given(person: str, held: Collection[str]) -> sa.Select[Any]:
    """What the person was given before and has not voted on, as after a reload."""
    return (
        _unvoted(person, held)
        .join(HANDED, HANDED.c.subject == SUBJECTS.c.id)
        .where(HANDED.c.person == person, SUBJECTS.c.state.in_(("open", "gold")))
        .order_by(HANDED.c.until, SUBJECTS.c.position)
    )


def _new(person: str, held: Collection[str], state: str) -> sa.Select[Any]:
    others = (
        sa.select(sa.func.count())
        .select_from(HANDED)
        .where(HANDED.c.subject == SUBJECTS.c.id, HANDED.c.until > now(), HANDED.c.person != person)
        .scalar_subquery()
    )
    chosen = _unvoted(person, held).where(SUBJECTS.c.state == state)
    if state == "open":
        chosen = chosen.where(SUBJECTS.c.votes + others < SUBJECTS.c.wanted)
    return chosen.order_by(SUBJECTS.c.position)


def _unvoted(person: str, held: Collection[str]) -> sa.Select[Any]:
    mine = sa.exists().where(
        VOTES.c.subject == SUBJECTS.c.id, VOTES.c.person == person, ~VOTES.c.withdrawn
    )
    asked = sa.select(SUBJECTS.c.id, SUBJECTS.c.file, SUBJECTS.c.votes).where(~mine)
    return asked.where(SUBJECTS.c.id.not_in(list(held))) if held else asked


def _disputed(person: str, held: Collection[str]) -> sa.Select[Any]:
    asked = sa.select(SUBJECTS.c.id, SUBJECTS.c.file, SUBJECTS.c.votes)
    asked = asked.where(SUBJECTS.c.state == "disputed", SUBJECTS.c.id.not_in(list(held)))
    return asked.order_by(SUBJECTS.c.position)


def _chosen(link: sa.Connection, asked: sa.Select[Any], n: int) -> list[Any]:
    return list(link.execute(asked.limit(n)).all())


def _keep(link: sa.Connection, person: str, subjects: Sequence[str]) -> None:
    until = now() + datetime.timedelta(seconds=HANDED_S)
    link.execute(HANDED.delete().where(HANDED.c.until <= now()))
    if not subjects:
        return
    link.execute(HANDED.delete().where(HANDED.c.person == person, HANDED.c.subject.in_(subjects)))
    rows = [{"person": person, "subject": one, "until": until} for one in subjects]
    link.execute(HANDED.insert(), rows)
