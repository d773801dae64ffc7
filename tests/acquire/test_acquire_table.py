from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.acquire import acquire
from morphoscope.acquire.rows import as_ids, with_positions
from morphoscope.catalog import read_catalogue, write_table
from morphoscope.engine import Engine, open_engine
from morphoscope.errors import CatalogueError, MorphoscopeError, SourceError
from morphoscope.provenance import file_digest
from morphoscope.recipe import AcquireSettings, EngineSettings

IDS = ["587722952767439450", "587722981733826738", "587722981733826740"]


@pytest.fixture
def engine() -> Any:
    with open_engine(EngineSettings(kind="inline", workers=1)) as engine:
        yield engine


def galaxies(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8")


def read(folder: Path, engine: Engine, **changes: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    out = folder.parent / "out"
    settings = AcquireSettings.model_validate({"source": "table", **changes})
    acquire(settings, data=folder, out=out, engine=engine)
    return read_catalogue(out / "catalogue.parquet").frame, reasons(out)


def reasons(out: Path) -> pl.DataFrame:
    return read_catalogue(out / "rejects.parquet").frame


@pytest.mark.real
def test_galaxy_zoo_1(real_data: Path, tmp_path: Path, engine: Engine) -> None:
    data = real_data / "galaxy-zoo-1"
    settings = AcquireSettings(source="table", id_column="objid", licence="CC", citation="GZ1")
    summary = acquire(settings, data=data, out=tmp_path, engine=engine)
    with (data / "labels.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    stored = read_catalogue(tmp_path / "catalogue.parquet")
    frame = stored.frame
    assert summary["n"] == len(rows) == 5665
    assert summary["rejects"] == {}
    assert frame["id_str"].to_list() == [row["objid"] for row in rows]
    assert all(len(name) == 18 and name.isdigit() for name in frame["id_str"])
    assert frame["file_loc"].to_list() == [str(data / row["file"]) for row in rows]
    assert dict(frame["class"].value_counts().iter_rows()) == Counter(r["class"] for r in rows)
    assert frame["ra"].to_list() == [float(r["ra"]) if r["ra"] else None for r in rows]
    assert frame.columns[:4] == ["id_str", "file_loc", "ra", "dec"]
    assert frame.schema["dec"] == pl.Float64
    assert stored.metadata == {
        "source": "table",
        "licence": "CC",
        "citation": "GZ1",
        "table": "labels.csv",
        "table_sha256": file_digest(data / "labels.csv"),
    }


@pytest.mark.parametrize("suffix", ["csv", "parquet", "fits", "vot", "ecsv"])
def test_every_format_keeps_every_digit(tmp_path: Path, engine: Engine, suffix: str) -> None:
    data = tmp_path / "data"
    galaxies(data, [f"images/{name}.jpg" for name in IDS])
    columns = {"objid": [int(name) for name in IDS], "RA": [1.5, 2.5, 3.5], "Dec": [-1.0, 0.0, 9.0]}
    write_table(data / f"labels.{suffix}", pl.DataFrame(columns), {})
    changes = {"table": f"labels.{suffix}", "id_column": "objid", "file_column": ""}
    frame, rejects = read(data, engine, images="images", **changes)
    assert frame["id_str"].to_list() == IDS
    assert frame["objid"].to_list() == columns["objid"]
    assert frame["ra"].to_list() == columns["RA"]
    assert frame["dec"].to_list() == columns["Dec"]
    assert rejects.height == 0


def test_mark_line_ends_and_blanks_of_windows(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["images/007.jpg", "images/12.jpg"])
    lines = ["file ,objid,class", " images\\007.jpg ,007, spiral", "images\\12.jpg,12,ring"]
    (data / "labels.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    frame, _ = read(data, engine, id_column="objid")
    assert frame["id_str"].to_list() == ["007", "12"]
    assert frame["file_loc"].to_list() == [
        str(data / "images/007.jpg"),
        str(data / "images/12.jpg"),
    ]


def test_byte_order_mark_before_the_id_column(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, [f"images/{name}.jpg" for name in ("0007", "0012")])
    (data / "labels.csv").write_bytes(b"\xef\xbb\xbfobjid,class\r\n0007,a\r\n0012,b\r\n")
    frame, _ = read(data, engine, id_column="objid", file_column="", images="images")
    assert frame["id_str"].to_list() == ["0007", "0012"]


def test_labels_and_images_that_miss_each_other(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["images/1.jpg", "images/2.PNG", "images/alone.jpg", "other/far.jpg"])
    table = "file,class\nimages/1.jpg,a\nimages/2.PNG,b\nimages/gone.jpg,c\n,d\nimages/1.jpg,e\n"
    (data / "labels.csv").write_text(table)
    frame, rejects = read(data, engine)
    assert frame["id_str"].to_list() == ["1", "2"]
    assert frame["class"].to_list() == ["a", "b"]
    found = {(r["reason"], r["class"], r["id_str"]) for r in rejects.iter_rows(named=True)}
    assert found == {
        ("label_without_image", "c", "gone"),
        ("label_without_image", "d", None),
        ("duplicate_id", "e", "1"),
        ("image_without_label", None, "alone"),
    }
    assert rejects.columns == [*frame.columns, "reason"]
    gone = rejects.filter(id_str="gone")["file_loc"].item()
    assert gone == str(data / "images/gone.jpg")


def test_ids_find_images_in_sub_folders(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["a/1.jpg", "b/2.fits.gz", "b/1.png", "b/9.jpg", ".hidden/3.jpg", "._2.jpg"])
    (data / "labels.csv").write_text("name,class\n1,a\n2,b\n3,c\n2,d\n,e\n")
    frame, rejects = read(data, engine, id_column="name", file_column="")
    paths = [str(data / "a/1.jpg"), str(data / "b/2.fits.gz")]
    assert frame["file_loc"].to_list() == paths
    found = sorted((r["reason"], str(r["id_str"])) for r in rejects.iter_rows(named=True))
    assert found == [
        ("duplicate_id", "1"),
        ("duplicate_id", "2"),
        ("image_without_label", "9"),
        ("label_without_image", "3"),
        ("label_without_image", "None"),
    ]


def test_row_without_id_is_a_reject(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["1.jpg", "2.jpg"])
    (data / "labels.csv").write_text("name,file\nx,1.jpg\n,2.jpg\n")
    _, rejects = read(data, engine, id_column="name")
    assert rejects["reason"].to_list() == ["missing_id"]


def test_files_of_one_name_in_two_folders_are_two_galaxies(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["a/1.jpg", "b/1.jpg", "b/2.jpg"])
    (data / "labels.csv").write_text("file\na/1.jpg\nb/1.jpg\nb/2.jpg\n")
    frame, _ = read(data, engine)
    assert frame["id_str"].to_list() == ["a/1.jpg", "b/1.jpg", "2"]


def test_rows_of_an_array_file_and_absolute_paths(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["x.h5"])
    galaxies(tmp_path / "far", ["1.jpg"])
    absolute = tmp_path / "far" / "1.jpg"
    (data / "labels.csv").write_text(f"file\nx.h5::images[0]\nx.h5::images[1]\n{absolute}\n")
    frame, _ = read(data, engine)
    assert frame["file_loc"].to_list() == [
        f"{data}/x.h5::images[0]",
        f"{data}/x.h5::images[1]",
        str(absolute),
    ]


def test_own_columns_that_bear_needed_names_are_kept(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["1.jpg"])
    (data / "labels.csv").write_text(
        "file,id_str,file_loc,reason,ra,RA_J2000,dec\n1.jpg,a,b,c,5,7,8\n"
    )
    frame, rejects = read(data, engine, ra_column="RA_J2000")
    row = frame.row(0, named=True)
    assert (row["id_str"], row["ra"], row["dec"]) == ("1", 7.0, 8.0)
    assert row["id_str_source"], row["file_loc_source"] == ("a", "b")
    assert (row["reason_source"], row["ra_source"]) == ("c", 5)
    assert rejects.columns[-1] == "reason"


def test_images_whose_names_are_not_utf8_are_rejects(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["1.jpg", os.fsdecode(b"bad\xff.jpg")])
    (data / "labels.csv").write_text("file,class\n1.jpg,a\n")
    frame, rejects = read(data, engine)
    assert frame["id_str"].to_list() == ["1"]
    assert rejects.select("id_str", "reason").rows() == [("bad\\xff", "image_without_label")]
    (data / "labels.csv").write_text("name,class\n1,a\n")
    _, rejects = read(data, engine, id_column="name", file_column="")
    assert rejects["file_loc"].to_list() == [f"{data}/bad\\xff.jpg"]


def test_catalogue_can_be_a_source_again(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    galaxies(data, ["1.jpg", "2.jpg"])
    (data / "labels.csv").write_text("file,class\n1.jpg,a\n2.jpg,b\n")
    first, _ = read(data, engine)
    shutil.copy(tmp_path / "out" / "catalogue.parquet", data / "again.parquet")
    changes = {"table": "again.parquet", "id_column": "id_str", "file_column": "file_loc"}
    again, _ = read(data, engine, **changes)
    assert again.equals(first)


@pytest.mark.parametrize(
    ("table", "changes", "says"),
    [
        ("File,class\n1.jpg,a\n", {}, "no column 'file'; expected it among File"),
        ("file,klass\n1.jpg,a\n", {"id_column": "class"}, "expected it among klass"),
        ("file;class\n1.jpg;a\n", {}, "parted by ';'"),
        ("file,class\n", {}, "no rows"),
        ("", {}, "labels.csv cannot be read"),
        ("file,class\n1.jpg,a,b,c\n", {}, "labels.csv cannot be read"),
        ("file,class\n1.jpg,a\n", {"ra_column": "alfa"}, "no column 'alfa'"),
        ("file,class\n1.jpg,a\n", {"file_column": ""}, "acquire.file_column or acquire.id_column"),
        ("file,id\n1.jpg,5.87722952767439E+17\n", {"id_column": "id"}, "spreadsheets"),
        ("file,class\nlost.jpg,a\n", {}, "no galaxy with both image and label"),
        ("file,class\n1.jpg,a\n", {"table": "lables.csv"}, "one of labels.csv"),
        ("file,class\n1.jpg,a\n", {"table": "labels.txt"}, "no table"),
        (
            "id,class\n1,a\n",
            {"id_column": "id", "file_column": "", "images": "im"},
            "cannot be read",
        ),
    ],
)
def test_unusable_table_is_told(
    tmp_path: Path, engine: Engine, table: str, changes: dict[str, Any], says: str
) -> None:
    data = tmp_path / "data"
    galaxies(data, ["1.jpg"])
    (data / "labels.csv").write_text(table)
    with pytest.raises(MorphoscopeError, match=says):
        read(data, engine, **changes)
    assert not (tmp_path / "out" / "catalogue.parquet").exists()


def test_table_without_rows_in_another_format_is_told(tmp_path: Path, engine: Engine) -> None:
    data = tmp_path / "data"
    data.mkdir()
    pl.DataFrame({"file": []}, schema={"file": pl.String}).write_parquet(data / "labels.parquet")
    with pytest.raises(CatalogueError, match="no rows"):
        read(data, engine, table="labels.parquet")


def test_absent_data_is_told(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(SourceError, match="there is no"):
        read(tmp_path / "nowhere", engine)


def test_table_itself_may_be_named(tmp_path: Path, engine: Engine) -> None:
    galaxies(tmp_path / "data", ["1.jpg"])
    (tmp_path / "data" / "mine.csv").write_text("file,class\n1.jpg,a\n")
    out = tmp_path / "out"
    table = tmp_path / "data" / "mine.csv"
    summary = acquire(AcquireSettings(source="table"), data=table, out=out, engine=engine)
    assert summary["n"] == 1


def test_positions_that_are_none_are_null_and_told() -> None:
    frame = pl.DataFrame(
        {
            "RAJ2000": ["10.5", "-20", "12:30:00", "-999", "", None, "NaN"],
            "DEJ2000": [1.0, 2.0, 3.0, -999.0, None, None, None],
        }
    )
    found, warnings = with_positions(frame, "ra", "dec", "x.csv")
    assert found["ra"].to_list() == [10.5, 340.0, None, None, None, None, None]
    assert found["dec"].to_list() == [1.0, 2.0, None, None, None, None, None]
    assert found["RAJ2000"].to_list() == frame["RAJ2000"].to_list()
    assert len(warnings) == 1
    assert warnings[0].startswith("2 positions")


def test_no_positions_are_null() -> None:
    found, warnings = with_positions(pl.DataFrame({"ra": [1.0]}), "ra", "dec", "x.csv")
    assert found["ra"].to_list() == [None]
    assert found["ra_source"].to_list() == [1.0]
    assert warnings == []


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1))
def test_whole_numbers_become_exact_text(values: list[int]) -> None:
    assert as_ids(pl.Series("id", values), "x").to_list() == [str(value) for value in values]


@given(st.lists(st.none() | st.integers(0, 2**52), min_size=1))
def test_floats_become_text_while_exact(values: list[int | None]) -> None:
    series = pl.Series("id", values, dtype=pl.Float64).fill_null(float("nan"))
    assert as_ids(series, "x").to_list() == [None if v is None else str(v) for v in values]


@pytest.mark.parametrize("value", [5.877229527674394e17, 1.5, float("inf")])
def test_floats_that_lost_digits_are_refused(value: float) -> None:
    with pytest.raises(CatalogueError, match="rounded"):
        as_ids(pl.Series("id", [1.0, value]), "x")
