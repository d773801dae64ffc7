"""A campaign at work: galaxies are handed out, votes are counted, people come and go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from morphoscope.errors import CampaignError, PersonError, UnknownError, VoteError
from morphoscope.label.campaign import Campaign
from morphoscope.label.people import People, Person
from morphoscope.label.queue import Subject, hand_out, left_for
from morphoscope.label.tables import FACTS, HANDED, PEOPLE, SUBJECTS, VOTES, Database, now
from morphoscope.label.votes import (
    REJECTED,
    Outcome,
    Standing,
    Vote,
    read_vote,
    standing_of,
    storable,
)

__all__ = ["Desk"]

MOST_HANDED = 20
# Galaxies judged anew in one go, while nobody else can write.
PORTION = 200
# Galaxies that nobody is asked about any more, and that no vote changes.
FINAL = ("gold",)


class Desk:
    """A campaign that has been set up.

    Parameters
    ----------
    campaign
        What is asked.

    Attributes
    ----------
    campaign, tree, database, people
        Its parts; ``tree`` is None where inclinations are asked.

    Raises
    ------
    CampaignError
        It has not been set up, or as another task.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.tree = campaign.questions()
        self.database = Database(campaign.database_url)
        self.people = People(campaign, self.database)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        campaign = self.campaign
        if not self._is_there():
            raise CampaignError(
                f"the campaign {campaign.name} has not been set up",
                do=f"morphoscope label new {campaign.file}",
            )
        known = self.facts()
        for fact in ("name", "task"):
            if known.get(fact) != getattr(campaign, fact):
                raise CampaignError(
                    f"the database is of the {fact} {known.get(fact)!r}",
                    expected=repr(getattr(campaign, fact)),
                    do="name another database, or another storage folder",
                )
        if self.tree is not None and known.get("tree") != self.tree.digest:
            raise CampaignError(
                "the questions or their answers are others than those that people have answered",
                expected="the same keys, in the same order",
                do="bring the old tree back, or begin another campaign",
            )
        self._secret = str(known["pseudonyms"])

    def _is_there(self) -> bool:
        # SQLite would make an empty file of whatever is asked for.
        absent = (
            not self.campaign.database and not (self.campaign.folder / "campaign.sqlite").exists()
        )
        return not absent and self.database.exists

    def close(self) -> None:
        """Let the database go."""
        self.database.close()

    def facts(self) -> dict[str, Any]:
        """What was put down when it was set up."""
        with self.database.reading() as link:
            return {row.key: row.value for row in link.execute(sa.select(FACTS)).all()}

    def next(
        self,
        person: Person,
        n: int = 5,
        *,
        held: Collection[str] = (),
        last: Collection[str] = (),
        disputes: bool = False,
        first: str = "",
    ) -> tuple[list[Subject], int]:
        """The next galaxies of a person, and how many the queue has for them; see `hand_out`.

        Raises
        ------
        PersonError
            Disputes are for experts (403).
        """
        if disputes and not person.may("expert"):
            raise PersonError("disputes are for experts", do="ask the coordinator")
        with self.database.writing() as link:
            _still_there(link, person)
            subjects = hand_out(
                link,
                person.id,
                min(n, MOST_HANDED),
                held=held,
                last=last,
                disputes=disputes,
                first=storable(first),
                gold_share=self.campaign.gold.share if self.campaign.gold.table else 0.0,
                secret=self._secret,
            )
            left = left_for(link, person.id, disputes=disputes)
            return subjects, left if subjects or held else 0

    def let_go(self, person: Person, subject: str) -> None:
        """Keep a galaxy of the queue no longer for a person to whom it could not be shown."""
        kept = (HANDED.c.person == person.id, HANDED.c.subject == subject, HANDED.c.why == "queue")
        with self.database.writing() as link:
            link.execute(HANDED.delete().where(*kept))

    def record(self, person: Person, sent: Sequence[Any]) -> list[Outcome]:
        """Count votes; when this returns they are on the disk.

        Parameters
        ----------
        person
            Whose they are.
        sent
            As they came, from JSON. One that is refused keeps none of the others back.

        Raises
        ------
        PersonError
            They have left the campaign meanwhile (401).
        """
        with self.database.writing() as link:
            _still_there(link, person)
            return [self._record(link, person, one) for one in sent]

    def _record(self, link: sa.Connection, person: Person, sent: Any) -> Outcome:
        said = sent.get("key") if isinstance(sent, dict) else None
        key = storable(said) if isinstance(said, str) else ""
        try:
            vote = read_vote(sent, self.campaign, self.tree)
            subject = _found(link, vote.subject)
            known = link.execute(sa.select(VOTES).where(VOTES.c.key == vote.key)).first()
            if known is not None:
                return _seen_before(known, person, vote)
            settles = _decides(link, person, subject)
            self._refuse_second(link, person, vote, settles=settles)
            row = asdict(vote) | {"person": person.id, "received": now()}
            row |= {"rejects": REJECTED in vote.content, "withdrawn": False, "settles": settles}
            link.execute(VOTES.insert().values(**row))
        except (VoteError, UnknownError) as error:
            return Outcome(key, "refused", error)
        _give_back(link, person, vote.subject)
        self._settle(link, subject)
        return Outcome(vote.key, "counted")

    def _refuse_second(
        self, link: sa.Connection, person: Person, vote: Vote, *, settles: bool
    ) -> None:
        """One person has one vote on a galaxy; an expert who decides gives up an earlier one."""
        mine = (
            VOTES.c.person == person.id,
            VOTES.c.subject == vote.subject,
            ~VOTES.c.withdrawn,
        )
        if settles:
            given_up = {"withdrawn": True, "given_up_for": vote.key}
            link.execute(VOTES.update().where(*mine).values(**given_up))
        elif link.execute(sa.select(VOTES.c.key).where(*mine)).first():
            raise VoteError(
                f"you have voted on {vote.subject} before",
                do="take that vote back first, if it shall be another",
            )

    def undo(self, person: Person, key: str) -> str:
        """Take a vote back; the name of its galaxy, which can come again.

        The vote that an expert had given up for a verdict counts again when that is taken back.

        Raises
        ------
        UnknownError
            There is no such vote (404).
        PersonError
            It is somebody else's (403).
        """
        with self.database.writing() as link:
            vote = link.execute(sa.select(VOTES).where(VOTES.c.key == key)).first()
            if vote is None:
                raise UnknownError(f"there is no vote {key!r}")
            if vote.person != person.id:
                raise PersonError("the vote is somebody else's")
            withdrawn = {"withdrawn": True, "given_up_for": None}
            link.execute(VOTES.update().where(VOTES.c.key == key).values(**withdrawn))
            again = {"withdrawn": False, "given_up_for": None}
            link.execute(VOTES.update().where(VOTES.c.given_up_for == key).values(**again))
            self._settle(link, _found(link, vote.subject))
            return str(vote.subject)

    def remove(self, id_: str) -> int:
        """Remove a person with all votes; how many those were.

        Raises
        ------
        UnknownError
            There is nobody of that id.
        PersonError
            They are the last coordinator.
        """
        with self.database.writing() as link:
            self.people.forget(link, id_)
            asked = sa.select(VOTES.c.subject).where(VOTES.c.person == id_)
            subjects = sorted(link.execute(asked).scalars())
            link.execute(VOTES.delete().where(VOTES.c.person == id_))
            for name in dict.fromkeys(subjects):
                self._settle(link, _found(link, name))
            return len(subjects)

    def count_again(self) -> None:
        """Judge all galaxies anew, as after another rule of agreement; others wait for moments."""
        untouched = (SUBJECTS.c.votes == 0, SUBJECTS.c.state == "open")
        wanted = self.campaign.agreement.votes
        with self.database.writing() as link:
            link.execute(SUBJECTS.update().where(*untouched).values(wanted=wanted))
            voted = sa.select(SUBJECTS.c.id).where(SUBJECTS.c.votes > 0).order_by(SUBJECTS.c.id)
            names = link.execute(voted).scalars().all()
        for first in range(0, len(names), PORTION):
            with self.database.writing() as link:
                for name in names[first : first + PORTION]:
                    self._settle(link, _found(link, name))

    def subject(self, name: str) -> dict[str, Any]:
        """A galaxy as the tables have it.

        Raises
        ------
        UnknownError
            There is none of that name.
        """
        with self.database.reading() as link:
            row = link.execute(sa.select(SUBJECTS).where(SUBJECTS.c.id == name)).mappings().first()
        if row is None:
            raise _no_galaxy(name)
        return dict(row)

    def subjects(self) -> list[dict[str, Any]]:
        """All galaxies as the tables have them, in the order of the queue."""
        with self.database.reading() as link:
            asked = sa.select(SUBJECTS).order_by(SUBJECTS.c.position, SUBJECTS.c.id)
            return [dict(row) for row in link.execute(asked).mappings()]

    def votes(self, subjects: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """All votes that count, oldest first; of some galaxies, or of all."""
        asked = sa.select(VOTES).where(~VOTES.c.withdrawn).order_by(VOTES.c.received, VOTES.c.key)
        if subjects is not None:
            asked = asked.where(VOTES.c.subject.in_(list(subjects)))
        with self.database.reading() as link:
            return [dict(row) for row in link.execute(asked).mappings()]

    def _settle(self, link: sa.Connection, subject: Any) -> None:
        """Put down how far a galaxy is with the votes that it has now."""
        rows = link.execute(
            sa.select(VOTES.c.content, VOTES.c.settles).where(
                VOTES.c.subject == subject.id, ~VOTES.c.withdrawn
            )
        ).all()
        if subject.state in FINAL:
            found = Standing(subject.state, len(rows), subject.wanted)
        else:
            contents = [row.content for row in rows]
            settled = any(row.settles for row in rows)
            found = standing_of(contents, self.campaign, settled=settled)
        link.execute(SUBJECTS.update().where(SUBJECTS.c.id == subject.id).values(**asdict(found)))


def _found(link: sa.Connection, name: str) -> Any:
    row = link.execute(sa.select(SUBJECTS).where(SUBJECTS.c.id == name)).first()
    if row is None:
        raise _no_galaxy(name)
    return row


def _still_there(link: sa.Connection, person: Person) -> None:
    """Refuse who has left, in another tab or by a coordinator's hand."""
    if link.execute(sa.select(PEOPLE.c.id).where(PEOPLE.c.id == person.id)).first() is None:
        raise PersonError("the account has been removed", code="signed_out", do="join again")


def _decides(link: sa.Connection, person: Person, subject: Any) -> bool:
    """Whether an expert was given the galaxy in order to decide."""
    if subject.state != "disputed" or not person.may("expert"):
        return False
    asked = sa.select(HANDED.c.why).where(
        HANDED.c.person == person.id, HANDED.c.subject == subject.id
    )
    return link.execute(asked).scalar() == "dispute"


def _no_galaxy(name: str) -> UnknownError:
    return UnknownError(f"there is no galaxy {name!r} in this campaign")


def _seen_before(known: Any, person: Person, vote: Vote) -> Outcome:
    if (known.person, known.subject) != (person.id, vote.subject):
        return Outcome(
            vote.key, "refused", VoteError("the vote's key is taken", do="make a new one")
        )
    return Outcome(vote.key, "known")


def _taken(key: str) -> Outcome:
    return Outcome(key, "refused", VoteError("the vote's key is taken", do="make a new one"))


def _give_back(link: sa.Connection, person: Person, subject: str) -> None:
    link.execute(HANDED.delete().where(HANDED.c.person == person.id, HANDED.c.subject == subject))
