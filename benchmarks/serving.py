"""Requests a second of `morphoscope serve` against a plain Flask + PyTorch server, same network.

Both answer with one ResNet-18 of the paper's width at 128 pixels, on the same images, asked by 64
clients over the loop-back on the same cores as the servers. They take turns, several times over.

    morphoscope run recipes/simulated.toml --out runs/serving --set simulate.size=128 \\
      --set prepare.size=128 --set train.network=resnet18 --set train.width=1 \\
      --set train.epochs=1 --set train.orientations=1 --set evaluate.explain=0
    python benchmarks/serving.py runs/serving

`--soak SECONDS` instead asks our server alone for that long and prints its memory on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
IMAGES = 200
START_S = 60
BOUNDARY = "galaxy-boundary-7f3a"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="run folder of the network")
    parser.add_argument("--images", type=Path, help="folder of JPEG [those of the run]")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="bf16", choices=("f32", "bf16"))
    parser.add_argument("--soak", type=float, default=0)
    parser.add_argument("--out", type=Path, default=Path("serving.json"))
    options = parser.parse_args()
    files = pictures(options)
    if options.soak:
        soak(options, files)
        return
    ways = {"morphoscope": ours, "plain": plain}
    rows = []
    for repeat in range(options.repeats):
        for name, server in ways.items():
            with server(options) as (port, path, _):
                requests = [request_of(path, file) for file in files]
                asyncio.run(load(port, requests, options.clients, 3))
                found = asyncio.run(load(port, requests, options.clients, options.seconds))
            rows.append({"server": name, "repeat": repeat, **found})
            print(rows[-1], flush=True)
    options.out.write_text(json.dumps(rows, indent=1))
    rate = {name: [row["per_s"] for row in rows if row["server"] == name] for name in ways}
    ratios = [a / b for a, b in zip(rate["morphoscope"], rate["plain"], strict=True)]
    print(
        f"{options.precision}: {statistics.median(ratios):.1f} times the requests a second "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
    )


def pictures(options: argparse.Namespace) -> list[bytes]:
    """Images to send, the same to both."""
    folder = options.images or options.run
    found = sorted(folder.rglob("*.jp*g"))
    if not found:
        sys.exit(f"{folder} holds no JPEG images")
    chosen = random.Random(1).sample(found, min(IMAGES, len(found)))
    return [path.read_bytes() for path in chosen]


def request_of(path: str, file: bytes) -> bytes:
    """The whole request, ready to be sent."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="g.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += file + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
    ).encode()
    return head + body


async def load(port: int, requests: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Ask as fast as answers come; requests a second and quantiles of the wait."""
    waits: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def client(index: int) -> None:
        choice = random.Random(index)
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.perf_counter() < end:
            begun = time.perf_counter()
            link = link or await asyncio.open_connection("127.0.0.1", port)
            status, stays = await ask(*link, choice.choice(requests))
            waits.append(time.perf_counter() - begun)
            statuses[status] += 1
            if not stays:
                link[1].close()
                link = None

    begun = time.perf_counter()
    await asyncio.gather(*(client(index) for index in range(clients)))
    took = time.perf_counter() - begun
    good = sorted(waits)
    return {
        "per_s": round(statuses[200] / took, 1),
        "p50_ms": round(1000 * good[len(good) // 2], 1),
        "p99_ms": round(1000 * good[int(len(good) * 0.99)], 1),
        "statuses": dict(statuses),
    }


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bool]:
    """Send one request and read its answer; its status, and whether the connection stays."""
    writer.write(request)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    await reader.readexactly(length)
    stays = head.startswith(b"HTTP/1.1") and b"connection: close" not in head.lower()
    return int(head.split(b" ", 2)[1]), stays


@contextmanager
def ours(options: argparse.Namespace) -> Any:
    """Our server, with the run's bundle alone."""
    recipe = json.loads((options.run / "recipe.json").read_text())
    name = recipe["export"]["name"] or recipe["name"]
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "serve.toml"
        settings.write_text(f'precision = "{options.precision}"\nport = 8201\n')
        command = [
            *(sys.executable, "-m", "morphoscope", "serve", "--settings", str(settings)),
            *("--storage", f"{folder}/data", "--models", str(options.run / "export" / name)),
        ]
        with started(command, 8201, folder) as process:
            yield 8201, "/api/v1/predict", process


@contextmanager
def plain(options: argparse.Namespace) -> Any:
    """The rival."""
    command = [sys.executable, str(HERE / "plain_server.py"), str(options.run / "train/model")]
    with tempfile.TemporaryDirectory() as folder, started(command, 8200, folder) as process:
        yield 8200, "/predict", process


@contextmanager
def started(command: list[str], port: int, folder: str) -> Any:
    """A server process that answers."""
    with (Path(folder) / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            asyncio.run(reachable(port))
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


async def reachable(port: int) -> None:
    """Wait until a port takes connections."""
    end = time.perf_counter() + START_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.perf_counter() > end:
                raise
            await asyncio.sleep(0.2)
        else:
            writer.close()
            return


def soak(options: argparse.Namespace, files: list[bytes]) -> None:
    """Ask for long, and see whether memory grows."""
    with ours(options) as (port, path, process):
        requests = [request_of(path, file) for file in files]
        end = time.perf_counter() + options.soak
        total = 0
        while time.perf_counter() < end:
            found = asyncio.run(load(port, requests, options.clients, min(30, options.soak)))
            total += sum(found["statuses"].values())
            memory = process.memory_info().rss >> 20
            print(f"{total:,} requests, {memory} MiB, {found}", flush=True)


if __name__ == "__main__":
    main()
