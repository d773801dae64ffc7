"""Settings of studies, which train many networks: search and compare."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from morphoscope.recipe.section import Section

__all__ = ["CompareSettings", "SearchSettings", "Span", "Variant"]

Value = str | int | float | bool


class Span(Section):
    """What a search may choose for one setting: one of `choices`, or from `low` to `high`."""

    choices: list[Value] = Field([], description="The values to choose from.")
    low: float | int | None = Field(None, description="Smallest value.")
    high: float | int | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Even on a logarithmic scale.")
    step: float | int | None = Field(None, description="Distance of the values; none: any.", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.choices:
            if self.low is not None or self.high is not None or self.step is not None or self.log:
                raise ValueError("choices do not go with low, high, log or step")
            return self
        if self.low is None or self.high is None:
            raise ValueError("either choices, or low and high")
        if self.low >= self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log wants a low above 0, and no step")
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
    stopping: Literal["none", "halving", "hyperband"] = Field(
        "hyperband", description="How trials that promise little are stopped early."
    )
    startup: int = Field(10, description="Random trials before the strategy learns.", ge=1)
    storage: str = Field(
        "", description="Where trials are kept: a database's URL; empty: a file of the run folder."
    )
    space: dict[str, Span] = Field({}, description="What may be chosen, by setting.")


class Variant(Section):
    """One candidate of a comparison: a name, and what it changes in the recipe."""

    name: str = Field(description="Name in tables and pictures.", min_length=1)
    set: dict[str, Any] = Field({}, description="Settings that differ, as `train.network`.")


class CompareSettings(Section):
    """Candidates that are trained under one protocol and compared on the same test images."""

    variants: list[Variant] = Field([], description="The candidates, at least two.")
    seeds: int = Field(3, description="Trainings of each candidate, with other seeds.", ge=1)
    folds: int = Field(0, description="Folds instead of one split; 0: the recipe's split.", ge=0)
