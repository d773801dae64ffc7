"""Requests go where they may, and nowhere else; nothing grows without bound."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from morphoscope.errors import ServiceError
from morphoscope.serve.archives import Archives, Cutout
from serve.archives.archive_server import ArchiveServer, Turn

Make = Callable[..., Archives]


def fetch(archives: Archives, url: str) -> Cutout:
    async def ask() -> Cutout:
        async with archives:
            return await archives.fetch_url(url)

    return asyncio.run(ask())


def refused(archives: Archives, url: str, code: str = "host_not_allowed") -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        fetch(archives, url)
    assert caught.value.code == code, caught.value
    return caught.value


class Names:
    """A resolver that answers as told; the last answer stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_a_private_address_is_refused_before_anything_is_sent(
    server: ArchiveServer, archives: Make
) -> None:
    refused(archives(private_hosts=[]), server.file_url())
    assert server.asked == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["fe80::1%lo"],
    ],
)
def test_a_listed_name_that_leads_inside_is_refused(
    server: ArchiveServer, archives: Make, addresses: list[str]
) -> None:
    host = f"archive.test:{server.port}"
    told = refused(archives(Names(addresses), hosts=[host]), f"http://{host}/files/galaxy.jpg")
    assert "not public" in told.found
    assert addresses[-1] not in str(told)
    assert server.asked == []


def test_the_connection_goes_to_the_address_that_was_checked(
    server: ArchiveServer, archives: Make
) -> None:
    # No other resolver knows this name: had it been asked for a second time, there were no answer.
    host = f"archive.test:{server.port}"
    names = Names(["127.0.0.1"], ["10.255.255.1"])
    many = archives(names, hosts=[host], private_hosts=[host])
    assert fetch(many, f"http://{host}/files/galaxy.jpg").content.startswith(b"\xff\xd8")
    assert names.asked == 1
    assert server.asked[0].headers["Host"] == host


def test_a_name_that_turns_inside_later_is_refused_then(
    server: ArchiveServer, archives: Make
) -> None:
    host = f"archive.test:{server.port}"

    async def ask() -> None:
        names = Names(["127.0.0.1"])
        async with archives(names, hosts=[host], private_hosts=[]) as many:
            names.answers = [["10.0.0.1"]]
            for name in ("a.jpg", "b.jpg"):
                with pytest.raises(ServiceError, match="not public"):
                    await many.fetch_url(f"http://{host}/files/{name}")

    asyncio.run(ask())
    assert server.asked == []


def test_the_next_address_is_tried_where_one_cannot_be_reached(
    server: ArchiveServer, archives: Make
) -> None:
    host = f"archive.test:{server.port}"
    many = archives(Names(["::1", "127.0.0.1", "::1"]), hosts=[host], private_hosts=[host])
    assert fetch(many, f"http://{host}/files/galaxy.jpg").content


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows_is_told(archives: Make, error: Exception) -> None:
    async def names(host: str, port: int) -> list[str]:
        raise error

    many = archives(names, hosts=["archive.test"], retries=0)
    assert "cannot be reached" in refused(many, "http://archive.test/a", "archive_away").found


def test_tls_asks_for_the_name_not_for_the_address(archives: Make) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    hello: list[bytes] = []

    def listen() -> None:
        connection, _ = listener.accept()
        with connection:
            hello.append(connection.recv(4096))

    thread = threading.Thread(target=listen)
    thread.start()
    host = f"archive.test:{listener.getsockname()[1]}"
    many = archives(Names(["127.0.0.1"]), hosts=[host], private_hosts=[host], retries=0)
    refused(many, f"https://{host}/a", "archive_away")
    thread.join()
    listener.close()
    assert b"archive.test" in hello[0]


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:1/secret",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://localhost/",
        "https://evil.example.org/",
        "file:///etc/passwd",
        "//evil.example.org/a",
        "http://user:word@{host}/files/a.jpg",
        "http://[broken/",
        "http://www.legacysurvey.org:99999/",
    ],
)
@pytest.mark.parametrize("service", ["files", "sdss"])
def test_a_redirect_leads_nowhere_else(
    server: ArchiveServer, archives: Make, to: str, service: str
) -> None:
    server.fail(service, *[Turn("redirect", 302, to.format(host=server.host))] * 9)

    async def ask() -> None:
        async with archives(retries=0) as many:
            if service == "files":
                await many.fetch_url(server.file_url())
            else:
                await many.fetch_cutout(150.0, 2.0, 1.0, "sdss")

    with pytest.raises(ServiceError) as caught:
        asyncio.run(ask())
    assert caught.value.code == "host_not_allowed"
    assert len(server.asked) == 1


