"""How far a campaign is, and how fast it goes."""

from __future__ import annotations

import datetime
from collections import Counter
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
    with desk.database.reading() as link:
        states = {state: int(n) for state, n in link.execute(of_states)}
        people = int(link.execute(sa.select(sa.func.count()).select_from(PEOPLE)).scalar_one())
        given = link.execute(sa.select(VOTES.c.received, VOTES.c.content).where(counting)).all()
        missing = link.execute(
            sa.select(sa.func.sum(SUBJECTS.c.wanted - SUBJECTS.c.votes)).where(
                SUBJECTS.c.state == "open"
            )
        ).scalar()
    states.pop("gold", None)
    days = [vote.received.date() for vote in given]
    return {
        "n": sum(states.values()),
        "open": states.get("open", 0),
        "done": states.get("done", 0) + states.get("settled", 0),
        "disputed": states.get("disputed", 0),
        "votes": len(given),
        "rejected": sum("reject" in vote.content for vote in given),
        "people": people,
        "per_day": [[day.isoformat(), n] for day, n in sorted(Counter(days).items())],
        "days_left": _days_left([vote.received for vote in given], int(missing or 0)),
    }


def _days_left(moments: list[datetime.datetime], missing: int) -> float | None:
    """Days at the pace of the last week, in which a galaxy may yet need more votes than now."""
    if not moments:
        return None
    end = now()
    begin = max(end - datetime.timedelta(days=RECENT_DAYS), min(moments))
    recent = sum(moment >= begin for moment in moments)
    days = max((end - begin).total_seconds() / 86_400, 1 / 24)
    return round(missing * days / recent, 2) if recent else None
