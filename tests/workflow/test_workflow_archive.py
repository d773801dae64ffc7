"""Archives between jobs: the same bytes, checked when unpacked, and nothing outside the folder."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import polars as pl
import pytest

from morphoscope.errors import ArchiveError, SourceError
from morphoscope.workflow.archive import MANIFEST, files_below, pack, unpack_checked
from morphoscope.workflow.portable import make_local


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    (place / "clean" / "deep").mkdir(parents=True)
    (place / "clean" / "one.txt").write_text("one")
    (place / "clean" / "deep" / "ümläut 2.bin").write_bytes(os.urandom(70_000))
    (place / "clean" / ".hidden").write_text("kept")
    (place / "clean" / ".one.txt.12.partial").write_text("half-written")
    (place / "clean" / ".two.13.partial").mkdir()
    (place / "clean" / ".two.13.partial" / "two").write_text("half-written")
    return place


def packed(folder: Path, archive: Path) -> Path:
    pack(archive, files_below(folder / "clean", folder), holds="clean", recipe="abc")
    return archive


def rewrite(archive: Path, change: dict[str, bytes | None], **added: tarfile.TarInfo) -> None:
    """Write an archive anew with other content of some members, or without them."""
    with tarfile.open(archive) as tape:
        members = {m.name: tape.extractfile(m).read() for m in tape.getmembers()}  # type: ignore[union-attr]
    members |= {name: data for name, data in change.items() if data is not None}
    with tarfile.open(archive, "w") as tape:
        for name, data in members.items():
            if change.get(name, b"") is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tape.addfile(info, io.BytesIO(data))
        for info in added.values():
            tape.addfile(info)


def test_the_same_content_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = packed(folder, tmp_path / "a.tar").read_bytes()
    os.utime(folder / "clean/one.txt", (1, 1))
    (folder / "clean/one.txt").chmod(0o600)
    assert packed(folder, tmp_path / "b.tar").read_bytes() == first


def test_what_was_packed_comes_out(folder: Path, tmp_path: Path) -> None:
    manifest = unpack_checked(packed(folder, tmp_path / "a.tar"), tmp_path / "out", recipe="abc")
    assert (manifest.holds, manifest.recipe) == ("clean", "abc")
    found = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*")}
    assert found == {Path("clean/one.txt"), Path("clean/deep/ümläut 2.bin"), Path("clean/.hidden")}
    for name in manifest.files:
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


def test_links_of_a_folder_are_followed_once(folder: Path, tmp_path: Path) -> None:
    (folder / "clean" / "again").symlink_to(folder / "clean")
    (folder / "clean" / "two.txt").symlink_to(folder / "clean" / "one.txt")
    manifest = unpack_checked(packed(folder, tmp_path / "a.tar"), tmp_path / "out")
    assert "clean/two.txt" in manifest.files
    assert not any("again" in name for name in manifest.files)
    assert (tmp_path / "out/clean/two.txt").read_text() == "one"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clean/one.txt": b"two"}, "was changed after it was written: clean/one.txt"),
        ({"clean/one.txt": None}, "was changed after it was written: clean/one.txt"),
        ({"clean/three.txt": b"more"}, "was changed after it was written: clean/three.txt"),
        ({MANIFEST: None}, "holds no readable manifest.json"),
        ({MANIFEST: b"[]"}, "holds no readable manifest.json"),
        ({MANIFEST: b'{"holds": "clean", "recipe": "", "files": {}, "format": 7}'}, "the format 7"),
    ],
)
def test_a_changed_archive_is_refused_and_nothing_placed(
    folder: Path, tmp_path: Path, change: dict[str, bytes | None], words: str
) -> None:
    archive = packed(folder, tmp_path / "a.tar")
    rewrite(archive, change)
    with pytest.raises(ArchiveError, match=words):
        unpack_checked(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "clean/../../outside.txt"])
def test_a_member_outside_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    archive = packed(folder, tmp_path / "a.tar")
    rewrite(archive, {name: b"evil"})
    with pytest.raises(ArchiveError, match="would leave the folder"):
        unpack_checked(archive, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    archive = packed(folder, tmp_path / "a.tar")
    link = tarfile.TarInfo("clean/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    rewrite(archive, {}, link=link)
    with pytest.raises(ArchiveError, match="is a link or a device"):
        unpack_checked(archive, tmp_path / "out")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_archive_is_refused(folder: Path, tmp_path: Path, share: float) -> None:
    archive = packed(folder, tmp_path / "a.tar")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ArchiveError):
        unpack_checked(archive, tmp_path / "out")


def test_an_absent_archive_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.tar cannot be read"):
        unpack_checked(tmp_path / "absent.tar", tmp_path / "out")


def test_archives_of_another_recipe_or_run_are_refused(folder: Path, tmp_path: Path) -> None:
    one = packed(folder, tmp_path / "a.tar")
    with pytest.raises(ArchiveError, match="made with another recipe"):
        unpack_checked(one, tmp_path / "out", recipe="xyz")
    unpack_checked(one, tmp_path / "out")
    unpack_checked(one, tmp_path / "out")
    (folder / "clean/one.txt").write_text("of another run")
    with pytest.raises(ArchiveError, match=r"bring different files one\.txt of clean"):
        unpack_checked(packed(folder, tmp_path / "b.tar"), tmp_path / "out")


def test_paths_in_tables_follow_the_run(tmp_path: Path) -> None:
    place = tmp_path / "run" / "clean"
    place.mkdir(parents=True)
    told = "{run}/acquire/a.png cannot be read ({run}/acquire/a.png)"
    frame = pl.DataFrame({"file_loc": ["{run}/acquire/a.png", None], "detail": [told, "{run}"]})
    frame.write_parquet(place / "rejects.parquet", metadata={"morphoscope": '{"n": 2}'})
    other = pl.DataFrame({"x": [1.0]})
    other.write_parquet(place / "other.parquet")
    before = (place / "other.parquet").read_bytes()
    make_local(place, tmp_path / "run")
    found = pl.read_parquet(place / "rejects.parquet")
    home = f"{tmp_path}/run"
    assert found["file_loc"].to_list() == [f"{home}/acquire/a.png", None]
    assert found["detail"].to_list() == [told.replace("{run}", home), "{run}"]
    metadata = pl.read_parquet_metadata(place / "rejects.parquet")
    assert metadata["morphoscope"] == '{"n": 2}'
    assert (place / "other.parquet").read_bytes() == before
