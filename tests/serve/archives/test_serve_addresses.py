"""Which addresses may be asked."""

from __future__ import annotations

import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.errors import ServiceError
from morphoscope.serve.archives.addresses import checked_url, host_entry, hosts_of, is_public

HOSTS = hosts_of(["www.legacysurvey.org", "mirror.example.org:8443", "[2600::5]:8080"])
INNER = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]


@pytest.mark.parametrize("address", INNER)
def test_no_inner_address_is_public_in_any_dress(address: str) -> None:
    number = int(ipaddress.IPv4Address(address))
    assert not is_public(address)
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{address}")
    assert not is_public(f"::{address}")
    assert not is_public(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80)))


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "100::1",
        "4000::1",
        "64:ff9b:1::808:808",
        "localhost",
        "",
        "127.1",
        "2130706433",
    ],
)
def test_no_special_address_of_ipv6_is_public_nor_what_is_none(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "130.79.128.5", "2600::1", "2a00:1450::5", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_private_is_ever_public(address: ipaddress.IPv4Address) -> None:
    if is_public(str(address)) and address.version == 4:
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_reserved


@pytest.mark.parametrize(
    "url",
    [
        "https://www.legacysurvey.org/viewer/jpeg-cutout?ra=1&dec=2",
        "http://www.legacysurvey.org/",
        "HTTPS://WWW.LegacySurvey.org:443/a",
        "http://mirror.example.org:8443/a",
        "https://mirror.example.org:8443/a",
        "http://[2600::5]:8080/a",
    ],
)
def test_listed_hosts_may_be_asked(url: str) -> None:
    checked = checked_url(url, HOSTS)
    assert (checked.host, checked.path) == (httpx.URL(url).host, httpx.URL(url).path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "galaxy.jpg",
        "//www.legacysurvey.org/a",
        "https:///a",
        "file:///etc/passwd",
        "ftp://www.legacysurvey.org/a",
        "gopher://www.legacysurvey.org/a",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "https://www.legacysurvey.org:8443/a",
        "https://www.legacysurvey.org:80/a",
        "http://www.legacysurvey.org:443/a",
        "http://www.legacysurvey.org:0/a",
        "http://www.legacysurvey.org:99999/a",
        "https://mirror.example.org/a",
        "https://www.legacysurvey.org.evil.org/a",
        "https://evil-www.legacysurvey.org/a",
        "https://www.legacysurvey.org./a",
        "https://user@www.legacysurvey.org/a",
        "https://user:word@www.legacysurvey.org/a",
        "https://www.legacysurvey.org@evil.org/a",
        "https://evil.org#@www.legacysurvey.org/a",
        "https://evil.org\\@www.legacysurvey.org/a",
        "https://www.legacysurvey.org/a b",
        "https://www.legacysurvey.org/a\r\nHost: evil.org",
        "https://www.legacysurvey.org\x00.evil.org/",
        "http://127.0.0.1/a",
        "http://2130706433/a",
        "http://0x7f.1/a",
        "http://[::1]/a",
        "http://[::ffff:127.0.0.1]:8080/a",
        "http://localhost/a",
        "http://169.254.169.254/latest/meta-data",
        "https://ｗｗｗ.legacysurvey.org.evil.org/",
        "https://www.legacysurvey.org/" + "a" * 2000,
    ],
)
def test_all_others_are_refused(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        checked_url(url, HOSTS)
    assert caught.value.code == "host_not_allowed"
    assert len(str(caught.value)) < 500


def test_where_nothing_is_listed_nothing_may_be_asked() -> None:
    with pytest.raises(ServiceError, match="no host is listed"):
        checked_url("https://www.legacysurvey.org/", frozenset())


def test_a_fragment_stays_here() -> None:
    assert str(checked_url("https://www.legacysurvey.org/a#b", HOSTS)).endswith("/a")


@pytest.mark.parametrize(
    "entry", ["", "a b", "http://a", "a:0", "a:65536", "a/b", "*", "a:", "ä.de"]
)
def test_what_is_no_host_cannot_be_listed(entry: str) -> None:
    with pytest.raises(ValueError, match="neither HOST nor HOST:PORT"):
        host_entry(entry)
