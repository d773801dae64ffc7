"""The stage as a whole: disjoint, group-safe, stratified, the same again, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.errors import CatalogueError, SplitError
from morphoscope.recipe import SplitSettings
from morphoscope.split import SPLITS, split

CLASSES = ["elliptical", "spiral", "merger"]
KFOLD = SplitSettings(kind="kfold", folds=4, groups=["frame"])


def galaxies(n: int, seed: int = 1, frames: int | None = None, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id_str": [f"g{i:06d}" for i in range(first, first + n)],
            "file_loc": [f"/images/{i}.jpg" for i in range(first, first + n)],
            "class": rng.choice(CLASSES, n, p=[0.7, 0.2, 0.1]),
            "frame": rng.integers(0, frames or n, n),
        }
    )


def divided(
    frame: pl.DataFrame, folder: Path, asked: SplitSettings, seed: int = 1, out: str = "split"
) -> tuple[pl.DataFrame, dict[str, Any]]:
    write_catalogue(folder / "in.parquet", frame, {"classes": CLASSES, "licence": "CC0"})
    summary = split(asked, catalogue=folder / "in.parquet", seed=seed, out=folder / out)
    return read_catalogue(folder / out / "catalogue.parquet").frame, summary


def splits(frame: pl.DataFrame, column: str = "split") -> dict[str, Any]:
    return dict(frame.select("id_str", column).iter_rows())


def assert_group_safe(frame: pl.DataFrame, by: str = "group", column: str = "split") -> None:
    assert frame.group_by(by).agg(pl.col(column).n_unique())[column].max() == 1


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n=st.integers(60, 300),
    frames=st.integers(20, 300),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["holdout", "kfold"]),
)
def test_splits_are_disjoint_group_safe_and_whole(
    tmp_path: Path, n: int, frames: int, seed: int, kind: Any
) -> None:
    asked = SplitSettings(kind=kind, groups=["frame"], folds=3)
    frame = galaxies(n, seed, frames)
    for kept in (tmp_path / "split").glob("*"):
        kept.unlink()
    found, summary = divided(frame, tmp_path, asked, seed)
    assert found.select(frame.columns).equals(frame)
    assert found["split"].is_in(SPLITS).all()
    assert_group_safe(found)
    assert_group_safe(found, by="frame")
    assert summary["groups"] == frame["frame"].n_unique()
    assert summary["largest_group"] == frame["frame"].value_counts()["count"].max()
    counts = {name: dict.fromkeys(CLASSES, 0) for name in SPLITS}
    for row in found.group_by("split", "class").len().iter_rows():
        counts[row[0]][row[1]] = row[2]
    assert summary["counts"] == counts
    if kind == "kfold":
        assert_group_safe(found, column="fold")
        assert found["fold"].dtype == pl.Int32
        assert set(found.filter(split="test")["fold"]) == {0}
        assert set(found["fold"]) == {0, 1, 2}


def test_each_split_has_its_share_of_each_class(tmp_path: Path) -> None:
    frame = galaxies(4000, frames=2500)
    found, summary = divided(frame, tmp_path, SplitSettings(groups=["frame"]))
    for one in CLASSES:
        total = (found["class"] == one).sum()
        for name, share in zip(SPLITS, (0.7, 0.15, 0.15)):
            assert summary["counts"][name][one] == pytest.approx(share * total, abs=1.5)
    assert summary["warnings"] == []


def test_folds_are_even_and_leave_a_validation_of_the_rest(tmp_path: Path) -> None:
    frame = galaxies(2000, frames=1500)
    found, summary = divided(frame, tmp_path, KFOLD)
    for one in CLASSES:
        of_class = found.filter(pl.col("class") == one)
        assert of_class["fold"].value_counts()["count"].to_list() == pytest.approx(
            [of_class.height / 4] * 4, abs=1.5
        )
        rest = of_class.filter(pl.col("fold") != 0).height
        assert summary["counts"]["validation"][one] == pytest.approx(0.15 * rest, abs=1.5)


def test_another_fold_is_the_same_division(tmp_path: Path) -> None:
    frame = galaxies(300, frames=200)
    tested: list[str] = []
    folds = []
    for fold in range(4):
        asked = KFOLD.model_copy(update={"fold": fold})
        found, summary = divided(frame, tmp_path, asked)
        assert summary["kept"] == (300 if fold else 0)
        tested += found.filter(split="test")["id_str"].to_list()
        folds.append(splits(found, "fold"))
    assert sorted(tested) == frame["id_str"].to_list()
    assert all(one == folds[0] for one in folds)
    alone = divided(frame, tmp_path, KFOLD.model_copy(update={"fold": 3}), out="alone")[0]
    assert alone.equals(found)


@pytest.mark.parametrize("asked", [SplitSettings(groups=["frame"]), KFOLD])
def test_the_draw_depends_on_the_seed_and_not_on_the_order(
    tmp_path: Path, asked: SplitSettings
) -> None:
    frame = galaxies(300, frames=200)
    first, _ = divided(frame, tmp_path, asked, out="a")
    shuffled, _ = divided(frame.sample(fraction=1, shuffle=True, seed=5), tmp_path, asked, out="b")
    other, _ = divided(frame, tmp_path, asked, seed=2, out="c")
    assert shuffled.sort("id_str").equals(first)
    assert splits(other) != splits(first)


@pytest.mark.parametrize("asked", [SplitSettings(groups=["frame"]), KFOLD])
def test_known_galaxies_keep_their_split_and_new_ones_join_their_group(
    tmp_path: Path, asked: SplitSettings
) -> None:
    old = galaxies(300, frames=200)
    before, _ = divided(old, tmp_path, asked)
    new = galaxies(150, seed=7, frames=400, first=300)
    after, summary = divided(pl.concat([new, old]), tmp_path, asked)
    assert summary["kept"] == 300
    known = after.filter(pl.col("id_str").is_in(old["id_str"].implode()))
    assert splits(known) == splits(before)
    assert_group_safe(after, by="frame")
    shares = after["split"].value_counts(normalize=True).sort("split")["proportion"]
    expected = [0.15, 0.7, 0.15] if asked.kind == "holdout" else [0.25, 0.6375, 0.1125]
    assert shares.to_list() == pytest.approx(expected, abs=0.03)


def test_a_galaxy_that_was_away_comes_back_to_its_split(tmp_path: Path) -> None:
    frame = galaxies(300)
    before, _ = divided(frame, tmp_path, SplitSettings())
    divided(frame[::2], tmp_path, SplitSettings())
    after, summary = divided(frame, tmp_path, SplitSettings())
    assert splits(after) == splits(before)
    assert summary["kept"] == 300


@pytest.mark.parametrize(
    ("change", "seed"), [({"validation": 0.2}, 1), ({"groups": ["frame"]}, 1), ({}, 2)]
)
def test_other_settings_or_another_seed_draw_anew(
    tmp_path: Path, change: dict[str, Any], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = galaxies(300, frames=200)
    divided(frame, tmp_path, SplitSettings())
    asked = SplitSettings.model_validate(change)
    found, summary = divided(frame, tmp_path, asked, seed)
    assert summary["kept"] == 0
    assert "drawn anew" in capsys.readouterr().err
    assert found.equals(divided(frame, tmp_path, asked, seed, out="fresh")[0])


def test_what_was_in_test_stays_there_when_groups_meet(tmp_path: Path) -> None:
    frame = galaxies(60)
    before, _ = divided(frame, tmp_path, SplitSettings(groups=["frame"]))
    train, test = (before.filter(split=name)["id_str"][0] for name in ("train", "test"))
    # A new galaxy whose object is that of the one and whose frame is that of the other.
    joined = frame.with_columns(
        pl.when(pl.col("id_str").is_in([train, test])).then(-1).otherwise("frame").alias("frame")
    )
    after, summary = divided(joined, tmp_path, SplitSettings(groups=["frame"]))
    changed = {name for name, where in splits(after).items() if splits(before)[name] != where}
    assert train in changed
    assert splits(after)[train] == "test"
    assert_group_safe(after, by="frame")
    assert summary["kept"] == 60 - len(changed)
    assert "left their earlier split" in summary["warnings"][0]


def test_damaged_assignments_are_not_drawn_over(tmp_path: Path) -> None:
    frame = galaxies(60)
    divided(frame, tmp_path, SplitSettings())
    path = tmp_path / "split" / "assignments.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SplitError, match="delete it to draw a new split"):
        divided(frame, tmp_path, SplitSettings())
    frame.write_parquet(path)
    with pytest.raises(SplitError, match="cannot be read"):
        divided(frame, tmp_path, SplitSettings())


def test_own_columns_of_the_source_are_not_overwritten(tmp_path: Path) -> None:
    frame = galaxies(60).with_columns(pl.lit("A").alias("split"))
    found, _ = divided(frame, tmp_path, SplitSettings())
    assert found["split_source"].unique().to_list() == ["A"]
    metadata = read_catalogue(tmp_path / "split" / "catalogue.parquet").metadata
    assert metadata == {"classes": CLASSES, "licence": "CC0"}


def test_own_columns_never_take_the_place_of_another(tmp_path: Path) -> None:
    own = {"split": "A", "split_source": "B", "row": "C"}
    frame = galaxies(60).with_columns(pl.lit(text).alias(name) for name, text in own.items())
    found, _ = divided(frame, tmp_path, SplitSettings())
    names = ["split_source_source", "split_source", "row"]
    assert found.select(names).unique().rows() == [("A", "B", "C")]


def test_there_may_be_more_than_127_folds(tmp_path: Path) -> None:
    asked = SplitSettings(kind="kfold", folds=200, fold=199)
    with pytest.raises(SplitError, match="60 galaxies are 60 groups"):
        divided(galaxies(60), tmp_path, asked)
    found, _ = divided(galaxies(600), tmp_path, asked)
    assert found["fold"].n_unique() == 200


def test_assignments_of_an_earlier_version_are_kept(tmp_path: Path) -> None:
    before, _ = divided(galaxies(60), tmp_path, KFOLD)
    path = tmp_path / "split" / "assignments.parquet"
    metadata = pl.read_parquet_metadata(path)
    small = pl.read_parquet(path).cast({"fold": pl.Int8})
    small.write_parquet(path, metadata={"made_with": metadata["made_with"]})
    after, summary = divided(galaxies(60), tmp_path, KFOLD)
    assert after.equals(before)
    assert summary["kept"] == 60


def test_a_misspelt_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no column 'clas'; expected it among class;"):
        divided(galaxies(60), tmp_path, SplitSettings(groups=["clas"]))
    with pytest.raises(CatalogueError, match="no column 'xyz'; expected it among class, frame;"):
        divided(galaxies(60), tmp_path, SplitSettings(groups=["xyz"]))


def test_a_class_of_too_few_groups_is_told(tmp_path: Path) -> None:
    frame = galaxies(60).with_columns(
        pl.when(pl.int_range(60) < 2)
        .then(pl.lit("merger"))
        .otherwise(pl.lit("spiral"))
        .alias("class")
    )
    _, summary = divided(frame, tmp_path, SplitSettings())
    missing = [name for name in SPLITS if not summary["counts"][name]["merger"]]
    told = [f"{name} has no 'merger': that class is only 2 groups" for name in missing]
    assert missing
    assert summary["warnings"] == told


def test_galaxies_without_position_are_told_when_neighbours_matter(tmp_path: Path) -> None:
    ra = [None, *np.linspace(0, 50, 59)]
    frame = galaxies(60).with_columns(pl.Series("ra", ra), pl.lit(1.0).alias("dec"))
    _, summary = divided(frame, tmp_path, SplitSettings(neighbours_arcsec=5.0))
    assert summary["warnings"] == ["1 of 60 galaxies have no position: no neighbours are known"]
    _, summary = divided(frame, tmp_path, SplitSettings())
    assert summary["warnings"] == []


@pytest.mark.parametrize("asked", [SplitSettings(groups=["frame"]), KFOLD])
def test_one_group_of_all_cannot_be_split(tmp_path: Path, asked: SplitSettings) -> None:
    frame = galaxies(60, frames=1)
    with pytest.raises(SplitError, match=r"60 galaxies are 1 groups.*would be empty"):
        divided(frame, tmp_path, asked)
    assert not (tmp_path / "split").exists()


def test_a_catalogue_without_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no column 'class'"):
        divided(galaxies(60).drop("class"), tmp_path, SplitSettings())
