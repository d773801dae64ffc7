"""Claim: predict is faster than a plain loop of Pillow and torch, and its memory stays flat.

The same JPEG files and the same network on the same cores, in turns: `predict`, from the folder to
the Parquet file, on worker processes and in one process; and a loop that opens each file with
Pillow, prepares it alike and asks the torch model, one image at a time and in batches of 64. The
start of the workers, the same for any number of images, is printed apart.

Then the most memory that one process took for tables of 10⁴ and 10⁵ rows (--rows).

    python benchmarks/predict.py --data ../shared/data/galaxy-zoo-1
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import torch
from jpegs import find_or_draw, spread
from PIL import Image

from morphoscope.bundle.graph import calibrated, write_graph
from morphoscope.bundle.opening import FORMAT, GRAPH, MANIFEST, WEIGHTS, content_id
from morphoscope.engine import cores, open_engine
from morphoscope.networks import Model
from morphoscope.predict import predict
from morphoscope.prepare.geometry import crop_side
from morphoscope.provenance import file_digest
from morphoscope.recipe import EngineSettings, PrepareSettings

BATCH = 64
CLASSES = ["edge_on", "elliptical", "merger", "spiral"]

MEASURE = """
import json, sys, time
from pathlib import Path
import psutil
from morphoscope.engine import open_engine
from morphoscope.predict import predict
from morphoscope.recipe import EngineSettings
if __name__ == "__main__":
    bundle, table, out, kind = sys.argv[1:]
    began = time.perf_counter()
    with open_engine(EngineSettings(kind=kind)) as engine:
        summary = predict(bundle, table, out=Path(out), engine=engine)
        seconds = time.perf_counter() - began
        assert not summary["flagged"], summary
        most = []
        for one in (own := psutil.Process(), *own.children(recursive=True)):
            status = Path(f"/proc/{one.pid}/status").read_text()
            most.append(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    print(json.dumps([most[0], max([0, *most[1:]]), seconds]))
"""


def make_bundle(folder: Path, network: str, width: float, prepared: PrepareSettings) -> Model:
    """A bundle of an untrained network, which takes as long as a trained one."""
    group = {
        "network": network,
        "width": width,
        "dropout": 0.0,
        "activation": "paper",
        "stem": "auto",
        "shrink": 1,
        "weights": None,
        "members": 1,
        "mean": [30.0] * 3,
        "std": [30.0] * 3,
    }
    description = {
        "classes": CLASSES,
        "channels": 3,
        "size": prepared.size,
        "orientations": 1,
        "handed": [],
        "preparation": prepared.model_dump(),
        "groups": [group],
    }
    model = Model(description).eval()
    folder.mkdir()
    shape = (3, prepared.size, prepared.size)
    write_graph(calibrated(model, 1.0), shape, folder / GRAPH, folder / WEIGHTS)
    manifest = {
        "format": FORMAT,
        "name": network,
        "task": "classes",
        "classes": CLASSES,
        "preparation": prepared.model_dump(),
        "files": {name: file_digest(folder / name) for name in (GRAPH, WEIGHTS)},
    }
    manifest["id"] = content_id(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return model


def plain_prepare(file: str, settings: PrepareSettings) -> torch.Tensor:
    with Image.open(file) as image:
        side = min(image.size)
        cut = (side - crop_side(side, settings.crop_fraction)) // 2
        box = (cut, cut, side - cut, side - cut)
        small = image.convert("RGB").resize((settings.size,) * 2, Image.Resampling.BOX, box)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def plain_loop(model: Model, files: list[str], settings: PrepareSettings, batch: int) -> None:
    answers = []
    with torch.inference_mode():
        for start in range(0, len(files), batch):
            images = [plain_prepare(file, settings) for file in files[start : start + batch]]
            answers.append(model(torch.stack(images)).exp())
    torch.cat(answers)


def cpu_s() -> float:
    """CPU seconds of this process and of those below it."""
    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def measure(work: Callable[[], object], n: int) -> tuple[float, float]:
    """Images a second of wall time, and of CPU time."""
    began, cpu = time.perf_counter(), cpu_s()
    work()
    return n / (time.perf_counter() - began), n / (cpu_s() - cpu)


def compare_rates(
    bundle: Path, model: Model, files: list[str], settings: PrepareSettings, repeats: int
) -> None:
    table, out = bundle.parent / "files.csv", bundle.parent / "out.parquet"
    pl.DataFrame({"file": files}).write_csv(table)
    local_engine, inline_engine = EngineSettings(kind="local"), EngineSettings(kind="inline")
    with open_engine(local_engine) as local, open_engine(inline_engine) as inline:
        began = time.perf_counter()
        summary = predict(bundle, table, out=out, engine=local)
        if summary["flagged"]:
            raise SystemExit(f"some images are bad: {summary['flagged']}")
        first = time.perf_counter() - began
        ways: dict[str, Callable[[], object]] = {
            "predict, workers": lambda: predict(bundle, table, out=out, engine=local, force=True),
            "predict, one process": lambda: predict(
                bundle, table, out=out, engine=inline, force=True
            ),
            "plain loop, one at a time": lambda: plain_loop(model, files, settings, 1),
            f"plain loop, batches of {BATCH}": lambda: plain_loop(model, files, settings, BATCH),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, work in ways.items():
                found[name].append(measure(work, len(files)))
    for place, kind in enumerate(("s", "CPU s")):
        rates = {name: [pair[place] for pair in pairs] for name, pairs in found.items()}
        print_rates(rates, kind)
    print(f"  start of the workers: {first - len(files) / max(found['predict, workers'])[0]:.1f} s")


def print_rates(rates: dict[str, list[float]], kind: str) -> None:
    for name, values in rates.items():
        print(f"  {name}: {spread(values, 0)} images/{kind}")
    ours, plain = list(rates)[:2], list(rates)[2:]
    for one in ours:
        for name in plain:
            ratios = [a / b for a, b in zip(rates[one], rates[name], strict=True)]
            print(f"    {one} / {name}: {spread(ratios)}")


def compare_memory(bundle: Path, files: list[str], rows: list[int]) -> None:
    """Largest resident memory (MiB), of the process that streams and of the largest worker."""
    for kind in ("local", "inline"):
        for n in rows:
            table = bundle.parent / f"rows-{n}.csv"
            some = [files[i % 50] for i in range(n)]
            wide = {f"magnitude_{i}": np.random.default_rng(i).random(n) for i in range(30)}
            pl.DataFrame({"objid": range(n), "file": some, **wide}).write_csv(table)
            out = table.with_name(f"rows-{n}-{kind}.parquet")
            words = [str(bundle), str(table), str(out), kind]
            script = bundle.parent / "measure.py"
            script.write_text(MEASURE)
            done = subprocess.run(
                [sys.executable, str(script), *words], capture_output=True, text=True, check=True
            )
            main, worker, seconds = json.loads(done.stdout.splitlines()[-1])
            print(
                f"  {kind}, {n:,} rows: {main:,.0f} MiB, largest worker {worker:,.0f} MiB, "
                f"{n / seconds:,.0f} rows/s"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of JPEG files")
    parser.add_argument("--n", type=int, default=1000, help="JPEGs")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=64, help="side of a prepared image (pixels)")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    given = parser.parse_args()
    torch.set_num_threads(cores())
    settings = PrepareSettings(size=given.size, crop_fraction=0.6)
    with tempfile.TemporaryDirectory() as name:
        bundle = Path(name) / "bundle"
        model = make_bundle(bundle, given.network, given.width, settings)
        images = Path(name) / "images"
        images.mkdir()
        files = find_or_draw(given.data and given.data.absolute(), given.n, images)
        print(
            f"{len(files):,} JPEGs, {given.network} of width {given.width:g} at "
            f"{given.size}×{given.size}×3, {cores()} cores, {given.repeats} turns"
        )
        compare_rates(bundle, model, files, settings, given.repeats)
        if given.rows:
            print("memory")
            compare_memory(bundle, files, given.rows)


if __name__ == "__main__":
    main()
