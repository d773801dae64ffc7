"""Asking again where it may help, and not where it does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from morphoscope.errors import ServiceError
from morphoscope.serve.archives import Archives, Cutout
from serve.archives.archive_server import ArchiveServer, Turn

Make = Callable[..., Archives]


def fetch(archives: Archives, survey: str = "sdss") -> Cutout:
    async def ask() -> Cutout:
        async with archives:
            return await archives.fetch_cutout(150.0, 2.0, 1.0, survey, pixels=64)

    return asyncio.run(ask())


def failed(archives: Archives, code: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        fetch(archives)
    assert caught.value.code == code, caught.value
    return caught.value


@pytest.mark.parametrize(
    "turn",
    [
        Turn("refuse", status=500),
        Turn("refuse", status=503),
        Turn("refuse", status=429),
        Turn("refuse", status=503, headers={"Retry-After": "soon"}),
        Turn("cut"),
        Turn("packed cut"),
        Turn("hang up"),
        Turn("stall"),
        Turn("html", to="The service is temporarily unavailable."),
        Turn("html", status=502, to="Bad gateway"),
    ],
    ids=lambda turn: f"{turn.kind} {turn.status}",
)
def test_what_passes_is_asked_again(server: ArchiveServer, archives: Make, turn: Turn) -> None:
    server.fail("sdss", turn, turn)
    assert fetch(archives(timeout_s=0.3)).content.startswith(b"\xff\xd8")
    assert server.count("sdss") == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 451])
def test_what_the_service_refuses_is_not(
    server: ArchiveServer, archives: Make, status: int
) -> None:
    server.fail("sdss", Turn("refuse", status=status))
    assert str(status) in failed(archives(), "no_image").found
    assert server.count("sdss") == 1


@pytest.mark.parametrize("kind", ["junk", "empty", "blank", "broken", "endless"])
def test_what_would_be_the_same_again_is_not(
    server: ArchiveServer, archives: Make, kind: str
) -> None:
    server.fail("sdss", Turn(kind))
    with pytest.raises(ServiceError):
        fetch(archives())
    assert server.count("sdss") == 1


def test_in_the_end_it_is_away(server: ArchiveServer, archives: Make) -> None:
    server.fail("sdss", *[Turn("refuse", status=503)] * 9)
    told = failed(archives(retries=2), "archive_away")
    assert server.count("sdss") == 3
    assert "answers 503" in told.found
    assert told.data["status"] == 503


def test_the_wait_that_is_asked_for_is_kept(server: ArchiveServer, archives: Make) -> None:
    server.fail("sdss", Turn("refuse", status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    fetch(archives())
    assert 1.0 <= time.monotonic() - began < 3


def test_so_is_one_by_date(server: ArchiveServer, archives: Make) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    server.fail("sdss", Turn("refuse", status=503, headers={"Retry-After": then}))
    told = failed(archives(), "archive_away")
    assert server.count("sdss") == 1
    assert 590 < float(str(told.data["retry_after_s"])) <= 600


def test_too_long_a_wait_is_told_not_kept(server: ArchiveServer, archives: Make) -> None:
    server.fail("sdss", Turn("refuse", status=429, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    told = failed(archives(longest_wait_s=5.0), "archive_away")
    assert time.monotonic() - began < 2
    assert told.data["retry_after_s"] == 3600
    assert "3600 s" in told.do
    assert server.count("sdss") == 1


def test_waits_grow_and_differ(
    server: ArchiveServer, archives: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    asking = threading.get_ident()

    async def note(seconds: float) -> None:
        # Servers of other tests sleep in threads of their own.
        if threading.get_ident() != asking:
            await sleep(seconds)
            return
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("morphoscope.serve.archives.asking.asyncio.sleep", note)
    server.fail("sdss", *[Turn("refuse", status=503)] * 5)
    fetch(archives(retries=5, backoff_s=1.0))
    assert len(waits) == 5
    for turn, wait in enumerate(waits):
        assert 2**turn / 2 <= wait <= 2**turn
    assert len({wait / 2**turn for turn, wait in enumerate(waits)}) == 5


def test_all_tries_together_are_limited(server: ArchiveServer, archives: Make) -> None:
    server.fail("sdss", *[Turn("stall")] * 9)
    began = time.monotonic()
    told = failed(archives(timeout_s=0.3, total_s=0.5, retries=9), "archive_away")
    assert 0.45 < time.monotonic() - began < 1.5
    assert "0.5 s" in told.found
    assert server.count("sdss") == 2


def test_one_service_is_asked_little_at_once(server: ArchiveServer, archives: Make) -> None:
    async def ask() -> int:
        async with archives(at_once=2, timeout_s=30.0) as many:
            server.fail("sdss", *[Turn("stall")] * 6)
            tasks = [
                asyncio.create_task(many.fetch_cutout(150.0 + n, 2.0, 1.0, "sdss", pixels=64))
                for n in range(6)
            ]
            await asyncio.sleep(0.4)
            at_once = server.count("sdss")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return at_once

    assert asyncio.run(ask()) == 2
