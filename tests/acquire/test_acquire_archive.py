from __future__ import annotations

import io
import os
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from morphoscope.acquire import archive
from morphoscope.acquire.archive import is_archive, open_zip, unpack
from morphoscope.errors import ArchiveError, DiskSpaceError, SourceError

MEMBERS = {f"a/b{i}/{i}.bin": random.Random(i).randbytes(i * 700) for i in range(20)}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]
EVIL = ["../out.bin", "a/../../out.bin", "/out.bin", "C:\\out.bin", "..\\out.bin", "\\\\host\\x"]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def tar_with(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tape:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("method", METHODS)
def test_zip_arrives_as_it_was(tmp_path: Path, zip_bytes: Any, method: int) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip_bytes(MEMBERS, method))
    files = unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == MEMBERS
    assert sorted(files) == sorted(tmp_path / "out" / name for name in MEMBERS)


@pytest.mark.parametrize("outer", METHODS)
@pytest.mark.parametrize("inner", METHODS)
def test_zip_in_zip_arrives_as_it_was(
    tmp_path: Path, zip_bytes: Any, outer: int, inner: int
) -> None:
    path = tmp_path / "x.zip"
    packed = {"other.txt": b"no", "in/ner.zip": zip_bytes(MEMBERS, inner)}
    path.write_bytes(zip_bytes(packed, outer))
    unpack(path, tmp_path / "out", inner="in/ner.zip")
    assert contents(tmp_path / "out") == MEMBERS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "x.zip"]


@pytest.mark.parametrize("outer", METHODS)
def test_zip_in_zip_needs_little_memory(tmp_path: Path, zip_bytes: Any, outer: int) -> None:
    block = random.Random(1).randbytes(1 << 20)
    members = {f"{i}.bin": block + bytes([i]) for i in range(40)}
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", outer, compresslevel=1) as packed:
        packed.writestr("inner.zip", zip_bytes(members, zipfile.ZIP_STORED))
    tracemalloc.start()
    try:
        unpack(path, tmp_path / "out", inner="inner.zip")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert contents(tmp_path / "out") == members
    # The kept end of 16 MiB, once in pieces and once joined; the inner zip has 40.
    assert peak < 36 << 20


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_tar_arrives_as_it_was(tmp_path: Path, suffix: str) -> None:
    kinds = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
    path = tar_with(tmp_path / f"x{suffix}", MEMBERS, kinds[suffix])
    assert is_archive(path)
    unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == MEMBERS


def test_what_is_whole_is_not_written_again(tmp_path: Path, zip_bytes: Any) -> None:
    path, out = tmp_path / "x.zip", tmp_path / "out"
    path.write_bytes(zip_bytes(MEMBERS))
    files = unpack(path, out)
    for file in files:
        os.utime(file, ns=(1, 1))
    lost, cut, other, *whole = files
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    other.write_bytes(b"\x00" + other.read_bytes()[1:])
    unpack(path, out)
    assert contents(out) == MEMBERS
    assert {file.stat().st_mtime_ns for file in whole} == {1}
    assert all(file.stat().st_mtime_ns > 1 for file in (lost, cut, other))


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_member_that_would_leave_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("good.bin", b"good")
            packed.writestr(name, b"evil")
    else:
        tar_with(path, {"good.bin": b"good", name: b"evil"})
    with pytest.raises(ArchiveError, match="would leave") as caught:
        unpack(path, tmp_path / "deep" / "out")
    assert caught.value.data["member"] == name
    assert list(contents(tmp_path)) == [path.name]


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_link_or_device_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x.zip"
    info = zipfile.ZipInfo("innocent.jpg")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"'innocent\.jpg' is a link or a device"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_tar_link_or_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar"
    info = tarfile.TarInfo("innocent.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    with tarfile.open(path, "w") as tape:
        tape.addfile(info)
    with pytest.raises(ArchiveError, match=r"'innocent\.jpg' is a link or a device"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.85])
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_truncated_archive_is_told(
    tmp_path: Path, zip_bytes: Any, suffix: str, share: float
) -> None:
    path = tmp_path / f"x.{suffix}"
    if suffix == "zip":
        path.write_bytes(zip_bytes(MEMBERS))
    else:
        tar_with(path, MEMBERS, f"w:{suffix[4:]}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(path, tmp_path / "out")
    found = contents(tmp_path / "out")
    assert found == {name: MEMBERS[name] for name in found}


def test_tar_cut_between_members_is_told(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "x.tar", {"a.jpg": bytes(512), "b.jpg": bytes(512)})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(ArchiveError, match="end is missing"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("method", METHODS)
def test_damaged_member_is_named_and_not_left(tmp_path: Path, zip_bytes: Any, method: int) -> None:
    content = random.Random(1).randbytes(5000)
    data = bytearray(zip_bytes({"first.jpg": b"whole", "second.jpg": content}, method))
    data[data.index(b"second.jpg") + 2000] ^= 0x55
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"second\.jpg.*damaged"):
        unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"first.jpg": b"whole"}


