"""A known survey is fit, another is not, and few labels ask for more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from morphoscope.engine import Engine
from morphoscope.errors import CatalogueError, LabelError
from morphoscope.fitness import fitness
from morphoscope.fitness.verdict import FIT, NOT_FIT
from morphoscope.predict import predict


def table(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_csv(path)
    return path


@pytest.fixture(scope="session")
def same(sky) -> pl.DataFrame:
    """A survey like that of training."""
    return sky("same", 300, seed=2)


def test_a_survey_like_that_of_training_is_fit_by_its_labels(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    labels = table(same, tmp_path / "labels.csv")
    out = tmp_path / "fitness.json"
    found = fitness(shapes, labels, engine=inline, labels=labels, column="class", out=out)
    assert found["verdict"] == FIT
    assert found["fit"]
    assert found["agreement"]["n"] == 300
    accuracy = found["agreement"]["scores"]["accuracy"]
    assert accuracy["gap"]["low"] < 0 < accuracy["gap"]["high"]
    assert found["inputs"]["unlike"]["low"] <= 0.03
    assert found["inputs"]["traits"] == []
    assert found["answers"]["classes"]["low"] == 0
    assert json.loads(out.read_text()) == found


def test_without_labels_it_asks_for_as_many_as_the_precision_takes(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    images = table(same, tmp_path / "images.csv")
    wide, narrow = (
        fitness(shapes, images, engine=inline, precision=precision)["labels_asked"]
        for precision in (0.1, 0.02)
    )
    assert 0 < wide < narrow / 3


def test_wrong_labels_refuse_the_model(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    shuffled = same.with_columns(pl.col("class").shuffle(seed=1))
    labels = table(shuffled, tmp_path / "labels.csv")
    found = fitness(shapes, labels, engine=inline, labels=labels, column="class")
    assert found["verdict"] == NOT_FIT
    assert "worse by more than" in found["reasons"][0]


def test_few_labels_leave_it_open(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    images = table(same, tmp_path / "images.csv")
    labels = table(same.head(12), tmp_path / "labels.csv")
    found = fitness(shapes, images, engine=inline, labels=labels, column="class", sample=40)
    assert found["n_looked_at"] == 40
    # Those with a label are asked about, also where chance did not choose them.
    assert found["agreement"]["n"] == 12
    assert found["labels_asked"] > 50
    assert found["verdict"] == f"label about {found['labels_asked']:,} more of these"
    assert "leave open" in found["reasons"][0]


def test_a_noisier_survey_is_not_to_be_used_and_noise_is_named(
    shapes: Path, sky, inline: Engine, tmp_path: Path
) -> None:
    other = table(sky("noisy", 60, seed=3, noise=10.0), tmp_path / "images.csv")
    found = fitness(shapes, other, engine=inline)
    assert found["verdict"] == NOT_FIT
    assert found["inputs"]["unlike"]["low"] > 0.5
    noise = [trait for trait in found["inputs"]["traits"] if "noise" in trait["name"]]
    assert noise
    assert noise[0]["shift"] > 0


def test_a_brighter_sky_is_named(shapes: Path, sky, inline: Engine, tmp_path: Path) -> None:
    other = table(sky("bright", 60, seed=4, sky=60.0), tmp_path / "images.csv")
    traits = fitness(shapes, other, engine=inline)["inputs"]["traits"]
    assert traits[0]["name"] in {
        "the brightness of the sky",
        "the brightness of the darkest parts",
        "the brightness of the middling parts",
    }
    assert traits[0]["shift"] > 0


def test_files_that_are_no_images_refuse_the_model(
    shapes: Path, inline: Engine, tmp_path: Path
) -> None:
    for index in range(30):
        (tmp_path / f"{index}.png").write_bytes(b"no picture")
    found = fitness(shapes, tmp_path, engine=inline)
    assert found["verdict"] == NOT_FIT
    assert "not_an_image" in found["reasons"][0]


def test_another_mix_is_told_with_the_class_that_moved(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    rounds = table(same.filter(pl.col("class") == "round"), tmp_path / "images.csv")
    found = fitness(shapes, rounds, engine=inline)
    mix = found["answers"]["classes"]
    assert mix["low"] > 0.1
    assert mix["new"]["round"] > mix["test"]["round"] + 0.2
    assert any("mix of answers is another" in reason for reason in found["reasons"])


def test_of_its_own_catalogue_all_rows_count(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    images = table(same, tmp_path / "images.csv")
    catalogue = tmp_path / "catalogue.parquet"
    predict(shapes, images, out=catalogue, engine=inline)
    found = fitness(shapes, catalogue, engine=inline, sample=50)
    assert found["n_looked_at"] == 300
    whole = fitness(shapes, images, engine=inline)
    assert found["answers"] == whole["answers"]


def test_labels_of_other_words_need_a_translation(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    named = same.with_columns(pl.col("class").replace({"round": "E", "long": "S0"}))
    labels = table(named, tmp_path / "labels.csv")
    ask = {"engine": inline, "labels": labels, "column": "class"}
    with pytest.raises(LabelError, match="--as LABEL=CLASS"):
        fitness(shapes, labels, **ask)
    with pytest.raises(LabelError, match="no class of shapes"):
        fitness(shapes, labels, means={"E": "oval"}, **ask)
    found = fitness(shapes, labels, means={"E": "round"}, **ask)
    assert found["agreement"]["n"] == int((same["class"] == "round").sum())
    assert any("none of its classes" in reason for reason in found["reasons"])


def test_labels_of_other_galaxies_are_refused(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    images = table(same.head(5), tmp_path / "images.csv")
    strange = same.select("class", pl.lit("nobody").alias("name")).head(1)
    labels = table(strange, tmp_path / "labels.csv")
    with pytest.raises(CatalogueError, match="no galaxy of"):
        fitness(shapes, images, engine=inline, labels=labels, column="class")


def test_a_model_from_before_distributions_has_the_counts_of_its_scores(
    shapes: Path, same: pl.DataFrame, inline: Engine, tmp_path: Path
) -> None:
    import shutil

    from morphoscope.bundle.opening import content_id

    old = tmp_path / "old"
    shutil.copytree(shapes, old)
    manifest = json.loads((old / "model.json").read_text())
    counts = manifest.pop("answers")["counts"]
    manifest["id"] = content_id(manifest)
    (old / "model.json").write_text(json.dumps(manifest))
    images = table(same, tmp_path / "images.csv")
    found = fitness(old, images, engine=inline)
    assert set(found["answers"]) == {"classes"}
    test = found["answers"]["classes"]["test"]
    shares = np.array(list(counts.values())) / sum(counts.values())
    assert np.allclose(list(test.values()), shares)
