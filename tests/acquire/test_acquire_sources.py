from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from morphoscope.acquire import acquire, inputs
from morphoscope.catalog import read_catalogue
from morphoscope.engine import Engine, open_engine
from morphoscope.errors import DownloadError, SourceError
from morphoscope.provenance import content_digest
from morphoscope.recipe import AcquireSettings, EngineSettings

MEMBERS = {
    "galaxies/ring/1.jpg": b"1",
    "galaxies/spiral/2.jpg": b"2",
    "galaxies/labels.csv": b"file,class\nring/1.jpg,a\nspiral/2.jpg,b\n",
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with open_engine(EngineSettings(kind="inline", workers=1)) as engine:
        yield engine


def with_download(web: Any, content: bytes, name: str, **values: Any) -> AcquireSettings:
    web.reset(content)
    item = {"url": web.url, "name": name, "sha256": hashlib.sha256(content).hexdigest()}
    return AcquireSettings.model_validate({"downloads": [item], **values})


def tar_bytes(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tape:
        for name, content in members.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("source", ["folder", "table"])
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_archive_may_stand_for_its_folder(
    tmp_path: Path, engine: Engine, zip_bytes: Any, source: str, suffix: str
) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(zip_bytes(MEMBERS) if suffix == "zip" else tar_bytes(MEMBERS))
    settings = AcquireSettings.model_validate({"source": source})
    summary = acquire(settings, data=path, out=tmp_path / "out", engine=engine)
    frame = read_catalogue(tmp_path / "out" / "catalogue.parquet").frame
    assert summary["n"] == 2
    assert [Path(file).read_bytes() for file in frame["file_loc"]] == [b"1", b"2"]
    assert inputs(settings, path) == [path]
    again = acquire(settings, data=path, out=tmp_path / "out", engine=engine)
    assert again == summary


def test_download_comes_before_reading(
    web: Any, tmp_path: Path, engine: Engine, zip_bytes: Any
) -> None:
    # Made again a second later, it has another time in it.
    content = zip_bytes(MEMBERS)
    settings = with_download(web, content, "x.zip", source="folder")
    summary = acquire(settings, data=None, out=tmp_path, engine=engine)
    assert summary["n"] == 2
    assert (tmp_path / "downloads" / "x.zip").read_bytes() == content
    acquire(settings, data=None, out=tmp_path, engine=engine)
    assert len(web.asked) == 1


@pytest.mark.parametrize("named", ["data", "data/x.zip"])
def test_download_goes_into_the_data_folder(
    web: Any, tmp_path: Path, engine: Engine, zip_bytes: Any, named: str
) -> None:
    (tmp_path / "data" / "ring").mkdir(parents=True)
    (tmp_path / "data" / "ring" / "9.jpg").write_bytes(b"9")
    settings = with_download(web, zip_bytes(MEMBERS), "x.zip", source="folder")
    summary = acquire(settings, data=tmp_path / named, out=tmp_path / "out", engine=engine)
    assert (tmp_path / "data" / "x.zip").is_file()
    assert summary["n"] == (1 if named == "data" else 2)


def test_corrupt_download_ends_before_anything_is_written(
    web: Any, tmp_path: Path, engine: Engine
) -> None:
    settings = with_download(web, b"content", "x.zip", source="folder")
    web.content = b"cOntent"
    with pytest.raises(DownloadError, match="SHA-256"):
        acquire(settings, data=None, out=tmp_path, engine=engine)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_data_may_stand_in_the_recipe(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "data" / "ring").mkdir(parents=True)
    (tmp_path / "data" / "ring" / "9.jpg").write_bytes(b"9")
    settings = AcquireSettings(source="folder", data=str(tmp_path / "data"))
    assert acquire(settings, data=None, out=tmp_path / "out", engine=engine)["n"] == 1
    assert inputs(settings, None) == [tmp_path / "data"]


@pytest.mark.parametrize("source", ["folder", "table", "galaxy_zoo", "galaxy10"])
def test_no_data_is_told(tmp_path: Path, engine: Engine, source: str) -> None:
    settings = AcquireSettings.model_validate({"source": source})
    with pytest.raises(SourceError, match="--data"):
        acquire(settings, data=None, out=tmp_path, engine=engine)
    with pytest.raises(SourceError, match="there is no"):
        acquire(settings, data=tmp_path / "nowhere", out=tmp_path, engine=engine)
    assert content_digest(inputs(settings, tmp_path / "nowhere"))


def test_simulated_galaxies_are_not_acquired(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(SourceError, match="simulate"):
        acquire(AcquireSettings(), data=None, out=tmp_path, engine=engine)


def test_same_id_twice_is_told(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "1.jpg").write_bytes(b"1")
    (tmp_path / "labels.csv").write_text("file\n1.jpg\n1.jpg\n")
    settings = AcquireSettings(source="table")
    summary = acquire(settings, data=tmp_path, out=tmp_path / "out", engine=engine)
    assert summary["rejects"] == {"duplicate_id": 1}
    assert summary["warnings"] == ["1 rows or images repeat an id; only the first of each is used"]


def test_inputs_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file\n")
    elsewhere = tmp_path.parent / "far.csv"
    for changes, expected in (
        ({}, [tmp_path]),
        ({"images": "im"}, [tmp_path / "labels.csv", tmp_path / "im"]),
        ({"table": str(elsewhere)}, [elsewhere, tmp_path]),
    ):
        settings = AcquireSettings.model_validate({"source": "table", **changes})
        assert inputs(settings, tmp_path) == expected
    settings = AcquireSettings(source="table", images="im")
    assert inputs(settings, tmp_path / "labels.csv") == [tmp_path / "labels.csv", tmp_path / "im"]


def test_inputs_of_the_challenge_are_what_is_read(tmp_path: Path, zip_bytes: Any) -> None:
    settings = AcquireSettings(source="galaxy_zoo")
    (tmp_path / "images_training_rev1.zip").write_bytes(zip_bytes({"1.jpg": b""}))
    (tmp_path / "training_solutions_rev1.csv").write_text("GalaxyID\n1\n")
    (tmp_path / "images_test_rev1.zip").write_bytes(b"large and not read")
    assert inputs(settings, tmp_path) == [
        tmp_path / "images_training_rev1.zip",
        tmp_path / "training_solutions_rev1.csv",
    ]


def test_downloads_are_no_inputs_so_that_fetching_changes_nothing(
    web: Any, tmp_path: Path, engine: Engine, zip_bytes: Any
) -> None:
    data = tmp_path / "data"
    (data / "ring").mkdir(parents=True)
    (data / "ring" / "9.jpg").write_bytes(b"9")
    settings = with_download(web, zip_bytes(MEMBERS), "x.zip", source="folder")
    before = content_digest(inputs(settings, data))
    acquire(settings, data=data, out=tmp_path / "out", engine=engine)
    assert content_digest(inputs(settings, data)) == before
    assert inputs(settings, data / "x.zip") == []
    assert inputs(settings, None) == []
    (data / "ring" / "9.jpg").write_bytes(b"changed")
    assert content_digest(inputs(settings, data)) != before
