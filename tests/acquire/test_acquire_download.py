from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from morphoscope.acquire.download import download
from morphoscope.errors import DiskSpaceError, DownloadError
from morphoscope.recipe import Download

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
QUICK: dict[str, Any] = {"timeout_s": 0.3, "attempts": 3, "wait_s": 0.001}


def wanted(web: Any, content: bytes = CONTENT, **changes: Any) -> Download:
    values = {"url": web.url, "name": "galaxies.bin", "sha256": hashlib.sha256(content).hexdigest()}
    return Download.model_validate({**values, **changes})


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file_arrives_once(web: Any, tmp_path: Path) -> None:
    web.reset(CONTENT)
    item = wanted(web, size_bytes=len(CONTENT))
    path = download(item, tmp_path / "new" / "folder", **QUICK)
    assert path.read_bytes() == CONTENT
    assert only(path.parent) == ["galaxies.bin"]
    assert download(item, path.parent, **QUICK) == path
    assert len(web.asked) == 1


def test_upper_case_hash_is_the_same(web: Any, tmp_path: Path) -> None:
    web.reset(CONTENT)
    item = wanted(web, sha256=hashlib.sha256(CONTENT).hexdigest().upper())
    download(item, tmp_path, **QUICK)
    download(item, tmp_path, **QUICK)
    assert len(web.asked) == 1


def test_cuts_are_resumed_where_they_were(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn("cut", 100_000), turn("cut", 50_000), turn())
    path = download(wanted(web), tmp_path, **QUICK)
    assert path.read_bytes() == CONTENT
    assert [asked.range for asked in web.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert [asked.if_range for asked in web.asked] == [None, '"v1"', '"v1"']
    assert sum(asked.sent for asked in web.asked) == len(CONTENT)


def test_more_cuts_than_attempts_are_survived_while_it_gains(
    web: Any, turn: Any, tmp_path: Path
) -> None:
    web.reset(CONTENT, *[turn("cut", 20_000)] * 12, turn())
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert len(web.asked) == 13


def test_silence_is_given_up_and_resumed(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn("stall", 70_000), turn())
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked[1].range == "bytes=70000-"


def test_endless_silence_ends_in_an_error_that_keeps_what_came(
    web: Any, turn: Any, tmp_path: Path
) -> None:
    web.reset(CONTENT, turn("stall", 70_000), turn("stall", 0))
    with pytest.raises(DownloadError, match="silent") as caught:
        download(wanted(web), tmp_path, **QUICK)
    assert caught.value.data["received"] == 70_000
    assert only(tmp_path) == ["galaxies.bin.part", "galaxies.bin.part.json"]
    web.reset(CONTENT)
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked[0].range == "bytes=70000-"
    assert only(tmp_path) == ["galaxies.bin"]


def test_server_that_ignores_range_starts_cleanly_again(
    web: Any, turn: Any, tmp_path: Path
) -> None:
    web.reset(CONTENT, turn("cut", 100_000), turn("ignore Range"))
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert [asked.status for asked in web.asked] == [200, 200]


def test_server_that_ignores_range_and_always_cuts_is_given_up(
    web: Any, turn: Any, tmp_path: Path
) -> None:
    web.reset(CONTENT, turn("ignore and cut", 100_000))
    with pytest.raises(DownloadError, match="cut after 100,000 of 300,000 bytes, in 3 tries"):
        download(wanted(web), tmp_path, **QUICK)
    assert len(web.asked) == QUICK["attempts"]


@pytest.mark.parametrize("kind", ["whole", "no If-Range"])
@pytest.mark.parametrize("validator", ["etag", "modified"])
def test_changed_file_is_not_glued(
    web: Any, turn: Any, tmp_path: Path, kind: str, validator: str
) -> None:
    web.reset(OTHER, turn("cut", 100_000))
    web.etag = None
    setattr(web, validator, '"old"' if validator == "etag" else "Mon, 01 Jan 2024 00:00:00 GMT")
    with pytest.raises(DownloadError):
        download(wanted(web, OTHER), tmp_path, **{**QUICK, "attempts": 1})
    web.reset(CONTENT, turn(kind))
    web.etag = None
    setattr(web, validator, '"new"' if validator == "etag" else "Tue, 02 Jan 2024 00:00:00 GMT")
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked[0].range == "bytes=100000-"
    assert web.asked[0].if_range
    assert web.asked[-1].status == 200


def test_changed_file_without_any_validator_is_noticed_by_its_hash(
    web: Any, turn: Any, tmp_path: Path
) -> None:
    web.reset(OTHER, turn("cut", 100_000))
    web.etag = None
    with pytest.raises(DownloadError):
        download(wanted(web), tmp_path, **{**QUICK, "attempts": 1})
    web.reset(CONTENT)
    web.etag = None
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert [asked.range for asked in web.asked] == ["bytes=100000-", None]


def test_corrupt_content_is_deleted_and_both_hashes_told(
    web: Any, turn: Any, tmp_path: Path
) -> None:
    web.reset(CONTENT, turn("corrupt"))
    flipped = hashlib.sha256(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])).hexdigest()
    with pytest.raises(DownloadError) as caught:
        download(wanted(web), tmp_path, **QUICK)
    assert flipped in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert only(tmp_path) == []


