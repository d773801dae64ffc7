"""Images from further folders beside those of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from morphoscope.acquire import acquire, add_more, inputs_of_more
from morphoscope.catalog import read_catalogue
from morphoscope.engine import InlineEngine
from morphoscope.errors import CatalogueError, LabelError, SourceError
from morphoscope.recipe import AcquireSettings, MoreImages


def folder(place: Path, names: list[str], label: str) -> Path:
    (place / "images").mkdir(parents=True)
    for index, name in enumerate(names):
        pixels = np.full((40, 40, 3), index, np.uint8)
        Image.fromarray(pixels).save(place / "images" / f"{name}.png")
    frame = pl.DataFrame(
        {"file": [f"images/{name}.png" for name in names], "class": [label] * len(names)}
    )
    frame.write_csv(place / "labels.csv")
    return place


def both(
    data: Path, out: Path, *more: MoreImages, below: Path | None = None
) -> tuple[dict[str, Any], pl.DataFrame]:
    settings = AcquireSettings(source="table", more=list(more))
    engine = InlineEngine()
    summary = acquire(settings, data=data, out=out, engine=engine)
    summary = add_more(settings, summary, data=below, out=out, engine=engine)
    return summary, read_catalogue(out / "catalogue.parquet").frame


def test_rows_say_where_they_are_from(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", ["a", "b"], "disc")
    folder(tmp_path / "stars", ["s", "t", "u"], "star")
    folder(tmp_path / "galaxies", ["g"], "elliptical")
    summary, frame = both(
        own,
        tmp_path / "out",
        MoreImages(name="stars", where="id_str != 't'"),
        MoreImages(name="red", folder="galaxies"),
        below=tmp_path,
    )
    assert summary["n"] == 5
    assert summary["more"] == {"stars": 2, "red": 1}
    found = dict(zip(frame["id_str"], zip(frame["origin"], frame["class"])))
    assert found == {
        "a": ("source", "disc"),
        "b": ("source", "disc"),
        "s": ("stars", "star"),
        "u": ("stars", "star"),
        "g": ("red", "elliptical"),
    }
    assert all(Path(file).is_file() for file in frame["file_loc"])


@pytest.mark.parametrize("there", [True, False])
def test_what_is_absent_is_told_and_left_out(tmp_path: Path, there: bool) -> None:
    own = folder(tmp_path / "own", ["a", "b"], "disc")
    below = tmp_path if there else None
    summary, frame = both(own, tmp_path / "out", MoreImages(name="stars"), below=below)
    assert frame.height == 2
    assert any(warning.startswith("without stars") for warning in summary["warnings"])


def test_the_content_of_further_folders_counts(tmp_path: Path) -> None:
    folder(tmp_path / "stars", ["s"], "star")
    settings = AcquireSettings(more=[MoreImages(name="stars"), MoreImages(name="absent")])
    assert inputs_of_more(settings, tmp_path) == [tmp_path / "stars"]
    assert inputs_of_more(settings, None) == []


def test_an_id_of_two_folders_is_refused(tmp_path: Path) -> None:
    own = folder(tmp_path / "own", ["a", "b"], "disc")
    folder(tmp_path / "stars", ["b", "c"], "star")
    with pytest.raises(CatalogueError, match="'b' occurs in source and in stars"):
        both(own, tmp_path / "out", MoreImages(name="stars"), below=tmp_path)


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("clas = 'star'", LabelError, "cannot be applied"),
        ("class = 'moon'", SourceError, "no row of stars meets"),
    ],
)
def test_conditions_that_do_not_hold(
    tmp_path: Path, where: str, error: type[Exception], message: str
) -> None:
    own = folder(tmp_path / "own", ["a", "b"], "disc")
    folder(tmp_path / "stars", ["c"], "star")
    with pytest.raises(error, match=message):
        both(own, tmp_path / "out", MoreImages(name="stars", where=where), below=tmp_path)
