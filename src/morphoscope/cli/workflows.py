"""Commands for other workflow systems: writing a workflow, and the command that its jobs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morphoscope.cli.app import app, load, misuse
from morphoscope.cli.options import DataOption, ProfileOption, RecipeArgument, SetOption


@app.command(name="export-workflow")
def export_workflow(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder to make.")],
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Workflow system: pegasus.")
    ] = "pegasus",
    data: DataOption = "",
    profile: ProfileOption = None,
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
    site: Annotated[
        str, typer.Option("--site", metavar="NAME", help="Execution site.")
    ] = "condorpool",
    executable: Annotated[
        str,
        typer.Option("--executable", metavar="PATH", help="Command `morphoscope` on the site."),
    ] = "",
    container: Annotated[
        str,
        typer.Option("--container", metavar="IMAGE", help="A .sif file, docker://… or library://…"),
    ] = "",
    retries: Annotated[
        int, typer.Option("--retries", metavar="N", help="Further tries of a job.", min=0)
    ] = 2,
) -> None:
    """Write the stages as a workflow of another system, with its catalogues."""
    from morphoscope.workflow import FORMATS, Site
    from morphoscope.workflow import export_workflow as write_workflow

    if form not in FORMATS:
        misuse(f"--format {form}: there is {' and '.join(FORMATS)}")
    loaded, _ = load(recipe, data, changes, None, profile=profile)
    place = Site(name=site, executable=executable, container=container, retries=retries)
    jobs = write_workflow(loaded, out, site=place, form=form)
    print(f"{len(jobs)} jobs: {', '.join(jobs)}")
    print(f"how to plan and submit them: {out / 'README.md'}")


@app.command()
def step(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="Stage to run.")],
    recipe: Annotated[
        Path, typer.Option("--recipe", metavar="FILE", help="recipe.json of the workflow.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Archive to write.")],
    archives: Annotated[
        list[Path],
        typer.Option("--in", metavar="FILE", help="Archive of an earlier stage, or of inputs."),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    files: Annotated[
        list[str],
        typer.Option("--file", metavar="PLACE=FILE", help="File, and where the recipe seeks it."),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Goes on from it, and keeps it fresh."),
    ] = None,
) -> None:
    """Run one stage as a job of a workflow: from archives to an archive, in this folder."""
    from morphoscope.stages import STAGES
    from morphoscope.workflow import run_step

    if stage not in STAGES:
        misuse(f"step {stage}: there are the stages {', '.join(STAGES)}")
    if checkpoint and stage != "train":
        misuse("--checkpoint goes with the stage train")
    places = {}
    for word in files:
        place, equals, file = word.partition("=")
        if not equals or not file:
            misuse(f"--file {word}: expected PLACE=FILE, as inputs/data/galaxies.h5=galaxies.h5")
        places[place] = Path(file)
    run_step(stage, recipe, archives=archives, files=places, out=out, checkpoint=checkpoint)
