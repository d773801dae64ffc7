"""Claim: gathering and augmenting the images costs at most 5 % of a training step.

Each case alternates blocks of steps on one fixed batch with blocks of steps that gather, augment
and normalise a fresh batch from a memory-mapped store. Wall time is what counts; the time of all
cores is printed beside it, because other programs disturb it less.

    python benchmarks/data_path.py [--repeats 7] [--steps 8] [--threads 0] [--device auto]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from morphoscope.engine import cores
from morphoscope.prepare import Store
from morphoscope.recipe import AugmentSettings, BalanceSettings, PrepareSettings, TrainSettings
from morphoscope.train.loop import draw_batch, take_step
from morphoscope.train.plan import Plan, make_plan
from morphoscope.train.state import State, open_state

IMAGES = 8000
CASES = (
    ("resnet18", 1.0, 64, "rgb"),
    ("resnet18", 0.375, 64, "rgb"),
    ("resnet18", 1.0, 64, "grey"),
    ("alexnet", 1.0, 128, "rgb"),
    ("resnet18", 1.0, 224, "rgb"),
)


def make_store(folder: Path, size: int, channels: str, batch: int) -> Store:
    n = IMAGES if size < 128 else 1000
    shape = (n, 1 if channels == "grey" else 3, size, size)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    generator = np.random.default_rng(1)
    for start in range(0, n, 500):
        images[start : start + 500] = generator.integers(0, 256, (500, *shape[1:]), np.uint8)
    labels = np.arange(n) % 5
    splits = ["train"] * (n - batch) + ["validation"] * batch
    frame = pl.DataFrame({"split": splits})
    settings = PrepareSettings(size=size, channels=channels)  # type: ignore[arg-type]
    return Store(images, frame, list("abcde"), labels, settings, folder)


class Case:
    """One training with its store, and the two kinds of step."""

    def __init__(self, plan: Plan, state: State) -> None:
        self.plan, self.state, self.step = plan, state, 0
        self.fixed = draw_batch(plan, plan.train[: plan.settings.batch_size], 0)

    def on_fixed(self) -> None:
        take_step(self.plan, self.state, *self.fixed)

    def on_fresh(self) -> None:
        self.step += 1
        batch = self.plan.settings.batch_size
        rows = np.random.default_rng(self.step).choice(self.plan.train, batch, replace=False)
        take_step(self.plan, self.state, *draw_batch(self.plan, rows, self.step))

    def seconds(self, step: Callable[[], None], number: int) -> tuple[float, float]:
        """Wall time and time of all cores that some steps take."""
        began, began_cpu = time.perf_counter(), time.process_time()
        for _ in range(number):
            step()
        if self.plan.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began, time.process_time() - began_cpu


def measure(case: Case, repeats: int, steps: int) -> tuple[list[float], list[float], float]:
    """Overheads by wall and by cores' time, one a repeat, and images/s on fresh batches."""
    case.seconds(case.on_fixed, 2)
    case.seconds(case.on_fresh, 2)
    wall, cpu, rates = [], [], []
    for _ in range(repeats):
        fixed, fixed_cpu = case.seconds(case.on_fixed, steps)
        fresh, fresh_cpu = case.seconds(case.on_fresh, steps)
        wall.append(fresh / fixed - 1)
        cpu.append(fresh_cpu / fixed_cpu - 1)
        rates.append(steps * case.plan.settings.batch_size / fresh)
    return wall, cpu, statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", default="", help="cases whose line contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or cores())
    print(f"{torch.get_num_threads()} threads, {options.repeats} repeats of {options.steps} steps")
    for network, width, size, channels in CASES:
        name = f"{network} × {width:g}, {size}×{size} {channels}"
        if options.only not in name:
            continue
        settings = TrainSettings(network=network, width=width, device=options.device)
        with tempfile.TemporaryDirectory() as folder:
            store = make_store(Path(folder), size, channels, settings.batch_size)
            plan = make_plan(
                settings,
                AugmentSettings(),
                BalanceSettings(),
                store=store,
                images_sha256="",
                seed=1,
            )
            case = Case(plan, open_state(plan, 0, Path(folder) / "checkpoint.safetensors"))
            wall, cpu, rate = measure(case, options.repeats, options.steps)
        print(
            f"{name:32} {plan.device.type} {plan.precision}: {rate:6.0f} images/s, data path "
            f"{statistics.median(wall):+.1%} of a step by wall time "
            f"({min(wall):+.1%} … {max(wall):+.1%}), {statistics.median(cpu):+.1%} by cores' time"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
