"""What somebody may do who is not whom the server is for, and what the server tells of anybody."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from morphoscope.errors import OverloadError
from morphoscope.serve.limits import HEADERS, Limiter, client_of, is_here
from morphoscope.serve.settings import Token
from morphoscope.serve.store import new_id
from serve.archives.archive_server import ArchiveServer
from serve.attacks import Target, refused
from serve.servers import API, ServerProcess, galaxy

STRANGER = "203.0.113.5"
SECRET = "a-token-that-nobody-guesses"
TOKENS = [Token(name="ann", sha256=hashlib.sha256(SECRET.encode()).hexdigest())]
OURS = {"Authorization": f"Bearer {SECRET}"}
TABLE = {"file": ("t.csv", b"ra,dec\n150,2\n")}
Make = Callable[..., Any]


def image() -> dict[str, Any]:
    return {"file": ("g.jpg", galaxy())}


# What needs a token: starting, listing and cancelling jobs, alarms, counters.
GUARDED = [
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs"),
    ("DELETE", "/api/v1/jobs/x"),
    ("GET", "/api/v1/alarms"),
    ("POST", "/api/v1/alarms/x"),
    ("GET", "/metrics"),
]


def ask(client: Any, method: str, path: str, headers: dict[str, str]) -> Any:
    more: dict[str, Any] = {"files": TABLE} if path.endswith("jobs") and method == "POST" else {}
    if path.endswith("alarms/x"):
        more = {"json": {"state": "seen"}}
    return client.request(method, path, headers=headers, **more)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {SECRET}",
        SECRET,
        f"bearer{SECRET}",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET.upper()}",
        f"Bearer {TOKENS[0].sha256}",
        "Bearer ann",
        "Bearer " + "x" * 60_000,
        "Bearer \xff\xfe",
        "Bearer null",
    ],
)
def test_a_token_that_is_guessed(make_client: Make, header: str) -> None:
    """Wrong, empty, of another scheme, very long, its digest: none is let in, all are told so."""
    client = make_client(STRANGER, tokens=TOKENS)
    for method, path in GUARDED:
        reply = ask(client, method, path, {"Authorization": header.encode("latin-1")})
        refused(reply, 401, "token")
        assert reply.headers["www-authenticate"] == "Bearer"
    assert ask(client, "GET", "/api/v1/jobs", OURS).status_code == 200


def test_a_stranger_where_there_are_no_tokens(make_client: Make) -> None:
    """Without tokens, what is costly is for this machine only."""
    client = make_client(STRANGER, host="0.0.0.0")
    for method, path in GUARDED:
        refused(ask(client, method, path, {}), 403, "token")


def test_a_stranger_behind_a_proxy_of_this_machine(make_client: Make) -> None:
    """A proxy that nobody told the server about does not make its clients ours."""
    client = make_client("127.0.0.1")
    for method, path in GUARDED:
        refused(ask(client, method, path, {"X-Forwarded-For": "127.0.0.1"}), 403, "token")


def test_too_many_of_one_address(make_client: Make) -> None:
    """A burst, then 429 with the seconds to wait; others are not held up."""
    client = make_client(STRANGER, host="0.0.0.0", rate_per_s=0.5, burst=3)
    replies = [client.post(f"{API}/predict", files=image()) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    refused(replies[-1], 429, "too_many")
    assert int(replies[-1].headers["retry-after"]) >= 1
    refused(client.get(f"{API}/cutout?ra=1&dec=2"), 429)
    refused(client.post(f"{API}/measure", files=image()), 429)
    many = [("file", ("g.jpg", galaxy()))] * 2
    refused(client.post(f"{API}/predict/batch", files=many), 429)
    assert client.get(f"{API}/health").status_code == 200


FORGED = (
    *("198.51.100.{}", "127.0.0.1", "198.51.100.{}, 127.0.0.1", "localhost", "unknown", "::1"),
    *("testclient", "", ",,,", "10.0.0.{}:80", "a" * 5000),
)


@pytest.mark.parametrize("forged", FORGED)
def test_an_address_that_is_made_up(make_client: Make, forged: str) -> None:
    """X-Forwarded-For is not believed, but of a proxy that the settings name."""
    client = make_client(STRANGER, host="0.0.0.0", rate_per_s=0.1, burst=2)
    statuses = [
        client.post(
            f"{API}/measure", files=image(), headers={"X-Forwarded-For": forged.format(i)}
        ).status_code
        for i in range(4)
    ]
    assert statuses == [200, 200, 429, 429]


@pytest.mark.parametrize("joined", [True, False])
def test_an_address_that_is_made_up_before_a_proxy(make_client: Make, joined: bool) -> None:
    """Only what our own proxy wrote counts, in the same line or in one of its own below."""
    client = make_client("10.1.1.1", host="0.0.0.0", rate_per_s=0.1, burst=2, proxies=["10.1.1.1"])

    def measure(forged: str) -> int:
        lines = [f"{forged}, {STRANGER}"] if joined else [forged, STRANGER]
        headers = [("X-Forwarded-For", line) for line in lines]
        status: int = client.post(f"{API}/measure", files=image(), headers=headers).status_code
        return status

    assert [measure(f"198.51.100.{i}") for i in range(4)] == [200, 200, 429, 429]
    for forged in ("127.0.0.1", "10.1.1.1", "localhost", "testclient"):
        headers = [("X-Forwarded-For", forged), ("X-Forwarded-For", STRANGER)]
        refused(client.get(f"{API}/jobs", headers=headers), 403)


def test_addresses_of_one_network_of_ipv6_are_one_client() -> None:
    """A provider gives billions of them to one person."""
    limiter = Limiter(0.1, 3)
    for i in range(3):
        limiter.take(f"2001:db8:1:2::{i}")
    with pytest.raises(OverloadError):
        limiter.take("2001:db8:1:2:ffff::1")
    limiter.take("2001:db8:1:3::1")
    limiter.take("::ffff:198.51.100.7", 3)
    with pytest.raises(OverloadError):
        limiter.take("198.51.100.7")


def test_the_memory_of_addresses_is_bounded() -> None:
    """Many that ask once do not fill it."""
    limiter = Limiter(1, 2)
    for i in range(20_000):
        limiter.take(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert len(limiter._left) <= 10_000


def test_whose_a_request_is() -> None:
    """The connection's own address, unless it is of a proxy that is believed."""

    def scope(address: str, *lines: str) -> dict[str, Any]:
        headers = [(b"x-forwarded-for", line.encode()) for line in lines]
        return {"type": "http", "client": (address, 1), "headers": headers}

    assert client_of(scope("1.2.3.4", "9.9.9.9"), []) == "1.2.3.4"
    assert client_of(scope("p", "6.6.6.6", "9.9.9.9"), ["p"]) == "9.9.9.9"
    assert client_of(scope("p", "6.6.6.6, 9.9.9.9, q"), ["p", "q"]) == "9.9.9.9"
    assert client_of(scope("p"), ["p"]) == "p"
    assert not is_here("")
    assert not is_here("127.0.0.1.evil.example")
    assert is_here("::1")


