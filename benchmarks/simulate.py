"""Simulated galaxies a second: the whole stage on two worker processes, and where the time goes.

    python benchmarks/simulate.py [--n 1500] [--workers 2] [--size 128] [--survey sdss]

Draws the population of `recipes/inclination.toml` five times and prints galaxies a second, then the
processor time of each step for one galaxy, measured in this process.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import tempfile
import time
from pathlib import Path

# As in the worker processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from morphoscope.engine import Engine, open_engine
from morphoscope.recipe import EngineSettings, SimulateSettings
from morphoscope.simulate import simulate
from morphoscope.simulate.drawing import drawing_of
from morphoscope.simulate.population import assign_classes

FRACTIONS = {"disc": 0.84, "elliptical": 0.06, "merger": 0.04, "star": 0.03, "bad_image": 0.03}
# Function and file of each step, in the order in which it comes; steps do not overlap.
STEPS = {
    "draw the truth": [
        ("draw_view", "view"),
        ("draw_galaxy", "population"),
        ("draw_conditions", "conditions"),
    ],
    "plane of the disc": [("paint_plane", "plane")],
    "tilt and dust": [("_see", "disc"), ("_warp", "disc")],
    "turn to the sky": [("_to_sky", "disc")],
    "bulge": [("_add_bulge", "disc")],
    "neighbours": [("paint_neighbour", "field")],
    "PSF and stars": [("_blur_and_add_stars", "scene")],
    "noise": [("observe", "picture")],
    "composite and look": [("picture_of", "picture")],
    "JPEG": [("jpeg", "drawing")],
    "row of truth": [("row", "drawing"), ("measure", "subject")],
}


def settings_of(arguments: argparse.Namespace) -> SimulateSettings:
    return SimulateSettings(
        n=arguments.n,
        size=arguments.size,
        survey=arguments.survey,
        format="jpeg",
        zoom=[0.5, 2.0],
        neighbours=3.0,
        nuisance=0.06,
        variety=1.0,
        inclination="uniform",
        fractions=FRACTIONS,
    )


def rate(settings: SimulateSettings, seed: int, engine: Engine) -> float:
    """Galaxies a second of one whole call, files and catalogue written."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        simulate(settings, seed=seed, out=Path(folder), engine=engine)
        return settings.n / (time.perf_counter() - start)


def draw(settings: SimulateSettings, kinds: list[str]) -> None:
    for index, kind in enumerate(kinds):
        drawing = drawing_of(9, index, kind, settings)
        _ = drawing.picture
        drawing.jpeg()
        drawing.row()


def breakdown(settings: SimulateSettings) -> None:
    """Print milliseconds of each step for one galaxy, scaled to the time without a profiler."""
    kinds = assign_classes(settings.fractions, settings.n, 9)[:400]
    draw(settings, kinds[:50])
    spent = []
    for _ in range(3):
        start = time.process_time()
        draw(settings, kinds)
        spent.append((time.process_time() - start) / len(kinds) * 1e3)
    whole = min(spent)
    profile = cProfile.Profile()
    profile.runcall(draw, settings, kinds)
    stats = pstats.Stats(profile)
    total = stats.total_tt  # type: ignore[attr-defined]
    print(f"\none galaxy, one core: {whole:.2f} ms (best of 3)")
    rest = whole
    for step, names in STEPS.items():
        share = sum(_seconds(stats, name, file) for name, file in names) / total
        rest -= whole * share
        print(f"  {step:20s} {whole * share:5.2f} ms")
    print(f"  {'everything else':20s} {rest:5.2f} ms")


def _seconds(stats: pstats.Stats, name: str, file: str) -> float:
    entries = stats.stats.items()  # type: ignore[attr-defined]
    found = [
        float(values[3])
        for (path, _, function), values in entries
        if function == name and Path(path).stem == file
    ]
    return sum(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--survey", default="sdss")
    arguments = parser.parse_args()
    settings = settings_of(arguments)
    with open_engine(EngineSettings(kind="local", workers=arguments.workers)) as engine:
        rate(settings.model_copy(update={"n": 200}), 0, engine)  # workers start, libraries load
        rates = [rate(settings, seed, engine) for seed in range(1, 6)]
    print(
        f"{arguments.workers} workers, {settings.size}×{settings.size}×3, {settings.survey}: "
        f"best {max(rates):.0f}, median {statistics.median(rates):.0f} galaxies a second, "
        f"of {', '.join(f'{r:.0f}' for r in rates)}"
    )
    breakdown(settings)


if __name__ == "__main__":
    main()
