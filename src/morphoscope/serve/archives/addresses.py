"""Which addresses may be asked: hosts that are listed, and only where they lead to the internet."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import httpx

from morphoscope.errors import ServiceError

__all__ = ["Hosts", "checked_url", "host_entry", "hosts_of", "is_public", "port_of", "service_host"]

# Host and port; without a port, those of http and https.
Hosts = frozenset[tuple[str, int | None]]
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443}
LONGEST_URL = 2000
NOT_IN_AN_ADDRESS = re.compile(r"[\x00-\x20\x7f\\]")
ENTRY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?")

# NAT64 (RFC 6052) carries an IPv4 address; what counts is whether that one is public.
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Handed out so far to hosts of the internet.
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# `is_global` differs from one version of Python to the next in these; tunnels (Teredo and ORCHID
# in 2001::/23, 6to4 in 2002::/16) lead to where their inner address says.
NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


def is_public(text: str) -> bool:
    """Whether an IP address is one of the internet at large.

    Parameters
    ----------
    text
        IPv4 or IPv6 address, as a resolver gives it.

    Returns
    -------
    bool
        False for private, loopback, link-local, multicast and reserved addresses, for these inside
        IPv6, for tunnels, and for what is no address.

    Examples
    --------
    >>> is_public("8.8.8.8"), is_public("::ffff:10.0.0.1")
    (True, False)
    """
    try:
        address = _innermost(ipaddress.ip_address(text))
    except ValueError:
        return False
    if any(address in network for network in NEVER if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _innermost(address: IPAddress) -> IPAddress:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def host_entry(text: str) -> tuple[str, int | None]:
    """Host and port of an entry such as ``www.sdss.org`` or ``localhost:8080``.

    Raises
    ------
    ValueError
        It is neither.
    """
    found = ENTRY.fullmatch(text)
    if not found or (found["port"] and not 0 < int(found["port"]) < 65536):
        raise ValueError(f"{text!r} is neither HOST nor HOST:PORT")
    return found["host"].strip("[]").lower(), int(found["port"]) if found["port"] else None


def hosts_of(entries: Iterable[str]) -> Hosts:
    """Hosts of a list of entries."""
    return frozenset(map(host_entry, entries))


def service_host(address: str) -> tuple[str, int]:
    """Host and port of the address of a service.

    Raises
    ------
    ValueError
        It is not one of http or https without user, query and fragment.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ValueError(f"{address!r} is not an address ({error})") from error
    if url.scheme not in PORTS or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError(f"{address!r} is not http(s)://HOST/PATH")
    return url.host, port_of(url)


def port_of(url: httpx.URL) -> int:
    """Port of an address of http or https."""
    return PORTS[url.scheme] if url.port is None else url.port


def checked_url(text: str, hosts: Hosts) -> httpx.URL:
    """Address that may be asked, as far as its words tell; where it leads is checked later.

    Parameters
    ----------
    text
        An address, as a person or a redirecting server gives it.
    hosts
        Those that may be asked.

    Raises
    ------
    ServiceError
        Code ``host_not_allowed``: it is not http or https, holds a user or password, or its host
        or port is not listed.
    """
    url = _parsed(text)
    if url.scheme not in PORTS or not url.host:
        raise _refused(f"the address begins with {text[:20]!r}", "http:// or https:// and a host")
    if url.userinfo:
        raise _refused("the address holds a user's name or password", "one without")
    port = port_of(url)
    usual = port == PORTS[url.scheme] and (url.host, None) in hosts
    if not usual and (url.host, port) not in hosts:
        names = sorted(host if port is None else f"{host}:{port}" for host, port in hosts)
        raise _refused(
            f"the address leads to {url.host[:100]}, port {port}",
            f"one of {', '.join(names)}" if names else "none: no host is listed",
        )
    return url.copy_with(fragment=None)


def _parsed(text: str) -> httpx.URL:
    if len(text) > LONGEST_URL:
        raise _refused(f"the address has {len(text):,} characters", f"at most {LONGEST_URL:,}")
    if NOT_IN_AN_ADDRESS.search(text):
        raise _refused("the address holds a space, a backslash or a control character", "none")
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused(f"the address cannot be read ({error})", "http(s)://HOST/PATH") from error


def _refused(found: str, expected: str) -> ServiceError:
    return ServiceError(
        found,
        code="host_not_allowed",
        expected=expected,
        do="upload the image instead, or ask whoever runs this server to list its host",
    )
