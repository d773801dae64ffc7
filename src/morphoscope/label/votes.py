"""What a vote may be, and when the votes on a galaxy are enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from morphoscope.errors import MorphoscopeError, VoteError
from morphoscope.label.campaign import Campaign
from morphoscope.label.consensus import angles_agree, answers_agree
from morphoscope.label.trees import Tree

__all__ = ["Outcome", "Standing", "Vote", "read_vote", "standing_of", "storable"]

KEY = re.compile(r"[0-9A-Za-z-]{8,64}")
LONGEST_NOTE = 500
LONGEST_ID = 200
REJECTED = "reject"
Content = dict[str, Any]


@dataclass(frozen=True)
class Vote:
    """One person's whole answer about one galaxy.

    Attributes
    ----------
    key
        Made where it was given; a vote of the same key is the same vote.
    subject
        Name of the galaxy.
    content
        ``{"inclination": deg}``, ``{"answers": [[question, answer], …]}`` or
        ``{"reject": [reason, …]}``.
    note
        What they remarked.
    seconds
        How long it took.
    made
        When, by the clock of whoever gave it.
    """

    key: str
    subject: str
    content: Content
    note: str = ""
    seconds: float | None = None
    made: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a vote that was sent.

    Attributes
    ----------
    key
        Of the vote; empty where it had none.
    state
        ``counted``, ``known`` where it had come before, or ``refused``.
    error
        Why it was refused.
    """

    key: str
    state: Literal["counted", "known", "refused"]
    error: MorphoscopeError | None = None


@dataclass(frozen=True)
class Standing:
    """How far a galaxy is.

    Attributes
    ----------
    state
        ``open``, ``done``, ``disputed`` where as many as may do not agree, or ``settled``.
    votes, wanted
        Votes that count, and how many it shall have.
    """

    state: str
    votes: int
    wanted: int


def read_vote(sent: Any, campaign: Campaign, tree: Tree | None) -> Vote:
    """Check a vote as it was sent.

    Parameters
    ----------
    sent
        From JSON.
    campaign, tree
        What was asked.

    Raises
    ------
    VoteError
        A part is absent, of another kind, or not among what can be answered.
    """
    if not isinstance(sent, dict):
        raise VoteError("a vote is no object", expected='{"key", "subject", "content"}')
    key, subject = sent.get("key"), sent.get("subject")
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        raise VoteError("the vote has no key", expected="8 to 64 letters, digits and dashes")
    if not (
        isinstance(subject, str) and 0 < len(subject) <= LONGEST_ID and storable(subject) == subject
    ):
        raise VoteError("the vote names no galaxy", expected=f"1 to {LONGEST_ID} characters")
    note, made = sent.get("note") or "", sent.get("made")
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise VoteError("the note will not do", expected=f"at most {LONGEST_NOTE} characters")
    content = _content(sent.get("content"), campaign, tree)
    clock = storable(made[:40]) if isinstance(made, str) else None
    return Vote(key, subject, content, storable(note), _seconds(sent), clock)


def storable(text: str) -> str:
    """Text without what not all databases keep: NUL, and halves of characters.

    A browser that cuts a text may leave such a half.
    """
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _seconds(sent: dict[str, Any]) -> float | None:
    seconds = sent.get("seconds")
    if seconds is None:
        return None
    if not _is_number(seconds) or not 0 <= seconds < 1e9:
        raise VoteError(f"it took {seconds!r} seconds", expected="a number of 0 or more")
    return float(seconds)


def _is_number(value: Any) -> bool:
    # Not by `math.isfinite`: an integer of JSON may be larger than any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _content(content: Any, campaign: Campaign, tree: Tree | None) -> Content:
    if not isinstance(content, dict) or len(content) != 1:
        raise VoteError("the vote has no content", expected="one answer, or the reasons to reject")
    (kind, value), *_ = content.items()
    if kind == REJECTED:
        return {REJECTED: _reasons(value, campaign)}
    if kind == "inclination" and tree is None:
        if not _is_number(value) or not 0 <= value <= 90:
            raise VoteError(f"the inclination is {value!r}", expected="0 to 90 degrees")
        return {"inclination": float(value)}
    if kind == "answers" and tree is not None:
        paired = isinstance(value, list) and all(
            isinstance(one, list) and len(one) == 2 and all(isinstance(w, str) for w in one)
            for one in value
        )
        if not paired:
            raise VoteError("the answers are no list of pairs", expected='[["question", "answer"]]')
        tree.check(value)
        return {"answers": [list(one) for one in value]}
    expected = "answers" if tree else "inclination"
    raise VoteError(f"the vote holds {str(kind)[:40]!r}", expected=f"{expected} or {REJECTED}")


def _reasons(value: Any, campaign: Campaign) -> list[str]:
    known = campaign.reasons
    listed = isinstance(value, list) and value and all(isinstance(one, str) for one in value)
    if not listed or not set(value) <= set(known):
        raise VoteError("the reasons will not do", expected=f"some of {', '.join(known)}")
    return [reason for reason in known if reason in value]


def standing_of(contents: Sequence[Content], campaign: Campaign, *, settled: bool) -> Standing:
    """How far a galaxy is with the votes that it has.

    Parameters
    ----------
    contents
        Of all votes that count, in any order.
    campaign
        Its rule of agreement.
    settled
        Whether one of them is that of an expert who was asked to decide.
    """
    rule, n = campaign.agreement, len(contents)
    if settled:
        return Standing("settled", n, n)
    if n < rule.votes:
        return Standing("open", n, rule.votes)
    if _agree(contents, campaign):
        return Standing("done", n, n)
    return Standing("disputed", n, n) if n >= rule.most else Standing("open", n, n + 1)


def _agree(contents: Sequence[Content], campaign: Campaign) -> bool:
    rule = campaign.agreement
    if campaign.task == "inclination":
        given = [one["inclination"] for one in contents if "inclination" in one]
        rejects = len(contents) - len(given)
        return angles_agree(given, rejects, rule.spread_deg, rule.votes)
    paths = [
        [(REJECTED, "yes")] if REJECTED in one else [(q, a) for q, a in one["answers"]]
        for one in contents
    ]
    return answers_agree(paths, rule.share, rule.votes)
