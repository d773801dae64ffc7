"""A split that is given beforehand stays as it is."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from morphoscope.catalog import write_catalogue
from morphoscope.errors import RecipeError, SplitError
from morphoscope.recipe import SplitSettings, load_recipe
from morphoscope.split import split


def catalogue(folder: Path) -> Path:
    path = folder / "clean" / "catalogue.parquet"
    names = [f"{number:03d}" for number in range(200)]
    frame = pl.DataFrame(
        {
            "id_str": names,
            "file_loc": names,
            "class": ["a" if number % 3 else "b" for number in range(200)],
        }
    )
    write_catalogue(path, frame, {"classes": ["a", "b"]})
    return path


def test_given_galaxies_keep_their_split_and_the_others_are_shared_out(tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    given.write_text("id_str,split\n" + "".join(f"{n:03d},test\n" for n in range(40)))
    settings = SplitSettings(test=0.2, validation=0.2, given=str(given))
    split(settings, catalogue=catalogue(tmp_path), seed=1, out=tmp_path / "split")
    found = pl.read_parquet(tmp_path / "split" / "catalogue.parquet")
    parts = dict(found.select("id_str", "split").iter_rows())
    assert all(parts[f"{n:03d}"] == "test" for n in range(40))
    assert 36 <= sum(part == "test" for part in parts.values()) <= 44
    assert 36 <= sum(part == "validation" for part in parts.values()) <= 44


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    given.write_text("id_str,split\n001,held_out\n")
    with pytest.raises(SplitError, match="'held_out'"):
        split(
            SplitSettings(given=str(given)),
            catalogue=catalogue(tmp_path),
            seed=1,
            out=tmp_path / "split",
        )


def test_its_path_is_relative_to_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\n[split]\ngiven = "given.csv"\n')
    assert load_recipe(path).split.given == str(tmp_path / "given.csv")
    assert load_recipe(path, ["split.given=here.csv"]).split.given == "here.csv"
    with pytest.raises(RecipeError, match="holdout"):
        load_recipe(path, ["split.kind=kfold"])
