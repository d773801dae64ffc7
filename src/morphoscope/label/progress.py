"""How far a campaign is, and how fast it goes."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa

from morphoscope.label.desk import Desk
from morphoscope.label.tables import PEOPLE, SUBJECTS, VOTES, now

__all__ = ["progress"]

# The days from which the time left is told.
RECENT_DAYS = 7


def progress(desk: Desk) -> dict[str, Any]:
    """Count galaxies and votes.

    Parameters
    ----------
    desk
        At work or not.

    Returns
    -------
    dict
        ``n`` galaxies (gold apart), of them ``open``, ``done``, ``disputed``; ``votes``,
        ``rejected`` (votes that pass a galaxy), ``people``, ``per_day`` (pairs of date and votes)
        and ``days_left`` at the pace of the last week, or None.
    """
    of_states = sa.select(SUBJECTS.c.state, sa.func.count()).group_by(SUBJECTS.c.state)
    counting = ~VOTES.c.withdrawn
    day = sa.func.date(VOTES.c.received)
    recent = now() - datetime.timedelta(days=RECENT_DAYS)
    with desk.database.reading() as link:
        states = {state: int(n) for state, n in link.execute(of_states)}
        people = int(link.execute(sa.select(sa.func.count()).select_from(PEOPLE)).scalar_one())
        days = link.execute(
            sa.select(day, sa.func.count()).where(counting).group_by(day).order_by(day)
        ).all()
        rejected = _count(link, counting, VOTES.c.rejects)
        lately = _count(link, counting, VOTES.c.received >= recent)
        first = link.execute(sa.select(sa.func.min(VOTES.c.received)).where(counting)).scalar()
        missing = link.execute(
            sa.select(sa.func.sum(SUBJECTS.c.wanted - SUBJECTS.c.votes)).where(
                SUBJECTS.c.state == "open"
            )
        ).scalar()
    states.pop("gold", None)
    return {
        "n": sum(states.values()),
        "open": states.get("open", 0),
        "done": states.get("done", 0) + states.get("settled", 0),
        "disputed": states.get("disputed", 0),
        "votes": sum(int(n) for _, n in days),
        "rejected": rejected,
        "people": people,
        "per_day": [[str(day), int(n)] for day, n in days],
        "days_left": _days_left(int(missing or 0), lately, max(recent, first) if first else None),
    }


def _count(link: sa.Connection, *those: Any) -> int:
    asked = sa.select(sa.func.count()).select_from(VOTES).where(*those)
    return int(link.execute(asked).scalar_one())


def _days_left(missing: int, lately: int, since: datetime.datetime | None) -> float | None:
    """Days at the pace of the last week, in which a galaxy may yet need more votes than now."""
    if since is None or not lately:
        return None
    days = max((now() - since).total_seconds() / 86_400, 1 / 24)
    return round(missing * days / lately, 2)
