"""What the report says of a study whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from morphoscope.recipe import Recipe
from morphoscope.search.report import importances, write_report
from morphoscope.search.space import Space, open_space
from morphoscope.search.table import best_trial, pareto_front, trial_table

Make = Callable[..., Recipe]
SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "train.dropout": {"low": 0.0, "high": 0.5},
    "train.network": {"choices": ["resnet10", "resnet18"]},
}


def made_study(space: Space, aims: int, n: int = 60) -> optuna.Study:
    """Scores that depend on the learning rate alone, best at 0.003; the cost on the network."""
    study = optuna.create_study(directions=["maximize", "minimize"][:aims])
    random = np.random.default_rng(1)
    for _ in range(n):
        rate = float(10 ** random.uniform(-4, -1))
        network = str(random.choice(["resnet10", "resnet18"]))
        score = 0.9 - 0.2 * np.log10(rate / 0.003) ** 2
        cost = 4_000_000 if network == "resnet10" else 9_000_000
        study.add_trial(
            create_trial(
                params={
                    "train.learning_rate": rate,
                    "train.dropout": float(random.uniform(0, 0.5)),
                    "train.network": network,
                },
                distributions=space.distributions(),
                values=[score, cost][:aims],
                user_attrs={
                    "scores": [score - 0.1, score],
                    "best_epoch": 2,
                    "seconds": 1.0,
                    "parameters": cost,
                    "multiply_adds": cost,
                },
            )
        )
    failed = create_trial(state=TrialState.FAIL, user_attrs={"reason": "<b>lost</b>"})
    study.add_trial(failed)
    return study


@pytest.mark.parametrize("aims", [1, 2])
def test_it_names_what_matters(recipe_of: Make, tmp_path: Path, aims: int) -> None:
    space = open_space(recipe_of({"space": SPACE}))
    study = made_study(space, aims)
    table = trial_table(space, study)
    found = importances(space, study, table)
    assert next(iter(found)) == "train.learning_rate"
    assert found["train.learning_rate"] > 0.7

    best = best_trial(table, lowest=False)
    assert best is not None
    assert best["score"] == table["score"].max()
    front = pareto_front(table, lowest=False)
    assert set(front["train.network"]) <= {"resnet10", "resnet18"}
    assert front["score"].is_sorted()
    assert front["multiply_adds"].n_unique() == len(front)
    write_report(space, study, table, best, front if aims == 2 else None, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "&lt;b&gt;lost" in page
    assert ("Score against cost" in page) == (aims == 2)


def test_few_trials_have_no_importance(recipe_of: Make) -> None:
    space = open_space(recipe_of({"space": SPACE}))
    study = made_study(space, 1, n=5)
    assert importances(space, study, trial_table(space, study)) == {}
