"""Who takes part in a campaign: accounts, roles, ways to sign in, and how one leaves."""

from __future__ import annotations

import datetime
import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import sqlalchemy as sa

from morphoscope.errors import PersonError, UnknownError
from morphoscope.label.campaign import Campaign
from morphoscope.label.tables import HANDED, LINKS, PEOPLE, SESSIONS, VOTES, Database, now

__all__ = ["ROLES", "Entry", "People", "Person", "Role"]

Role = Literal["volunteer", "expert", "coordinator"]
# Each may do what those before it may.
ROLES: tuple[Role, ...] = get_args(Role)
TOKEN_BYTES = 24
LINK_DAYS = 30
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 200
LONGEST_NAME = 60


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
        digest = _hashed(password)
        with self.database.writing() as link:
            person = _add(link, "volunteer", name, digest)
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
            row = link.execute(sa.select(PEOPLE).where(PEOPLE.c.folded == _folded(name))).first()
        # The same time passes for names that are not there.
        stored = row.password if row and row.password else _nobody()
        fits = _verified(stored, password)
        if not (row and row.password and fits):
            raise PersonError(
                "name and password do not fit",
                code="wrong_password",
                do="try again, or ask the coordinator for a link",
            )
        with self.database.writing() as link:
            return self._enter(link, _person(row))

    def follow(self, token: str, name: str = "", password: str = "") -> Entry:
        """Sign in by a link; its first use makes the account.

        Parameters
        ----------
        token
            Of the link.
        name, password
            Of a new account; without a password the link stays the way in.

        Raises
        ------
        PersonError
            The link is not known or too old (401), or the name will not do (409, 422).
        """
        digest = _hashed(password) if password else None
        with self.database.writing() as link:
            found = link.execute(
                sa.select(LINKS)
                .where(LINKS.c.sha256 == _digest(token), LINKS.c.until > now())
                .with_for_update()
            ).first()
            if found is None:
                raise PersonError(
                    "the link is not known, or too old",
                    code="unknown_link",
                    do="ask the coordinator for a new one",
                )
            if found.person:
                return self._enter(link, _one(link, found.person))
            person = _add(link, found.role, name or found.name, digest)
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
            Proposed to them; empty: they choose.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        until = now() + datetime.timedelta(days=LINK_DAYS)
        row = {"sha256": _digest(token), "role": role, "name": name or None, "until": until}
        with self.database.writing() as link:
            link.execute(LINKS.insert().values(person=None, **row))
        return token

    def of_session(self, token: str) -> Person | None:
        """Whose session it is; None where it is unknown or over."""
        asked = (
            sa.select(PEOPLE)
            .join(SESSIONS, SESSIONS.c.person == PEOPLE.c.id)
            .where(SESSIONS.c.sha256 == _digest(token), SESSIONS.c.until > now())
        )
        with self.database.reading() as link:
            row = link.execute(asked).first()
        return _person(row) if row else None

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self.database.writing() as link:
            link.execute(SESSIONS.delete().where(SESSIONS.c.sha256 == _digest(token)))

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

    def _enter(self, link: sa.Connection, person: Person) -> Entry:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        until = now() + datetime.timedelta(days=self.campaign.people.session_days)
        link.execute(SESSIONS.delete().where(SESSIONS.c.until <= now()))
        link.execute(SESSIONS.insert().values(sha256=_digest(token), person=person.id, until=until))
        return Entry(person, token)


def _add(link: sa.Connection, role: Role, name: str | None, password: str | None) -> Person:
    id_ = secrets.token_hex(16)
    row: dict[str, Any] = {"id": id_, "role": role, "password": password, "since": now()}
    if name is not None or role != "volunteer":
        row |= {"name": _checked(name or ""), "folded": _folded(name or "")}
        if link.execute(sa.select(PEOPLE.c.id).where(PEOPLE.c.folded == row["folded"])).first():
            raise PersonError(
                f"the name {row['name']!r} is taken", code="name_taken", do="choose another"
            )
    link.execute(PEOPLE.insert().values(**row))
    return _one(link, id_)


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


def _checked(name: str) -> str:
    name = unicodedata.normalize("NFKC", name).strip()
    if not 2 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise PersonError(
            f"the name {name[:LONGEST_NAME]!r} will not do",
            code="bad_name",
            expected=f"2 to {LONGEST_NAME} printable characters",
        )
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()[: 3 * LONGEST_NAME]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    """Hash of a password that nobody has."""
    return str(_hasher().hash(secrets.token_urlsafe(TOKEN_BYTES)))


def _hashed(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise PersonError(
            f"the password has {len(password)} characters",
            code="bad_password",
            expected=f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD}",
        )
    return str(_hasher().hash(password))


def _verified(stored: str, password: str) -> bool:
    from argon2.exceptions import VerificationError

    try:
        return bool(_hasher().verify(stored, password[: LONGEST_PASSWORD + 1]))
    except VerificationError:
        return False
