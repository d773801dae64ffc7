"""Who may ask, how much, and what every answer's headers forbid."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from morphoscope.errors import OverloadError, RequestError, TokenError
from morphoscope.serve.settings import Token

__all__ = [
    "HEADERS",
    "LOCAL_NAMES",
    "Limiter",
    "SecurityHeaders",
    "UploadLimit",
    "client_of",
    "host_of",
    "is_here",
    "token_name",
]
__all__ += ["too_large"]

# What is not a form with files is a few words of JSON; larger, it would only fill the memory.
WORDS_BYTES = 100_000
# A provider gives whole networks of IPv6 addresses to one person.
IPV6_PREFIX = 64
LONGEST_ADDRESS = 64
# Addresses whose rate is remembered; the one that was silent longest goes first.
REMEMBERED = 10_000
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class SecurityHeaders:
    """Add the headers to every answer, of errors too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, sent)


class UploadLimit:
    """Stop reading a request whose body is larger than allowed, whatever its header says."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self.app, self.largest = app, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        read = 0
        kind = dict(scope["headers"]).get(b"content-type", b"").strip().lower()
        form = kind.startswith(b"multipart/form-data")
        largest = self.largest if form else min(self.largest, WORDS_BYTES)

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > largest:
                raise too_large(read, largest)
            return message

        await self.app(scope, limited, send)


def too_large(found: int, largest: int) -> RequestError:
    """Error for a body that is larger than allowed."""
    return RequestError(
        f"the request has more than {largest:,} bytes",
        expected=f"at most {largest:,}",
        do="send a cutout of the galaxy, or fewer images at once",
        status=413,
        code="too_large",
        bytes=found,
    )


class Limiter:
    """A bucket of tokens an address: a burst, then so many a second.

    Parameters
    ----------
    rate
        A second, in the long run; 0: no limit.
    burst
        At once.
    what
        What is counted, for the error.
    """

    def __init__(self, rate: float, burst: int, what: str = "images") -> None:
        self.rate, self.burst, self.what = rate, float(burst), what
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, n: int = 1) -> None:
        """Count images of an address.

        Raises
        ------
        OverloadError
            They are too many; ``retry_s`` says when they are not.
        """
        if not self.rate:
            return
        client, now = _network(client), time.monotonic()
        left, then = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        fits = left >= min(n, self.burst)
        self._left[client] = (left - n if fits else left, now)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)
        if not fits:
            wait = math.ceil((min(n, self.burst) - left) / self.rate)
            raise OverloadError(
                f"more than {self.rate:g} {self.what} a second came from one address",
                do=f"wait {wait} s, or ask the operator for a token",
                status=429,
                code="too_many",
                retry_s=max(1, wait),
            )


def token_name(header: str, tokens: Sequence[Token]) -> str | None:
    """Whose token an ``Authorization`` header holds; None without one.

    Raises
    ------
    TokenError
        It holds one that is not known.
    """
    scheme, _, value = header.strip().partition(" ")
    if not header.strip():
        return None
    digest = hashlib.sha256(value.strip().encode()).hexdigest()
    # All are compared, so that the time tells nothing.
    named = [one.name for one in tokens if hmac.compare_digest(one.sha256, digest)]
    if scheme.lower() != "bearer" or not named:
        raise TokenError(
            "the token is not known",
            expected="Authorization: Bearer TOKEN",
            do="ask the operator for one",
        )
    return named[0]


def client_of(scope: Scope, proxies: Sequence[str]) -> str:
    """Address that a request comes from; behind a believed proxy, the one that it names."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    # A proxy may write a line of its own below that of the client.
    named = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    # The last that no proxy of ours wrote: what stands before it anybody could have written.
    chain = [part.strip() for part in named.split(",") if part.strip()]
    while address in proxies and chain:
        address = chain.pop()
    return address


def _network(address: str) -> str:
    """What is counted as one client: an IPv4 address, or a network of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:LONGEST_ADDRESS]
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))


def host_of(scope: Scope) -> str:
    """Name that a request is for, without its port."""
    name: str = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name


def is_here(address: str) -> bool:
    """Whether an address is of this machine."""
    if address in ("", "localhost", "testclient"):
        return address != ""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
