"""Archives as input: every member once, in order, read where it lies, also from damaged ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from astropy.io import fits

from morphoscope.engine import Engine
from morphoscope.errors import ImageError, SourceError, StageError
from morphoscope.images import image_size, read_image
from morphoscope.images.naming import files_of
from morphoscope.images.tars import expect_members
from morphoscope.streaming import Task, stream
from morphoscope.streaming.inputs import write_listing

MakeTar = Callable[..., Path]
NAMES = ["b/000.png", "b/001.png", "a/gal.v2.png", "x.txt", "._b.png", "zzz.png"]
LEVELS = {name: 30 * i for i, name in enumerate(NAMES, 1) if name.endswith("png")}


def fits_bytes(value: float) -> bytes:
    return fits.PrimaryHDU(np.full((4, 5), value, np.float32)).header.tostring().encode() + bytes(
        fits.PrimaryHDU(np.full((4, 5), value, np.float32)).data.astype(">f4").tobytes().ljust(2880)
    )


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz", "shard.tgz", "SHARD.TAR"])
def test_members_are_read_where_they_lie(make_tar: MakeTar, tmp_path: Path, name: str) -> None:
    members: dict[str, bytes | int] = dict(LEVELS)
    path = make_tar(tmp_path / name, {**members, "q.fits": fits_bytes(2.5), "bad.jpg": b"no image"})
    # In any order, also back.
    for member, level in reversed(LEVELS.items()):
        assert read_image(f"{path}::{member}").mean() == level
    assert read_image(f"{path}::q.fits").mean() == 2.5
    assert read_image(f"{path}::q.fits[0]").shape == (4, 5, 1)
    assert image_size(f"{path}::b/000.png") == (6, 7)
    assert files_of(f"{path}::b/000.png") == [str(path)]
    for member, reason in (("c.png", "missing"), ("bad.jpg", "not_an_image")):
        with pytest.raises(ImageError) as caught:
            read_image(f"{path}::{member}")
        assert caught.value.reason == reason
        assert f"{path}::{member}" in str(caught.value)


def test_an_archive_that_is_written_anew_is_read_anew(make_tar: MakeTar, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.png": 10})
    assert read_image(f"{path}::a.png").mean() == 10
    make_tar(path, {"z.png": 90, "a.png": 20})
    assert read_image(f"{path}::a.png").mean() == 20


def test_a_packed_archive_is_unpacked_once(
    make_tar: MakeTar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i:04d}.png" for i in range(300)]
    path = make_tar(tmp_path / "a.tar.gz", {name: i % 250 for i, name in enumerate(names)})
    listing = write_listing(path, tmp_path / "listing", shard_rows=1000)
    addresses = listing.shard(0)["file_loc"].to_pylist()
    assert addresses == [f"{path}::{name}" for name in names]
    assert [read_image(a).mean() for a in addresses[:1]] == [0]
    rewound = []
    rewind = gzip.GzipFile.rewind
    monkeypatch.setattr(gzip.GzipFile, "rewind", lambda self: (rewound.append(1), rewind(self)))
    assert [read_image(a).mean() for a in addresses] == [i % 250 for i in range(300)]
    # What is asked for again soon is still there.
    assert image_size(addresses[290]) == (6, 7)
    assert not rewound


def test_places_are_told_and_not_searched_for(make_tar: MakeTar, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.png": 10, "b.png": 20})
    import tarfile

    with tarfile.open(path) as tar:
        info = tar.getmember("b.png")
    expect_members(str(path), {"a.png": (info.offset_data, info.size)})
    assert read_image(f"{path}::a.png").mean() == 20


def test_rows_of_a_folder_of_shards(
    make_tar: MakeTar, task: Task, inline: Engine, tmp_path: Path
) -> None:
    for shard in range(3):
        members: dict[str, bytes | int] = {}
        for i in range(70):
            key = f"{shard}{i:03d}"
            members[f"{key}.jpg.png"] = i
            members[f"{key}.cls"] = b"3"
            told = {"id_str": f"G{key}"} if i == 5 else {"note": 1}
            members[f"{key}.json"] = json.dumps(told).encode()
        make_tar(tmp_path / f"in/deep/s-{shard}.{'tar.gz' if shard == 1 else 'tar'}", members)
    out = tmp_path / "out"
    done = stream(task, tmp_path / "in", out=out, engine=inline, shard_rows=64, batch=16)
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*.parquet"))
    # What is packed is read forwards, as one part.
    assert files == [
        "deep/s-0.tar/part-00000.parquet",
        "deep/s-0.tar/part-00001.parquet",
        "deep/s-1.tar.gz.parquet",
        "deep/s-2.tar/part-00000.parquet",
        "deep/s-2.tar/part-00001.parquet",
    ]
    found = pl.concat(pl.read_parquet(out / file) for file in files)
    names = [f"{'G' * (i == 5)}{s}{i:03d}" for s in range(3) for i in range(70)]
    assert found["id_str"].to_list() == names
    assert found["level"].to_list() == list(range(70)) * 3
    assert found["file_loc"][0] == f"{tmp_path}/in/deep/s-0.tar::0000.jpg.png"
    assert done.counts == {"sides": {"dark": 210}, "flagged": {}}
    assert (done.n, done.noted, done.warnings) == (210, {"seen": 210}, ())
    one = tmp_path / "one.parquet"
    assert stream(task, f"{tmp_path}/in/**/s-[02].tar", out=one, engine=inline).n == 140
    assert pl.read_parquet(one)["id_str"].to_list() == names[:70] + names[140:]


def test_without_sidecars_a_dot_is_a_part_of_the_name(make_tar: MakeTar, tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"J12.5+03.png": 1, "d/": b"", "J12.6.fits.gz": b"x"})
    listing = write_listing(path, tmp_path / "listing", shard_rows=10)
    assert listing.shard(0)["id_str"].to_pylist() == ["J12.5+03", "J12.6"]


@pytest.mark.parametrize("name", ["cut.tar", "cut.tar.gz"])
def test_a_truncated_archive_gives_what_it_holds_and_is_told(
    make_tar: MakeTar, task: Task, inline: Engine, tmp_path: Path, name: str
) -> None:
    noise = np.random.default_rng(0).bytes
    # Each member is some blocks, whatever packs them.
    path = make_tar(
        tmp_path / "in" / name, {"a.png": 10, "b.png": 20, "c.jpg": noise(30_000), "d.png": 40}
    )
    path.write_bytes(path.read_bytes()[: 15_000 if name == "cut.tar.gz" else 20_000])
    make_tar(tmp_path / "in/whole.tar", {"z.png": 50})
    out = tmp_path / "out.parquet"
    done = stream(task, tmp_path / "in", out=out, engine=inline)
    found = pl.read_parquet(out)
    assert found["id_str"].to_list() == ["a", "b", "c", "z"]
    assert found["flag"].to_list() == [None, None, "truncated", None]
    assert found["level"].to_list() == [10, 20, None, 50]
    assert len(done.warnings) == 1
    assert str(path) in done.warnings[0]
    assert "ends too early" in done.warnings[0]


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\x1f\x8b\x08 broken"])
def test_what_is_no_archive_is_a_row_that_says_so(
    make_tar: MakeTar, task: Task, inline: Engine, tmp_path: Path, content: bytes
) -> None:
    make_tar(tmp_path / "in/b.tar", {"z.png": 50})
    (tmp_path / "in/a.tar").write_bytes(content)
    out = tmp_path / "out.parquet"
    done = stream(task, tmp_path / "in", out=out, engine=inline)
    found = pl.read_parquet(out)
    assert found["file_loc"].to_list() == [f"{tmp_path}/in/a.tar", f"{tmp_path}/in/b.tar::z.png"]
    assert found["flag"][0] in ("empty", "not_an_image", "unreadable", "truncated")
    assert found["flag"][1] is None
    assert len(done.warnings) == 1


def test_a_link_inside_an_archive_has_a_row(
    task: Task, inline: Engine, make_tar: MakeTar, tmp_path: Path
) -> None:
    import tarfile

    path = make_tar(tmp_path / "a.tar", {"a.png": 10})
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("b.png")
        info.type, info.linkname = tarfile.SYMTYPE, "a.png"
        tar.addfile(info)
    stream(task, path, out=tmp_path / "o.parquet", engine=inline)
    assert pl.read_parquet(tmp_path / "o.parquet")["flag"].to_list() == [None, "missing"]


def test_an_archive_without_images_is_an_error(
    make_tar: MakeTar, task: Task, inline: Engine, tmp_path: Path
) -> None:
    path = make_tar(tmp_path / "a.tar", {"a.txt": b"x"})
    with pytest.raises(SourceError, match="holds no images"):
        stream(task, path, out=tmp_path / "o.parquet", engine=inline)
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_that_changed_is_not_mixed_in(
    make_tar: MakeTar, task: Task, inline: Engine, tmp_path: Path
) -> None:
    for shard in range(3):
        make_tar(tmp_path / f"in/{shard}.tar", {f"{shard}.png": shard})
    out = tmp_path / "out"
    stream(task, tmp_path / "in", out=out, engine=inline)
    (out / "2.tar.parquet").unlink()
    make_tar(tmp_path / "in/1.tar", {"1.png": 77})
    with pytest.raises(StageError, match=r"other images\): the partition 1.tar has changed"):
        stream(task, tmp_path / "in", out=out, engine=inline)
    (tmp_path / "in/1.tar").unlink()
    with pytest.raises(StageError, match=r"partition 1.tar is not there any more; start anew"):
        stream(task, tmp_path / "in", out=out, engine=inline)
    assert stream(task, tmp_path / "in", out=out, engine=inline, force=True).n == 2
    assert sorted(path.name for path in out.rglob("*.parquet")) == [
        "0.tar.parquet",
        "2.tar.parquet",
    ]
