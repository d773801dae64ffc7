"""The store: rows agree with the catalogue, and every way it can be wrong has its word."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.engine import Engine, open_engine
from morphoscope.errors import StoreError
from morphoscope.prepare import open_store, prepare, prepare_file
from morphoscope.recipe import EngineSettings, PrepareSettings

CLASSES = ["spiral", "elliptical"]
SETTINGS = PrepareSettings.model_validate({"size": 16, "crop_fraction": 0.8})


@pytest.fixture
def engine() -> Any:
    with open_engine(EngineSettings(kind="inline", workers=0)) as opened:
        yield opened


def write_images(folder: Path, n: int, *, side: int = 24, suffix: str = ".png") -> pl.DataFrame:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(8)
    names = [f"galaxy-{i:04d}" for i in range(n)]
    for name in names:
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}{suffix}")
    return pl.DataFrame(
        {
            "id_str": names,
            "file_loc": [str(folder / f"{name}{suffix}") for name in names],
            "class": [CLASSES[i % 2] for i in range(n)],
            "split": [["train", "train", "validation", "test"][i % 4] for i in range(n)],
        }
    )


def make(folder: Path, frame: pl.DataFrame, engine: Engine, **values: Any) -> dict[str, Any]:
    write_catalogue(folder / "in.parquet", frame, {"classes": CLASSES, "source": "noise"})
    chosen = PrepareSettings.model_validate({**SETTINGS.model_dump(), **values})
    return prepare(chosen, catalogue=folder / "in.parquet", out=folder / "out", engine=engine)


def test_rows_are_those_of_the_catalogue(tmp_path: Path, engine: Engine) -> None:
    frame = write_images(tmp_path / "images", 40)
    summary = make(tmp_path, frame, engine)
    store = open_store(tmp_path / "out", SETTINGS)
    assert summary["n"] == len(store) == 40
    assert summary["shape"] == [40, 3, 16, 16]
    assert summary["sizes"] == {"24×24": 40}
    assert summary["rejects"] == {}
    assert summary["bytes"] == (tmp_path / "out" / "images.npy").stat().st_size
    for row in range(40):
        expected = prepare_file(frame["file_loc"][row], SETTINGS)
        np.testing.assert_array_equal(store.images[row], expected)
    assert store.classes == CLASSES
    assert store.labels.tolist() == [0, 1] * 20
    assert store.settings == SETTINGS
    assert store.catalogue.equals(frame)
    described = json.loads((tmp_path / "out" / "store.json").read_text())
    content = (tmp_path / "out" / "images.npy").read_bytes()
    assert described["sha256"] == hashlib.sha256(content).hexdigest()
    assert described["preparation"] == SETTINGS.model_dump()
    assert read_catalogue(tmp_path / "out" / "catalogue.parquet").metadata["source"] == "noise"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "images.npy",
        "catalogue.parquet",
        "rejects.parquet",
        "store.json",
    }


def test_sizes_come_from_the_catalogue_when_it_has_them(tmp_path: Path, engine: Engine) -> None:
    frame = write_images(tmp_path / "images", 6).with_columns(ny=pl.lit(424), nx=pl.lit(300))
    assert make(tmp_path, frame, engine)["sizes"] == {"424×300": 6}


@pytest.mark.parametrize("n", [10, 101])
def test_unreadable_images_leave_with_their_reason(n: int, tmp_path: Path, engine: Engine) -> None:
    frame = write_images(tmp_path / "images", n)
    Path(frame["file_loc"][0]).unlink()
    Path(frame["file_loc"][5]).write_bytes(b"")
    whole = Path(frame["file_loc"][n - 1]).read_bytes()
    Path(frame["file_loc"][n - 1]).write_bytes(whole[: len(whole) // 2])
    summary = make(tmp_path, frame, engine)
    assert summary["rejects"] == {"missing": 1, "empty": 1, "truncated": 1}
    assert summary["n"] == n - 3
    store = open_store(tmp_path / "out")
    kept = frame.filter(~pl.int_range(n).is_in([0, 5, n - 1]))
    assert store.catalogue.equals(kept)
    for row, file_loc in enumerate(kept["file_loc"]):
        np.testing.assert_array_equal(store.images[row], prepare_file(file_loc, SETTINGS))
    rejects = read_catalogue(tmp_path / "out" / "rejects.parquet").frame
    assert rejects["reason"].to_list() == ["missing", "empty", "truncated"]
    assert frame["file_loc"][0] in rejects["detail"][0]


def test_none_readable_and_none_at_all(tmp_path: Path, engine: Engine) -> None:
    frame = write_images(tmp_path / "images", 3)
    with pytest.raises(StoreError, match="no rows"):
        make(tmp_path, frame.head(0), engine)
    for file_loc in frame["file_loc"]:
        Path(file_loc).unlink()
    with pytest.raises(StoreError, match="none of 3 images"):
        make(tmp_path, frame, engine)
    with pytest.raises(StoreError, match="unfinished"):
        open_store(tmp_path / "out")
    write_images(tmp_path / "images", 3)
    assert make(tmp_path, frame, engine)["n"] == 3


def test_parallel_is_inline_bit_for_bit(tmp_path: Path, engine: Engine) -> None:
    frame = write_images(tmp_path / "images", 60, suffix=".jpg")
    Path(frame["file_loc"][7]).unlink()
    make(tmp_path, frame, engine)
    inline = (tmp_path / "out" / "images.npy").read_bytes()
    (tmp_path / "out" / "images.npy").unlink()
    with open_engine(EngineSettings(kind="local", workers=2)) as local:
        make(tmp_path, frame, local)
    assert (tmp_path / "out" / "images.npy").read_bytes() == inline


def test_called_again_it_has_nothing_to_do(tmp_path: Path, engine: Engine) -> None:
    frame = write_images(tmp_path / "images", 8)
    summary = make(tmp_path, frame, engine)
    before = (tmp_path / "out" / "images.npy").stat().st_mtime_ns
    assert make(tmp_path, frame, engine) == summary
    assert (tmp_path / "out" / "images.npy").stat().st_mtime_ns == before
    assert make(tmp_path, frame, engine, size=32)["shape"] == [8, 3, 32, 32]
    assert make(tmp_path, frame.head(5), engine, size=32)["n"] == 5


@pytest.fixture
def folder(tmp_path: Path, engine: Engine) -> Path:
    make(tmp_path, write_images(tmp_path / "images", 12), engine)
    return tmp_path / "out"


def refusal(folder: Path, settings: PrepareSettings | None = None) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(folder, settings)
    return str(caught.value)


def test_another_recipe_is_named(folder: Path) -> None:
    other = PrepareSettings.model_validate({"size": 64, "crop_fraction": 0.8, "pad": "edge"})
    said = refusal(folder, other)
    assert "size = 16, pad = zero" in said
    assert "size = 64, pad = edge" in said
    assert "crop_fraction" not in said


def test_damage_is_named(folder: Path) -> None:
    assert "no image store" in refusal(folder / "elsewhere")
    images, described = folder / "images.npy", folder / "store.json"
    whole, text = images.read_bytes(), described.read_text()
    images.write_bytes(whole[:-1])
    assert f"{len(whole) - 1:,} bytes; expected {len(whole):,}" in refusal(folder)
    images.write_bytes(b"x" * len(whole))
    assert "absent or damaged" in refusal(folder)
    images.write_bytes(whole.replace(b"(12, 3, 16, 16)", b"(12, 3, 32, 8) "))
    assert "(12, 3, 32, 8)" in refusal(folder)
    images.unlink()
    assert "absent or damaged" in refusal(folder)
    images.write_bytes(whole)
    for content, word in [
        (text[:-9], "damaged"),
        (text.replace('"complete"', '"writing"'), "unfinished"),
        (text.replace('"format": 1', '"format": 9'), "format 1"),
        (text.replace('"crop_fraction"', '"crop_share"'), "does not know"),
        (text.replace('"shape"', '"form"', 1), "damaged"),
    ]:
        described.write_text(content)
        assert word in refusal(folder)
    described.write_text(text)
    assert len(open_store(folder)) == 12


def test_catalogue_and_array_must_agree(folder: Path) -> None:
    catalogue = read_catalogue(folder / "catalogue.parquet")
    path = folder / "catalogue.parquet"
    write_catalogue(path, catalogue.frame.head(11), catalogue.metadata)
    assert "11 rows; expected 12" in refusal(folder)
    write_catalogue(path, catalogue.frame, {"classes": ["spiral"]})
    assert "'elliptical'" in refusal(folder)
    path.unlink()
    assert "no catalogue" in refusal(folder)
    write_catalogue(path, catalogue.frame.drop("class", "split"), {})
    bare = open_store(folder)
    assert bare.classes == []
    assert set(bare.labels) == {-1}
    with pytest.raises(StoreError, match="not split"):
        bare.rows("train")
    write_catalogue(path, catalogue.frame.with_columns(pl.lit(None, pl.String).alias("class")), {})
    assert set(open_store(folder).labels) == {-1}


def test_rows_of_a_split(folder: Path) -> None:
    store = open_store(folder)
    assert store.rows("train").tolist() == [0, 1, 4, 5, 8, 9]
    assert store.rows("test").dtype == np.int64
    with pytest.raises(StoreError, match="test, train, validation"):
        store.rows("training")


def test_gather_copies_rows_in_their_order(folder: Path) -> None:
    store = open_store(folder)
    rows = np.array([3, 3, 11, 0])
    found = store.gather(rows)
    np.testing.assert_array_equal(found, store.images[rows])
    assert found.flags.writeable
    buffer = np.zeros((4, 3, 16, 16), np.uint8)
    assert store.gather([3, 3, 11, 0], out=buffer) is buffer
    np.testing.assert_array_equal(buffer, found)
    assert store.gather([]).shape == (0, 3, 16, 16)
    for wrong in (12, -1):
        with pytest.raises(IndexError, match=r"0 … 11"):
            store.gather([wrong])
