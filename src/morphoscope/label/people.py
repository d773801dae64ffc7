"""Who takes part in a campaign: accounts, roles, ways to sign in, and how one leaves."""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from morphoscope.errors import PersonError, UnknownError
from morphoscope.label.campaign import Campaign
from morphoscope.label.credentials import (
    checked_name,
    digest,
    folded,
    hashed,
    new_token,
    nobody,
    verified,
)
from morphoscope.label.tables import HANDED, LINKS, PEOPLE, SESSIONS, VOTES, Database, now

__all__ = ["ROLES", "Entry", "People", "Person", "Role"]

Role = Literal["volunteer", "expert", "coordinator"]
# Each may do what those before it may.
ROLES: tuple[Role, ...] = get_args(Role)
LINK_DAYS = 30
# Where somebody's id stands who may come back, or has voted.
USED = (SESSIONS, LINKS, VOTES)


@dataclass(frozen=True)
class Person:
    """Somebody who takes part.

    Attributes
    ----------
    id
        Never shown to others.
    name
        None for those who came without one.
    role
        What they may do.
    since
        When they came (UTC).
    """

    id: str
    name: str | None
    role: Role
    since: datetime.datetime

    def may(self, role: Role) -> bool:
        """Whether what a role may do is allowed to them."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Entry:
    """A person who has just signed in, and the token of the session."""

    person: Person
    session: str


class People:
    """The people of a campaign.

    Parameters
    ----------
    campaign
        Who may join it.
    database
        Its tables.
    """

    def __init__(self, campaign: Campaign, database: Database) -> None:
        self.campaign, self.database = campaign, database

    def join(self, name: str, password: str) -> Entry:
        """Make an account of a volunteer.

        Raises
        ------
        PersonError
            The campaign is for the invited (403), the name is taken (409), or name or password
            will not do (422).
        """
        if self.campaign.people.join == "invited":
            raise PersonError(
                "only invited people take part in this campaign",
                do="ask its coordinator for a link",
            )
        with self.database.reading() as link:
            _refuse_taken(link, name)
        # It takes a while and much memory: not for what is refused anyway.
        hash_ = hashed(password)
        with self.database.writing() as link:
            person = _add(link, "volunteer", name, hash_)
            return self._enter(link, person)

    def come_unnamed(self) -> Entry:
        """Make a volunteer without a name.

        Raises
        ------
        PersonError
            The campaign wants names (403).
        """
        if self.campaign.people.join != "anonymous":
            raise PersonError("this campaign wants names", do="join with a name, or by a link")
        with self.database.writing() as link:
            return self._enter(link, _add(link, "volunteer", None, None))

    def sign_in(self, name: str, password: str) -> Entry:
        """Sign in by name and password.

        Raises
        ------
        PersonError
            They do not fit together (401); which of them is wrong is not told.
        """
        with self.database.reading() as link:
            row = link.execute(sa.select(PEOPLE).where(PEOPLE.c.folded == folded(name))).first()
        # The same time passes for names that are not there.
        stored = row.password if row and row.password else nobody()
        fits = verified(stored, password)
        if not (row and row.password and fits):
            raise PersonError(
                "name and password do not fit",
                code="wrong_password",
                do="try again, or ask the coordinator for a link",
            )
        with self.database.writing() as link:
            return self._enter(link, _person(row))

    def follow(self, token: str, name: str = "", password: str = "") -> Entry:
        """Sign in by a link; its first use makes the account, if it is not of one already.

        Parameters
        ----------
        token
            Of the link.
        name, password
            Of a new account; without a password the link stays the way in. Of an account that is
            there only the password is taken, as its new one.

        Raises
        ------
        PersonError
            The link is not known or too old (401), or the name will not do (409, 422).
        """
        with self.database.reading() as link:
            _link(link, token)
        hash_ = hashed(password) if password else None
        with self.database.writing() as link:
            found = _link(link, token)
            if found.person:
                if hash_:
                    mine = PEOPLE.c.id == found.person
                    link.execute(PEOPLE.update().where(mine).values(password=hash_))
                return self._enter(link, _one(link, found.person))
            person = _add(link, found.role, name or found.name, hash_)
            link.execute(
                LINKS.update().where(LINKS.c.sha256 == found.sha256).values(person=person.id)
            )
            return self._enter(link, person)

    def invite(self, role: Role, name: str = "") -> str:
        """Token of a new link; whoever follows it first has the account.

        Parameters
        ----------
        role
            What they may do.
        name
            Proposed to them; empty: they choose. Of somebody who takes part already it is a way
            back in, with the role that they have.
        """
        token = new_token()
        until = now() + datetime.timedelta(days=LINK_DAYS)
        row = {"sha256": digest(token), "role": role, "name": name or None, "until": until}
        with self.database.writing() as link:
            same = sa.select(PEOPLE.c.id).where(PEOPLE.c.folded == folded(name))
            person = link.execute(same).scalar() if name else None
            link.execute(LINKS.insert().values(person=person, **row))
        return token

    def of_session(self, token: str) -> Person | None:
        """Whose session it is; None where it is unknown or over. Whoever comes back stays in."""
        asked = (
            sa.select(PEOPLE, SESSIONS.c.until)
            .join(SESSIONS, SESSIONS.c.person == PEOPLE.c.id)
            .where(SESSIONS.c.sha256 == digest(token), SESSIONS.c.until > now())
        )
        with self.database.reading() as link:
            row = link.execute(asked).first()
        if row is None:
            return None
        if row.until - now() < self._stay / 2:
            with self.database.writing() as link:
                same = SESSIONS.c.sha256 == digest(token)
                link.execute(SESSIONS.update().where(same).values(until=now() + self._stay))
        return _person(row)

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self.database.writing() as link:
            link.execute(SESSIONS.delete().where(SESSIONS.c.sha256 == digest(token)))

    def all(self) -> list[Person]:
        """Everybody, in the order in which they came."""
        with self.database.reading() as link:
            rows = link.execute(sa.select(PEOPLE).order_by(PEOPLE.c.since, PEOPLE.c.id)).all()
        return [_person(row) for row in rows]

    def promote(self, id_: str, role: Role) -> Person:
        """Give somebody another role.

        Raises
        ------
        UnknownError
            There is nobody of that id.
        PersonError
            The last coordinator would be none any more (409).
        """
        with self.database.writing() as link:
            person = _one(link, id_)
            if person.role == "coordinator" != role:
                _keep_a_coordinator(link, id_)
            link.execute(PEOPLE.update().where(PEOPLE.c.id == id_).values(role=role))
            return _one(link, id_)

    def forget(self, link: sa.Connection, id_: str) -> None:
        """Remove an account and all that leads to it, but not the votes.

        Raises
        ------
        UnknownError
            There is nobody of that id.
        PersonError
            They are the last coordinator (409).
        """
        if _one(link, id_).role == "coordinator":
            _keep_a_coordinator(link, id_)
        for table in (SESSIONS, LINKS, HANDED):
            link.execute(table.delete().where(table.c.person == id_))
        link.execute(PEOPLE.delete().where(PEOPLE.c.id == id_))

    def counts(self) -> dict[str, int]:
        """Votes that count, by person."""
        asked = sa.select(VOTES.c.person, sa.func.count()).where(~VOTES.c.withdrawn)
        with self.database.reading() as link:
            return {who: int(n) for who, n in link.execute(asked.group_by(VOTES.c.person))}

    def named(self, name: str) -> Person:
        """Somebody by name, whatever its capitals.

        Raises
        ------
        UnknownError
            There is nobody of that name.
        """
        with self.database.reading() as link:
            row = link.execute(sa.select(PEOPLE).where(PEOPLE.c.folded == folded(name))).first()
        if row is None:
            raise UnknownError(f"there is nobody called {name!r} in this campaign")
        return _person(row)

    def votes_of(self, id_: str) -> list[dict[str, Any]]:
        """All that is stored of somebody's votes, oldest first."""
        asked = sa.select(VOTES).where(VOTES.c.person == id_).order_by(VOTES.c.received)
        with self.database.reading() as link:
            rows = link.execute(asked).mappings().all()
        return [{key: row[key] for key in row if key != "person"} for row in rows]

    def counted(self, id_: str) -> int:
        """How many votes of somebody count."""
        asked = sa.select(sa.func.count()).where(VOTES.c.person == id_, ~VOTES.c.withdrawn)
        with self.database.reading() as link:
            return int(link.execute(asked).scalar_one())

    @property
    def _stay(self) -> datetime.timedelta:
        return datetime.timedelta(days=self.campaign.people.session_days)

    def _enter(self, link: sa.Connection, person: Person) -> Entry:
        token = new_token()
        link.execute(SESSIONS.delete().where(SESSIONS.c.until <= now()))
        _forget_passers_by(link)
        until = now() + self._stay
        link.execute(SESSIONS.insert().values(sha256=digest(token), person=person.id, until=until))
        return Entry(person, token)


