"""What a space allows, and what it refuses before the first trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from pydantic import ValidationError

from morphoscope.errors import RecipeError
from morphoscope.recipe import PrepareSettings, Recipe, Span
from morphoscope.search.space import open_space
from morphoscope.search.strategies import check_strategy, make_sampler

Make = Callable[..., Recipe]
RATE = {"low": 1e-4, "high": 1e-1, "log": True}


def space_of(recipe_of: Make, space: dict[str, Any], **search: Any) -> Any:
    return open_space(recipe_of({"space": space, **search}))


@pytest.mark.parametrize(
    ("key", "span", "said"),
    [
        ("train.learning_rat", RATE, "did you mean 'train.learning_rate'"),
        ("trian.learning_rate", RATE, "did you mean 'train.learning_rate'"),
        ("train.network", {"choices": ["resnet10", "resnet8"]}, "did you mean 'resnet18'"),
        ("train.optimizer", {"choices": ["adamw", "adan"]}, "'adan'"),
        ("train.dropout", {"low": 0.0, "high": 1.5}, "1.5"),
        ("train.epochs", {"low": 1.5, "high": 3}, "whole numbers"),
        ("train.optimizer", {"low": 1, "high": 3}, "is no number"),
        ("split.validation", {"low": 0.1, "high": 0.3}, "must not choose split.validation"),
        ("acquire.data", {"choices": ["a", "b"]}, "must not choose acquire.data"),
        ("seed", {"low": 1, "high": 9}, "must not choose seed"),
        ("evaluate.bootstrap", {"low": 100, "high": 900}, "must not choose evaluate"),
        ("train.monitor", {"choices": ["loss", "accuracy"]}, "compared by"),
        ("train.members", {"low": 1, "high": 3}, "one network"),
        ("augment.zoom", {"choices": [[0.9, "x"]]}, "'x'"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(
    recipe_of: Make, key: str, span: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        space_of(recipe_of, {key: span})
    assert key in str(caught.value)


def test_an_empty_space_is_refused(recipe_of: Make) -> None:
    with pytest.raises(RecipeError, match="is empty"):
        space_of(recipe_of, {})


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ({"choices": []}, "choices is empty"),
        ({}, "either choices, or low and high"),
        ({"low": 2, "high": 1}, "not below"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
        ({"low": 1, "high": 2, "step": 3}, "no second value"),
        ({"choices": [1], "low": 1, "high": 2}, "do not go with"),
        ({"choices": [1, 2, 1]}, "names one twice"),
        ({"low": 1.0, "high": float("inf")}, "not both finite"),
    ],
)
def test_a_span_that_says_nothing_is_refused(span: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Span.model_validate(span)


def test_an_impossible_preparation_is_a_trials_affair(recipe_of: Make) -> None:
    spans = {
        "prepare.crop": {"choices": [[], [2, 30, 32]]},
        "prepare.crop_fraction": {"choices": [1.0, 0.8]},
    }
    assert len(space_of(recipe_of, spans).preparations()) == 3
    with pytest.raises(RecipeError, match="crop goes with"):
        open_space(
            recipe_of({"space": {"prepare.crop_fraction": {"choices": [0.8, 0.9]}}}).model_copy(
                update={"prepare": PrepareSettings(crop=[2, 30, 32])}
            )
        )


def test_cma_es_learns_from_its_first_steps(recipe_of: Make) -> None:
    """On a bowl it comes nearer than chance, with as many trials as a person might ask for."""
    spans = {key: {"low": 0.0, "high": 0.9} for key in ("train.dropout", "train.momentum")}
    space = space_of(recipe_of, spans, strategy="cma_es", startup=10)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for number in range(40):
        study.sampler = make_sampler(space, number)
        trial = study.ask()
        values = space.suggest(trial)
        study.tell(trial, sum((value - 0.75) ** 2 for value in values.values()))
    distance = [trial.value for trial in study.trials]
    assert np.mean(distance[-8:]) < 0.3 * np.mean(distance[1:9])


def test_a_grid_has_every_combination_once(recipe_of: Make) -> None:
    space = space_of(
        recipe_of,
        {
            "train.optimizer": {"choices": ["adamw", "sgd"]},
            "train.batch_size": {"low": 8, "high": 20, "step": 4},
            "train.dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
            "augment.zoom": {"choices": [[], [0.9, 1.1]]},
        },
    )
    grid = space.grid()
    assert len(grid) == 2 * 4 * 4 * 2
    assert len({tuple(point.values()) for point in grid}) == len(grid)
    assert {point["train.batch_size"] for point in grid} == {8, 12, 16, 20}
    assert {point["train.dropout"] for point in grid} == {0.0, 0.1, 0.2, 0.3}
    assert space.variant(grid[-1]).augment.zoom == [0.9, 1.1]


@pytest.mark.parametrize(
    ("strategy", "space", "said"),
    [
        ("grid", {"train.learning_rate": RATE}, "choices, or a step"),
        ("cma_es", {"train.optimizer": {"choices": ["adamw", "sgd"]}}, "has choices"),
        ("cma_es", {"train.learning_rate": RATE}, "at least two"),
    ],
)
def test_a_strategy_refuses_a_space_that_it_cannot_search(
    recipe_of: Make, strategy: str, space: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        check_strategy(space_of(recipe_of, space, strategy=strategy))


def test_stopping_and_two_aims_do_not_go_together(recipe_of: Make) -> None:
    recipe = recipe_of({"strategy": "nsga2", "stopping": "halving"})
    with pytest.raises(RecipeError, match="weighs score against cost"):
        check_strategy(open_space(recipe))


def test_every_preparation_is_known_beforehand(recipe_of: Make) -> None:
    sizes = {"prepare.size": {"choices": [32, 48]}, "train.learning_rate": RATE}
    found = space_of(recipe_of, sizes).preparations()
    assert [variant.prepare.size for variant in found] == [32, 48]
    with pytest.raises(RecipeError, match="at most 32"):
        space_of(recipe_of, {"prepare.crop_fraction": {"low": 0.3, "high": 1.0}}).preparations()


def test_a_place_in_a_table_can_be_searched(recipe_of: Make) -> None:
    space = space_of(recipe_of, {"balance.target.spiral": {"low": 10, "high": 90, "log": True}})
    assert space.variant({"balance.target.spiral": 30}).balance.target == {"spiral": 30}


def test_a_written_recipe_reads_back_the_same(recipe_of: Make, tmp_path: Path) -> None:
    from morphoscope.recipe import load_recipe
    from morphoscope.recipe.written import write_recipe

    recipe = recipe_of(
        description='a "quoted" line\nand π \\ \x7f',
        balance={"method": "target", "target": {"my class": 7}},
        clean={"classes": [{"name": "a", "where": "x > 1e-5 AND y = 'b'"}]},
        augment={"zoom": [], "brightness": 1e-7},
    )
    path = tmp_path / "again.toml"
    path.write_text(write_recipe(recipe))
    assert load_recipe(path) == recipe
