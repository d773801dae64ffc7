"""Which galaxies a person gets next.

Each goes to as many people as it needs and no more: what others have before them at the moment
counts as if they had voted, for as long as they are given. Gold galaxies are mixed in and look as
all others do.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
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
    last: Collection[str] = (),
    disputes: bool = False,
    first: str = "",
    gold_share: float = 0.0,
    secret: str = "",
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
    last
        What they get only if there is nothing else.
    disputes
        Galaxies on which others did not agree, instead of the queue.
    first
        The dispute that comes before the others.
    gold_share
        Share of hidden gold galaxies.
    secret
        Of the campaign: it decides where they come, so that nobody can foretell it.
    """
    why: Why = "dispute" if disputes else "queue"

    def without(taken: Collection[str]) -> list[Any]:
        if disputes:
            return _chosen(link, _disputed(taken, first), n)
        rows = _chosen(link, _given(person, taken), n)
        for slot in range(n - len(rows)):
            more = {*taken, *(row.id for row in rows)}
            found = _one_more(link, person, more, slot, gold_share, secret)
            if not found:
                break
            rows += found
        return rows

    rows = without({*held, *last}) or (without(held) if last else [])
    _keep(link, person, [row.id for row in rows], why)
    # In the queue no galaxy tells how often it was seen: gold ones are seen more often.
    return [Subject(row.id, row.file, why, row.votes if disputes else 0) for row in rows]


def left_for(link: sa.Connection, person: str, *, disputes: bool = False) -> int:
    """How many galaxies somebody has not voted on, hidden ones too."""
    states = ("disputed",) if disputes else ("open", "gold")
    all_of_them = sa.select(sa.func.count()).where(SUBJECTS.c.state.in_(states))
    total = int(link.execute(all_of_them).scalar_one())
    if disputes:
        return total
    done = (
        sa.select(sa.func.count())
        .select_from(VOTES.join(SUBJECTS, SUBJECTS.c.id == VOTES.c.subject))
        .where(VOTES.c.person == person, ~VOTES.c.withdrawn, SUBJECTS.c.state.in_(states))
    )
    return total - int(link.execute(done).scalar_one())


def _one_more(
    link: sa.Connection,
    person: str,
    taken: Collection[str],
    slot: int,
    gold_share: float,
    secret: str,
) -> list[Any]:
    found = _chosen(link, _new(person, taken), 1)
    if found and gold_share and _chance(link, person, slot, secret) < gold_share:
        hidden = _unvoted(person, taken).where(SUBJECTS.c.state == "gold")
        # Each person meets them in another order.
        gold = sorted(
            link.execute(hidden).all(), key=lambda row: _drawn(secret, person, str(row.id))
        )
        return list(gold[:1]) or found
    return found


def _chance(link: sa.Connection, person: str, slot: int, secret: str) -> float:
    """A number from 0 to 1 that is another at every place of a person's own row of galaxies."""
    seen = sa.select(sa.func.count()).select_from(VOTES).where(VOTES.c.person == person)
    kept = sa.select(sa.func.count()).select_from(HANDED).where(HANDED.c.person == person)
    place = link.execute(seen).scalar_one() + link.execute(kept).scalar_one() + slot
    return _drawn(secret, person, str(place))


def _drawn(secret: str, person: str, what: str) -> float:
    digest = hmac.new(secret.encode(), f"{person}/{what}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _given(person: str, held: Collection[str]) -> sa.Select[Any]:
    """What the person was given before and has not voted on, as after a reload."""
    return (
        _unvoted(person, held)
        .join(HANDED, HANDED.c.subject == SUBJECTS.c.id)
        .where(HANDED.c.person == person, SUBJECTS.c.state.in_(("open", "gold")))
        .order_by(HANDED.c.until, SUBJECTS.c.position)
    )


def _new(person: str, taken: Collection[str]) -> sa.Select[Any]:
    others = (
        sa.select(sa.func.count())
        .select_from(HANDED)
        .where(HANDED.c.subject == SUBJECTS.c.id, HANDED.c.until > now(), HANDED.c.person != person)
        .scalar_subquery()
    )
    chosen = _unvoted(person, taken).where(
        SUBJECTS.c.state == "open", SUBJECTS.c.votes + others < SUBJECTS.c.wanted
    )
    return chosen.order_by(SUBJECTS.c.position)


def _unvoted(person: str, held: Collection[str]) -> sa.Select[Any]:
    mine = sa.exists().where(
        VOTES.c.subject == SUBJECTS.c.id, VOTES.c.person == person, ~VOTES.c.withdrawn
    )
    asked = sa.select(SUBJECTS.c.id, SUBJECTS.c.file, SUBJECTS.c.votes).where(~mine)
    return asked.where(SUBJECTS.c.id.not_in(list(held))) if held else asked


def _disputed(held: Collection[str], first: str) -> sa.Select[Any]:
    asked = sa.select(SUBJECTS.c.id, SUBJECTS.c.file, SUBJECTS.c.votes)
    asked = asked.where(SUBJECTS.c.state == "disputed", SUBJECTS.c.id.not_in(list(held)))
    return asked.order_by(SUBJECTS.c.id != first, SUBJECTS.c.position)


def _chosen(link: sa.Connection, asked: sa.Select[Any], n: int) -> list[Any]:
    return list(link.execute(asked.limit(n)).all())


def _keep(link: sa.Connection, person: str, subjects: Sequence[str], why: Why) -> None:
    until = now() + datetime.timedelta(seconds=HANDED_S)
    link.execute(HANDED.delete().where(HANDED.c.until <= now()))
    if not subjects:
        return
    link.execute(HANDED.delete().where(HANDED.c.person == person, HANDED.c.subject.in_(subjects)))
    rows = [{"person": person, "subject": one, "why": why, "until": until} for one in subjects]
    link.execute(HANDED.insert(), rows)
