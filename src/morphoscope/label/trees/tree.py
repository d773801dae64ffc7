"""A decision tree, read from TOML and checked: every way through it has an end."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from morphoscope.errors import CampaignError, VoteError
from morphoscope.recipe import Section
from morphoscope.recipe.explaining import explain

__all__ = ["Answer", "Question", "Tree", "load_tree", "shipped_trees"]

HERE = Path(__file__).parent


def _word(key: str) -> str:
    # Keys become column names of catalogues.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,40}", key):
        raise ValueError(f"{key!r} is not one word of small letters, digits and _")
    return key


Key = Annotated[str, AfterValidator(_word)]


class Answer(Section):
    """One answer to a question."""

    key: Key = Field(description="Its word in catalogues.")
    text: str = Field(description="What people read.")
    next: Key | None = Field(None, description="Question that follows; none: the end.")
    help: str = Field("", description="A sentence for those who are not sure.")


class Question(Section):
    """A question with two answers or more."""

    key: Key = Field(description="Its word in catalogues.")
    text: str = Field(description="What people read.")
    help: str = Field("", description="A sentence for those who are not sure.")
    answers: list[Answer] = Field(description="In the order of their keys, 1, 2, …", min_length=2)

    @model_validator(mode="after")
    def _different(self) -> Self:
        _once([one.key for one in self.answers], f"answer of {self.key!r}")
        return self


class Tree(Section):
    """Questions that lead to one another."""

    title: str = Field("", description="Its name.")
    source: str = Field("", description="Where it was published.")
    first: Key = Field(description="The question that is asked first.")
    questions: list[Question] = Field(description="All questions.", min_length=1)

    @model_validator(mode="after")
    def _ends(self) -> Self:
        keys = [one.key for one in self.questions]
        _once(keys, "question")
        named = [(self.first, "first")]
        named += [(a.next, f"{q.key}.{a.key}") for q in self.questions for a in q.answers if a.next]
        for key, where in named:
            if key not in keys:
                raise ValueError(f"{where} leads to {key!r}, which is no question")
        self._walk(self.first, ())
        return self

    def _walk(self, key: str, before: tuple[str, ...]) -> None:
        """Refuse ways that come back to where they were."""
        if key in before:
            raise ValueError(f"the questions go in a circle: {' → '.join([*before, key])}")
        for following in {a.next for a in self.of[key].answers if a.next}:
            self._walk(following, (*before, key))

    @cached_property
    def of(self) -> dict[str, Question]:
        """Question of each key."""
        return {one.key: one for one in self.questions}

    @property
    def digest(self) -> str:
        """Of what votes depend on: the keys, their order, and what leads where; not the texts."""
        ways = [[q.key, [[a.key, a.next] for a in q.answers]] for q in self.questions]
        return hashlib.sha256(json.dumps([self.first, ways]).encode()).hexdigest()

    def check(self, answers: Sequence[Sequence[str]]) -> None:
        """Refuse answers that are no way through the tree, from its first question to an end.

        Parameters
        ----------
        answers
            Question and answer, in the order in which they were asked.

        Raises
        ------
        VoteError
            A question was not asked there, an answer is not one of its own, or the end is missing.
        """
        asked: str | None = self.first
        for question, answer in answers:
            if question != asked:
                raise VoteError(
                    f"the answer is to {question!r}",
                    expected=f"one to {asked!r}" if asked else "nothing after the end",
                )
            known = {one.key: one for one in self.of[question].answers}
            if answer not in known:
                raise VoteError(
                    f"{question!r} has no answer {answer!r}", expected=f"one of {', '.join(known)}"
                )
            asked = known[answer].next
        if asked:
            raise VoteError("the answers end too early", expected=f"one to {asked!r}")


def _once(keys: list[str], what: str) -> None:
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"the {what} {twice[0]!r} stands there twice")


def shipped_trees() -> dict[str, Path]:
    """Trees that come along, by name."""
    return {path.stem: path for path in sorted(HERE.glob("*.toml"))}


def load_tree(name: str | Path) -> Tree:
    """Read a decision tree.

    Parameters
    ----------
    name
        Of a tree that comes along, or a TOML file.

    Raises
    ------
    CampaignError
        There is none, or it is not valid: a question that nobody leads to an end, an answer twice.

    Examples
    --------
    >>> len(load_tree("galaxy-zoo-2").questions)
    11
    """
    shipped = shipped_trees()
    if isinstance(name, str) and name not in shipped:
        near = difflib.get_close_matches(name, shipped, n=1, cutoff=0.4)
        raise CampaignError(
            f"there is no tree {name!r}" + (f", did you mean {near[0]!r}?" if near else ""),
            expected=f"one of {', '.join(shipped)}, or a TOML file",
        )
    path = shipped[name] if isinstance(name, str) else name
    try:
        return Tree.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        raise CampaignError(explain(error, Tree), do=f"mend {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CampaignError(f"{path} is not a tree in TOML: {error}", do="mend it") from error
