"""Claim: predict over a survey keeps its memory flat, and scales until the scheduler is the limit.

1. Peak resident memory of the driver and of its largest worker for 10⁴, 10⁵ and 10⁶ rows: a
   catalogue in Parquet partitions whose files are rows of a Zarr array of tiny images, the Zarr
   array itself, and a table in CSV; the task is the mean of each image.
2. The same model over the same images on one worker and on two, one thread each, in turns.
3. What each part of the work costs, measured apart; and a model fitted to it: what 10⁹ galaxies on
   up to 1000 nodes would take, and where it saturates. The model is simulated part by part: one
   driver that hands out parts one after the other, workers that take them, unequal nodes.

    python benchmarks/survey_scale.py
"""

from __future__ import annotations

import argparse
import functools
import heapq
import json
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import zarr

from morphoscope.bundle import open_bundle
from morphoscope.engine import cores, open_engine
from morphoscope.images import read_image
from morphoscope.predict.answers import answer
from morphoscope.recipe import EngineSettings, PrepareSettings
from morphoscope.streaming import Rows, Task, stream
from morphoscope.streaming.part import Work, make_part
from morphoscope.streaming.plan import Plan, make_plan, part_rows
from morphoscope.streaming.shards import Shards, added, read_metadata, require_own

SIDE = 12
PARTITION_ROWS = 5000
INPUTS = ("Parquet", "Zarr", "CSV")
SURVEY = 1_000_000_000
CORES_A_NODE = 32
NODES = (1, 10, 100, 1000)
# Spread of the time that equal parts take on unequal nodes (log-normal).
SPREAD = 0.1
# What opening, writing and moving a part may cost on a busy shared file system (s).
SLOW_S = 5.0

MEASURE = """
import json, sys, time
from pathlib import Path
import psutil
from survey_scale import MEANS
from morphoscope.engine import open_engine
from morphoscope.recipe import EngineSettings
from morphoscope.streaming import stream
if __name__ == "__main__":
    images, out = sys.argv[1:]
    began = time.perf_counter()
    with open_engine(EngineSettings(kind="local", workers=2)) as engine:
        done = stream(MEANS, images, out=Path(out), engine=engine)
        seconds = time.perf_counter() - began
        assert not done.counts["flagged"], done
        most = []
        for one in (own := psutil.Process(), *own.children(recursive=True)):
            status = Path(f"/proc/{one.pid}/status").read_text()
            if "VmHWM" in status:
                most.append(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    print(json.dumps([most[0], max(most[1:]), done.n / seconds]))
"""


def means(files: tuple[str | None, ...]) -> Rows:
    values = [float(read_image(file).mean()) for file in files if file]
    return Rows({"mean": pa.array(values, pa.float32())}, [None] * len(files))


def nothing(files: tuple[str | None, ...]) -> Rows:
    """A task that costs nothing: what is left is the part itself."""
    return Rows({"mean": pa.array(np.zeros(len(files), np.float32))}, [None] * len(files))


# Under this module's own name, also where it is run as a script: workers import it.
MEANS = Task("mean", means, {"task": "mean"})


def make_images(path: Path, n: int, side: int, channels: int, chunk: int) -> Path:
    shape = (n, side, side, channels)
    chunks = (min(chunk, n), side, side, channels)
    array = zarr.create_array(path, shape=shape, chunks=chunks, dtype="u1", compressors=None)
    random = np.random.default_rng(0)
    block = random.integers(0, 255, chunks, dtype=np.uint8)
    for start in range(0, n, chunks[0]):
        array[start : start + chunks[0]] = block[: min(chunks[0], n - start)]
    return path


def make_table(folder: Path, store: Path, n: int) -> tuple[Path, Path]:
    """A catalogue in Parquet partitions, and the same rows as CSV."""
    parts, table = folder / f"catalogue-{n}", folder / f"rows-{n}.csv"
    parts.mkdir()
    with table.open("w") as text:
        text.write("objid,file\n")
        for number, start in enumerate(range(0, n, PARTITION_ROWS)):
            rows = np.arange(start, min(n, start + PARTITION_ROWS))
            files = [f"{store}::/[{row}]" for row in rows]
            frame = pl.DataFrame({"objid": rows, "file": files, "mag": rows * 1e-6})
            frame.write_parquet(parts / f"tile-{number:03d}.parquet")
            text.writelines(f"{i},{file}\n" for i, file in zip(rows, files, strict=True))
    return parts, table


def compare_memory(folder: Path, sizes: list[int], inputs: list[str]) -> None:
    script = folder / "measure.py"
    script.write_text(MEASURE)
    for n in sizes:
        store = make_images(folder / f"images-{n}.zarr", n, SIDE, 1, 4096)
        parts, table = make_table(folder, store, n)
        named = dict(zip(INPUTS, (parts, store, table), strict=True))
        for name in inputs:
            out = folder / f"out-{n}-{name}"
            done = subprocess.run(
                [sys.executable, str(script), str(named[name]), str(out)],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
            )
            driver, worker, rate = json.loads(done.stdout.splitlines()[-1])
            print(
                f"  {name}, {n:>9,} rows: driver {driver:,.0f} MiB, largest worker "
                f"{worker:,.0f} MiB, {rate:,.0f} rows/s"
            )


