"""What somebody may send who means no good: each is refused in words, quickly, and costs little.

What images, tables, addresses and strangers can do is in the files beside this one.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.attacks import BODY, MB, Target, refused
from serve.servers import API, galaxy

# --- Bodies -------------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large(target: Target) -> None:
    """Refused by its header, before any of it is read."""
    head = (
        b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000000000\r\n\r\n"
    )
    assert target.raw(head).startswith(b"HTTP/1.1 413")


def test_a_body_that_is_too_large(target: Target) -> None:
    """Refused whole, in the shape of all errors."""
    refused(target.image(bytes(BODY + 1)), 413, "too_large")


def test_a_body_of_unknown_length_that_does_not_end(target: Target) -> None:
    """Chunked: it is read up to the limit, no further."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while sent < 40 * BODY:
            sent += 65536
            yield bytes(65536)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        reply = target.client.post(f"{API}/predict", content=chunks(), headers=headers)
        refused(reply, 413, "too_large")
    except target.broken:
        # It was refused while it was being sent.
        assert sent < 40 * BODY


@pytest.mark.parametrize("length", [b"100", b"-5", b"1e9", b"0x10", b"5\r\nContent-Length: 500"])
def test_a_length_that_lies(target: Target, length: bytes) -> None:
    """More or less follows than the header says: nothing of it is taken for another request."""
    head = b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: " + length
    smuggled = b"GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = target.raw(head + b"\r\n\r\n" + bytes(600) + smuggled)
    assert b'"version"' not in answer
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_a_length_and_chunks_at_once(target: Target) -> None:
    """Where two servers would read it differently, ours reads no second request out of it."""
    head = b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = target.raw(head + b"GET /api/v1/version HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4")
    assert b'"version"' not in answer


def test_a_body_that_breaks_off(target: Target) -> None:
    """Who hangs up leaves nothing behind."""
    head = b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf'
    target.raw(head + part, wait=False)
    assert target.client.get(f"{API}/health").status_code == 200


def test_headers_that_do_not_end(target: Target) -> None:
    """The server reads some kilobytes of them."""
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + bytes(b"a" * 20 * MB)
    assert target.raw(head)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 431")


def test_a_form_of_thousands_of_parts(target: Target) -> None:
    """Neither many files nor many fields."""
    many = [("file", (f"{i}.jpg", b"x")) for i in range(3000)]
    refused(target.client.post(f"{API}/predict/batch", files=many), 400)
    fields = {f"f{i}": "x" for i in range(3000)}
    refused(target.client.post(f"{API}/predict", data=fields, files=many[:1]), 400)
    # As many files as the form may have are still more than a batch.
    refused(target.client.post(f"{API}/predict/batch", files=many[:65]), 413, "too_many_files")


@pytest.mark.parametrize(
    "body",
    [b"x", b"--x\r\n\r\n", b"--x--", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--"],
)
def test_forms_that_are_none(target: Target, body: bytes) -> None:
    """Garbage between boundaries, or no boundary."""
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
        reply = target.client.post(f"{API}/predict", content=body, headers={"Content-Type": kind})
        refused(reply, (400, 422))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 90_000,
        b'{"state":' * 9_000,
        b"9" * 90_000,
        b'{"state": "\\ud800"}',
        b"\xff\xfe",
        b'{"state": "open", "x": 1}',
        b"NaN",
    ],
    ids=["deep", "deep objects", "long number", "half a letter", "no text", "more", "no JSON"],
)
def test_json_that_hurts(target: Target, body: bytes) -> None:
    """Deep, long or broken JSON."""
    headers = {"Content-Type": "application/json"}
    reply = target.client.post(f"{API}/alarms/x", content=body, headers=headers)
    refused(reply, (400, 422))