def test_a_redirect_to_what_is_no_address_is_told(server: ArchiveServer, archives: Make) -> None:
    server.fail("files", Turn("redirect", 302, "http://archive.test:port/"))
    refused(archives(retries=0), server.file_url(), "archive_away")
    assert len(server.asked) == 1


def test_a_redirect_by_name_is_resolved_and_checked_again(
    server: ArchiveServer, archives: Make
) -> None:
    hosts = [server.host, f"archive.test:{server.port}"]
    server.fail("files", Turn("redirect", 302, f"http://{hosts[1]}/files/b.jpg"))
    told = refused(archives(Names(["127.0.0.1"]), hosts=hosts), server.file_url())
    assert "not public" in told.found
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_three_redirects_are_followed(server: ArchiveServer, archives: Make, status: int) -> None:
    server.fail("files", *(Turn("redirect", status, f"{n}.jpg") for n in range(3)))
    assert fetch(archives(), server.file_url()).url == server.file_url("2.jpg")


def test_four_are_not(server: ArchiveServer, archives: Make) -> None:
    server.fail("files", *(Turn("redirect", 302, f"{n}.jpg") for n in range(4)))
    refused(archives(), server.file_url(), "no_image")
    assert server.count("files") == 4


@pytest.mark.parametrize("kind", ["endless", "bomb", "announced"])
def test_what_is_too_large_is_not_taken_in(
    server: ArchiveServer, archives: Make, kind: str
) -> None:
    server.fail("files", Turn(kind))
    many = archives(largest_bytes=1_000_000)
    tracemalloc.start()
    try:
        refused(many, server.file_url(), "too_large")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000
    assert server.count("files") == 1


@pytest.mark.parametrize("kind", ["packed twice", "brotli"])
def test_what_cannot_be_unpacked_within_bounds_is_refused(
    server: ArchiveServer, archives: Make, kind: str
) -> None:
    server.fail("files", Turn(kind))
    refused(archives(), server.file_url(), "no_image")


def test_a_packed_answer_is_unpacked_though_not_asked_for(
    server: ArchiveServer, archives: Make
) -> None:
    server.fail("files", Turn("packed"))
    assert fetch(archives(), server.file_url()).content.startswith(b"\xff\xd8")
    assert server.asked[0].headers["Accept-Encoding"] == "identity"


def test_packed_fits_is_unpacked_within_bounds(server: ArchiveServer, archives: Make) -> None:
    plain = fetch(archives(), server.file_url("a.fits")).content
    assert fetch(archives(), server.file_url("a.fits.gz")).content == plain
    refused(archives(largest_bytes=len(plain) - 1), server.file_url("b.fits.gz"), "too_large")


@pytest.mark.parametrize("kind", ["stall", "drip"])
def test_time_is_limited_also_where_bytes_keep_coming(
    server: ArchiveServer, archives: Make, kind: str
) -> None:
    server.fail("files", Turn(kind))
    began = time.monotonic()
    told = refused(archives(timeout_s=0.3, retries=0), server.file_url(), "archive_away")
    assert 0.25 < time.monotonic() - began < 1.5
    assert "0.3 s" in told.found


def test_a_resolver_that_hangs_is_given_up(archives: Make) -> None:
    async def names(host: str, port: int) -> list[str]:
        await asyncio.sleep(20)
        return []

    many = archives(names, hosts=["archive.test"], timeout_s=0.2, retries=0)
    refused(many, "http://archive.test/a", "archive_away")


def test_proxies_and_cookies_play_no_part(
    server: ArchiveServer, archives: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.fail("files", Turn(headers={"Set-Cookie": "who=you"}))

    async def ask() -> None:
        async with archives() as many:
            await many.fetch_url(server.file_url("a.jpg"))
            await many.fetch_url(server.file_url("b.jpg"))

    asyncio.run(ask())
    assert server.count("files") == 2
    assert "Cookie" not in server.asked[1].headers
    assert server.asked[1].headers["User-Agent"].startswith("morphoscope/")


def test_a_host_that_may_be_private_may_not_therefore_be_asked(
    server: ArchiveServer, archives: Make
) -> None:
    refused(archives(hosts=["www.legacysurvey.org"]), server.file_url())
    assert server.asked == []


def test_a_service_is_asked_though_its_host_is_not_for_visitors(
    server: ArchiveServer, archives: Make
) -> None:
    async def ask(work: Callable[[Archives], Awaitable[Any]]) -> Any:
        async with archives(hosts=[]) as many:
            return await work(many)

    assert asyncio.run(ask(lambda many: many.fetch_cutout(150.0, 2.0, 1.0, "sdss"))).content
    with pytest.raises(ServiceError, match="no host is listed"):
        asyncio.run(ask(lambda many: many.fetch_url(server.file_url())))