def test_damaged_part_is_noticed_and_fetched_anew(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn("cut", 100_000))
    with pytest.raises(DownloadError):
        download(wanted(web), tmp_path, **{**QUICK, "attempts": 1})
    part = tmp_path / "galaxies.bin.part"
    part.write_bytes(bytes(100_000))
    web.reset(CONTENT)
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT


def test_part_of_another_address_is_not_used(web: Any, tmp_path: Path) -> None:
    web.reset(CONTENT)
    (tmp_path / "galaxies.bin.part").write_bytes(OTHER[:1000])
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert [asked.range for asked in web.asked] == [None]


def test_part_longer_than_the_file_starts_again(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT + OTHER, turn("cut", 400_000))
    web.etag = None
    with pytest.raises(DownloadError):
        download(wanted(web), tmp_path, **{**QUICK, "attempts": 1})
    web.reset(CONTENT)
    web.etag = None
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert [asked.status for asked in web.asked] == [416, 200]


def test_complete_part_needs_no_server(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn("cut", 100_000))
    with pytest.raises(DownloadError):
        download(wanted(web), tmp_path, **{**QUICK, "attempts": 1})
    (tmp_path / "galaxies.bin.part").write_bytes(CONTENT)
    web.reset(CONTENT, turn(status=500))
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked == []


def test_complete_part_of_unknown_size_is_told_by_416(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn("no length"))
    web.content = CONTENT
    with pytest.raises(DownloadError):
        download(wanted(web, OTHER, size_bytes=len(CONTENT) + 1), tmp_path, **QUICK)
    (tmp_path / "galaxies.bin.part").write_bytes(CONTENT)
    web.reset(CONTENT)
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked[0].status == 416


def test_missing_file_is_told_at_once(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn(status=404))
    with pytest.raises(DownloadError, match="404") as caught:
        download(wanted(web), tmp_path, **QUICK)
    assert caught.value.data["status"] == 404
    assert len(web.asked) == 1
    assert not (tmp_path / "galaxies.bin").exists()


def test_server_error_is_tried_again(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn(status=500), turn("hang up"), turn())
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert len(web.asked) == 3


def test_server_error_that_stays_is_told(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn(status=503))
    with pytest.raises(DownloadError, match="503"):
        download(wanted(web), tmp_path, **QUICK)
    assert len(web.asked) == QUICK["attempts"]


def test_wait_that_the_server_asks_for_is_kept(web: Any, turn: Any, tmp_path: Path) -> None:
    busy = turn(status=429, headers={"Retry-After": "1"})
    web.reset(CONTENT, busy, turn())
    began = time.monotonic()
    download(wanted(web), tmp_path, **QUICK)
    assert time.monotonic() - began >= 1


def test_redirect_is_followed_also_on_resuming(web: Any, turn: Any, tmp_path: Path) -> None:
    away = turn(status=302, headers={"Location": web.url})
    web.reset(CONTENT, away, turn("cut", 1000), away, turn())
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked[-1].range == "bytes=1000-"


def test_file_without_length_arrives(web: Any, turn: Any, tmp_path: Path) -> None:
    web.reset(CONTENT, turn("no length"))
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT


def test_other_size_is_refused_before_it_is_fetched(web: Any, tmp_path: Path) -> None:
    web.reset(CONTENT)
    with pytest.raises(DownloadError, match="300,000 bytes; expected 299,999"):
        download(wanted(web, size_bytes=299_999), tmp_path, **QUICK)
    assert not (tmp_path / "galaxies.bin").exists()


def test_file_of_the_name_but_not_the_content_is_put_aside(web: Any, tmp_path: Path) -> None:
    web.reset(CONTENT)
    for mine in (b"one", b"two"):
        (tmp_path / "galaxies.bin").write_bytes(mine)
        assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert (tmp_path / "galaxies.bin.other").read_bytes() == b"one"
    assert (tmp_path / "galaxies.bin.other1").read_bytes() == b"two"


