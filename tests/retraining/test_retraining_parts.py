"""Tables of labels, the division, and the rule of promotion, against truths that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drawn_sky import draw_sky
from morphoscope.catalog import Catalogue
from morphoscope.clean import classify
from morphoscope.errors import LabelError, SourceError
from morphoscope.recipe import Recipe
from morphoscope.retraining.labels import Source, read_new_labels
from morphoscope.retraining.together import FIELD, LABEL, combine, divide, renewed
from morphoscope.retraining.versus import deserves

CLASSES = ["disc", "not_disc"]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    return draw_sky(tmp_path_factory.mktemp("sky") / "sky", 6, seed=1)


def written(path: Path, frame: pl.DataFrame) -> Path:
    frame.write_csv(path)
    return path


def test_images_are_found_by_their_names(sky: pl.DataFrame, tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", sky.select("id_str", "class"))
    folder = Path(sky["file_loc"][0]).parent
    found = read_new_labels(
        Source(table, "class", images=folder, means={"round": "not_disc", "long": "disc"}),
        CLASSES,
        "classes",
    )
    assert found.frame["file_loc"].to_list() == sky["file_loc"].to_list()
    assert set(found.frame["label"]) == set(CLASSES)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="--images"):
        read_new_labels(Source(table, "class", images=empty), CLASSES, "classes")


def test_an_inclination_makes_a_disc_and_a_reason_another_class(
    sky: pl.DataFrame, tmp_path: Path
) -> None:
    frame = sky.select("id_str", "file_loc").with_columns(
        pl.Series("angle", [10.0, None, 80.0, None, None, 45.0]),
        pl.Series("reason", [None, "not_disc", None, "trail", None, None]),
    )
    table = written(tmp_path / "t.csv", frame)
    found = read_new_labels(Source(table, "angle", reject="reason"), CLASSES, "inclination")
    assert found.frame["label"].to_list() == ["disc", "not_disc", "disc", "disc"]
    assert found.frame["inclination"].to_list() == [10, None, 80, 45]
    assert sum(found.left_out.values()) == 2
    wrong = written(tmp_path / "w.csv", frame.with_columns(pl.lit(95.0).alias("angle")))
    with pytest.raises(LabelError, match="inclination 95"):
        read_new_labels(Source(wrong, "angle"), CLASSES, "inclination")


def together(old: pl.DataFrame, new: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    frame = combine(Catalogue(old), new, "digest", recipe.clean.inclination)
    made = renewed(recipe, catalogue=Path("c"), start=Path("m"), classes=["a", "b"])
    labels = classify(frame.lazy(), made.clean)
    return frame.drop("class", strict=False).with_columns(labels["class"].cast(pl.String))


def galaxies(names: list[str], **columns: object) -> pl.DataFrame:
    unknown = pl.lit(None, pl.Float64)
    return pl.DataFrame({"id_str": names, "file_loc": [f"/{n}.png" for n in names]}).with_columns(
        unknown.alias("ra"), unknown.alias("dec"), **{k: pl.Series(v) for k, v in columns.items()}
    )


def labelled(names: list[str], labels: list[str]) -> pl.DataFrame:
    frame = galaxies(names, label=labels)
    return frame.with_columns(pl.lit(None, pl.Float64).alias("inclination"))


@pytest.mark.parametrize(
    "rules", [[], [{"name": "a", "where": "vote >= 0.5"}, {"name": "b", "where": "vote < 0.5"}]]
)
def test_rules_hold_for_old_galaxies_and_labels_for_new_ones(rules: list[dict]) -> None:
    clean = {
        "classes": rules,
        "drop": [{"where": "vote = 0.0 OR vote IS NULL", "reason": "nobody"}],
    }
    recipe = Recipe.model_validate({"name": "r", "clean": clean})
    vote = [0.9, 0.1, 0.0, 0.8]
    old = galaxies(["1", "2", "3", "4"], vote=vote, **{"class": ["a", "b", "a", "a"]})
    new = labelled(["4", "5", "6"], ["b", "a", "b"])
    found = together(old, new, recipe)
    named = dict(zip(found["id_str"], found["class"], strict=True))
    assert named == {"1": "a", "2": "b", "3": None, "4": "b", "5": "a", "6": "b"}


def test_the_same_file_under_another_name_is_the_same_galaxy() -> None:
    recipe = Recipe(name="r")
    old = galaxies(["1", "2"], **{"class": ["a", "b"]})
    new = labelled(["x"], ["b"]).with_columns(pl.lit("/1.png").alias("file_loc"))
    found = together(old, new, recipe)
    assert found["id_str"].to_list() == ["1", "2"]
    assert found[LABEL].to_list() == ["b", None]


def test_new_galaxies_of_an_old_field_go_where_it_is() -> None:
    recipe = Recipe.model_validate({"name": "r", "split": {"sdss_field": "id_str"}})
    fields = [587722981741363294 + 2**16 * k for k in range(40)]
    old_names, new_names = [str(f) for f in fields], [str(f + 1) for f in fields[:20]]
    strange = [f"decals-{k}" for k in range(30)]
    old = galaxies(old_names, **{"class": ["a", "b"] * 20})
    new = labelled(new_names + strange, ["a", "b"] * 25)
    found = together(old, new, recipe)
    assert found[FIELD].null_count() == 30
    made = renewed(recipe, catalogue=Path("c"), start=Path("m"), classes=["a", "b"])
    names = ["train", "test", "validation", "train"] * 10
    before = pl.DataFrame({"id_str": old_names, "split": names})
    split = dict(divide(found, before, made).iter_rows())
    assert [split[name] for name in old_names] == names
    assert [split[name] for name in new_names] == names[:20]
    counts = {one: sum(split[name] == one for name in strange) for one in names}
    assert counts["test"] == pytest.approx(9, abs=1)


def test_a_group_that_joins_train_and_test_is_test() -> None:
    recipe = Recipe.model_validate({"name": "r", "split": {"groups": ["field"]}})
    made = renewed(recipe, catalogue=Path("c"), start=Path("m"), classes=["a", "b"])
    frame = galaxies(["1", "2", "3", "4"], field=["x", "x", "x", "y"]).with_columns(
        pl.Series("class", ["a", "b", "a", "b"])
    )
    before = pl.DataFrame({"id_str": ["1", "2", "4"], "split": ["train", "test", "train"]})
    split = dict(divide(frame, before, made).iter_rows())
    assert split == {"1": "test", "2": "test", "3": "test", "4": "train"}


def part(n: int, value: float, half: float, p: float) -> dict:
    gain = {"value": value, "low": value - half, "high": value + half, "n": n}
    return {"n": n, "score": "accuracy", "before": 0.8, "after": 0.8 + value, "gain": gain, "p": p}


@pytest.mark.parametrize(
    ("new", "old", "gained"),
    [
        (part(300, 0.06, 0.04, 0.01), part(800, 0.0, 0.02, 1.0), True),
        (part(300, 0.04, 0.05, 0.1), part(800, 0.0, 0.02, 1.0), False),
        (part(300, 0.06, 0.05, 0.06), part(800, 0.0, 0.02, 1.0), False),
        (part(300, 0.06, 0.04, 0.01), part(800, -0.02, 0.02, 0.05), False),
        (part(300, 0.06, 0.04, 0.01), {"n": 0}, True),
        ({"n": 0}, part(800, 0.0, 0.02, 1.0), False),
    ],
)
def test_only_a_clear_gain_without_a_loss_is_served(new: dict, old: dict, gained: bool) -> None:
    found, told = deserves({"new": new, "old": old}, "classes")
    assert found is gained
    assert len(told) == 3


def test_the_gain_is_that_of_the_galaxies_and_bears_their_groups() -> None:
    from morphoscope.retraining.versus import _scored

    random = np.random.default_rng(1)
    losses = [1.0 * (random.random(400) < share) for share in (0.3, 0.2)]
    alone = _scored("accuracy", losses, np.arange(400), 0)
    repeated = [np.repeat(one[:100], 4) for one in losses]
    fours = _scored("accuracy", repeated, np.arange(400) // 4, 0)
    assert alone["gain"]["value"] == pytest.approx(losses[0].mean() - losses[1].mean())
    assert alone["gain"]["value"] == pytest.approx(alone["after"] - alone["before"])

    def width(one: dict) -> float:
        return one["gain"]["high"] - one["gain"]["low"]

    assert width(fours) == pytest.approx(2 * width(alone), rel=0.25)
