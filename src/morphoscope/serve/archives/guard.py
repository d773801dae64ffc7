"""Requests that leave this machine: to listed hosts, at public addresses, bounded in every way.

A name is resolved here, all its addresses are checked, and the connection goes to one of these, so
that a name that leads elsewhere a moment later (DNS rebinding) gains nothing. Redirects are
followed by hand, each checked as the first address was. Proxies and passwords of the environment
are not used.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx

import morphoscope
from morphoscope.errors import ServiceError
from morphoscope.serve.archives.addresses import (
    Hosts,
    checked_url,
    hosts_of,
    is_public,
    port_of,
)
from morphoscope.serve.archives.settings import ArchiveSettings
from morphoscope.serve.archives.unpacking import Bounded, too_large

__all__ = ["Guard", "Reply", "Resolve", "resolve"]

# From a host and a port to IP addresses.
Resolve = Callable[[str, int], Awaitable[list[str]]]

MOST_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Of an answer that refuses, as much as a person would read.
REFUSAL_BYTES = 20_000
CONNECTIONS = httpx.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=30)


@dataclass(frozen=True)
class Reply:
    """What a host answered.

    Attributes
    ----------
    url
        The address that answered, after redirects.
    status, reason
        HTTP status and its words.
    kind
        Content-Type, without parameters.
    retry_after
        Retry-After; empty: none.
    body
        Unpacked; of a refusal only its beginning.
    """

    url: str
    status: int
    reason: str
    kind: str
    retry_after: str
    body: bytes

    @property
    def host(self) -> str:
        """Host that answered."""
        return httpx.URL(self.url).host


async def resolve(host: str, port: int) -> list[str]:
    """IP addresses of a host, as this machine resolves it, best first."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that were checked, and to no others."""

    def __init__(self, private: Hosts, resolve: Resolve) -> None:
        self._private, self._resolve = private, resolve
        # One for each name: two names at one address must not share a connection, since each
        # connection was made with the certificate of its own name.
        self._pools: dict[tuple[str, str, int], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, port = request.url.host, port_of(request.url)
        pool = self._pool(request.url.scheme, host, port)
        addresses = await self._checked_addresses(host, port)
        for address in addresses[:-1]:
            try:
                return await pool.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await pool.handle_async_request(_pinned(request, addresses[-1]))

    def _pool(self, scheme: str, host: str, port: int) -> httpx.AsyncHTTPTransport:
        key = (scheme, host, port)
        if key not in self._pools:
            # Certificates are read from disk, which takes longer than an answer.
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if scheme == "http" else self._tls
            self._pools[key] = httpx.AsyncHTTPTransport(
                verify=tls, trust_env=False, limits=CONNECTIONS
            )
        return self._pools[key]

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()

    async def _checked_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"its name is not known here ({error})") from error
        if not addresses:
            raise httpx.ConnectError("its name has no address")
        if (host, port) not in self._private and not all(map(is_public, addresses)):
            raise ServiceError(
                f"{host} leads to an address that is not public",
                code="host_not_allowed",
                do="if it is a mirror of yours, name it in archives.private_hosts",
            )
        return addresses

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The request, sent to an address; Host and the name on the certificate stay."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


class Guard:
    """Fetches, and lets nothing else happen.

    Parameters
    ----------
    settings
        Limits, and which hosts may be private.
    resolve
        From names to IP addresses.
    """

    def __init__(self, settings: ArchiveSettings, resolve: Resolve = resolve) -> None:
        self._timeout_s, self._largest = settings.timeout_s, settings.largest_bytes
        self._client = httpx.AsyncClient(
            transport=PinnedTransport(hosts_of(settings.private_hosts), resolve),
            timeout=settings.timeout_s,
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={
                "User-Agent": f"morphoscope/{morphoscope.__version__}",
                "Accept-Encoding": "identity",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, url: str, hosts: Hosts) -> Reply:
        """Ask for an address once, following at most three redirects.

        Parameters
        ----------
        url
            The address.
        hosts
            Those that may be asked, also by redirects.

        Returns
        -------
        Reply
            Whatever its status.

        Raises
        ------
        ServiceError
            ``host_not_allowed``, ``too_large``, ``no_image`` (it cannot be unpacked, or redirects
            without end), or ``archive_away`` (no answer, or not a whole one).
        """
        checked = checked_url(url, hosts)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(checked, hosts)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _away(checked, f"does not answer within {self._timeout_s:g} s") from error
        except httpx.ConnectError as error:
            raise _away(checked, f"cannot be reached ({error})") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _away(checked, f"breaks off ({error or type(error).__name__})") from error

    async def _follow(self, url: httpx.URL, hosts: Hosts) -> Reply:
        for _ in range(MOST_REDIRECTS + 1):
            async with self._client.stream("GET", url) as response:
                target = response.headers.get("Location", "")
                if response.status_code not in REDIRECTS or not target:
                    return await self._read(url, response)
            url = checked_url(str(url.join(target)), hosts)
        raise ServiceError(
            f"{url.host} redirects more than {MOST_REDIRECTS} times", code="no_image"
        )

    async def _read(self, url: httpx.URL, response: httpx.Response) -> Reply:
        refused = response.status_code >= 400
        body = REFUSAL_BYTES if refused else self._largest
        content = await (_beginning if refused else _whole)(response, body)
        return Reply(
            url=str(url),
            status=response.status_code,
            reason=response.reason_phrase,
            kind=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            retry_after=response.headers.get("Retry-After", ""),
            body=content,
        )


async def _whole(response: httpx.Response, largest: int) -> bytes:
    whose = response.url.host
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > largest:
        raise too_large(whose, largest)
    body = Bounded(largest, response.headers.get("Content-Encoding", ""), whose)
    async for data in response.aiter_raw():
        body.add(data)
    if not body.whole:
        raise httpx.RemoteProtocolError("its gzip ends too early")
    return body.content


async def _beginning(response: httpx.Response, largest: int) -> bytes:
    """Beginning of a refusal; a packed one is not read."""
    content = b""
    if response.headers.get("Content-Encoding", "identity") == "identity":
        async for data in response.aiter_raw():
            content += data[: largest - len(content)]
            if len(content) >= largest:
                break
    return content


def _away(url: httpx.URL, what: str) -> ServiceError:
    return ServiceError(
        f"{url.host} {what}",
        code="archive_away",
        do="try again later, or upload the image",
        host=url.host,
    )
