"""What a search may choose: spans of the recipe's own settings, checked before the first trial."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from morphoscope.errors import RecipeError
from morphoscope.networks.registry import find
from morphoscope.recipe import Recipe, Span, changed

__all__ = ["Space", "open_space"]

SECTIONS = ("train", "augment", "balance", "prepare")
# A setting that decides how trials are compared, or that no validation score depends on.
KEPT = {
    "train.monitor": "it is the score that trials are compared by",
    "train.members": "a trial trains one network",
    "train.others": "a trial trains one network",
    "train.orientations": "the validation score of a training does not depend on it",
    "train.device": "it says where a network is trained, not which",
    "train.threads": "it says where a network is trained, not which",
    "train.checkpoint_s": "the result does not depend on it",
    "augment.label_depends_on": "it is a fact about the labels",
    "augment.handed": "it is a fact about the labels",
}
MOST_STORES = 32


@dataclass(frozen=True)
class Space:
    """The spans of a recipe by the names of its settings.

    In Optuna and in tables a choice that is a list or a table stands as JSON.
    """

    recipe: Recipe

    @property
    def spans(self) -> Mapping[str, Span]:
        return self.recipe.search.space

    def distributions(self) -> dict[str, BaseDistribution]:
        """The spans as Optuna has them."""
        return {key: _distribution(key, span) for key, span in self.spans.items()}

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Let a trial choose; a trial that chose before gives the same values again."""
        return {key: _suggest(trial, key, one) for key, one in self.distributions().items()}

    def variant(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with these values, as `suggest` gives them.

        Raises
        ------
        RecipeError
            The values do not go together.
        """
        return changed(self.recipe, {key: self._plain(key, value) for key, value in values.items()})

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of values, in order.

        Raises
        ------
        RecipeError
            A span has no end of values.
        """
        for key, span in self.spans.items():
            if _points(key, span) is None:
                raise RecipeError(
                    f"a grid has no end: search.space of {key} goes from {span.low} to {span.high}",
                    expected="choices, or a step",
                    do="give them, or take another search.strategy",
                )
        return list(self._product(self.spans))

    def preparations(self) -> list[Recipe]:
        """The recipe once for every way to prepare the images that a trial may choose.

        Raises
        ------
        RecipeError
            There are too many.
        """
        spans = {key: span for key, span in self.spans.items() if key.startswith("prepare.")}
        counts = [_points(key, span) for key, span in spans.items()]
        number = math.prod(math.inf if points is None else len(points) for points in counts)
        if number > MOST_STORES:
            raise RecipeError(
                f"the space of {', '.join(spans)} has {number} combinations, each of which needs "
                "images of its own",
                expected=f"at most {MOST_STORES}",
                do="give choices or a larger step",
            )
        found, errors = [], []
        for values in self._product(spans):
            try:
                found.append(self.variant(values))
            except RecipeError as error:
                # A trial that chooses this combination fails with the reason.
                errors.append(error)
        if errors and not found:
            raise errors[0]
        return found

    def _product(self, spans: Mapping[str, Span]) -> Iterator[dict[str, Any]]:
        points = [_points(key, span) or [] for key, span in spans.items()]
        for values in itertools.product(*points):
            yield dict(zip(spans, values, strict=True))

    def _plain(self, key: str, value: Any) -> Any:
        plain = (choice for choice in self.spans[key].choices if _encoded(choice) == value)
        return next(plain, value)


def open_space(recipe: Recipe) -> Space:
    """Check the space of a recipe.

    Raises
    ------
    RecipeError
        It is empty, names a setting that does not exist or must stay, or has a value that the
        setting does not take.
    """
    space = Space(recipe)
    if not space.spans:
        raise RecipeError(
            "search.space is empty",
            do='say what may be chosen, as [search.space."train.learning_rate"] with low, high '
            "and log",
        )
    for key, span in space.spans.items():
        _require_type(key, span)
        ends: list[Any] = [span.low, span.high]
        for value in span.choices or ends:
            _require_value(recipe, key, value)
    return space


def _require_type(key: str, span: Span) -> None:
    kind = _kind(key)
    if span.choices or kind is float:
        return
    if kind is not int:
        raise RecipeError(
            f"search.space gives {key} a range, and it is no number", do="give its choices"
        )
    numbers = [number for number in (span.low, span.high, span.step) if number is not None]
    if not all(isinstance(number, int) for number in numbers):
        raise RecipeError(f"search.space gives {key} the range {numbers}", expected="whole numbers")


def _require_value(recipe: Recipe, key: str, value: Any) -> None:
    try:
        changed(recipe, {key: value})
        if key == "train.network":
            find(value)
    except RecipeError as error:
        # The value is right alone where the rest of the recipe contradicts: trials will tell.
        raise RecipeError(
            f"search.space of {key}: {error.found}",
            expected=error.expected,
            do=error.do if error.expected else "mend that value",
            setting=key,
        ) from error


def _kind(key: str) -> Any:
    """Type of a setting that a search may choose."""
    known = {
        f"{section}.{name}": field.annotation
        for section in SECTIONS
        for name, field in type(_default(section)).model_fields.items()
    }
    if key in KEPT:
        raise RecipeError(f"a search must not choose {key}: {KEPT[key]}", do="take it out")
    if key in known:
        return known[key]
    table, _, entry = key.rpartition(".")
    if entry and get_origin(known.get(table)) is dict:
        return get_args(known[table])[-1]
    section = key.partition(".")[0]
    if section in Recipe.model_fields and section not in SECTIONS:
        raise RecipeError(
            f"a search must not choose {key}",
            expected=f"settings of {', '.join(SECTIONS)}",
            do="trials are compared on the same galaxies, classes, splits and seed",
        )
    raise RecipeError(
        f"search.space names {key!r}, which is no setting{_near(key, [*known])}", setting=key
    )


def _default(section: str) -> Any:
    return Recipe.model_fields[section].default


def _near(name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    return f", did you mean {near[0]!r}?" if near else f" (there are: {', '.join(known)})"


def _encoded(choice: Any) -> Any:
    return json.dumps(choice) if isinstance(choice, list | dict) else choice


def _points(key: str, span: Span) -> list[Any] | None:
    """The values of a span; None if they have no end."""
    if span.choices:
        return [_encoded(choice) for choice in span.choices]
    low, high = _ends(span)
    whole = _kind(key) is int
    if span.step is None and not (whole and not span.log):
        return None
    step = span.step or 1
    count = math.floor((high - low) / step + 1e-9) + 1
    values = [low + index * step for index in range(count)]
    return values if whole else [_rounded(value, low, step) for value in values]


def _rounded(value: float, *like: float) -> float:
    """Without the tail that sums of decimal fractions grow."""
    places = max(len(re.sub(r"^[^.]*\.?", "", f"{number:.12f}".rstrip("0"))) for number in like)
    return round(float(value), places)


def _ends(span: Span) -> tuple[float, float]:
    if span.low is None or span.high is None:
        raise RecipeError("a span without choices has low and high")
    return span.low, span.high


def _distribution(key: str, span: Span) -> BaseDistribution:
    if span.choices:
        return CategoricalDistribution([_encoded(choice) for choice in span.choices])
    low, high = _ends(span)
    if span.step is not None:
        high = (_points(key, span) or [high])[-1]
    if _kind(key) is int:
        return IntDistribution(int(low), int(high), log=span.log, step=int(span.step or 1))
    return FloatDistribution(low, high, log=span.log, step=span.step)


def _suggest(trial: Trial, key: str, one: BaseDistribution) -> Any:
    if isinstance(one, CategoricalDistribution):
        return trial.suggest_categorical(key, one.choices)
    if isinstance(one, IntDistribution):
        return trial.suggest_int(key, one.low, one.high, step=one.step, log=one.log)
    if not isinstance(one, FloatDistribution):
        raise TypeError(type(one).__name__)
    return trial.suggest_float(key, one.low, one.high, step=one.step, log=one.log)
