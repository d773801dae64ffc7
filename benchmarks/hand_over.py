"""Claim: handed over in memory, prepared images reach a training with no byte written of them.

Turn by turn, in processes of their own, the images of a folder (as often as it takes) are prepared
by two worker processes and read by another process as an epoch does it, in random order:

files     prepared into a file, the store opened as the next stage does it
memory    the same in memory

Printed are the seconds of preparing, of the hand-over (the store opened and its SHA-256 proved)
and of the epoch; what was written to the disk by all processes; the largest memory of all processes
that is theirs alone, and what lies in the memory that they share. Their ratio is that of the same
turn. With --between the images then go from one Dask worker to another that does not see its
memory (it needs root, for a file system of its own), beside the same bytes as a result of a
task, which is how Dask itself moves data.

    python benchmarks/hand_over.py --images FOLDER --n 28793 --size 64 --turns 5 --between
    python benchmarks/hand_over.py --images FOLDER --n 54000 --size 128 --turns 3 --between
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

MEMORY = Path("/dev/shm")
BATCH = 256
ASKED_EVERY_S = 0.1


def catalogue(folder: Path, images: Path, n: int) -> Path:
    """A catalogue of n rows, the files of a folder again and again."""
    from morphoscope.catalog import write_catalogue

    files = [str(path) for path in sorted(images.rglob("*.jpg"))]
    if not files:
        raise SystemExit(f"there is no .jpg in {images}")
    rows = {
        "id_str": [str(i) for i in range(n)],
        "file_loc": [files[i % len(files)] for i in range(n)],
    }
    write_catalogue(folder / "in.parquet", pl.DataFrame(rows), {})
    return folder / "in.parquet"


class Watch:
    """The largest memory of this process and its children that they do not share."""

    def __enter__(self) -> Watch:
        self.most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process()
        while not self._over.wait(ASKED_EVERY_S):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    about = process.memory_info()
                except psutil.Error:
                    continue
                total += about.rss - about.shared
            self.most = max(self.most, total)


def written() -> int:
    """Bytes that this process and its children that have ended sent to a disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def one(folder: Path, size: int, memory: bool) -> dict[str, float]:
    """Prepare, hand over and read once."""
    from morphoscope.engine import open_engine
    from morphoscope.prepare import prepare
    from morphoscope.prepare.in_memory import give_back
    from morphoscope.recipe import EngineSettings, PrepareSettings

    out = folder / "store"
    with Watch() as watch:
        began = time.perf_counter()
        with open_engine(EngineSettings(workers=2)) as engine:
            summary = prepare(
                PrepareSettings(size=size),
                catalogue=folder / "in.parquet",
                out=out,
                engine=engine,
                memory=MEMORY if memory else None,
            )
        prepared = time.perf_counter() - began
        own = [sys.executable, __file__, "--read", str(out)]
        found = json.loads(subprocess.run(own, capture_output=True, text=True, check=True).stdout)
    give_back(out)
    return {
        "prepare_s": prepared,
        **found,
        "total_s": prepared + found["hand_over_s"] + found["epoch_s"],
        "written_mb": written() / 1e6,
        "own_mb": watch.most / 1e6,
        "shared_mb": summary["bytes"] / 1e6 if memory else 0.0,
    }


def read(store: Path) -> None:
    """Print the seconds until a store is open, proved to be what was prepared, and of an epoch."""
    from morphoscope.prepare import open_store
    from morphoscope.prepare.store import read_description
    from morphoscope.provenance import known_digest

    began = time.perf_counter()
    opened = open_store(store)
    # Files are proved by the pipeline before a stage begins.
    described = read_description(store) or {}
    assert known_digest((store / "images.npy").resolve()) == described["sha256"]
    handed = time.perf_counter()
    rows = np.random.default_rng(0).permutation(len(opened))
    for start in range(0, len(rows), BATCH):
        opened.gather(rows[start : start + BATCH])
    ended = time.perf_counter()
    print(json.dumps({"hand_over_s": handed - began, "epoch_s": ended - handed}))