def test_json_that_is_huge(target: Target) -> None:
    """A few words are expected: three megabytes of empty lists would take seventy of memory."""
    body = b"[" + b"[]," * (MB // 3) + b"[]]"
    headers = {"Content-Type": "application/json"}
    refused(target.client.post(f"{API}/alarms/x", content=body, headers=headers), 413, "too_large")


# --- Names and paths ----------------------------------------------------------------------------

PATHS = (
    *("../../../../tmp/evil", "/etc/cron.d/evil", "..\\..\\evil", "C:\\evil", "~/evil", "."),
    *("a\0b", "x" * 5000, "", "a/../b", "{band}", "x.fits[0]", "a.h5::b[0]", "\u202egpj.exe"),
    *('<img src=x onerror="alert(1)">.jpg', "a\r\nX-Evil: 1", "%00", "%2e%2e%2f"),
)


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_is_a_path(target: Target, name: str) -> None:
    """Names are for people: files have names of our own, and no header holds one."""
    before = target.files()
    quoted = name.encode().replace(b'"', b"%22").replace(b"\r\n", b"%0D%0A")
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + quoted
    body += b'"\r\nContent-Type: image/jpeg\r\n\r\n' + galaxy() + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = target.client.post(f"{API}/predict", content=body, headers=headers)
    assert reply.status_code in (200, 400, 422)
    if reply.status_code == 200:
        told = reply.json()["image"]["name"]
        assert "/" not in told
        assert len(told) <= 200
        assert told.isprintable()
    assert "x-evil" not in reply.headers
    assert target.files() == before


IDS = (
    *("../../serve.sqlite", "..%2f..%2fserve.sqlite", "%2e%2e/%2e%2e/etc/passwd", "....//x"),
    *("..%5c..%5cwindows", "%00", "a" * 3000, "' OR 1=1 --", "1;DROP TABLE jobs", "*", "%", "_"),
)
ROUTES = (
    *("/api/v1/results/{}", "/api/v1/results/{}/image.jpg", "/api/v1/jobs/{}"),
    *("/api/v1/jobs/{}/result", "/api/v1/models/{}", "/static/{}", "/r/{}", "/jobs/{}"),
    *("/models/{}", "/api/v1/{}", "/{}"),
)


@pytest.mark.parametrize("route", ROUTES)
def test_an_id_that_is_a_path(target: Target, route: str) -> None:
    """No file is reached by an id, and no other row."""
    for one in IDS:
        path = route.format(one).encode()
        head = b"GET " + path.replace(b" ", b"%20") + b" HTTP/1.1\r\nHost: localhost\r\n"
        answer = target.raw(head + b"Connection: close\r\n\r\n")
        assert answer.split(b" ", 2)[1] in (b"404", b"400", b"405", b"422"), one
        assert b"root:" not in answer
        assert b"SQLite" not in answer


def test_the_same_by_other_methods(target: Target) -> None:
    """A route takes what it says and nothing else."""
    for method in ("PUT", "PATCH", "TRACE", "PROPFIND", "DELETE"):
        for path in (f"{API}/predict", f"{API}/models", "/", "/static/style.css"):
            refused(target.client.request(method, path), 405, "method")
    assert target.client.options(f"{API}/predict").status_code == 405
    shown = target.client.get("/static/style.css")
    assert shown.status_code == 200
    for path in ("/static/", "/static", "/static/../pages.py", "/static/%2e%2e/pages.py"):
        assert target.client.get(path).status_code in (307, 404, 405)


def test_a_header_in_a_value(target: Target) -> None:
    """Values that come back in headers cannot make one."""
    for path in ("/predict?models=a%0d%0aX-Evil:1", "/cutout?name=M51%0d%0aX-Evil:%201"):
        reply = target.client.get(API + path)
        refused(reply, (400, 404, 422))
        assert "x-evil" not in reply.headers


def test_values_out_of_range(target: Target) -> None:
    """Numbers that are none, or that would take for ever."""
    for query in (
        *("zoom=1e9", "zoom=0", "zoom=nan", "turn=inf", "x=9", "y=-9", "turn=1e308", "zoom=-1"),
        *("explain=maybe", "keep=2", "unknown=1", "models=" + "a," * 400),
    ):
        reply = target.client.post(f"{API}/predict?{query}", files={"file": galaxy()})
        refused(reply, (404, 422))
    for query in ("ra=nan&dec=0", "ra=0&dec=inf", "ra=0&dec=0&size_arcmin=1e9", "ra=360&dec=0"):
        refused(target.client.get(f"{API}/predict?{query}"), 422)


def test_what_goes_wrong_tells_nothing_of_the_inside(target: Target) -> None:
    """No path, no traceback, no version of a library."""
    replies = [
        target.image(b"II*\0" + bytes(40)),
        target.image(b"SIMPLE  =                    T".ljust(2880)),
        target.client.get(f"{API}/nothing"),
        target.client.post(f"{API}/predict"),
    ]
    for reply in replies:
        text = json.dumps(reply.json())
        for secret in ("/tmp/", "Traceback", "site-packages", str(Path.cwd())):
            assert secret not in text
        assert "server" not in reply.headers


def test_many_connections_that_say_nothing(target: Target) -> None:
    """They hold nobody up."""
    idle = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(200)]
    try:
        begun = time.monotonic()
        assert target.image(galaxy()).status_code == 200
        assert time.monotonic() - begun < 5
    finally:
        for one in idle:
            one.close()
