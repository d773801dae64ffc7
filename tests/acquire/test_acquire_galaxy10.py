from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from morphoscope.acquire import acquire
from morphoscope.acquire.galaxy10 import DECALS, SDSS, read_galaxy10
from morphoscope.catalog import read_catalogue
from morphoscope.engine import open_engine
from morphoscope.errors import SourceError
from morphoscope.images import read_image
from morphoscope.provenance import file_digest
from morphoscope.recipe import AcquireSettings, EngineSettings


def galaxy10(path: Path, side: int, n: int = 24, **columns: Any) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(side)
    values = {
        "images": rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8),
        "ans": (np.arange(n) * 7 % 10).astype(np.uint8),
        **columns,
    }
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            if value is not None:
                file[name] = value
    return values


def read(data: Path, out: Path) -> dict[str, Any]:
    with open_engine(EngineSettings(kind="inline", workers=1)) as engine:
        return acquire(AcquireSettings(source="galaxy10"), data=data, out=out, engine=engine)


def test_published_counts() -> None:
    assert len(SDSS.classes) == len(DECALS.classes) == 10
    assert sum(SDSS.classes.values()) == 21_785
    assert sum(DECALS.classes.values()) == 17_736
    assert SDSS.classes["Smooth, Cigar shaped"] == 349


def test_sdss(tmp_path: Path) -> None:
    path = tmp_path / "Galaxy10.h5"
    values = galaxy10(path, 69)
    summary = read(tmp_path, tmp_path / "out")
    stored = read_catalogue(tmp_path / "out" / "catalogue.parquet")
    frame = stored.frame
    assert summary["columns"] == ["id_str", "file_loc", "ra", "dec", "ans", "class"]
    assert frame["file_loc"][17] == f"{path}::images[17]"
    assert np.array_equal(read_image(frame["file_loc"][17]), values["images"][17])
    assert frame["ans"].to_list() == values["ans"].tolist()
    assert frame["class"].to_list() == [list(SDSS.classes)[answer] for answer in values["ans"]]
    assert frame["ra"].null_count() == len(frame)
    assert frame["id_str"].n_unique() == len(frame)
    assert stored.metadata["survey"] == "sdss"
    assert stored.metadata["table_sha256"] == file_digest(path)


def test_decals(tmp_path: Path) -> None:
    path = tmp_path / "Galaxy10_DECals.h5"
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(0, 60, 24) for name in ("ra", "dec", "redshift", "pxscale")}
    columns["redshift"][3] = np.nan
    galaxy10(path, 256, **columns)
    read(path, tmp_path / "out")
    frame = read_catalogue(tmp_path / "out" / "catalogue.parquet").frame
    assert frame["ra"].to_list() == columns["ra"].tolist()
    assert frame["dec"].to_list() == columns["dec"].tolist()
    assert frame["pxscale"].to_list() == columns["pxscale"].tolist()
    assert np.array_equal(frame["redshift"].to_numpy(), columns["redshift"], equal_nan=True)
    assert set(frame["class"]) <= set(DECALS.classes)


def test_editions_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    galaxy10(tmp_path / "a.h5", 16)
    galaxy10(tmp_path / "b.h5", 16, ra=np.zeros(24), dec=np.zeros(24))
    assert read_galaxy10(tmp_path / "a.h5").metadata["survey"] == "sdss"
    assert read_galaxy10(tmp_path / "b.h5").metadata["survey"] == "decals"


def test_counts_are_compared(tmp_path: Path) -> None:
    answers = np.repeat(np.arange(10), list(SDSS.classes.values())).astype(np.uint8)
    path = tmp_path / "x.h5"
    galaxy10(path, 2, n=len(answers), ans=answers)
    assert read_galaxy10(path).warnings == []
    answers[0] = 3
    galaxy10(path, 2, n=len(answers), ans=answers)
    assert read_galaxy10(path).warnings == [
        "class 'Disk, Face-on, No Spiral' has 3,460 images; the published file has 3,461",
        "class 'Smooth, Cigar shaped' has 350 images; the published file has 349",
    ]


def test_unknown_answer_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    galaxy10(path, 16, ans=np.array([10, -1, *range(10), *range(10), 0, 1]))
    found = read_galaxy10(path)
    assert found.rejects.select("ans", "reason").rows() == [
        (10, "unknown_class"),
        (-1, "unknown_class"),
    ]
    assert found.frame["file_loc"][0] == f"{path}::images[2]"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file_is_told(tmp_path: Path, share: float) -> None:
    path = tmp_path / "x.h5"
    galaxy10(path, 64)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(SourceError, match="cannot be read as HDF5"):
        read_galaxy10(path)


def test_damaged_chunk_of_answers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    answers = np.arange(5000) % 10
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((5000, 2, 2, 3), np.uint8)
        chunks = file.create_dataset("ans", data=answers, chunks=(5000,), compression="gzip")
        where = chunks.id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    for at in range(where.byte_offset, where.byte_offset + where.size):
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SourceError, match="cannot be read as HDF5"):
        read_galaxy10(path)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"ans": None}, "no ans"),
        ({"images": None}, "no images"),
        ({"ans": np.zeros(7, np.uint8)}, "shape"),
        ({"ra": np.zeros(7), "dec": np.zeros(24)}, "shape"),
        ({"images": np.zeros((24, 5), np.uint8)}, "shape"),
        ({"ans": np.array([b"a"] * 24)}, "columns"),
    ],
)
def test_other_layout_is_told(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    path = tmp_path / "x.h5"
    galaxy10(path, 16, **columns)
    with pytest.raises(SourceError, match=says):
        read_galaxy10(path)


def test_which_file_must_be_plain(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no HDF5 file"):
        read_galaxy10(tmp_path)
    with pytest.raises(SourceError, match="there is no"):
        read_galaxy10(tmp_path / "nowhere")
    galaxy10(tmp_path / "a.h5", 16)
    galaxy10(tmp_path / "b.hdf5", 16)
    with pytest.raises(SourceError, match=r"a\.h5, b\.hdf5"):
        read_galaxy10(tmp_path)
