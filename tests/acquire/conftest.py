"""A web server that misbehaves as told, and small archives."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Turn:
    """How the server answers one request."""

    kind: str = "whole"
    after: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request as the server saw it."""

    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


class Web:
    """A real HTTP server on this machine; ``turns`` are used up one a request, the last stays."""

    def __init__(self) -> None:
        self.content = b""
        self.etag: str | None = '"v1"'
        self.modified: str | None = None
        self.turns = [Turn()]
        self.asked: list[Asked] = []
        self.freed = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/galaxies.bin"

    def reset(self, content: bytes, *turns: Turn) -> None:
        self.content, self.etag, self.modified = content, '"v1"', None
        self.turns, self.asked = list(turns) or [Turn()], []
        self.freed.clear()

    def close(self) -> None:
        self.freed.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    return type("BoundHandler", (Handler,), {"web": web})


class Handler(BaseHTTPRequestHandler):
    web: Web

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        turns = self.web.turns
        turn = turns.pop(0) if len(turns) > 1 else turns[0]
        asked = Asked(self.headers["Range"], self.headers["If-Range"])
        self.web.asked.append(asked)
        if turn.kind == "hang up":
            return
        body = self.begin(turn, asked)
        # The client goes away in the middle where a test wants it to.
        with suppress(OSError):
            self.send_body(turn, asked, body)

    def begin(self, turn: Turn, asked: Asked) -> bytes:
        content = self.web.content
        same = asked.if_range in (None, self.web.etag, self.web.modified)
        partial = bool(asked.range) and (same or turn.kind == "no If-Range")
        if turn.kind in ("ignore Range", "ignore and cut", "no length"):
            partial = False
        headers = {"ETag": self.web.etag, "Last-Modified": self.web.modified, **turn.headers}
        asked.status, body = turn.status, content if turn.status == 200 else b"sorry"
        if turn.status == 200 and partial:
            start = int(str(asked.range).removeprefix("bytes=").removesuffix("-"))
            asked.status, body = (206, content[start:]) if start < len(content) else (416, b"")
            span = f"{start}-{len(content) - 1}" if body else "*"
            headers["Content-Range"] = f"bytes {span}/{len(content)}"
        if turn.kind != "no length":
            headers["Content-Length"] = str(len(body))
        self.send_response(asked.status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        return body

    def send_body(self, turn: Turn, asked: Asked, body: bytes) -> None:
        if turn.kind == "corrupt":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if turn.kind in ("cut", "stall", "ignore and cut"):
            body = body[: turn.after]
        step = 4096 if turn.kind == "slow" else 1 << 16
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            asked.sent = min(at + step, len(body))
            if turn.kind == "slow" and self.web.freed.wait(0.01):
                return
        if turn.kind == "stall":
            self.web.freed.wait(20)


@pytest.fixture(scope="session")
def _server() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


@pytest.fixture
def web(_server: Web) -> Web:
    _server.reset(b"")
    return _server


def zip_bytes(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture(name="zip_bytes")
def _zip_bytes() -> Any:
    return zip_bytes


def wait_for(condition: Any, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture(name="wait_for")
def _wait_for() -> Any:
    return wait_for


@pytest.fixture
def turn() -> type[Turn]:
    return Turn
