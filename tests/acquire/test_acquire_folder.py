from __future__ import annotations

import os
from pathlib import Path

import pytest

from morphoscope.acquire import acquire
from morphoscope.acquire.folder import read_folder
from morphoscope.acquire.listing import images_within, stem
from morphoscope.catalog import read_catalogue
from morphoscope.engine import open_engine
from morphoscope.errors import SourceError
from morphoscope.recipe import AcquireSettings, EngineSettings


def place(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.mark.real
def test_image_quality(real_data: Path, tmp_path: Path) -> None:
    data = real_data / "image-quality" / "images"
    with open_engine(EngineSettings(kind="inline", workers=1)) as engine:
        settings = AcquireSettings(source="folder")
        summary = acquire(settings, data=data, out=tmp_path, engine=engine)
    frame = read_catalogue(tmp_path / "catalogue.parquet").frame
    assert summary["n"] == 994
    assert summary["columns"] == ["id_str", "file_loc", "ra", "dec", "class"]
    assert dict(frame["class"].value_counts().iter_rows()) == {"galaxy": 585, "not_galaxy": 409}
    assert frame["id_str"].n_unique() == 994
    assert all(Path(path).is_file() for path in frame["file_loc"])


def test_class_is_the_sub_folder(tmp_path: Path) -> None:
    root = place(tmp_path, "spiral/2.jpg", "ring/1.PNG", "spiral/deep/3.tif", "ring/notes.txt")
    frame = read_folder(root).frame
    assert frame.select("id_str", "class").rows() == [
        ("1", "ring"),
        ("2", "spiral"),
        ("3", "spiral"),
    ]
    assert frame["file_loc"][2] == str(root / "spiral/deep/3.tif")
    assert frame["ra"].null_count() == frame["dec"].null_count() == 3


def test_one_name_in_two_classes_is_two_galaxies(tmp_path: Path) -> None:
    frame = read_folder(place(tmp_path, "a/001.jpg", "b/001.jpg", "b/002.jpg")).frame
    assert frame["id_str"].to_list() == ["a/001.jpg", "b/001.jpg", "002"]


def test_names_that_are_not_utf8_are_spelt_out(tmp_path: Path) -> None:
    root = place(
        tmp_path / "data", *map(os.fsdecode, (b"a/1.jpg", b"a/bad\xff.jpg", b"\xe9/2.jpg"))
    )
    settings = AcquireSettings(source="folder")
    with open_engine(EngineSettings(kind="inline", workers=1)) as engine:
        acquire(settings, data=root, out=tmp_path / "out", engine=engine)
    frame = read_catalogue(tmp_path / "out" / "catalogue.parquet").frame
    assert frame["id_str"].to_list() == ["1", "bad\\xff", "2"]
    assert frame["file_loc"][1] == f"{root}/a/bad\\xff.jpg"
    assert frame["class"].to_list() == ["a", "a", "\\xe9"]


def test_images_of_no_class_are_rejects(tmp_path: Path) -> None:
    found = read_folder(place(tmp_path, "a/1.jpg", "b/2.jpg", "loose.jpg", "labels.csv"))
    assert found.rejects.select("id_str", "reason").rows() == [("loose", "image_without_label")]
    assert found.rejects["file_loc"].to_list() == [str(tmp_path / "loose.jpg")]
    assert found.warnings == ["images that lie in no class folder: 1"]


def test_class_without_image_is_told(tmp_path: Path) -> None:
    found = read_folder(place(tmp_path, "a/1.jpg", "b/2.jpg", "ring/readme.txt"))
    assert found.warnings == ["the folder of class 'ring' has no image"]
    assert found.frame["class"].to_list() == ["a", "b"]


def test_folder_one_too_high_is_told(tmp_path: Path) -> None:
    found = read_folder(place(tmp_path, "images/a/1.jpg", "images/b/2.jpg"))
    assert str(tmp_path / "images") in found.warnings[0]


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = place(tmp_path / "data", "a/1.jpg")
    place(tmp_path / "elsewhere", "2.jpg")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "round").symlink_to(root)
    assert read_folder(root).frame["class"].to_list().count("b") == 1
    assert len(images_within(root)) == 2


@pytest.mark.parametrize("names", [[], ["a/readme.txt", "b/readme.txt"], ["loose.jpg"]])
def test_folder_without_images_by_class_is_told(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(SourceError, match="one sub-folder a class"):
        read_folder(place(tmp_path, *names))


def test_absent_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="cannot be read"):
        read_folder(place(tmp_path, "file.jpg") / "file.jpg")


@pytest.mark.usefixtures("ordinary_user")
def test_unreadable_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        with pytest.raises(SourceError, match="permission"):
            read_folder(tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/1.jpg", "1"), ("1.b.JPEG", "1.b"), ("x.fits.gz", "x"), (".jpg", ".jpg"), ("a/b", "b")],
)
def test_stem(path: str, expected: str) -> None:
    assert stem(path) == expected
