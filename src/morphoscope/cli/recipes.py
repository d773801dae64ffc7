"""Commands that take a recipe, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morphoscope.cli.app import app, enter_container, load, misuse, show_summary
from morphoscope.cli.options import (
    DataOption,
    EngineOption,
    ForceOption,
    OutOption,
    ProfileOption,
    RecipeArgument,
    SetOption,
)


@app.command()
def run(
    recipe: RecipeArgument,
    data: DataOption = "",
    out: OutOption = None,
    engine: EngineOption = "",
    profile: ProfileOption = None,
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
    force: ForceOption = False,
    first: Annotated[
        str, typer.Option("--from", metavar="STAGE", help="Run this stage and all after it again.")
    ] = "",
) -> None:
    """Run every stage that is not up to date: images in, report and model out."""
    from morphoscope.pipeline import run_stages
    from morphoscope.stages import STAGES

    if first and first not in STAGES:
        misuse(f"--from {first}: there are the stages {', '.join(STAGES)}")
    loaded, folder = load(recipe, data, changes, out, engine, profile)
    enter_container(loaded.engine, recipe, profile, folder, recipe=loaded)
    records = run_stages(loaded, folder, force=force, first=first or None)
    score = records["evaluate"].summary
    if loaded.task == "inclination":
        print(score["headline"])
    else:
        print(
            f"accuracy {interval(score['accuracy'])}, macro-F1 {interval(score['macro_f1'])} "
            f"(n = {score['n_test']:,} test images)"
        )
    print(f"report: {folder / 'evaluate' / 'report.html'}")
    if loaded.engine.clustered:
        from morphoscope.watching import write_page

        write_page(folder, folder / "activity.html")
        print(f"what ran where: {folder / 'activity.html'}")
    print(f"model:  {folder / 'export' / records['export'].summary['bundle']}")


def interval(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def _add_stage(name: str, text: str) -> None:
    def command(
        recipe: RecipeArgument,
        data: DataOption = "",
        out: OutOption = None,
        engine: EngineOption = "",
        profile: ProfileOption = None,
        changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
        force: ForceOption = False,
    ) -> None:
        from morphoscope.pipeline import run_stage

        loaded, folder = load(recipe, data, changes, out, engine, profile)
        enter_container(loaded.engine, recipe, profile, folder, recipe=loaded)
        record = run_stage(loaded, folder, name, force=force)
        show_summary(record.summary)
        print(f"in: {folder / name}")

    app.command(name=name, help=text)(command)


for _name, _text in {
    "acquire": "Get labelled images: from a folder, a table, an archive, or simulated.",
    "clean": "Turn votes into classes; put defects and irrelevant images aside.",
    "split": "Divide into train, validation and test, groups together.",
    "prepare": "Bring all images to one size, into one array.",
    "train": "Train the network; goes on where it was cut off.",
    "evaluate": "Score on the test split and write the report.",
    "export": "Write the model as a bundle that opens without torch.",
}.items():
    _add_stage(_name, _text)


@app.command()
def simulate(
    recipe: RecipeArgument,
    n: Annotated[
        int | None, typer.Option("--n", metavar="N", help="Number of galaxies (simulate.n).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Folder [simulated/NAME].")
    ] = None,
    engine: EngineOption = "",
    profile: ProfileOption = None,
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Draw galaxies of known truth: images and their catalogue; goes on where it was cut off."""
    from morphoscope.engine import open_engine
    from morphoscope.simulate.folder import simulate_folder

    given = [] if n is None else [f"simulate.n={n}"]
    loaded, _ = load(recipe, "", [*changes, *given], out, engine, profile)
    folder = out or Path("simulated") / loaded.name
    enter_container(loaded.engine, recipe, profile, folder, recipe=loaded)
    folder.mkdir(parents=True, exist_ok=True)
    with open_engine(loaded.engine, stage="acquire", watched=[folder]) as place:
        show_summary(simulate_folder(loaded.simulate, seed=loaded.seed, out=folder, engine=place))
    print(f"in: {folder / 'catalogue.parquet'}")


@app.command()
def search(
    recipe: RecipeArgument,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="How settings are chosen.")
    ] = "",
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", help="Number of trials.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Trials at the same time.")
    ] = None,
    data: DataOption = "",
    out: OutOption = None,
    engine: EngineOption = "",
    profile: ProfileOption = None,
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Search the settings that the recipe leaves open; goes on where it was cut off."""
    from morphoscope.search import search as search_settings

    options = {"strategy": strategy or None, "trials": trials, "workers": workers}
    given = [f"search.{key}={value}" for key, value in options.items() if value is not None]
    loaded, folder = load(recipe, data, [*changes, *given], out, engine, profile)
    enter_container(loaded.engine, recipe, profile, folder, recipe=loaded)
    found = search_settings(loaded, folder)
    best = found["best"]
    print(
        f"best of {sum(found['trials'].values())} trials: number {best['number']}, "
        f"validation {loaded.train.monitor} {best['score']:.4f} at epoch {best['best_epoch']}"
    )
    print(f"report: {found['report']}")
    print(f"use it: morphoscope run {found['recipe']}")


@app.command()
def compare(
    recipe: RecipeArgument,
    data: DataOption = "",
    out: OutOption = None,
    engine: EngineOption = "",
    profile: ProfileOption = None,
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Train the variants of a recipe with several seeds and say which differences are real."""
    from morphoscope.comparison import compare_variants

    loaded, folder = load(recipe, data, changes, out, engine, profile)
    enter_container(loaded.engine, recipe, profile, folder, recipe=loaded)
    results = compare_variants(loaded, folder)
    for name, why in results["failed"].items():
        print(f"{name} was left out: {why}")
    for sentence in results["conclusion"]:
        print(sentence)
    for name in ("report.html", "compare.json", "predictions.parquet"):
        print(f"{name.partition('.')[0]}: {folder / 'compare' / name}")


@app.command()
def status(
    run_folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or folder of predictions.")
    ],
    watching: Annotated[
        bool, typer.Option("--watch", help="Show what works on it, until that ends.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write what ran where, as HTML.")
    ] = None,
) -> None:
    """Show which stages are up to date, which not and why, and what each cost."""
    from rich.console import Console

    from morphoscope.cli.tables import stages_table

    if page is not None:
        from morphoscope.errors import StageError
        from morphoscope.watching import write_page

        if not write_page(run_folder, page):
            raise StageError(
                f"{run_folder} does not say what ran where",
                expected="a run folder in which work was done",
            )
        print(f"page: {page}")
    elif watching:
        from morphoscope.cli.watch import watch

        watch(run_folder)
    else:
        Console(highlight=False).print(stages_table(run_folder))
