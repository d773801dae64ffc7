"""A folder of simulated galaxies, made by itself and not as a stage of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from morphoscope.catalog import atomic_path
from morphoscope.engine import Engine
from morphoscope.errors import StageError
from morphoscope.provenance import settings_digest
from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.population import assign_classes
from morphoscope.simulate.shards import simulate
from morphoscope.source_code import code_digest

__all__ = ["simulate_folder"]

RECORD = "simulate.json"


def simulate_folder(
    settings: SimulateSettings, *, seed: int, out: Path, engine: Engine
) -> dict[str, Any]:
    """Draw a population into a folder; goes on where it was cut off.

    Parameters
    ----------
    settings, seed, out, engine
        As for ``simulate``. ``out`` also gets ``simulate.json``, which says what it was made of.

    Returns
    -------
    dict
        As ``simulate`` gives it.

    Raises
    ------
    RecipeError
        ``settings.fractions`` names an unknown class or has no share above 0.
    StageError
        The folder holds galaxies of other settings, another seed or other code.
    """
    made_of = {"settings": settings.model_dump(), "seed": seed, "code": code_digest(("simulate",))}
    record = out / RECORD
    if record.exists():
        former = json.loads(record.read_text())
        other = [key for key in made_of if former.get(key) != made_of[key]]
        if other:
            raise StageError(
                f"{out} holds galaxies of other {' and '.join(other)}",
                do="name another folder with --out, or remove this one",
                digest=settings_digest(made_of),
            )
    elif out.exists() and any(not path.name.endswith(".partial") for path in out.iterdir()):
        raise StageError(f"{out} is not empty", do="name another folder with --out")
    # Before the folder is taken for settings that cannot be met.
    assign_classes(settings.fractions, settings.n, seed)
    with atomic_path(record) as path:
        path.write_text(json.dumps(made_of, indent=1))
    return simulate(settings, seed=seed, out=out, engine=engine)
