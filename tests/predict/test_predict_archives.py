"""The same galaxies give the same answers, wherever they lie."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zarr

from morphoscope.engine import Engine
from morphoscope.images import read_image
from morphoscope.predict import predict
from morphoscope.streaming.shards import read_metadata
from tiny_run import N


@pytest.fixture(scope="module")
def places(galaxies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The 60 images as a folder, in archives, as rows of Zarr, and in a partitioned catalogue."""
    top = tmp_path_factory.mktemp("places")
    files = sorted(galaxies.iterdir())
    for name, mode in (("sky.tar", "w"), ("sky.tar.gz", "w:gz")):
        with tarfile.open(top / name, mode) as tar:  # type: ignore[call-overload]
            for file in files:
                tar.add(file, file.name)
    images = np.stack([read_image(str(file)) for file in files])
    group = zarr.open_group(top / "sky.zarr", mode="w")
    group.create_array("images", data=images, chunks=(16, *images.shape[1:]))
    for half in (0, 1):
        rows = [f"{top}/sky.tar::{file.name}" for file in files[30 * half : 30 * half + 30]]
        (top / f"cat/half={half}").mkdir(parents=True)
        pl.DataFrame({"file": rows}).write_parquet(top / f"cat/half={half}/rows.parquet")
    return {name: top / name for name in ("sky.tar", "sky.tar.gz", "sky.zarr", "cat")}


@pytest.mark.parametrize("place", ["sky.tar", "sky.tar.gz", "sky.zarr", "cat"])
def test_the_answers_are_those_of_the_files(
    tiny_bundle: Path,
    galaxies: Path,
    places: dict[str, Path],
    inline: Engine,
    tmp_path: Path,
    place: str,
) -> None:
    predict(tiny_bundle, galaxies, out=tmp_path / "files.parquet", engine=inline)
    out = tmp_path / "out"
    summary = predict(tiny_bundle, places[place], out=out, engine=inline, shard_rows=25)
    parts = sorted(out.rglob("*.parquet"))
    found = pl.concat([pl.read_parquet(part) for part in parts])
    files = pl.read_parquet(tmp_path / "files.parquet")
    assert (summary["n"], summary["flagged"]) == (N, {})
    for name in files.columns:
        if name not in ("id_str", "file_loc"):
            assert found[name].equals(files[name]), name
    if place != "sky.zarr":
        assert found["id_str"].equals(files["id_str"])
    told = read_metadata(parts[0])
    assert told["model"] == summary["model"]
    assert sum(told["counts"]["classes"].values()) == pl.read_parquet(parts[0]).height


def test_a_truncated_archive_is_a_warning(
    tiny_bundle: Path, places: dict[str, Path], inline: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(places["sky.tar"].read_bytes()[:30_000])
    summary = predict(tiny_bundle, path, out=tmp_path / "o.parquet", engine=inline)
    assert 0 < summary["n"] < N
    assert summary["flagged"] == {"truncated": 1}
    assert "cut.tar is damaged or ends too early" in summary["warnings"][0]
