"""Catalogues and the table formats at the edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from morphoscope.catalog import (
    atomic_path,
    free_names,
    read_catalogue,
    read_table,
    write_catalogue,
    write_table,
)
from morphoscope.errors import CatalogueError

FRAME = pl.DataFrame(
    {
        "id_str": ["587722952767439450", "587722981733826738"],
        "file_loc": ["a.jpg", "b.jpg"],
        "p": [0.25, 0.75],
        "flag": ["", "truncated"],
    }
)


def test_a_catalogue_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.parquet"
    write_catalogue(path, FRAME, {"classes": ["a", "b"], "licence": "CC0"})
    again = read_catalogue(path)
    assert again.frame.equals(FRAME)
    assert again.metadata == {"classes": ["a", "b"], "licence": "CC0"}
    assert len(again) == 2


def test_a_catalogue_needs_its_columns(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no column 'file_loc'"):
        write_catalogue(tmp_path / "c.parquet", FRAME.drop("file_loc"), {})
    with pytest.raises(CatalogueError, match="there is no catalogue"):
        read_catalogue(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(CatalogueError, match="not readable as Parquet"):
        read_catalogue(tmp_path / "bad.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".fits", ".vot", ".ecsv"])
def test_tables_round_trip_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(path, FRAME.with_columns(flag=pl.Series(["x", "y"])), {"model": "m-1"})
    again = read_table(path)
    assert [str(value) for value in again["id_str"]] == FRAME["id_str"].to_list()
    assert again["p"].to_list() == [0.25, 0.75]
    assert again["flag"].to_list() == ["x", "y"]


def test_fits_and_votable_keep_the_metadata(tmp_path: Path) -> None:
    from astropy.table import Table

    write_table(tmp_path / "t.fits", FRAME, {"model": "m-1"})
    assert "model: m-1" in " ".join(Table.read(tmp_path / "t.fits").meta["comments"])
    write_table(tmp_path / "t.vot", FRAME, {"model": "m-1"})
    assert "model: m-1" in Table.read(tmp_path / "t.vot").meta["description"]


def test_a_votable_is_written_in_binary(tmp_path: Path) -> None:
    # Astropy's writer of text harms memory; what it harms shows up much later, if at all.
    write_table(tmp_path / "t.vot", FRAME, {})
    assert "<BINARY2>" in (tmp_path / "t.vot").read_text()


def test_a_csv_with_mark_and_windows_line_ends_reads(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfobjid,class\r\n587722952767439450,spiral\r\n")
    frame = read_table(path)
    assert frame.columns == ["objid", "class"]
    assert frame["objid"].to_list() == [587722952767439450]
    assert frame["class"].to_list() == ["spiral"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"a,b\n", "header and no rows"),
        ("a.csv", b"", "cannot be read"),
        ("a.txt", b"x", "suffix"),
        ("a.fits", b"nonsense", "cannot be read"),
        ("a.vot", b"<html>", "cannot be read"),
    ],
)
def test_bad_tables_are_explained(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogueError, match=said):
        read_table(tmp_path / name)
    with pytest.raises(CatalogueError, match="there is no table"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a;b\n1,5;2,3\n", "parted by ';'"),
        (b"a\tb\n1,5\t2\n", "parted by tabs"),
        ("a,b\n1,2\n".encode("utf-16"), "its text is UTF-16"),
        (b"a,b\nu,\xe9\n", "its text is not UTF-8"),
        (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 columns, the header 2"),
    ],
)
def test_other_kinds_of_csv_are_told_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(CatalogueError) as caught:
        read_table(tmp_path / "a.csv")
    assert f"{said}; expected comma-separated UTF-8" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spaces_in_the_names_of_a_votable_stay(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "t.vot"
    write_table(path, pl.DataFrame({"p spiral": [0.5], "p_spiral": [1.5]}), {})
    assert read_table(path).columns == ["p spiral", "p_spiral"]
    assert "W03" not in capfd.readouterr().err


def test_names_that_are_needed_become_free() -> None:
    frame = free_names(pl.DataFrame({"ra": [1], "ra_source": [2]}), ("ra", "dec"))
    assert frame.row(0, named=True) == {"ra_source_source": 1, "ra_source": 2}


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