HOSTS = (
    *("evil.example", "evil.example:80", "127.0.0.1.nip.io", "localhost.evil.example", ""),
    *("localhost@evil.example", "LOCALHOST.", "[::2]", "0.0.0.0", "127.0.0.2"),
)


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_that_leads_here_from_elsewhere(target: Target, host: str) -> None:
    """DNS rebinding: a page of another site whose name now leads to this machine."""
    for path in ("/", f"{API}/jobs", f"{API}/models", "/static/style.css"):
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert target.raw(head.encode()).startswith((b"HTTP/1.1 421", b"HTTP/1.1 400"))
    refused(target.client.get(f"{API}/jobs", headers={"Host": "evil.example"}), 421, "other_host")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1"],
)
def test_a_page_of_another_site(target: Target, origin: str) -> None:
    """It may send through a person's browser, but starts, cancels and settles nothing."""
    for method, path in GUARDED:
        refused(ask(target.client, method, path, {"Origin": origin}), 403, "other_origin")
    reply = target.client.options(
        f"{API}/jobs", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in reply.headers
    # Its own pages may.
    own = {"Origin": target.url}
    assert ask(target.client, "GET", "/api/v1/jobs", own).status_code == 200


def test_headers_of_every_route(target: Target) -> None:
    """All of them, well and badly answered, forbid what no page of ours needs."""
    document = target.client.get(f"{API}/openapi.json").json()
    paths = [*document["paths"], "/", "/r/x", "/jobs", "/jobs/x", "/models", "/models/x", "/api"]
    paths += ["/alarms", "/static/style.css", "/static/x", "/nothing", f"{API}/x", "/models/tiny"]
    for path in paths:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            reply = target.client.request(method, re.sub(r"\{\w+\}", "x", path))
            assert reply.status_code < 500, (method, path)
            assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS, (method, path)
            assert reply.headers["cache-control"] in ("no-store", "no-cache")
            assert "set-cookie" not in reply.headers
            assert "access-control-allow-origin" not in reply.headers


def test_headers_of_an_error_that_nobody_thought_of(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same headers, the same shape."""
    client = make_client()

    def broken() -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(client.app.state.service, "models", broken)
    for path in (f"{API}/models", "/models"):
        reply = client.get(path)
        assert reply.status_code == 500
        assert "secret" not in reply.text
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS


def test_what_the_log_tells_of_nobody(target: Target, sky: ArchiveServer, tmp_path: Path) -> None:
    """No image, no name of a file, no address of a client, no position, no token, no query."""
    begun = len(target.log.read_bytes())
    secrets = ["Secret-Galaxy", "123.456789", "my-token", "198.51.100.77", "a-private-name"]
    files = {"file": ("Secret-Galaxy.jpg", galaxy())}
    headers = {"Authorization": "Bearer my-token", "X-Forwarded-For": "198.51.100.77"}
    target.client.post(f"{API}/predict?keep=true", files=files, headers=headers)
    target.client.post(f"{API}/predict", files={"file": ("Secret-Galaxy.jpg", b"none")})
    target.client.get(f"{API}/predict?ra=123.456789&dec=2", headers=headers)
    target.client.get(f"{API}/predict?name=a-private-name")
    target.client.get(f"{API}/results/a-private-name")
    target.client.get("/a-private-name%0a%7B")
    target.client.post(f"{API}/jobs", files={"file": ("Secret-Galaxy.csv", b"x\n1\n")})
    time.sleep(0.1)
    said = target.log.read_bytes()[begun:].decode()
    assert said.count('"event": "request"') >= 7
    for secret in [*secrets, "127.0.0.1", "JFIF", "GET /"]:
        assert secret not in said
    # A line each, so that nobody writes one of his own.
    assert all(line.startswith("{") for line in said.splitlines())


def test_kept_ids_are_not_guessed() -> None:
    """More than 70 bits, from the system's own source, without letters that look alike."""
    ids = {new_id() for _ in range(20_000)}
    assert len(ids) == 20_000
    assert all(re.fullmatch(r"[2-9a-hjkmnp-z]{15}", one) for one in ids)
    letters = {letter for one in ids for letter in one}
    assert len(letters) ** 15 > 2**70
    for place in range(15):
        assert len({one[place] for one in ids}) == len(letters)


# Everything else can be read only: Landlock, Linux 5.13 and later.
READ_ONLY = """
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
# Write, truncate, make and remove files of all kinds.
writes = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14))
rules = libc.syscall(444, ctypes.byref(ctypes.c_uint64(writes)), 8, 0)
assert rules >= 0, "no landlock"


class Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("access", ctypes.c_uint64), ("folder", ctypes.c_int32)]


for place in ({storage!r}, "/dev"):
    beneath = Beneath(writes, os.open(place, os.O_PATH))
    assert libc.syscall(445, rules, 1, ctypes.byref(beneath), 0) == 0
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.syscall(446, rules, 0) == 0
os.chdir("/")
try:
    open({elsewhere!r}, "w")
    sys.exit("it could write elsewhere")
except PermissionError:
    pass
"""


def _landlock() -> bool:
    import ctypes

    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 3


@pytest.mark.skipif(
    not _landlock(), reason="this system cannot forbid a process to write (Landlock)"
)
def test_only_its_storage_is_written_to(
    sky: ArchiveServer, tiny_model: Path, tmp_path: Path
) -> None:
    """It does all that it does with everything else read-only."""
    storage = tmp_path / "storage"
    storage.mkdir()
    before = READ_ONLY.format(storage=str(storage), elsewhere=str(tmp_path / "elsewhere"))
    archives = "\n".join(f"{k} = {v!r}".replace("'", '"') for k, v in sky.settings().items())
    settings = f'models = ["{tiny_model}"]\n[archives]\n{archives}'
    with ServerProcess(tmp_path, settings, before) as process:
        # More than a megabyte, which is put aside on disk while it is received.
        image = {"file": ("g.jpg", galaxy(0, 1500))}
        assert len(image["file"][1]) > 1_000_000
        for query in ("keep=true", "explain=true", "turn=20&zoom=2"):
            assert process.client.post(f"{API}/predict?{query}", files=image).status_code == 200
        assert process.client.get(f"{API}/predict?name=M 51").status_code == 200
        job = process.client.post(f"{API}/jobs", files=TABLE).json()
        end = time.monotonic() + 20
        while process.client.get(job["links"]["self"]).json()["state"] != "done":
            assert time.monotonic() < end
            time.sleep(0.05)
        for kind in ("parquet", "csv", "fits", "votable"):
            reply = process.client.get(job["links"]["result"], params={"format": kind})
            assert reply.status_code == 200
    assert not (tmp_path / "elsewhere").exists()
