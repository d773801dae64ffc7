"""What may be named as images: folders, patterns, files, tables of many kinds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from morphoscope.acquire.listing import stem
from morphoscope.errors import CatalogueError, SourceError
from morphoscope.streaming.inputs import Listing, write_listing


def listed(images: str | Path, tmp_path: Path, **options: str) -> list[tuple[str, str]]:
    listing = write_listing(images, tmp_path / "listing", shard_rows=2, **options)
    rows = [row for i in range(listing.shards) for row in listing.shard(i).to_pylist()]
    assert len(rows) == listing.rows
    return [(row["id_str"], row["file_loc"]) for row in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "sky"
    names = ("b.JPG", "a.png", "deep/c.fits.gz", "deep/d.tiff", "._a.png", ".hidden/e.jpg", "x.txt")
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    return place


def test_a_folder_is_searched_with_all_below_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [("a", "a.png"), ("b", "b.JPG"), ("c", "deep/c.fits.gz"), ("d", "deep/d.tiff")]
    absolute = [(name, str(folder / file)) for name, file in expected]
    assert listed(folder, tmp_path) == absolute
    monkeypatch.chdir(tmp_path)
    assert listed("sky", tmp_path) == absolute
    assert listed("sky/**/*.png", tmp_path) == absolute[:1]
    assert listed("sky/deep/*", tmp_path) == absolute[2:]
    assert listed("sky/b.JPG", tmp_path) == absolute[1:2]
    row = ("g::images[3]", f"{folder}/g.h5::images[3]")
    assert listed("sky/g.h5::images[3]", tmp_path) == [row]
    monkeypatch.chdir(folder / "deep")
    assert listed("..", tmp_path) == absolute
    assert listed("../*.png", tmp_path) == absolute[:1]
    assert listed("../b.JPG", tmp_path) == absolute[1:2]


def test_a_name_that_is_not_utf8_has_a_row(folder: Path, tmp_path: Path) -> None:
    for name in (b"bad\xff.jpg", b"deep\xfe/x.jpg"):
        file = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        file.parent.mkdir(exist_ok=True)
        try:
            file.touch()
        except OSError:
            pytest.skip("the file system takes UTF-8 only")
    found = listed(folder, tmp_path)
    assert ("bad\\xff", f"{folder}/bad\\xff.jpg") in found
    assert ("x", f"{folder}/deep\\xfe/x.jpg") in found
    assert len(found) == 6


def test_a_table_of_files_names_them_as_a_folder_does(tmp_path: Path) -> None:
    files = ["G.h5::images[1]", "G.h5::images[2]", "gz.fits.gz", "sub\\x.jpg", "../w/./y.v2.jpg"]
    (tmp_path / "t").mkdir()
    pl.DataFrame({"file": files}).write_csv(tmp_path / "t/t.csv")
    found = listed(tmp_path / "t/../t/t.csv", tmp_path)
    assert [name for name, _ in found] == ["G::images[1]", "G::images[2]", "gz", "x", "y.v2"]
    expected = ["t/G.h5::images[1]", "t/G.h5::images[2]", "t/gz.fits.gz", "t/sub/x.jpg"]
    assert [file for _, file in found] == [f"{tmp_path}/{f}" for f in (*expected, "w/y.v2.jpg")]


def test_linked_folders_are_followed_and_never_in_a_circle(folder: Path, tmp_path: Path) -> None:
    (folder / "back").symlink_to(folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/z.png").touch()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "sky2").symlink_to(folder)
    found = listed(tmp_path / "sky2", tmp_path)
    assert [name for name, _ in found] == ["a", "b", "c", "d", "z"]


@pytest.mark.parametrize("images", ["nowhere", "sky/*.gif", "void", "void/none.csv"])
def test_no_images_is_an_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: str
) -> None:
    (tmp_path / "void").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"there is no|holds no images"):
        listed(images, tmp_path)
    assert not (tmp_path / "listing").exists()


IDS = [588017703996096547, 587722952767439450, 42]
FILES = ["images/a.jpg", "/elsewhere/b.jpg", "images/ü ü.jpg"]
FRAME = pl.DataFrame(
    {"ra": [1.5, 2.5, None], "objid": IDS, "file": FILES, "note": ["x", "y\nz", '"q", w']}
)


def write_with_astropy(path: Path, format_name: str) -> None:
    from astropy.table import Table

    columns = {"objid": np.array(IDS), "file": [f.replace("ü", "u") for f in FILES]}
    Table(columns).write(path, format=format_name)


def write_votable(path: Path) -> None:
    """Write the rows as text, as archives send them."""
    rows = "".join(
        f"<TR><TD>{i}</TD><TD>{f.replace('ü', 'u')}</TD></TR>\n"
        for i, f in zip(IDS, FILES, strict=True)
    )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>\n'
        '<FIELD name="objid" datatype="long"/>\n'
        '<FIELD name="file" datatype="char" arraysize="*"/>\n'
        f"<DATA><TABLEDATA>\n{rows}</TABLEDATA></DATA>\n</TABLE></RESOURCE></VOTABLE>\n"
    )


WRITERS = {
    "plain.csv": FRAME.write_csv,
    "windows.csv": lambda p: p.write_bytes(
        b"\xef\xbb\xbf" + FRAME.write_csv().replace("y\nz", "yz").replace("\n", "\r\n").encode()
    ),
    "spaces.csv": lambda p: p.write_text(
        " objid , file \n" + "".join(f" {i} , {f} \n" for i, f in zip(IDS, FILES, strict=True))
    ),
    "one.parquet": FRAME.write_parquet,
    "categories.parquet": FRAME.cast({"file": pl.Categorical}).write_parquet,
    "t.fits": lambda p: write_with_astropy(p, "fits"),
    "t.vot": write_votable,
    "t.ecsv": lambda p: write_with_astropy(p, "ascii.ecsv"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_tables_of_every_kind_give_the_same_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / "t").mkdir()
    WRITERS[name](tmp_path / "t" / name)
    found = listed(tmp_path / "t" / name, tmp_path)
    files = [f.replace("ü", "u") if name.startswith("t.") else f for f in FILES]
    expected = [files[1] if f[0] == "/" else str(tmp_path / "t" / f) for f in files]
    assert found == list(zip(map(str, IDS), expected, strict=True))


def test_a_folder_of_parquet_is_one_table(tmp_path: Path) -> None:
    for index in range(3):
        path = tmp_path / f"cat/part={index}/{index}.parquet"
        path.parent.mkdir(parents=True)
        FRAME[index : index + 1].write_parquet(path)
    found = listed(tmp_path / "cat", tmp_path)
    assert [name for name, _ in found] == list(map(str, IDS))
    assert found[0][1] == str(tmp_path / FILES[0])


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    frame = pl.DataFrame({"GalaxyID": [7, 8], "Cutout": ["a.jpg", None], "object": ["M31", ""]})
    frame.write_csv(tmp_path / "t.csv")
    with pytest.raises(CatalogueError, match=r"GalaxyID, Cutout, object.*--file-column"):
        listed(tmp_path / "t.csv", tmp_path)
    with pytest.raises(CatalogueError, match=r"no column 'cutout'.*perhaps 'Cutout'"):
        listed(tmp_path / "t.csv", tmp_path, file_column="cutout")
    with pytest.raises(CatalogueError, match=r"no column 'objekt'.*perhaps 'object'.*--id-column"):
        listed(tmp_path / "t.csv", tmp_path, file_column="Cutout", id_column="objekt")
    assert listed(tmp_path / "t.csv", tmp_path, file_column="Cutout") == [
        ("7", str(tmp_path / "a.jpg")),
        ("8", None),
    ]
    named = listed(tmp_path / "t.csv", tmp_path, file_column="Cutout", id_column="object")
    assert named == [("M31", str(tmp_path / "a.jpg")), (None, None)]
    frame.select("object", file="Cutout").write_csv(tmp_path / "files.csv")
    assert [name for name, _ in listed(tmp_path / "files.csv", tmp_path)] == ["a", None]


def test_a_fits_image_is_an_image_and_a_fits_table_a_table(tmp_path: Path) -> None:
    from astropy.io import fits

    fits.PrimaryHDU(np.zeros((8, 8), np.float32)).writeto(tmp_path / "image.fits")
    assert listed(tmp_path / "image.fits", tmp_path) == [("image", f"{tmp_path}/image.fits")]
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE  =    maybe")
    assert listed(tmp_path / "broken.fits", tmp_path) == [("broken", f"{tmp_path}/broken.fits")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.parquet", b"PAR1"),
        ("t.csv", b"id,file\n1,a.jpg\n2\n"),
        ("t.csv", b""),
        ("t.vot", b"<VOTABLE>"),
        ("t.ecsv", b"# %ECSV 1.0\n"),
    ],
)
def test_a_damaged_table_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogueError, match="cannot be read as a table"):
        listed(tmp_path / name, tmp_path)


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), max_size=12)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(st.none() | names, st.none() | names), min_size=1, max_size=40),
    shard_rows=st.integers(1, 9),
    kind=st.sampled_from(["csv", "parquet"]),
)
def test_no_row_is_lost_doubled_or_moved(
    tmp_path: Path, rows: list[tuple[str | None, str | None]], shard_rows: int, kind: str
) -> None:
    table = tmp_path / f"t.{kind}"
    frame = pl.DataFrame(rows, schema={"id": pl.String, "file": pl.String}, orient="row")
    getattr(frame, f"write_{kind}")(table, **({"quote_style": "always"} if kind == "csv" else {}))
    listing = write_listing(table, tmp_path / "listing", shard_rows=shard_rows)
    assert listing.rows == len(rows)
    found = [row for i in range(listing.shards) for row in listing.shard(i).to_pylist()]
    assert [listing.shard(i).num_rows for i in range(listing.shards)] == [
        listing.rows_of(i) for i in range(listing.shards)
    ]
    for (name, file), row in zip(rows, found, strict=True):
        name, file = (name or "").strip(), (file or "").strip().replace("\\", "/")
        file = os.path.normpath(tmp_path / file) if file else None
        assert row["id_str"] == (name or (stem(file) if file else "") or None)
        assert row["file_loc"] == file
    same = write_listing(table, tmp_path / "again", shard_rows=shard_rows)
    assert same.digest == listing.digest
    frame[::-1].write_parquet(tmp_path / "turned.parquet")
    turned = write_listing(tmp_path / "turned.parquet", tmp_path / "again", shard_rows=shard_rows)
    assert isinstance(turned, Listing)
    backwards = [row for i in range(turned.shards) for row in turned.shard(i).to_pylist()]
    assert (turned.digest == listing.digest) == (backwards == found)
