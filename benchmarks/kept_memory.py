"""Claim: a training that keeps freed memory takes its steps faster, on Linux with glibc.

Steps of 64 random images, in processes of their own that take turns: as glibc has it, and with
`keep_memory`. Printed are images a second and the ratio of the medians of each turn, with its
range. Other work on the same cores makes both slower.

    python benchmarks/kept_memory.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CASES = (
    ("efficientnet_lite0", 1.0, "paper", 112),
    ("efficientnet_lite0", 1.0, "paper", 144),
    ("resnet18", 0.375, "auto", 80),
)
BATCH = 64


def steps(network: str, width: float, stem: str, size: int, keep: bool, number: int) -> None:
    """Print the images a second of the median step."""
    import torch
    from torch.nn.functional import cross_entropy

    from morphoscope.engine import cores
    from morphoscope.networks import build
    from morphoscope.train.memory import keep_memory

    torch.set_num_threads(cores())
    if keep:
        keep_memory()
    model = build(network, classes=4, channels=3, width=width, size=size, stem=stem)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    images = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 4, (BATCH,))
    seconds = []
    for _ in range(number + 3):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    print(BATCH / statistics.median(seconds[3:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        network, width, stem, size, keep, number = asked.one
        steps(network, float(width), stem, int(size), keep == "True", int(number))
        return
    for network, width, stem, size in CASES:
        rates: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(asked.turns):
            for keep in (False, True) if turn % 2 else (True, False):
                one = [network, width, stem, size, keep, asked.steps]
                command = [sys.executable, __file__, "--one", *map(str, one)]
                rates[keep].append(float(subprocess.check_output(command)))
        ratios = [kept / plain for plain, kept in zip(rates[False], rates[True], strict=True)]
        plain, kept = (statistics.median(rates[keep]) for keep in (False, True))
        print(
            f"{network} of width {width:g}, {size} px: {plain:.0f} images/s, kept {kept:.0f}: "
            f"{statistics.median(ratios):.2f} [{min(ratios):.2f}–{max(ratios):.2f}]",
            flush=True,
        )


if __name__ == "__main__":
    main()