@dataclass(frozen=True)
class Costs:
    """Seconds, measured on this machine."""

    image: float
    row: float
    part: float
    handed_out: float
    driver: float
    footer: float
    known: float
    image_bytes: int
    row_bytes: float


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cpu_s() -> float:
    """CPU seconds of this process and of those below it."""
    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def compare_workers(
    bundle: Path, images: Path, folder: Path, n: int, repeats: int
) -> dict[int, list[tuple[float, float]]]:
    """Seconds, and CPU seconds, for all images on one worker and on two, in turns."""
    opened = open_bundle(bundle)
    rows = functools.partial(answer, folder=str(bundle), model=opened.id, threads=1)
    task = Task("predict", rows, {"model": opened.id})
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    one, two = EngineSettings(kind="inline"), EngineSettings(kind="local", workers=2)
    with open_engine(one) as inline, open_engine(two) as local:
        for turn in range(repeats + 1):
            for workers, engine in ((1, inline), (2, local)):
                out = folder / f"scale-{workers}-{turn}"
                cpu = cpu_s()
                seconds = timed(
                    functools.partial(
                        stream, task, images, out=out, engine=engine, shard_rows=max(64, n // 32)
                    )
                )
                # The first turn starts the workers and opens the model.
                if turn:
                    found[workers].append((seconds, cpu_s() - cpu))
    return found


def part_costs(folder: Path, images: Path) -> tuple[float, float]:
    """Seconds of a part whatever its rows, and of a row whatever its image."""
    task = Task("nothing", nothing, {"task": "nothing"})
    out = folder / "parts"
    out.mkdir()
    with open_engine(EngineSettings(kind="inline")) as inline:
        found = {}
        for size in (64, 16_384):
            plan = make_plan(images, folder / f"plan-{size}", inline, shard_rows=size)
            work = Work(task, out, 64, Shards(out, task, plan).metadata)
            pieces = [plan.piece(number % plan.parts) for number in range(40)]
            times = [timed(functools.partial(make_part, work, piece)) for piece in pieces]
            found[pieces[0].rows] = statistics.median(times)
        (few, least), (many, most) = sorted(found.items())
        row = (most - least) / (many - few)
    return least - few * row, row


def handing_out() -> float:
    """Seconds of the scheduler and the client for a task that does nothing."""
    items = [(i, "x" * 800) for i in range(3000)]
    with open_engine(EngineSettings(kind="local", workers=2)) as engine:
        list(engine.map(len, items[:50]))
        # The scheduler lives in this process: its CPU time is what tasks wait for in turn.
        began = time.process_time()
        list(engine.map(len, items))
        return (time.process_time() - began) / len(items)


def driver_costs(plan: Plan, n: int) -> float:
    """Seconds of this process for a part: to name it, to pack it, to add its counts."""
    counts = {"classes": {f"class_{i}": i for i in range(5)}, "flagged": {"truncated": 1}}
    words = list(counts)
    total = added([], words)
    began = time.perf_counter()
    for number in range(n):
        pickle.dumps(plan.piece(number % plan.parts))
        total = added([total, counts], words)
    return (time.perf_counter() - began) / n


def known_cost(out: Path) -> float:
    """Seconds to look at a part that is there, when a run goes on."""
    found = require_own(out)
    began = time.perf_counter()
    for path in list(found)[:500]:
        read_metadata(path)
    return (time.perf_counter() - began) / min(500, len(found))


def makespan(costs: Costs, rows: int, workers: int, size: int) -> float:
    """Hours of a run, by simulation: parts go out one by one, to the worker that is free first."""
    random = np.random.default_rng(0)
    speed = np.exp(random.normal(0, SPREAD, workers))
    speed *= np.mean(1 / speed)
    free = [(0.0, number) for number in range(workers)]
    out, last = 0.0, 0.0
    for start in range(0, rows, size):
        out += costs.handed_out + costs.driver
        now, number = heapq.heappop(free)
        n = min(size, rows - start)
        busy = (costs.part + n * (costs.image + costs.row)) * speed[number]
        end = max(now, out) + busy
        last = max(last, end)
        heapq.heappush(free, (end, number))
    return last / 3600


def print_model(costs: Costs, partitions: int) -> None:
    size = part_rows(SURVEY, 65_536)
    parts = -(-SURVEY // size)
    each = costs.image + costs.row
    print(f"  {SURVEY:,} rows: parts of {size:,} rows, {parts:,} parts")
    print(f"  plan of {partitions:,} partitions: {partitions * costs.footer / 60:.1f} min, once")
    print(f"  to go on with all parts there but one: {parts * costs.known / 60:.1f} min")
    print(
        f"  {'nodes':>6} {'workers':>8} {'hours':>8} {'of ideal':>9} {'read':>12} {'written':>12}"
    )
    for nodes in NODES:
        workers = nodes * CORES_A_NODE
        hours = makespan(costs, SURVEY, workers, size)
        ideal = SURVEY * each / workers / 3600
        rate = SURVEY / hours / 3600 / 1e6
        read, written = rate * costs.image_bytes, rate * costs.row_bytes
        print(
            f"  {nodes:>6,} {workers:>8,} {hours:>8.2f} {ideal / hours:>9.0%} "
            f"{read:>7,.0f} MB/s {written:>7,.1f} MB/s"
        )
    busy = costs.part + size * each
    limit = busy / (costs.handed_out + costs.driver)
    full = limit / CORES_A_NODE
    print(f"  the driver is the limit from {limit:,.0f} workers on ({full:,.0f} nodes)")
    slow = makespan(replace(costs, part=SLOW_S), SURVEY, 100 * CORES_A_NODE, size)
    print(f"  where the file system takes {SLOW_S:g} s for a part: {slow:.2f} h on 100 nodes")
    for other in (64, 4096):
        small = (costs.part + other * each) / (costs.handed_out + costs.driver)
        print(f"    with parts of {other:,} rows: from {small:,.0f} workers on")


def print_costs(costs: Costs) -> None:
    print("costs")
    print(f"  an image: {1e3 * costs.image:.2f} ms; a row beside it: {1e6 * costs.row:.1f} µs")
    print(f"  a part: {1e3 * costs.part:.1f} ms; {costs.row_bytes:.0f} bytes a row written")
    print(f"  a task handed out by the scheduler: {1e3 * costs.handed_out:.2f} ms")
    print(f"  the driver, for a part: {1e3 * costs.driver:.3f} ms")
    print(f"  a partition counted: {1e3 * costs.footer:.2f} ms")
    print(f"  a part that is there looked at: {1e3 * costs.known:.2f} ms")


def measure_costs(folder: Path, given: argparse.Namespace) -> Costs:
    # It imports torch, which no worker needs.
    from predict import make_bundle

    settings = PrepareSettings(size=given.size)
    make_bundle(folder / "bundle", given.network, given.width, settings)
    images = make_images(folder / "sky.zarr", given.n, given.size, 3, 64)
    print(f"workers: {given.n:,} images {given.size}×{given.size}×3, {given.network}")
    found = compare_workers(folder / "bundle", images, folder, given.n, given.repeats)
    for workers, times in found.items():
        rates = ", ".join(f"{given.n / wall:,.0f} ({given.n / cpu:,.0f})" for wall, cpu in times)
        print(f"  {workers} worker(s), images/s (images/CPU s): {rates}")
    for place, what in enumerate(("seconds", "CPU seconds")):
        ratios = [one[place] / two[place] for one, two in zip(found[1], found[2], strict=True)]
        spread = f"{min(ratios):.2f} … {max(ratios):.2f}, n = {len(ratios)}"
        print(f"  {what} of 1 worker / of 2: {statistics.median(ratios):.2f} ({spread})")
    # What others do on this machine meanwhile is in the seconds, not in the CPU seconds.
    image = statistics.median(cpu for _, cpu in found[1]) / given.n
    catalogue, _ = make_table(folder, images, 400_000)
    part, row = part_costs(folder, catalogue)
    written = sum(path.stat().st_size for path in (folder / "scale-1-1").rglob("*.parquet"))
    with open_engine(EngineSettings(kind="inline")) as inline:
        plan = make_plan(catalogue, folder / "plan-costs", inline, shard_rows=4096)
        again = functools.partial(
            make_plan, catalogue, folder / "plan-costs", inline, shard_rows=4096
        )
        footer = statistics.median(timed(again) for _ in range(5)) / len(plan.partitions)
    return Costs(
        image=image,
        row=row,
        part=part,
        handed_out=handing_out(),
        driver=driver_costs(plan, 20_000),
        footer=footer,
        known=known_cost(folder / "parts"),
        image_bytes=given.size**2 * 3,
        row_bytes=written / given.n,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--inputs", nargs="*", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--n", type=int, default=4096, help="images for one worker and two")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=64, help="side of an image (pixels)")
    parser.add_argument("--partitions", type=int, default=10_000, help="of the survey's catalogue")
    given = parser.parse_args()
    print(f"{platform.machine()}, {cores()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("memory: mean of tiny images, 2 workers")
        compare_memory(folder, given.rows, given.inputs)
        costs = measure_costs(folder, given)
    print_costs(costs)
    print(
        f"model: {CORES_A_NODE} workers a node, unequal by {SPREAD:.0%}, and a file system that "
        "gives what is asked"
    )
    print_model(costs, given.partitions)


if __name__ == "__main__":
    main()