def _forget_passers_by(link: sa.Connection) -> None:
    """Remove who came without a name, never voted, and cannot come back."""
    old = now() - datetime.timedelta(days=1)
    in_use = [sa.select(table.c.person).where(table.c.person.is_not(None)) for table in USED]
    gone = [PEOPLE.c.id.not_in(used) for used in in_use]
    link.execute(PEOPLE.delete().where(PEOPLE.c.name.is_(None), PEOPLE.c.since < old, *gone))


def _link(link: sa.Connection, token: str) -> Any:
    known = sa.select(LINKS).where(LINKS.c.sha256 == digest(token), LINKS.c.until > now())
    found = link.execute(known).first()
    if found is None:
        raise PersonError(
            "the link is not known, or too old",
            code="unknown_link",
            do="ask the coordinator for a new one",
        )
    return found


def _add(link: sa.Connection, role: Role, name: str | None, password: str | None) -> Person:
    id_ = secrets.token_hex(16)
    row: dict[str, Any] = {"id": id_, "role": role, "password": password, "since": now()}
    if name is not None or role != "volunteer":
        _refuse_taken(link, name or "")
        row |= {"name": checked_name(name or ""), "folded": folded(name or "")}
    link.execute(PEOPLE.insert().values(**row))
    return _one(link, id_)


def _refuse_taken(link: sa.Connection, name: str) -> None:
    checked = checked_name(name)
    if link.execute(sa.select(PEOPLE.c.id).where(PEOPLE.c.folded == folded(name))).first():
        raise PersonError(
            f"the name {checked!r} is taken",
            code="name_taken",
            do="choose another; if it is yours, ask the coordinator for a link",
        )


def _one(link: sa.Connection, id_: str) -> Person:
    row = link.execute(sa.select(PEOPLE).where(PEOPLE.c.id == id_)).first()
    if row is None:
        raise UnknownError(f"there is nobody {id_!r} in this campaign")
    return _person(row)


def _keep_a_coordinator(link: sa.Connection, but: str) -> None:
    others = sa.select(PEOPLE.c.id).where(PEOPLE.c.role == "coordinator", PEOPLE.c.id != but)
    if link.execute(others).first() is None:
        raise PersonError(
            "they are the only coordinator",
            code="last_coordinator",
            do="make somebody else a coordinator first",
        )


def _person(row: Any) -> Person:
    return Person(row.id, row.name, row.role, row.since)
