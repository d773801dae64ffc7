"""What was fetched is kept, within bounds, and equal requests are asked once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from morphoscope.errors import ServiceError
from morphoscope.serve.archives import Archives, Cutout
from morphoscope.serve.archives.cache import DiskCache, Entry, Flights, key_of
from serve.archives.archive_server import ArchiveServer, Turn

Make = Callable[..., Archives]
KEYS = [key_of("test", str(n)) for n in range(40)]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_an_entry_comes_back_until_its_time_is_over(tmp_path: Path) -> None:
    clock = Clock()
    cache = DiskCache(tmp_path, 10_000, clock)
    entry = Entry({"url": "a", "width": 7}, b"\n\x00{}\n")
    cache.put(KEYS[0], entry, 60)
    assert cache.get(KEYS[0]) == entry
    assert DiskCache(tmp_path, 10_000, clock).get(KEYS[0]) == entry
    assert cache.get(KEYS[1]) is None
    clock.now += 60
    assert cache.get(KEYS[0]) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"null\n", b"[]\nx", b"\xff\xfe", None])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: bytes | None) -> None:
    cache = DiskCache(tmp_path, 10_000)
    cache.put(KEYS[0], Entry({}, b"content"), 60)
    path = next(path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert cache.get(KEYS[0]) is None


def test_its_room_is_kept_and_the_oldest_leave(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000)
    for n, key in enumerate(KEYS):
        cache.put(key, Entry({}, bytes(900)), 60)
        path = next(tmp_path.rglob(f"{key}*"))
        os.utime(path, (n, n))
        assert size(tmp_path) <= 10_000
    kept = [cache.get(key) is not None for key in KEYS]
    assert kept == sorted(kept)
    assert 7 <= sum(kept) <= 10


def test_what_is_there_already_counts(tmp_path: Path) -> None:
    first = DiskCache(tmp_path, 100_000)
    for key in KEYS[:9]:
        first.put(key, Entry({}, bytes(900)), 60)
    half_written = tmp_path / KEYS[0][:2] / f".{KEYS[0]}.entry.1.partial"
    half_written.write_bytes(bytes(5000))
    second = DiskCache(tmp_path, 5000)
    second.put(KEYS[9], Entry({}, bytes(900)), 60)
    assert size(tmp_path) <= 5000
    assert second.get(KEYS[9]) is not None
    assert not half_written.exists()


def test_the_same_entry_again_takes_no_more_room(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 5000)
    cache.put(KEYS[1], Entry({}, bytes(900)), 60)
    for _ in range(20):
        cache.put(KEYS[0], Entry({}, bytes(900)), 60)
    assert cache.get(KEYS[1]) is not None


@pytest.mark.parametrize(("room", "lasts_s"), [(0, 60), (500, 60), (10_000, 0)])
def test_what_has_no_room_or_no_time_is_not_kept(tmp_path: Path, room: int, lasts_s: float) -> None:
    DiskCache(tmp_path / "none", room).put(KEYS[0], Entry({}, bytes(900)), lasts_s)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = DiskCache(tmp_path / "file", 10_000)
    for key in KEYS[:3]:
        cache.put(key, Entry({}, b"a"), 60)
        assert cache.get(key) is None
    assert capsys.readouterr().err.count("not kept") == 1


def test_many_threads_keep_the_bound(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000)
    start = threading.Barrier(4)

    def work(part: int) -> None:
        start.wait()
        for n in range(part, 40, 4):
            cache.put(KEYS[n], Entry({"n": n}, bytes(900)), 60)
            found = cache.get(KEYS[n])
            assert found is None or found.facts == {"n": n}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert 0 < size(tmp_path) <= 10_000


def cutouts(archives: Archives, *places: float) -> list[Cutout | BaseException]:
    async def ask() -> list[Cutout | BaseException]:
        async with archives:
            asked = (archives.fetch_cutout(ra, 2.0, 1.0, "sdss", pixels=64) for ra in places)
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


def test_equal_requests_at_one_time_are_asked_once(server: ArchiveServer, archives: Make) -> None:
    found = cutouts(archives(cache_bytes=0), *[10.0] * 20, 11.0)
    assert server.count("sdss") == 2
    assert found[:20] == [found[0]] * 20
    assert found[0] != found[20]


def test_equal_requests_share_an_error_too(server: ArchiveServer, archives: Make) -> None:
    server.fail("sdss", Turn("junk"))
    found = cutouts(archives(), *[10.0] * 5)
    assert server.count("sdss") == 1
    assert all(isinstance(one, ServiceError) and one.code == "no_image" for one in found)


def test_a_cutout_is_fetched_once_and_an_error_is_not_kept(
    server: ArchiveServer, archives: Make
) -> None:
    server.fail("sdss", Turn("junk"))
    assert isinstance(cutouts(archives(), 10.0)[0], ServiceError)
    first = cutouts(archives(), 10.0)
    assert first == cutouts(archives(), 10.0)
    assert server.count("sdss") == 2


def test_that_there_is_none_is_remembered(server: ArchiveServer, archives: Make) -> None:
    async def ask() -> list[str]:
        codes = []
        async with archives() as many:
            for _ in range(3):
                with pytest.raises(ServiceError) as caught:
                    await many.fetch_cutout(10.0, -40.0, 1.0, "sdss")
                codes.append(caught.value.code)
                with pytest.raises(ServiceError) as caught:
                    await many.resolve_name("Nowhere 7")
                codes.append(caught.value.code)
        return codes

    assert asyncio.run(ask()) == ["not_in_survey", "unknown_name"] * 3
    assert (server.count("sdss"), server.count("sesame")) == (1, 1)


def test_nothing_is_kept_where_that_is_wished(server: ArchiveServer, archives: Make) -> None:
    for _ in range(2):
        cutouts(archives(cache_days=0), 10.0)
    assert server.count("sdss") == 2


def test_a_host_that_is_not_listed_any_more_is_not_answered_from_the_cache(
    server: ArchiveServer, archives: Make
) -> None:
    async def ask(many: Archives) -> Cutout:
        async with many:
            return await many.fetch_url(server.file_url())

    assert asyncio.run(ask(archives())).content
    with pytest.raises(ServiceError) as caught:
        asyncio.run(ask(archives(hosts=[])))
    assert caught.value.code == "host_not_allowed"


def test_who_stops_waiting_takes_it_from_nobody_else() -> None:
    async def run() -> tuple[list[str], int]:
        made: list[str] = []
        go = asyncio.Event()

        async def make() -> str:
            made.append("begun")
            await go.wait()
            made.append("done")
            return "it"

        flights: Flights[str] = Flights()
        one, two = (asyncio.create_task(flights.once("key", make)) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        go.set()
        assert await two == "it"
        return made, len(asyncio.all_tasks())

    assert asyncio.run(run()) == (["begun", "done"], 1)


def test_where_nobody_waits_it_ends_and_the_next_begins_anew() -> None:
    async def run() -> list[str]:
        told: list[str] = []

        async def make() -> str:
            told.append("begun")
            try:
                await asyncio.sleep(20 if len(told) == 1 else 0)
            except asyncio.CancelledError:
                told.append("ended")
                raise
            return "it"

        flights: Flights[str] = Flights()
        one = asyncio.create_task(flights.once("key", make))
        await asyncio.sleep(0.01)
        one.cancel()
        two = asyncio.create_task(flights.once("key", make))
        await asyncio.gather(one, return_exceptions=True)
        assert await two == "it"
        return told

    assert asyncio.run(run()) == ["begun", "ended", "begun"]