def test_damaged_inner_zip_is_told(tmp_path: Path, zip_bytes: Any) -> None:
    inner = zip_bytes(MEMBERS)
    for damaged in (inner[: len(inner) // 2], b"no zip at all"):
        path = tmp_path / "x.zip"
        path.write_bytes(zip_bytes({"inner.zip": damaged}))
        with pytest.raises(ArchiveError, match="damaged"):
            unpack(path, tmp_path / "out", inner="inner.zip")


def test_encrypted_member_is_told(tmp_path: Path, zip_bytes: Any) -> None:
    data = bytearray(zip_bytes({"a.jpg": b"secret"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) + offset
        data[at : at + 2] = struct.pack("<H", 1)
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="encrypted"):
        unpack(path, tmp_path / "out")


def test_room_is_looked_at_first(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.jpg", b"small")
        packed.writestr("bomb.jpg", b"said to be large")
        packed.getinfo("bomb.jpg").file_size = 10**16
    with pytest.raises(DiskSpaceError, match="unpacking"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_disk_that_fills_up_is_told(tmp_path: Path, zip_bytes: Any) -> None:
    path, out = tmp_path / "x.zip", tmp_path / "out"
    path.write_bytes(zip_bytes({"a.jpg": b"first", "b.jpg": b"second"}))
    out.mkdir()
    # /dev/full refuses every byte as a full disk does.
    (out / ".b.jpg.partial").symlink_to("/dev/full")
    with pytest.raises(DiskSpaceError, match=r"b\.jpg"):
        unpack(path, out)
    assert contents(out) == {"a.jpg": b"first"}


def test_members_of_one_place_are_refused(tmp_path: Path, zip_bytes: Any) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip_bytes({"a/1.jpg": b"1", "b/1.jpg": b"2"}))
    with pytest.raises(ArchiveError, match="place of another"):
        unpack(path, tmp_path / "out", place=lambda name: name.rpartition("/")[2])


def test_leavings_of_an_operating_system_stay_out(tmp_path: Path, zip_bytes: Any) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip_bytes({"a/1.jpg": b"1", "__MACOSX/a/._1.jpg": b"2", "a/.DS_Store": b"3"}))
    unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a/1.jpg": b"1"}


def test_absent_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"), open_zip(tmp_path / "no.zip"):
        pass


NAMES = st.text(st.sampled_from("ab.\\/:C\x00~"), min_size=1, max_size=12)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(names=st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_nothing_is_ever_written_outside(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with zipfile.ZipFile(folder / "x.zip", "w") as packed:
        for name in names:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            packed.writestr(info, b"content")
    try:
        files = unpack(folder / "x.zip", folder / "deep" / "out")
    except ArchiveError:
        files = []
    for file in files:
        assert file.resolve().is_relative_to(folder / "deep" / "out")
    outside = [
        p for p in folder.rglob("*") if p.is_file() and folder / "deep" / "out" not in p.parents
    ]
    assert outside == [folder / "x.zip"]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=12), tail=st.integers(1, 900))
def test_zip_in_zip_is_the_same_however_little_is_kept(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    zip_bytes: Any,
    sizes: list[int],
    tail: int,
) -> None:
    monkeypatch.setattr(archive, "KEPT_TAIL", tail)
    monkeypatch.setattr(archive, "CHUNK", 64)
    folder = tmp_path_factory.mktemp("any")
    members = {f"{i}.bin": random.Random(i).randbytes(size) for i, size in enumerate(sizes)}
    (folder / "x.zip").write_bytes(zip_bytes({"inner.zip": zip_bytes(members)}))
    unpack(folder / "x.zip", folder / "out", inner="inner.zip")
    assert contents(folder / "out") == members
