"""People who vote at once, and a server that is killed in the middle: is every vote there, once?

Each person joins, asks for galaxies and votes as fast as answers come; a vote whose answer did not
arrive is sent again, as the pages do. Half-way the server gets SIGKILL and is started again. At the
end the tables are read: every vote that was acknowledged must be there, and none twice.

    python benchmarks/label_votes.py --people 50 --seconds 300
    python benchmarks/label_votes.py --people 50 --seconds 300 \\
      --database postgresql+psycopg://USER@HOST/EMPTY

It exits with 1 where one is missing or stands there twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

HEADERS = {"X-Morphoscope": "label"}
ANSWERS = ("elliptical", "spiral", "edge_on", "merger", "artifact", "dont_know")
START_S = 90
DEAD_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--votes", type=int, default=0, help="end after so many instead")
    parser.add_argument("--galaxies", type=int, default=3000)
    parser.add_argument("--models", default="", help="bundles of the server [those that ship]")
    parser.add_argument("--think", type=float, default=0.0, help="seconds for each galaxy")
    parser.add_argument("--database", default="", help="SQLAlchemy URL [SQLite]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        campaign = found_campaign(Path(folder), options)
        server = Server(campaign, options.models)
        server.start()
        try:
            told = asyncio.run(vote_all(server, options))
        finally:
            server.end()
        found = compare(campaign, told["acknowledged"])
    told |= {"acknowledged": len(told["acknowledged"]), **found}
    print(json.dumps(told))
    return 1 if found["missing"] or found["twice"] or found["miscounted"] else 0


def found_campaign(folder: Path, options: argparse.Namespace) -> Path:
    """A campaign that asks for more votes than these people can give."""
    images = folder / "images"
    images.mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (48, 48, 3), np.uint8)
    _, encoded = cv2.imencode(".jpg", noise)
    for index in range(options.galaxies):
        (images / f"g{index:05d}.jpg").write_bytes(encoded.tobytes())
    path = folder / "zoo.toml"
    path.write_text(
        f'name = "zoo"\ntask = "tree"\ntree = "galaxy-zoo-1"\nimages = "images"\n'
        f"database = {json.dumps(options.database)}\n"
        f"[agreement]\nvotes = {options.people}\nmost = {options.people}\n"
        f'[people]\njoin = "anonymous"\n',
        encoding="utf-8",
    )
    subprocess.run([sys.executable, "-m", "morphoscope", "label", "new", str(path)], check=True)
    return path


class Server:
    """`morphoscope serve`, that can be killed and started again."""

    def __init__(self, campaign: Path, models: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/api/v1"
        self._log = (campaign.parent / "log").open("ab")
        words = ["serve", "--campaign", str(campaign), "--storage", str(campaign.parent / "data")]
        words += ["--port", str(self.port), *(["--models", models] if models else [])]
        self._command = [sys.executable, "-m", "morphoscope", *words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/ready", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        sys.exit(f"the server did not start: {Path(self._log.name).read_text()}")

    def end(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
        if how == signal.SIGTERM:
            self._log.close()


async def vote_all(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Let all vote until the time is over; what was acknowledged, and how long it took."""
    acknowledged: dict[str, tuple[str, str]] = {}
    waits: list[float] = []
    again = 0
    begun = time.perf_counter()

    def share() -> float:
        """How much of it is over."""
        if options.votes:
            return len(acknowledged) / float(options.votes)
        return (time.perf_counter() - begun) / float(options.seconds)

    async def person(index: int) -> None:
        nonlocal again
        choice = random.Random(index)
        async with httpx.AsyncClient(
            base_url=server.url, headers=HEADERS, timeout=30, trust_env=False
        ) as client:
            joined = await insist(client, "POST", "/campaigns/zoo/join", json={})
            name = joined.json()["person"]["id"]
            while share() < 1:
                reply = await insist(client, "GET", "/campaigns/zoo/next?n=5")
                for subject in reply.json()["subjects"]:
                    await asyncio.sleep(options.think)
                    key = str(uuid.UUID(int=choice.getrandbits(128)))
                    answers = [["class", choice.choice(ANSWERS)]]
                    vote = {"key": key, "subject": subject["id"], "content": {"answers": answers}}
                    sent = time.perf_counter()
                    reply = await insist(
                        client, "POST", "/campaigns/zoo/votes", json={"votes": [vote]}
                    )
                    waits.append(time.perf_counter() - sent)
                    (told,) = reply.json()["votes"]
                    assert told["state"] in ("counted", "known"), told
                    again += told["state"] == "known"
                    acknowledged[key] = (name, subject["id"])

    async def killer() -> None:
        while share() < 0.5:
            await asyncio.sleep(0.05)
        server.end(signal.SIGKILL)
        await asyncio.sleep(DEAD_S)
        await asyncio.to_thread(server.start)

    await asyncio.gather(killer(), *(person(index) for index in range(options.people)))
    waits.sort()
    seconds = time.perf_counter() - begun
    return {
        "people": options.people,
        "seconds": round(seconds, 1),
        "acknowledged": acknowledged,
        "known_already": again,
        "per_s": round(len(waits) / seconds, 1),
        "p50_ms": round(1000 * waits[len(waits) // 2], 1),
        "p99_ms": round(1000 * waits[int(len(waits) * 0.99)], 1),
    }


async def insist(client: httpx.AsyncClient, method: str, path: str, **sent: Any) -> httpx.Response:
    """Ask until there is an answer, as a page does whose connection is away."""
    while True:
        try:
            reply = await client.request(method, path, **sent)
            if reply.status_code < 500:
                return reply.raise_for_status()
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)


def compare(campaign: Path, acknowledged: dict[str, tuple[str, str]]) -> dict[str, int]:
    """Read the tables, and hold them against what was acknowledged."""
    from morphoscope.label import Desk, load_campaign

    desk = Desk(load_campaign(campaign))
    votes = desk.votes()
    counted = {one["id"]: one["votes"] for one in desk.subjects()}
    desk.close()
    stored = {vote["key"]: (vote["person"], vote["subject"]) for vote in votes}
    for vote in votes:
        counted[vote["subject"]] -= 1
    return {
        "stored": len(votes),
        "missing": sum(stored.get(key) != what for key, what in acknowledged.items()),
        "twice": len(votes) - len(set(stored.values())),
        "miscounted": sum(n != 0 for n in counted.values()),
    }


if __name__ == "__main__":
    sys.exit(main())
