"""The verb: a recipe as a folder that another workflow system can plan and submit."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from morphoscope.catalog import atomic_path
from morphoscope.errors import RecipeError, StageError
from morphoscope.progress import say
from morphoscope.provenance import file_digest
from morphoscope.recipe import Recipe
from morphoscope.stages import STAGES
from morphoscope.workflow.archive import INPUTS, pack
from morphoscope.workflow.inputs import Gathered, gather
from morphoscope.workflow.jobs import RECIPE, StepJob, step_jobs
from morphoscope.workflow.pegasus import Site, require_pegasus, write_pegasus

__all__ = ["FORMATS", "export_workflow"]


@dataclass(frozen=True)
class Format:
    """A way to write a workflow: looks whether it can, and writes into a folder.

    What is written names files by the folder that it will be, not by the one that it is now.
    """

    require: Callable[[], None]
    write: Callable[[Recipe, list[StepJob], Gathered, Path, Path, Site], None]


FORMATS = {"pegasus": Format(require_pegasus, write_pegasus)}


def export_workflow(recipe: Recipe, out: Path, *, site: Site, form: str = "pegasus") -> list[str]:
    """Write the stages of a recipe as a workflow of another system.

    Parameters
    ----------
    recipe
        The experiment; its data are looked at, and packed where they are a folder.
    out
        Folder to make.
    site
        Where its jobs are to run.
    form
        Name of the system, one of ``FORMATS``.

    Returns
    -------
    list of str
        Names of the jobs.

    Raises
    ------
    RecipeError
        There is no such format, or the settings cannot be met.
    MissingDependencyError
        The library that writes the format is not installed.
    StageError
        The folder is there already.
    SourceError
        The data are absent, or some of them could not be taken along.
    """
    if form not in FORMATS:
        raise RecipeError(f"workflows are not written as {form!r}", expected=" or ".join(FORMATS))
    FORMATS[form].require()
    out = out.expanduser().absolute()
    if out.exists():
        raise StageError(f"{out} is there already", do="name another --out, or remove it")
    _check(recipe)
    found = gather(recipe)
    jobs = step_jobs(recipe, found.given, found.packed)
    with atomic_path(out) as folder:
        (folder / INPUTS).mkdir(parents=True)
        (folder / INPUTS / RECIPE).write_text(found.recipe.model_dump_json(indent=1))
        digest = file_digest(folder / INPUTS / RECIPE)
        for one in found.packed:
            pack(folder / INPUTS / one.name, one.files, holds=INPUTS, recipe=digest)
        FORMATS[form].write(recipe, jobs, found, folder, out, site)
    return [job.stage for job in jobs]


def _check(recipe: Recipe) -> None:
    """Refuse here what a job would refuse after hours in a queue."""
    if importlib.util.find_spec("torch") is None:
        say("PyTorch is not installed here: the settings of training are not checked")
        return
    for stage in STAGES.values():
        if stage.check:
            stage.check(recipe)
