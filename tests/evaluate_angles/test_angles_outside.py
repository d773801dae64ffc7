"""The end check: tables matched by name or file, wrong units refused, few galaxies told as few."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from tilted_run import draw_disc

from morphoscope.cli import main
from morphoscope.errors import CatalogueError
from morphoscope.evaluate.angles import judge
from morphoscope.evaluate.angles.outside import Checked, known_inclinations, match

N = 30


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with images, predictions and known inclinations of drawn discs."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "images").mkdir()
    rng = np.random.default_rng(1)
    truth = rng.uniform(20, 90, N)
    value = np.clip(truth + rng.normal(0, 3, N), 0, 90)
    files = [f"{folder}/images/J12.5+{i:02}.png" for i in range(N)]
    for file, tilt in zip(files, truth.tolist(), strict=True):
        cv2.imwrite(file, draw_disc(tilt, 14.0, rng, side=128))
    predictions = pl.DataFrame(
        {
            "id_str": [f"g{i}" for i in range(N)],
            "file_loc": files,
            "p_disc": rng.uniform(0.5, 1, N),
            "inclination": pl.Series(value, dtype=pl.Float32),
            "inclination_low": np.clip(value - 3, 0, 90),
            "inclination_high": np.clip(value + 3, 0, 90),
            "reject": ["not_disc" if i == 3 else None for i in range(N)],
            "flag": pl.Series([None] * N, dtype=pl.String),
        }
    )
    gone = pl.int_range(pl.len()) == 7
    predictions = predictions.with_columns(
        *(
            pl.when(~gone).then(name).alias(name)
            for name in ("inclination", "inclination_low", "inclination_high", "reject")
        ),
        pl.when(gone).then(pl.lit("truncated")).alias("flag"),
    )
    predictions.write_parquet(folder / "predictions.parquet")
    known = pl.DataFrame(
        {
            "number": list(range(N)),
            "file": [f"pictures/J12.5+{i:02}.JPG" for i in range(N)],
            "first": [t if i % 2 else None for i, t in enumerate(truth.tolist())],
            "second": [t if i % 3 else None for i, t in enumerate(truth.tolist())],
        }
    )
    known.write_csv(folder / "known.csv")
    return folder


def check(drawn: Path, out: Path, column: str = "first,second", **options) -> dict:
    return judge(
        drawn / "predictions.parquet", drawn / "known.csv", column=column, out=out, **options
    )


def table(path: Path, values: list, **columns: list) -> Path:
    names = {"id": [f"g{i}" for i in range(len(values))]}
    pl.DataFrame({**names, **columns, "inclination": values}).write_csv(path)
    return path


def test_scores_are_those_of_the_tables(drawn: Path, tmp_path: Path) -> None:
    summary = check(drawn, tmp_path / "page.html")
    known = pl.read_csv(drawn / "known.csv").with_columns(pl.coalesce("first", "second").alias("t"))
    both = known.hstack(pl.read_parquet(drawn / "predictions.parquet").drop("file_loc"))
    both = both.filter(pl.col("t").is_not_null() & pl.col("inclination").is_not_null())
    error = (both["inclination"].cast(pl.Float64) - both["t"]).to_numpy()
    # Neither column has a value for every sixth; one more has no answer.
    assert summary["n"] == both.height == N - N // 6 - 1
    assert summary["rms"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert summary["bias"]["value"] == pytest.approx(error.mean(), rel=1e-4)
    held = (np.abs(error) <= 3).mean()
    assert summary["coverage_68"]["value"] == pytest.approx(held, abs=0.05)
    assert summary["unanswered"] == {"truncated": 1}
    numbers = json.loads(Path(summary["numbers"]).read_text())
    assert numbers["rejected"] == 1
    assert numbers["kept"]["mae"]["n"] == summary["n"] - 1
    furthest = [abs(one["value"] - one["truth"]) for one in numbers["galaxies"]]
    assert furthest == sorted(furthest, reverse=True)


def test_the_page_says_the_same_and_that_few_are_few(drawn: Path, tmp_path: Path) -> None:
    summary = check(drawn, tmp_path / "page.html")
    page = Path(summary["page"]).read_text()
    assert f"{summary['n']} galaxies are few" in page
    assert f"{summary['rms']['value']:.1f}°" in page
    assert page.count("<img") == summary["n"]
    assert "<script" not in page


def test_the_formula_stands_beside_it_with_the_thickness_asked_for(
    drawn: Path, tmp_path: Path
) -> None:
    errors = {}
    for q0 in (0.15, 0.5):
        check(drawn, tmp_path / "page", q0=q0)
        ways = json.loads((tmp_path / "page.json").read_text())["ways"]
        assert f"q0 = {q0:g}" in ways[0]["title"]
        errors[q0] = ways[0]["other"]["mae"]["value"]
    # They were drawn with 0.15.
    assert errors[0.15] < errors[0.5]
    truth = [one["truth"] for one in json.loads((tmp_path / "page.json").read_text())["galaxies"]]
    guess = np.abs(np.array(truth) - np.median(truth)).mean()
    assert ways[-1]["other"]["mae"]["value"] == pytest.approx(guess)


def test_names_and_files_both_find_their_galaxies(drawn: Path, tmp_path: Path) -> None:
    predictions = pl.read_parquet(drawn / "predictions.parquet")
    by_name = table(tmp_path / "name.csv", [50.0] * 9, remark=["x"] * 9)
    assert match(predictions, known_inclinations(by_name, "inclination"), by_name).frame.height == 8
    files = [f"J12.5+{i:02}" for i in range(9)]
    by_file = table(tmp_path / "file.csv", [50.0] * 9, id=files)
    found = match(predictions, known_inclinations(by_file, "inclination"), by_file)
    assert found.frame["id_str"].to_list() == [f"g{i}" for i in range(9) if i != 7]


def test_galaxies_that_nobody_predicted_are_counted(drawn: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "known.csv", [40.0, 50.0, 60.0], id=["g1", "elsewhere", "g7"])
    found = judge(drawn / "predictions.parquet", path, column="inclination", out=tmp_path / "page")
    assert found["n"] == 1
    assert found["unanswered"] == {"not among the predictions": 1, "truncated": 1}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([10.0, 95.0, 30.0], r"1 inclinations outside 0 … 90, such as 95"),
        ([-1.0, 40.0], r"outside 0 … 90, such as -1"),
        ([0.1, 0.5, 1.0, 1.2, 1.57], r"all 5 inclinations .* look like radians"),
        ([None, None], r"no value in inclination"),
        (["edge-on", "40"], r"text among the inclinations"),
    ],
)
def test_what_are_no_degrees_is_refused(tmp_path: Path, values: list, said: str) -> None:
    path = table(tmp_path / "known.csv", values)
    with pytest.raises(CatalogueError, match=said):
        known_inclinations(path, "inclination")


def test_a_few_small_angles_are_no_radians(tmp_path: Path) -> None:
    path = table(tmp_path / "known.csv", [0.0, 1.0, 0.5, 1.5])
    assert known_inclinations(path, "inclination").height == 4
    path = table(tmp_path / "more.csv", [0.0, 1.0, 0.5, 1.5, 1.2, 2.0])
    assert known_inclinations(path, "inclination").height == 6


def test_tables_that_do_not_fit_are_told(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    with pytest.raises(CatalogueError, match="no column 'third'"):
        check(drawn, out, "first,third")
    with pytest.raises(CatalogueError, match=r"no galaxy .*--id-column"):
        check(drawn, out, id_column="number")
    with pytest.raises(CatalogueError, match="no column of known inclinations is named"):
        check(drawn, out, " , ")
    twice = table(tmp_path / "twice.csv", [50.0, 60.0], id=["g1", "g1"])
    with pytest.raises(CatalogueError, match="'g1' is there twice"):
        judge(drawn / "predictions.parquet", twice, column="inclination", out=out)
    unanswered = table(tmp_path / "none.csv", [50.0], id=["g7"])
    with pytest.raises(CatalogueError, match="has a predicted one"):
        judge(drawn / "predictions.parquet", unanswered, column="inclination", out=out)
    classes = tmp_path / "classes.csv"
    pl.DataFrame({"id_str": ["g1"], "file_loc": ["a"], "class": ["disc"]}).write_csv(classes)
    with pytest.raises(CatalogueError, match="no column 'inclination'"):
        judge(classes, twice, column="inclination", out=out)
    assert not out.exists()


def test_verdicts_of_other_hands_are_read_as_well(drawn: Path) -> None:
    frame = pl.read_parquet(drawn / "predictions.parquet").with_columns(truth=pl.lit(50.0))
    rejected = frame["reject"].is_not_null().to_numpy()
    assert rejected.sum() == 1
    as_bool = frame.with_columns(pl.col("reject") == "not_disc")
    as_text = frame.with_columns(pl.col("reject").fill_null(""))
    for one in (frame, as_bool, as_text):
        assert Checked(one, {}).kept.tolist() == (~rejected).tolist()
    assert Checked(frame.drop("reject"), {}).kept.all()


def test_wider_intervals_are_checked_where_they_are_given(drawn: Path, tmp_path: Path) -> None:
    wider = pl.read_parquet(drawn / "predictions.parquet").with_columns(
        (pl.col("inclination") - 20).clip(0).alias("inclination_low_90"),
        (pl.col("inclination") + 20).clip(0, 90).alias("inclination_high_90"),
    )
    wider.write_parquet(tmp_path / "wider.parquet")
    judge(tmp_path / "wider.parquet", drawn / "known.csv", column="first", out=tmp_path / "page")
    scores = json.loads((tmp_path / "page.json").read_text())["scores"]
    assert scores["coverage_90"]["value"] == 1
    check(drawn, tmp_path / "page")
    assert "coverage_90" not in json.loads((tmp_path / "page.json").read_text())["scores"]


def test_the_command(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["judge", str(drawn / "predictions.parquet"), str(drawn / "known.csv")]
    out = ["--out", str(tmp_path / "end.html")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--column", "first,second", "--q0", "0.15", *out])
    assert ended.value.code == 0
    assert "coverage_68" in capsys.readouterr().out
    assert (tmp_path / "end.html").exists()
    with pytest.raises(SystemExit) as ended:
        main([*words, *out])
    assert ended.value.code == 1
    assert "no column 'inclination'" in capsys.readouterr().err


@pytest.mark.real
def test_real_galaxies_are_found_by_their_files(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "inclination"
    files = sorted(folder.glob("images/*.jpg"))
    frame = pl.DataFrame(
        {
            "id_str": [file.stem for file in files],
            "file_loc": [str(file) for file in files],
            "inclination": [70.0] * len(files),
            "inclination_low": [50.0] * len(files),
            "inclination_high": [90.0] * len(files),
        }
    )
    frame.write_parquet(tmp_path / "constant.parquet")
    column = "inc_standard,inc_cf4_manual,inc_guest_median"
    labels = pl.read_csv(folder / "labels.csv")
    human = labels.select(pl.coalesce(column.split(","))).to_series().drop_nulls()
    found = judge(
        tmp_path / "constant.parquet",
        folder / "labels.csv",
        column=column,
        out=tmp_path / "page.html",
    )
    assert found["n"] == len(human) > 15
    assert found["mae"]["value"] == pytest.approx((human - 70).abs().mean())
    assert found["coverage_68"]["value"] == pytest.approx((human >= 50).mean())
    ways = json.loads((tmp_path / "page.json").read_text())["ways"]
    assert ways[0]["other"]["mae"]["value"] < found["mae"]["value"]


@pytest.mark.parametrize("said", [-10.0, 140.0])
def test_predictions_outside_the_range_are_refused(tmp_path: Path, said: float) -> None:
    frame = pl.DataFrame(
        {
            "id_str": ["a", "b"],
            "file_loc": ["a.png", "b.png"],
            "inclination": [said, 30.0],
            "inclination_low": [20.0, 20.0],
            "inclination_high": [40.0, 40.0],
        }
    )
    frame.write_parquet(tmp_path / "p.parquet")
    (tmp_path / "k.csv").write_text("id_str,inclination\na,30\nb,40\n")
    with pytest.raises(CatalogueError, match="outside 0 … 90"):
        judge(tmp_path / "p.parquet", tmp_path / "k.csv", column="inclination", out=tmp_path / "j")
