from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from morphoscope.acquire import acquire
from morphoscope.acquire.galaxy_zoo import VOTES, read_galaxy_zoo
from morphoscope.catalog import read_catalogue
from morphoscope.engine import open_engine
from morphoscope.errors import ArchiveError, CatalogueError, SourceError
from morphoscope.recipe import AcquireSettings, EngineSettings

IDS = [str(100008 + 15 * i) for i in range(30)]
PHOTOS = {f"images_training_rev1/{name}.jpg": random.Random(name).randbytes(900) for name in IDS}
HEAD = ",".join(["GalaxyID", *VOTES])
ROWS = [
    ",".join([name, *(f"{random.Random(f'{name}{v}').random():.6f}" for v in VOTES)])
    for name in IDS
]
TABLE = "\n".join([HEAD, *ROWS, ""]).encode()
LAYOUTS = [
    "unpacked",
    "unpacked twice",
    "zips",
    "zip and csv",
    "outer stored",
    "outer deflated",
    "outer file",
    "outer with csv",
    "outer flat",
]


def lay_out(folder: Path, layout: str, zip_bytes: Any) -> Path:
    """Write the challenge as ``layout`` says and return what the user would name."""
    folder.mkdir()
    if layout.startswith("unpacked"):
        base = folder / "galaxy-zoo" if layout == "unpacked twice" else folder
        below = base / "images_training_rev1" if layout == "unpacked twice" else base
        for name, photo in PHOTOS.items():
            (below / name).parent.mkdir(parents=True, exist_ok=True)
            (below / name).write_bytes(photo)
        (base / "training_solutions_rev1.csv").write_bytes(TABLE)
        return folder
    photos = zip_bytes({**PHOTOS, "__MACOSX/images_training_rev1/._100008.jpg": b"shadow"})
    table = zip_bytes({"training_solutions_rev1.csv": TABLE})
    if layout in ("zips", "zip and csv"):
        (folder / "images_training_rev1.zip").write_bytes(photos)
        bare = layout == "zip and csv"
        name = "training_solutions_rev1.csv" if bare else "training_solutions_rev1.zip"
        (folder / name).write_bytes(TABLE if bare else table)
        return folder
    members = {
        "images_test_rev1.zip": zip_bytes({"images_test_rev1/9.jpg": b"test"}),
        "images_training_rev1.zip": photos,
        "training_solutions_rev1.zip": table,
    }
    if layout == "outer with csv":
        del members["training_solutions_rev1.zip"]
        members["training_solutions_rev1.csv"] = TABLE
    if layout == "outer flat":
        members = {
            "images_test_rev1/9.jpg": b"test",
            **PHOTOS,
            "training_solutions_rev1.csv": TABLE,
        }
    outer = folder / "galaxy-zoo-the-galaxy-challenge.zip"
    method = zipfile.ZIP_STORED if layout == "outer stored" else zipfile.ZIP_DEFLATED
    outer.write_bytes(zip_bytes(members, method))
    return outer if layout == "outer file" else folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(tmp_path: Path, zip_bytes: Any, layout: str) -> None:
    data, out = lay_out(tmp_path / "data", layout, zip_bytes), tmp_path / "out"
    with open_engine(EngineSettings(kind="inline", workers=1)) as engine:
        summary = acquire(AcquireSettings(source="galaxy_zoo"), data=data, out=out, engine=engine)
    stored = read_catalogue(out / "catalogue.parquet")
    frame = stored.frame
    assert summary["n"] == len(IDS)
    assert summary["rejects"] == {}
    assert summary["warnings"] == ["30 galaxies have image and votes; the challenge has 61,578"]
    assert frame["id_str"].to_list() == IDS
    assert frame.columns == ["id_str", "file_loc", "ra", "dec", "GalaxyID", *VOTES]
    assert len(VOTES) == 37
    for name, row in zip(IDS, ROWS, strict=True):
        found = frame.filter(id_str=name).select(VOTES).row(0)
        assert found == tuple(float(value) for value in row.split(",")[1:])
    photos = [Path(path).read_bytes() for path in frame["file_loc"]]
    assert photos == list(PHOTOS.values())
    assert stored.metadata["table_sha256"] == hashlib.sha256(TABLE).hexdigest()
    assert "Willett" in stored.metadata["citation"]
    unpacked = {path.name for path in (out / "images").glob("*")}
    known = {Path(name).name for name in PHOTOS}
    assert unpacked <= {*known, "training_solutions_rev1.csv"}


def test_named_zip_of_images_stands_for_its_folder(tmp_path: Path, zip_bytes: Any) -> None:
    folder = lay_out(tmp_path / "data", "zips", zip_bytes)
    found = read_galaxy_zoo(folder / "images_training_rev1.zip", tmp_path / "out")
    assert found.frame.height == len(IDS)


def test_named_folder_of_images_stands_for_its_parent(tmp_path: Path, zip_bytes: Any) -> None:
    folder = lay_out(tmp_path / "data", "unpacked", zip_bytes)
    found = read_galaxy_zoo(folder / "images_training_rev1", tmp_path / "out")
    assert found.frame.height == len(IDS)


