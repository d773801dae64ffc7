"""No result is written over what a person brought, and nothing of theirs is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from morphoscope.engine import Engine
from morphoscope.errors import SourceError, StageError
from morphoscope.predict import predict


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def table(galaxies: Path) -> pl.DataFrame:
    return pl.DataFrame({"file": [str(file) for file in sorted(galaxies.iterdir())[:5]]})


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("images", "out"),
    [
        ("cat", "cat"),
        ("cat", "link"),
        ("link", "sub/../cat"),
        ("cat.parquet.parts", "cat.parquet"),
        ("in.csv", "in.csv"),
        ("in.csv", "link.csv"),
        ("sky", "sky"),
        ("sky", "sky/a.fits"),
        ("sky/*.fits", "sub/../sky/a.fits"),
    ],
)
def test_the_input_is_never_the_output(
    tiny_bundle: Path,
    table: pl.DataFrame,
    inline: Engine,
    tmp_path: Path,
    images: str,
    out: str,
    force: bool,
) -> None:
    for name in ("cat", "cat.parquet.parts", "sky", "sub"):
        (tmp_path / name).mkdir()
    # Spark names its files so.
    table.write_parquet(tmp_path / "cat/part-00000.parquet")
    table.write_parquet(tmp_path / "cat.parquet.parts/rows.parquet")
    table.write_csv(tmp_path / "in.csv")
    (tmp_path / "sky/a.fits").write_bytes(b"SIMPLE")
    (tmp_path / "link").symlink_to("cat")
    (tmp_path / "link.csv").symlink_to("in.csv")
    before = contents(tmp_path)
    with pytest.raises(StageError, match="itself an input; name another --out") as caught:
        predict(tiny_bundle, str(tmp_path / images), out=tmp_path / out, engine=inline, force=force)
    assert "--force" not in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["part-00000.parquet", "part-7.parquet", "_metadata.json"])
@pytest.mark.parametrize("out", ["mine", "mine.parquet"])
def test_parts_of_others_are_not_touched(
    tiny_bundle: Path,
    galaxies: Path,
    table: pl.DataFrame,
    inline: Engine,
    tmp_path: Path,
    out: str,
    name: str,
    force: bool,
) -> None:
    folder = tmp_path / (out if out == "mine" else f"{out}.parts")
    # A part of our own beside it stays as well.
    predict(tiny_bundle, table_file(table, tmp_path), out=tmp_path / "own", engine=inline)
    folder.mkdir()
    shutil.copy(tmp_path / "own/part-00000.parquet", folder / "part-00001.parquet")
    if name.endswith("json"):
        (folder / name).write_text("[1]")
    else:
        table.write_parquet(folder / name)
    before = contents(tmp_path)
    with pytest.raises(StageError, match=f"holds {name}, which Morphoscope did not") as caught:
        predict(tiny_bundle, galaxies, out=tmp_path / out, engine=inline, force=force)
    assert "--force" not in str(caught.value)
    assert contents(tmp_path) == before


def table_file(table: pl.DataFrame, folder: Path) -> Path:
    table.write_csv(folder / "list.csv")
    return folder / "list.csv"


def test_a_wrong_input_costs_no_earlier_result(
    tiny_bundle: Path, galaxies: Path, inline: Engine, tmp_path: Path
) -> None:
    predict(tiny_bundle, galaxies, out=tmp_path / "p", engine=inline)
    before = contents(tmp_path)
    with pytest.raises(SourceError):
        predict(tiny_bundle, tmp_path / "typo", out=tmp_path / "p", engine=inline, force=True)
    assert contents(tmp_path) == before


def test_an_empty_folder_of_the_person_stays(
    tiny_bundle: Path, inline: Engine, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with pytest.raises(SourceError):
            predict(tiny_bundle, tmp_path / "typo", out=tmp_path / name, engine=inline)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