def bring(store: Path) -> tuple[float, str]:
    """Open a store on a worker; the seconds, and what lies there then."""
    from morphoscope.prepare import open_store
    from morphoscope.prepare.store import read_description

    began = time.perf_counter()
    open_store(store)
    seconds = time.perf_counter() - began
    return seconds, (read_description(store) or {})["sha256"]


def make(n: int) -> np.ndarray[Any, Any]:
    """So many bytes."""
    return np.random.default_rng(0).integers(0, 256, n, dtype=np.uint8)


def take(data: np.ndarray[Any, Any]) -> int:
    """Have the bytes here."""
    return data.nbytes


def between(folder: Path, size: int, turns: int) -> None:
    """Send a store from one worker to another without a disk between."""
    from distributed import Client, wait

    from morphoscope.engine import areas, open_engine
    from morphoscope.prepare import prepare
    from morphoscope.recipe import EngineSettings, PrepareSettings

    there = ["-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
    with Client(n_workers=0, dashboard_address=None) as client:
        address = client.scheduler.address
        worker = [sys.executable, *there, address, "--name"]
        private = f'mount -t tmpfs none {MEMORY} && exec "$@"'
        apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", private, "sh"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = [subprocess.Popen([*worker, "one"], **quiet)]  # type: ignore[call-overload]
        try:
            client.wait_for_workers(1)
            (first,) = client.scheduler_info()["workers"]
            out = folder / "between"
            with open_engine(EngineSettings(kind="address", address=address)) as engine:
                summary = prepare(
                    PrepareSettings(size=size),
                    catalogue=folder / "in.parquet",
                    out=out,
                    engine=engine,
                    memory=MEMORY,
                )
            processes.append(subprocess.Popen([*apart, *worker, "two"], **quiet))  # type: ignore[call-overload]
            client.wait_for_workers(2)
            (second,) = set(client.scheduler_info()["workers"]) - {first}
            area = (out / "images.npy").readlink().parent
            megabytes = summary["bytes"] / 1e6
            for _ in range(turns):
                took, _ = client.submit(bring, out, workers=[second], pure=False).result()
                client.run(areas.release, area, workers=[second])
                whole = client.submit(make, summary["bytes"], workers=[first], pure=False)
                wait(whole)
                began = time.perf_counter()
                client.submit(take, whole, workers=[second], pure=False).result()
                plain = time.perf_counter() - began
                print(
                    f"between: {took:.2f} s ({megabytes / took:.0f} MB/s), proved; the same bytes "
                    f"by Dask, not proved: {plain:.2f} s ({megabytes / plain:.0f} MB/s)"
                )
                del whole
        finally:
            for process in processes:
                process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--n", type=int, default=28_793)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    parser.add_argument("--between", action="store_true")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=["files", "memory"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read(asked.read)
        return
    if asked.one:
        print(json.dumps(one(asked.folder, asked.size, asked.one == "memory")))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        catalogue(Path(place), asked.images, asked.n)
        compare(asked, Path(place))
        if asked.between:
            between(Path(place), asked.size, asked.turns)


def compare(asked: argparse.Namespace, place: Path) -> None:
    """Print each turn, and medians with their range."""
    turns: list[dict[str, dict[str, float]]] = []
    for number in range(asked.turns):
        turn = {}
        for how in ("files", "memory") if number % 2 == 0 else ("memory", "files"):
            words = ["--folder", str(place), "--size", str(asked.size), "--one", how]
            command = [sys.executable, __file__, *words]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            turn[how] = json.loads(done.stdout.splitlines()[-1])
            print(how, {key: round(value, 2) for key, value in turn[how].items()}, flush=True)
            subprocess.run(["rm", "-rf", str(place / "store")], check=True)
        turns.append(turn)
    for key in turns[0]["files"]:
        files, memory = ([turn[how][key] for turn in turns] for how in ("files", "memory"))
        said = [f"{statistics.median(v):.2f} ({min(v):.2f}-{max(v):.2f})" for v in (files, memory)]
        print(f"{key}: files {said[0]}, memory {said[1]}")
    ratios = [turn["memory"]["total_s"] / turn["files"]["total_s"] for turn in turns]
    middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
    print(f"memory / files, whole: {middle:.2f} ({least:.2f}-{most:.2f})")


if __name__ == "__main__":
    main()