def test_image_and_votes_that_miss_each_other(tmp_path: Path, zip_bytes: Any) -> None:
    folder = lay_out(tmp_path / "data", "unpacked", zip_bytes)
    photos = folder / "images_training_rev1"
    (photos / f"{IDS[0]}.jpg").rename(photos / "7.jpg")
    found = read_galaxy_zoo(folder, tmp_path / "out")
    reasons = dict(found.rejects.select("id_str", "reason").iter_rows())
    assert reasons == {IDS[0]: "label_without_image", "7": "image_without_label"}
    assert found.frame.height == len(IDS) - 1


def test_missing_votes_are_told(tmp_path: Path, zip_bytes: Any) -> None:
    folder = lay_out(tmp_path / "data", "unpacked", zip_bytes)
    table = TABLE.replace(b"Class11.6", b"Class11.7")
    (folder / "training_solutions_rev1.csv").write_bytes(table)
    found = read_galaxy_zoo(folder, tmp_path / "out")
    assert "lacks 1 of 37 votes: Class11.6" in found.warnings[0]
    (folder / "training_solutions_rev1.csv").write_bytes(TABLE.replace(b"GalaxyID", b"Galaxy"))
    with pytest.raises(CatalogueError, match="'GalaxyID'"):
        read_galaxy_zoo(folder, tmp_path / "out")


@pytest.mark.parametrize("layout", ["unpacked", "zips", "outer stored"])
def test_absent_table_or_images_are_told(tmp_path: Path, zip_bytes: Any, layout: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match=r"training_solutions_rev1\.csv"):
        read_galaxy_zoo(empty, tmp_path / "out")
    with pytest.raises(SourceError, match="there is no"):
        read_galaxy_zoo(tmp_path / "nowhere", tmp_path / "out")
    folder = lay_out(tmp_path / "data", layout, zip_bytes)
    if layout == "outer stored":
        outer = folder / "galaxy-zoo-the-galaxy-challenge.zip"
        outer.write_bytes(zip_bytes({"images_training_rev1.zip": zip_bytes(PHOTOS)}))
    else:
        next(folder.glob("training*")).unlink()
    with pytest.raises(SourceError, match=r"no table of votes.*training_solutions_rev1\.zip"):
        read_galaxy_zoo(folder, tmp_path / "out")
    (folder / "training_solutions_rev1.csv").write_bytes(TABLE)
    for path in [*folder.glob("*.zip"), *folder.glob("*/*.jpg")]:
        path.unlink()
    with pytest.raises(SourceError, match=r"no images.*images_training_rev1\.zip"):
        read_galaxy_zoo(folder, tmp_path / "out")


@pytest.mark.parametrize("layout", ["zips", "outer deflated"])
def test_truncated_archive_is_told(tmp_path: Path, zip_bytes: Any, layout: str) -> None:
    folder = lay_out(tmp_path / "data", layout, zip_bytes)
    path = max(folder.glob("*.zip"), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ArchiveError, match=f"{path.name} is damaged"):
        read_galaxy_zoo(folder, tmp_path / "out")


def test_table_zip_without_table_is_told(tmp_path: Path, zip_bytes: Any) -> None:
    folder = lay_out(tmp_path / "data", "zips", zip_bytes)
    (folder / "training_solutions_rev1.zip").write_bytes(zip_bytes({"readme.txt": b"no"}))
    with pytest.raises(SourceError, match=r"no training_solutions_rev1\.csv"):
        read_galaxy_zoo(folder, tmp_path / "out")


def test_killed_unpacking_goes_on(tmp_path: Path, zip_bytes: Any, wait_for: Any) -> None:
    names = [str(200_000 + i) for i in range(4000)]
    block = random.Random(3).randbytes(2_000)
    photos = {f"images_training_rev1/{name}.jpg": name.encode() + block for name in names}
    table = "\n".join([HEAD, *(name + ",0.5" * 37 for name in names)])
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    with zipfile.ZipFile(data / "galaxy-zoo-the-galaxy-challenge.zip", "w") as outer:
        outer.writestr("images_training_rev1.zip", zip_bytes(photos, zipfile.ZIP_STORED))
        outer.writestr("training_solutions_rev1.csv", table)
    program = (
        "import sys; from pathlib import Path\n"
        "from morphoscope.acquire.galaxy_zoo import read_galaxy_zoo\n"
        "read_galaxy_zoo(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(data), str(out)])
    images = out / "images"
    try:
        wait_for(lambda: images.is_dir() and sum(1 for _ in images.iterdir()) > 300)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    whole = {path: path.stat() for path in images.glob("[!.]*.jpg")}
    assert 0 < len(whole) < len(names)
    for path in whole:
        assert path.read_bytes() == photos[f"images_training_rev1/{path.name}"]
    found = read_galaxy_zoo(data, out)
    assert found.frame["id_str"].to_list() == names
    for name in names:
        assert (images / f"{name}.jpg").read_bytes() == photos[f"images_training_rev1/{name}.jpg"]
    for path, was in whole.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (was.st_ino, was.st_mtime_ns)
    assert not list(images.glob(".*"))
