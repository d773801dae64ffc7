"""A server to be attacked, and what must be true of every refusal."""

from __future__ import annotations

import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx

from serve.servers import API, ServerProcess

MB = 1_000_000
# Largest request of the server under attack.
BODY = 3 * MB
CARD = 2880
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Target(ServerProcess):
    """A server process, its peak memory, and ways to send what no client would."""

    # More memory than this no attack may take.
    most_bytes = 600 * MB
    broken = (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError)

    def image(
        self, data: bytes, name: str = "galaxy.jpg", kind: str = "image/jpeg", **query: Any
    ) -> httpx.Response:
        files = {"file": (name, data, kind)}
        return self.client.post(f"{API}/predict", files=files, params=query)

    def raw(self, data: bytes, *, wait: bool = True) -> bytes:
        """Send bytes as they are; what comes back until the server is silent or hangs up."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
            try:
                link.sendall(data)
                link.settimeout(1.5)
                while wait and (more := link.recv(65536)):
                    answer += more
                    if b"onnection: close" not in answer and b"\r\n\r\n" in answer:
                        link.settimeout(0.3)
            except (TimeoutError, ConnectionError):
                pass
        return answer

    @property
    def peak_bytes(self) -> int:
        """Most memory that it has had since it was started, or since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def files(self) -> set[Path]:
        """All that lies in and beside its storage, but for the database's own."""
        return {p for p in self.storage.parent.rglob("*") if "sqlite" not in p.name}


def refused(
    reply: httpx.Response, status: int | tuple[int, ...], code: str | None = None
) -> dict[str, Any]:
    """Check that an answer is an error as all are, and return its inside."""
    statuses = (status,) if isinstance(status, int) else status
    assert reply.status_code in statuses, (reply.status_code, reply.text[:300])
    problem: dict[str, Any] = reply.json()["error"]
    assert set(problem) == {"status", "code", "found", "expected", "do"}
    assert problem["status"] == reply.status_code
    assert problem["found"]
    assert len(reply.content) < 5000
    assert code is None or problem["code"] == code
    for name, value in HEADERS.items():
        assert reply.headers.get(name) == value
    return problem


def png(
    nx: int, ny: int, rows: bytes = b"", *, depth: int = 8, kind: int = 0, packed: bytes = b""
) -> bytes:
    """PNG of a header, and of rows or of what is already packed."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", nx, ny, depth, kind, 0, 0, 0)
    data = packed or zlib.compress(rows, 9)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
