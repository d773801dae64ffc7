"""The JSON of the label desk: what is sent to it, and the parts of its answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from morphoscope.label.credentials import LONGEST_NAME, LONGEST_PASSWORD
from morphoscope.label.people import Role
from morphoscope.serve.shapes import ProblemText

__all__ = [
    "CampaignPart",
    "Campaigns",
    "Change",
    "Invitation",
    "Join",
    "Link",
    "Me",
    "MyData",
    "Next",
    "Outcomes",
    "Participants",
    "Removal",
    "Removed",
    "SentVotes",
    "SignIn",
    "Withdrawal",
    "Withdrawn",
    "WholeCampaign",
]

MOST_VOTES = 200


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Join(_Sent):
    """A new account; without name and password one without a name."""

    name: str = Field("", description="As others see it.", max_length=4 * LONGEST_NAME)
    password: str = Field("", description="8 characters at least.", max_length=LONGEST_PASSWORD)


class SignIn(Join):
    """A way to sign in: name and password, or a link."""

    link: str = Field("", description="Token of a link.", max_length=100)


class _InTheName(_Sent):
    person: str = Field(
        "", description="Id of whom it is; refused where another has signed in.", max_length=64
    )


class Withdrawal(_InTheName):
    """Who takes a vote back."""


class SentVotes(_InTheName):
    """Votes, each checked by itself."""

    votes: list[Any] = Field(
        description="Each `{key, subject, content, note, seconds, made}`.",
        min_length=1,
        max_length=MOST_VOTES,
        examples=[
            [
                {
                    "key": "0b7f6c1e-93d5-4c0e-8a51-1d1f3f0a7c55",
                    "subject": "PGC3738",
                    "content": {"inclination": 63.0},
                    "seconds": 4.1,
                }
            ]
        ],
    )


class Removal(_Sent):
    """That somebody means it."""

    confirm: str = Field(description="One's name, or `anonymous` without one.", max_length=300)


class Change(_Sent):
    """Of a person."""

    role: Role


class Invitation(_Sent):
    """For whom a link is."""

    role: Role = "volunteer"
    name: str = Field("", description="Proposed to them.", max_length=LONGEST_NAME)


class CampaignPart(BaseModel):
    """A campaign in a list."""

    name: str
    title: str
    description: str
    task: Literal["inclination", "tree"]
    join: Literal["anonymous", "open", "invited"]
    n: int = Field(description="Galaxies.")
    links: dict[str, str]


class Campaigns(BaseModel):
    """All campaigns of the server."""

    campaigns: list[CampaignPart]


class WholeCampaign(CampaignPart):
    """What is asked in a campaign."""

    reject: list[dict[str, str]] = Field(description="Reasons to pass a galaxy, key and text.")
    tree: dict[str, Any] | None = Field(description="Questions, where they are asked.")
    standards: dict[str, Any] | None = Field(description="Images of known inclination.")


class PersonPart(BaseModel):
    """Somebody who takes part."""

    id: str
    name: str | None
    role: Role
    anonymous: bool
    votes: int
    since: str


class Me(BaseModel):
    """Whoever asks; nobody, where they have not signed in."""

    person: PersonPart | None
    join: Literal["anonymous", "open", "invited"]


class Participants(BaseModel):
    """Everybody in a campaign."""

    people: list[PersonPart]


class SubjectPart(BaseModel):
    """A galaxy to look at."""

    id: str
    image: str = Field(description="Address of its picture; `?band=` changes it.")
    bands: list[str]
    why: Literal["queue", "dispute"]
    votes: int
    unreadable: bool = Field(
        description="Its file could not be read lately; it comes when there is no other."
    )


class Next(BaseModel):
    """What comes next."""

    subjects: list[SubjectPart]
    left: int = Field(description="Galaxies of the queue that the person has not voted on.")
    done: bool = Field(description="Nothing is left for the person, now at least.")


class OutcomePart(BaseModel):
    """What became of one vote."""

    key: str
    state: Literal["counted", "known", "refused"]
    error: ProblemText | None


class Outcomes(BaseModel):
    """What became of each vote, in the order in which they were sent."""

    votes: list[OutcomePart]


class Withdrawn(BaseModel):
    """A vote that does not count any more."""

    key: str
    state: Literal["withdrawn"]
    subject: str


class Removed(BaseModel):
    """Account and votes are gone."""

    removed: bool
    votes: int


class Link(BaseModel):
    """Address that signs whoever follows it first in, and them alone from then on."""

    link: str


class MyData(BaseModel):
    """All that is stored of a person."""

    person: PersonPart
    votes: list[dict[str, Any]]
