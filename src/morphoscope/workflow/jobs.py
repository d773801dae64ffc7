"""The jobs of a workflow: one a stage, each a command line with the files it reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from morphoscope.recipe import Recipe
from morphoscope.stages import STAGES
from morphoscope.workflow.inputs import Given, Packed
from morphoscope.workflow.keeping import CHECKPOINT
from morphoscope.workflow.needs import Needs, needs_of

__all__ = ["RECIPE", "StepJob", "step_jobs"]

RECIPE = "recipe.json"
# Archives that a stage reads: each also tells of all stages before its own.
READS: Mapping[str, tuple[str, ...]] = {
    "acquire": (),
    "clean": ("acquire",),
    "split": ("clean",),
    "prepare": ("acquire", "split"),
    "train": ("prepare",),
    "evaluate": ("prepare", "train"),
    "export": ("prepare", "train", "evaluate"),
}
# Images are needed once more after they are prepared; few want them back.
LARGE = ("acquire", "prepare")


@dataclass(frozen=True)
class StepJob:
    """One job.

    Attributes
    ----------
    stage
        Its stage, and its name.
    arguments
        Of ``morphoscope``; every file is named as it lies in the folder of the job.
    reads
        Files that must be there before it begins.
    writes
        The file that is there when it has ended.
    checkpoint
        File to go on from, if it is there, and that is left by a job that was cut off.
    wanted
        Whether a person wants the file that it writes.
    """

    stage: str
    arguments: tuple[str, ...]
    reads: tuple[str, ...]
    writes: str
    needs: Needs
    checkpoint: str = ""
    wanted: bool = field(default=True)


def step_jobs(recipe: Recipe, given: Sequence[Given], packed: Sequence[Packed]) -> list[StepJob]:
    """List the jobs of a recipe in the order of their stages."""
    return [_job(stage, recipe, given, packed) for stage in STAGES]


def _job(stage: str, recipe: Recipe, given: Sequence[Given], packed: Sequence[Packed]) -> StepJob:
    earlier = list(READS[stage])
    if stage == "evaluate" and recipe.task == "inclination":
        earlier.insert(0, "acquire")
    archives = [one.name for one in packed if stage in one.stages]
    archives += [f"{name}.tar" for name in earlier]
    files = [one for one in given if stage in one.stages]
    out = f"{stage}.tar"
    words = ["step", stage, "--recipe", RECIPE]
    for archive in archives:
        words += ["--in", archive]
    for one in files:
        words += ["--file", f"{one.place}={one.name}"]
    words += ["--out", out]
    checkpoint = f"{stage}-{CHECKPOINT}.tar" if stage == "train" else ""
    if checkpoint:
        words += ["--checkpoint", checkpoint]
    return StepJob(
        stage,
        tuple(words),
        (RECIPE, *archives, *(one.name for one in files)),
        out,
        needs_of(stage, recipe),
        checkpoint,
        stage not in LARGE,
    )
