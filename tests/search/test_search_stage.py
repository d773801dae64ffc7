"""The whole search: its trials, its outputs, what it does with failures and other spaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from morphoscope.errors import RecipeError, StudyError
from morphoscope.prepare import Store
from morphoscope.recipe import Recipe, load_recipe
from morphoscope.search import search
from morphoscope.search.space import open_space
from morphoscope.search.storage import open_storage
from morphoscope.search.study import _identity, add_trials, open_study

Make = Callable[..., Recipe]
TWO = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "train.weight_decay": {"low": 0.0, "high": 0.2},
}


def trials(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "search" / "trials.parquet")


def test_a_search_leaves_table_recipe_and_report(
    recipe_of: Make, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[np.ndarray] = []
    gather = Store.gather
    monkeypatch.setattr(
        Store, "gather", lambda self, rows, *a: seen.append(rows) or gather(self, rows, *a)
    )
    recipe = recipe_of(
        {
            "trials": 4,
            "space": {
                "train.optimizer": {"choices": ["adamw", "sgd"]},
                "augment.zoom": {"choices": [[], [0.9, 1.1]]},
                "augment.rotate": {"choices": [True, "half"]},
                **TWO,
            },
        }
    )
    found = search(recipe, run)
    table = trials(run)
    assert table["state"].to_list() == ["complete"] * 4 or "stopped" in table["state"].to_list()
    assert all(len(row["scores"]) == row["epochs"] > 0 for row in table.iter_rows(named=True))
    assert (table["multiply_adds"] > 0).all()
    whole = table.filter(pl.col("state") == "complete")
    assert found["best"]["score"] == whole["score"].max()
    assert pl.read_csv(run / "search/trials.csv")["score"].to_list() == table["score"].to_list()

    best = load_recipe(run / "search/best.toml")
    assert best.train.learning_rate == found["best"]["train.learning_rate"]
    assert str(best.augment.rotate).lower() == found["best"]["augment.rotate"]
    assert best.name == "tiny-best"
    assert best.acquire == recipe.acquire

    page = (run / "search/report.html").read_text()
    assert all(f"<th>{key}</th>" in page for key in recipe.search.space)
    assert page.count("<svg") >= 2
    assert "http" not in page.replace("http://www.w3.org", "")

    # The test split had no part in it.
    catalogue = pl.read_parquet(run / "prepare/catalogue.parquet")
    held_back = np.flatnonzero((catalogue["split"] == "test").to_numpy())
    assert held_back.size
    assert not np.isin(np.concatenate(seen), held_back).any()

    # A finished search says so, does no trial again, and writes its best settings again.
    (run / "search/best.toml").unlink()
    seen.clear()
    capsys.readouterr()
    assert search(recipe, run)["best"] == found["best"]
    assert "finished" in capsys.readouterr().err
    assert not seen
    assert load_recipe(run / "search/best.toml") == best


@pytest.mark.parametrize("strategy", ["random", "bayesian", "gaussian_process", "cma_es", "nsga2"])
def test_the_same_seed_makes_the_same_trials(
    recipe_of: Make, run: Path, tmp_path: Path, strategy: str
) -> None:
    """In one go, and in two: what a trial chooses depends on those that ended before it."""
    import shutil

    again = Path(shutil.copytree(run, tmp_path / "again"))
    settings = {"strategy": strategy, "space": TWO}
    for number in (2, 5):
        search(recipe_of({**settings, "trials": number}, train={"epochs": 1}), run)
    search(recipe_of({**settings, "trials": 5}, train={"epochs": 1}), again)
    first, second = (trials(folder).drop("seconds") for folder in (run, again))
    assert first.equals(second)
    assert len(first.select(*TWO).unique()) == 5
    if strategy == "nsga2":
        assert first["state"].to_list() == ["complete"] * 5


def test_a_grid_is_done_whole(recipe_of: Make, run: Path) -> None:
    space = {
        "train.learning_rate": {"choices": [0.001, 0.01]},
        "train.batch_size": {"low": 8, "high": 16, "step": 8},
    }
    search(recipe_of({"strategy": "grid", "space": space}, train={"epochs": 1}), run)
    table = trials(run)
    assert len(table) == 4
    assert len(table.select("train.learning_rate", "train.batch_size").unique()) == 4


def test_halving_stops_what_is_not_among_the_best(recipe_of: Make, run: Path) -> None:
    recipe = recipe_of(
        {"strategy": "random", "stopping": "halving", "trials": 6}, train={"epochs": 3}
    )
    search(recipe, run)
    table = trials(run)
    stopped = table.filter(pl.col("state") == "stopped")
    assert len(stopped)
    assert (stopped["epochs"] < 3).all()
    assert (table.filter(pl.col("state") == "complete")["epochs"] == 3).all()


def test_image_size_is_searched_without_preparing_twice(recipe_of: Make, run: Path) -> None:
    space = {"prepare.size": {"choices": [32, 48]}}
    before = (run / "prepare/images.npy").stat().st_mtime_ns
    search(recipe_of({"strategy": "grid", "space": space}, train={"epochs": 1}), run)
    table = trials(run).sort("prepare.size")
    assert table["multiply_adds"][0] < table["multiply_adds"][1]
    assert (run / "prepare/images.npy").stat().st_mtime_ns == before


def test_a_trial_that_fails_is_recorded_and_the_rest_goes_on(recipe_of: Make, run: Path) -> None:
    space = {"train.learning_rate": {"choices": [0.001, 1e30]}}
    found = search(recipe_of({"strategy": "grid", "space": space}, train={"optimizer": "sgd"}), run)
    assert found["trials"] == {"complete": 1, "failed": 1}
    failed = trials(run).filter(pl.col("state") == "failed").row(0, named=True)
    assert "loss is" in failed["reason"]
    assert found["best"]["train.learning_rate"] == 0.001
    assert "loss is" in (run / "search/report.html").read_text()


def test_a_network_that_is_not_to_be_had_is_one_failed_trial(recipe_of: Make, run: Path) -> None:
    space = {"train.network": {"choices": ["resnet10", "timm/no_such_network"]}}
    recipe = recipe_of({"strategy": "grid", "space": space}, train={"epochs": 1, "width": 1.0})
    assert search(recipe, run)["trials"] == {"complete": 1, "failed": 1}
    assert "timm" in trials(run).filter(pl.col("state") == "failed")["reason"][0]


def test_what_no_trial_could_meet_is_told_before_the_first(recipe_of: Make, run: Path) -> None:
    with pytest.raises(RecipeError, match="no packaged ImageNet weights of resnet10"):
        search(recipe_of(train={"weights": "imagenet", "width": 1.0}), run)
    assert not (run / "search").exists()


def test_fewer_trials_than_before(recipe_of: Make, run: Path) -> None:
    recipe = recipe_of({"trials": 3}, train={"epochs": 1})
    space, folder = open_space(recipe), run / "search"
    with open_storage(folder, "") as storage:
        assert len(add_trials(space, open_study(space, folder, storage))) == 3
    found = search(recipe_of({"trials": 1}, train={"epochs": 1}), run)
    assert found["trials"] == {"complete": 1, "waiting": 2}


def test_a_folder_holds_one_search(recipe_of: Make, run: Path) -> None:
    search(recipe_of({"trials": 1}, train={"epochs": 1}), run)
    with pytest.raises(StudyError, match="their recipe is 'tiny'"):
        search(recipe_of({"trials": 1}, name="other"), run)


def test_weights_count_by_content(recipe_of: Make, tmp_path: Path) -> None:
    def identity(path: Path) -> dict[str, Any]:
        choices = {"train.weights": {"choices": ["", str(path)]}}
        fixed = recipe_of(train={"weights": str(path)})
        return _identity(fixed) | {"choices": _identity(recipe_of({"space": choices}))}

    path, moved = tmp_path / "w.safetensors", tmp_path / "elsewhere" / "w.safetensors"
    moved.parent.mkdir()
    path.write_bytes(b"one")
    moved.write_bytes(b"one")
    first = identity(path)
    assert identity(moved) == first
    path.write_bytes(b"two")
    assert identity(path)["train.weights"] != first["train.weights"]
    assert identity(path)["choices"] != first["choices"]


def test_hypergradients_are_those_of_their_first_values(recipe_of: Make) -> None:
    first, other = (
        _identity(recipe_of({"strategy": "hypergradient"}, train={"learning_rate": rate}))
        for rate in (0.01, 0.03)
    )
    assert first != other


def test_where_all_fail_it_says_why_and_keeps_the_trials(recipe_of: Make, run: Path) -> None:
    space = {"train.learning_rate": {"choices": [1e29, 1e30]}}
    recipe = recipe_of({"strategy": "grid", "space": space}, train={"optimizer": "sgd"})
    for _ in range(2):
        with pytest.raises(StudyError, match=r"all 2 trials failed.*the loss is"):
            search(recipe, run)
        assert trials(run)["state"].to_list() == ["failed"] * 2


def test_trials_of_other_code_are_told(
    recipe_of: Make, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search(recipe_of({"trials": 1}), run)
    assert "other code" not in capsys.readouterr().err
    monkeypatch.setattr("morphoscope.search.study.code_digest", lambda modules: "another")
    search(recipe_of({"trials": 2}), run)
    assert "the trials so far were trained by other code" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("search_settings", "sections", "said"),
    [
        ({"space": TWO}, {}, "search.space"),
        ({"strategy": "random"}, {}, "search.strategy"),
        ({}, {"train": {"epochs": 3}}, "train.epochs"),
        ({}, {"seed": 4}, "their seed is 3"),
    ],
)
def test_trials_of_another_search_are_refused(
    recipe_of: Make, run: Path, search_settings: dict[str, Any], sections: Any, said: str
) -> None:
    search(recipe_of({"trials": 1}), run)
    files = [run / "search/journal.log", run / "split/stage.json", run / "search/best.toml"]
    before = [file.read_bytes() for file in files]
    with pytest.raises(StudyError, match=said):
        search(recipe_of(search_settings, **sections), run)
    assert [file.read_bytes() for file in files] == before