def test_full_disk_is_told_before_the_server_is_asked(web: Any, tmp_path: Path) -> None:
    web.reset(CONTENT)
    with pytest.raises(DiskSpaceError, match="100,000,000,000,000,000 bytes"):
        download(wanted(web, size_bytes=10**17), tmp_path, **QUICK)
    assert web.asked == []


def test_disk_that_fills_up_keeps_what_came(web: Any, turn: Any, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("making a small disk needs the right to mount")
    try:
        web.reset(CONTENT, turn("no length"))
        with pytest.raises(DiskSpaceError, match="disk is full"):
            download(wanted(web), small, **QUICK)
        kept = (small / "galaxies.bin.part").read_bytes()
        assert kept
        assert kept == CONTENT[: len(kept)]
        assert not (small / "galaxies.bin").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_at_once_do_not_mix(web: Any, turn: Any, tmp_path: Path, wait_for: Any) -> None:
    web.reset(CONTENT, turn("slow"))
    first = _start(wanted(web), tmp_path)
    try:
        wait_for(lambda: _size(tmp_path / "galaxies.bin.part") > 0)
        with pytest.raises(DownloadError, match="another process"):
            download(wanted(web), tmp_path, **QUICK)
        assert first.wait(30) == 0
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "galaxies.bin").read_bytes() == CONTENT


def test_killed_download_goes_on(web: Any, turn: Any, tmp_path: Path, wait_for: Any) -> None:
    web.reset(CONTENT, turn("slow"), turn())
    process = _start(wanted(web), tmp_path)
    part = tmp_path / "galaxies.bin.part"
    try:
        wait_for(lambda: _size(part) > 60_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert only(tmp_path) == ["galaxies.bin.part", "galaxies.bin.part.json"]
    kept = part.read_bytes()
    assert len(kept) < len(CONTENT)
    assert kept == CONTENT[: len(kept)]
    assert download(wanted(web), tmp_path, **QUICK).read_bytes() == CONTENT
    assert web.asked[1].range == f"bytes={len(kept)}-"
    assert web.asked[1].sent == len(CONTENT) - len(kept)
    assert only(tmp_path) == ["galaxies.bin"]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _start(item: Download, folder: Path) -> subprocess.Popen[bytes]:
    program = (
        "import sys; from pathlib import Path\n"
        "from morphoscope.acquire.download import download\n"
        "from morphoscope.recipe import Download\n"
        "download(Download.model_validate_json(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    return subprocess.Popen([sys.executable, "-c", program, item.model_dump_json(), str(folder)])


@pytest.mark.parametrize(
    "change",
    [
        {"url": "file:///etc/passwd"},
        {"url": "ftp://example.org/x"},
        {"name": "../outside.bin"},
        {"name": "/outside.bin"},
        {"name": ".."},
        {"name": ""},
        {"sha256": "abc"},
    ],
)
def test_what_cannot_be_meant_is_refused(web: Any, tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(DownloadError):
        download(wanted(web).model_copy(update=change), tmp_path / "data", **QUICK)
    assert web.asked == []
    assert only(tmp_path) == []


def test_no_server_is_told(web: Any, tmp_path: Path) -> None:
    item = wanted(web, url="http://127.0.0.1:9/galaxies.bin")
    with pytest.raises(DownloadError, match="refused"):
        download(item, tmp_path, **QUICK)


def test_folder_that_is_a_file_is_told(web: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(wanted(web), tmp_path / "data", **QUICK)


KINDS = st.sampled_from(
    ["whole", "cut", "corrupt", "ignore Range", "no If-Range", "ignore and cut"]
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    turns=st.lists(st.tuples(KINDS, st.integers(0, 5000), st.booleans()), min_size=1, max_size=8),
    size=st.integers(1, 5000),
    tagged=st.booleans(),
)
def test_whatever_happens_the_name_means_the_file(
    web: Any,
    turn: Any,
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[tuple[str, int, bool]],
    size: int,
    tagged: bool,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = CONTENT[:size]
    web.reset(content, *(turn(kind, after, 500 if bad else 200) for kind, after, bad in turns))
    web.etag = '"v1"' if tagged else None
    try:
        path = download(wanted(web, content), folder, **{**QUICK, "wait_s": 0})
    except DownloadError:
        assert not (folder / "galaxies.bin").exists()
    else:
        assert path.read_bytes() == content
        assert only(folder) == ["galaxies.bin"]
