"""Settings of studies, which train many networks: search and compare."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from morphoscope.recipe.section import Section

__all__ = ["CompareSettings", "SearchSettings", "Span", "Variant"]

Value = str | int | float | bool | list[Any] | dict[str, Any]


class Span(Section):
    """What a search may choose for one setting: one of `choices`, or from `low` to `high`."""

    choices: list[Value] = Field([], description="The values to choose from; with them no range.")
    low: float | int | None = Field(None, description="Smallest value.")
    high: float | int | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Even on a logarithmic scale.")
    step: float | int | None = Field(None, description="Distance of the values; none: any.", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.choices:
            if self.low is not None or self.high is not None or self.step is not None or self.log:
                raise ValueError("choices do not go with low, high, log or step")
            if any(choice in self.choices[:index] for index, choice in enumerate(self.choices)):
                raise ValueError(f"choices = {self.choices} names one twice")
            return self
        if "choices" in self.model_fields_set and self.low is None:
            raise ValueError("choices is empty")
        if self.low is None or self.high is None:
            raise ValueError("either choices, or low and high")
        if not math.isfinite(self.low) or not math.isfinite(self.high):
            raise ValueError(f"low = {self.low} and high = {self.high} are not both finite")
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log wants a low above 0, and no step")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step = {self.step} leaves no second value up to high = {self.high}")
        return self


class SearchSettings(Section):
    """Which settings to try, how many times, and how the next are chosen."""

    strategy: Literal[
        "grid",
        "random",
        "bayesian",
        "gaussian_process",
        "cma_es",
        "nsga2",
        "hypergradient",
    ] = Field(
        "bayesian",
        description="How settings are chosen: all of a grid, at random, Bayesian (tree of Parzen "
        "estimators), Bayesian (Gaussian process), evolutionary (CMA-ES), evolutionary with score "
        "against cost (NSGA-II), or by the gradient of the validation loss.",
    )
    trials: int = Field(40, description="Number of trials; a grid has its own.", ge=1)
    workers: int = Field(1, description="Trials at the same time.", ge=1)
    stopping: Literal["auto", "none", "halving", "hyperband"] = Field(
        "auto",
        description="How trials that promise little are stopped early; `auto`: hyperband for "
        "random and bayesian, which learn from stopped trials too, where all trials have as many "
        "epochs; else none.",
    )
    startup: int = Field(
        10,
        description="Random trials before bayesian and gaussian_process learn; the population of "
        "nsga2.",
        ge=2,
    )
    storage: str = Field(
        "",
        description="Where trials are kept: `postgresql://user@host/database`; empty: a file of "
        "the run folder.",
    )
    space: dict[str, Span] = Field({}, description="What may be chosen, by setting.")


class Variant(Section):
    """One candidate of a comparison: a name, and what it changes in the recipe."""

    name: str = Field(
        description="Name in tables and pictures.", pattern=r"^[A-Za-z0-9][\w .,+-]*$"
    )
    set: dict[str, Any] = Field(
        {},
        description="Settings that differ, of prepare, augment, balance and train: "
        '`"train.network" = "alexnet"`.',
    )

    against: str = Field(
        "", description="Candidate that this one is compared with; empty: compare.baseline."
    )

    @property
    def changes(self) -> dict[str, Any]:
        """What differs, by names as ``train.network``; sections may be written as tables."""
        found: dict[str, Any] = {}
        for key, value in self.set.items():
            table = "." not in key and isinstance(value, dict)
            found |= {f"{key}.{k}": v for k, v in value.items()} if table else {key: value}
        return found


class CompareSettings(Section):
    """Candidates that are trained under one protocol and compared on the same test images."""

    variants: list[Variant] = Field([], description="The candidates, at least two.")
    seeds: int = Field(3, description="Trainings of each candidate, with other seeds.", ge=1)
    folds: int = Field(
        0,
        description="Folds, of which each is the test split once; 0: the recipe's split.",
        ge=0,
    )
    score: Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "class_f1"] = Field(
        "accuracy", description="Score that the conclusion is about; choose it before you look."
    )
    of_class: str = Field("", description="The class of which `class_f1` is.")
    baseline: str = Field(
        "",
        description="Candidate that the others are compared with; empty, and no `against`: all "
        "pairs.",
    )

    @property
    def planned(self) -> list[tuple[str, str]]:
        """The pairs that are compared; none: all of them."""
        rivals = [(one.name, one.against or self.baseline) for one in self.variants]
        return [(name, rival) for name, rival in rivals if rival and rival != name]

    def changes_of(self, name: str) -> dict[str, Any]:
        """What the candidate of that name changes."""
        return next(one.changes for one in self.variants if one.name == name)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [variant.name for variant in self.variants]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two variants are called {sorted(twice)[0]!r}")
        rivals = [("baseline", self.baseline), *(("against", one.against) for one in self.variants)]
        for key, rival in rivals:
            if rival and rival not in names:
                raise ValueError(f"{key} = {rival!r} is none of {', '.join(names)}")
        if bool(self.of_class) != (self.score == "class_f1"):
            raise ValueError("score = 'class_f1' and of_class belong together: give both or none")
        if self.folds == 1:
            raise ValueError("folds = 1 leaves nothing to train on: 0, or 2 and more")
        return self
