"""Doubtful labels of one run or of all folds: found, shown, and refused where folds do not fit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from test_evaluate_report import Page

from morphoscope.catalog import write_catalogue
from morphoscope.cli import main
from morphoscope.errors import CatalogueError, SplitError
from morphoscope.evaluate.doubts import find_doubts, read_tested

CLASSES = ["disc", "<b>round</b>", "merger"]
N, FOLDS = 90, 3


def galaxies(folder: Path) -> pl.DataFrame:
    """Images whose brightness is their class; the labels of rows 7 and 50 are wrong."""
    rng = np.random.default_rng(4)
    truth = np.arange(N) % 3
    folder.mkdir()
    files = [folder / f"g{row}.png" for row in range(N)]
    for file, kind in zip(files, truth, strict=True):
        cv2.imwrite(str(file), rng.integers(60 * kind, 60 * kind + 60, (40, 40), dtype=np.uint8))
    files[50].unlink()
    labels = truth.copy()
    labels[[7, 50]] = 2, 0
    answers = rng.dirichlet(np.ones(3), N) * 0.2 + 0.8 * np.eye(3)[truth]
    answers[[7, 50]] = 0.02 + 0.94 * np.eye(3)[truth[[7, 50]]]
    names = np.array(CLASSES, dtype=object)
    return pl.DataFrame(
        {
            "id_str": [f"g{row}" for row in range(N)],
            "file_loc": [str(file) for file in files],
            "label": names[labels].tolist(),
            "fold": np.arange(N) // 3 % FOLDS,
            **{f"p_{name}": answers[:, i] for i, name in enumerate(CLASSES)},
        }
    )


def write_folds(folder: Path, frame: pl.DataFrame) -> list[Path]:
    """The predictions of one run a fold, each with validation rows and a catalogue beside it."""
    found = []
    for fold in range(FOLDS):
        part = pl.when(pl.col("fold") == fold).then(pl.lit("test")).otherwise(pl.lit("validation"))
        rows = frame.with_columns(part.alias("split"))
        path = folder / f"fold{fold}" / "evaluate" / "predictions.parquet"
        write_catalogue(path, rows.drop("fold"), {"classes": CLASSES})
        catalogue = rows.select("id_str", "file_loc", "fold", pl.col("label").alias("class"))
        write_catalogue(folder / f"fold{fold}" / "prepare" / "catalogue.parquet", catalogue, {})
        found.append(path)
    return found


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, list[Path]]:
    folder = tmp_path_factory.mktemp("folds")
    frame = galaxies(folder / "images")
    return frame, write_folds(folder, frame)


def test_planted_errors_come_first_with_picture_and_row(
    folds: tuple[pl.DataFrame, list[Path]], tmp_path: Path
) -> None:
    summary = find_doubts(folds[1], out=tmp_path / "doubts.html")
    assert summary["n"] == N
    assert summary["untested"] == 0
    table = pl.read_csv(summary["table"])
    assert set(table["id_str"][:2]) == {"g7", "g50"}
    assert table.height == summary["candidates"] == 2
    seventh = table.row(by_predicate=pl.col("id_str") == "g7", named=True)
    assert (seventh["label"], seventh["suggested"]) == ("merger", "<b>round</b>")
    assert seventh["p_suggested"] > 0.8 > seventh["p_label"]
    text = Path(summary["page"]).read_text()
    page = Page(text)
    assert page.open == []
    assert page.unnamed == []
    assert text.count('src="data:image/jpeg') == 1
    assert "No picture: " in page.words
    assert "<b>round</b>" in page.words
    assert "rather: " in page.words


def test_all_folds_are_each_image_once(folds: tuple[pl.DataFrame, list[Path]]) -> None:
    frame, paths = folds
    tested = read_tested(paths)
    assert sorted(tested.frame["id_str"]) == sorted(frame["id_str"])
    assert tested.probabilities.shape == (N, 3)
    assert [CLASSES[label] for label in tested.labels] == tested.frame["label"].to_list()


def test_a_missing_fold_and_a_fold_twice_are_refused(
    folds: tuple[pl.DataFrame, list[Path]],
) -> None:
    paths = folds[1]
    with pytest.raises(SplitError, match=r"of 3 folds there are no answers for 1; .*split.fold"):
        read_tested([paths[0], paths[2]])
    with pytest.raises(SplitError, match="30 images were tested more than once, as g"):
        read_tested([*paths, paths[1]])


def test_one_split_says_how_many_were_not_tested(
    folds: tuple[pl.DataFrame, list[Path]], tmp_path: Path
) -> None:
    path = write_folds(tmp_path, folds[0])[0]
    catalogue = tmp_path / "fold0" / "prepare" / "catalogue.parquet"
    write_catalogue(catalogue, pl.read_parquet(catalogue).drop("fold"), {})
    summary = find_doubts([path], out=tmp_path / "doubts.html", show=0)
    assert (summary["n"], summary["untested"]) == (30, 60)
    page = Page(Path(summary["page"]).read_text())
    assert "60 labelled images were not tested" in page.words


def test_answers_of_several_networks_are_averaged(
    folds: tuple[pl.DataFrame, list[Path]], tmp_path: Path
) -> None:
    """A comparison's table has a row for each network, and no files: the run knows those."""
    frame = folds[0].with_columns(split=pl.lit("test"))
    catalogue = frame.select("id_str", "file_loc", pl.col("label").alias("class"))
    write_catalogue(tmp_path / "prepare" / "catalogue.parquet", catalogue, {})
    answers = frame.drop("file_loc")
    both = [
        answers.with_columns(variant=pl.lit(name), seed=seed) for name in "ab" for seed in (1, 2)
    ]
    halved = both[0].with_columns(pl.col("^p_.*$") / 2)
    path = tmp_path / "compare" / "predictions.parquet"
    path.parent.mkdir()
    pl.concat([halved, *both[1:]]).write_parquet(path)
    tested = read_tested([path])
    assert tested.frame.height == N
    assert tested.untested == 0
    assert tested.frame["file_loc"].to_list() == frame["file_loc"].to_list()
    expected = frame.select(pl.col("^p_.*$")).to_numpy() * 0.875
    assert tested.probabilities == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda f: f.drop("label"), CatalogueError, "no column 'label'"),
        (lambda f: f.drop("p_disc"), CatalogueError, "'disc' and no column 'p_disc'"),
        (lambda f: f.with_columns(split=pl.lit("train")), SplitError, "no test image"),
        (lambda f: f.with_columns(label=pl.lit("star")), CatalogueError, "label 'star'"),
    ],
)
def test_tables_that_are_no_predictions_are_told(
    folds: tuple[pl.DataFrame, list[Path]], tmp_path: Path, change, error, says: str
) -> None:
    frame = change(folds[0].with_columns(split=pl.lit("test")))
    write_catalogue(tmp_path / "p.parquet", frame, {"classes": CLASSES})
    with pytest.raises(error, match=says):
        read_tested([tmp_path / "p.parquet"])


def test_runs_of_other_classes_are_told(
    folds: tuple[pl.DataFrame, list[Path]], tmp_path: Path
) -> None:
    frame = folds[0].rename({"p_merger": "p_star"}).with_columns(split=pl.lit("test"))
    frame = frame.filter(pl.col("label") != "merger")
    write_catalogue(tmp_path / "p.parquet", frame, {"classes": [*CLASSES[:2], "star"]})
    with pytest.raises(CatalogueError, match=r"has the classes .*star; expected those of"):
        read_tested([folds[1][0], tmp_path / "p.parquet"])


def test_the_command(
    folds: tuple[pl.DataFrame, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.html"
    with pytest.raises(SystemExit) as ended:
        main(["doubts", *map(str, folds[1]), "--out", str(out), "--show", "1"])
    assert ended.value.code == 0
    assert "'candidates': 2" in capsys.readouterr().out
    assert out.with_suffix(".csv").exists()
    with pytest.raises(SystemExit) as ended:
        main(["doubts", str(tmp_path / "nothing.parquet")])
    assert ended.value.code == 1
    assert "there is no table" in capsys.readouterr().err
