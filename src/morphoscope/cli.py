"""The command line: one command a stage, the same words.

Everything heavy is imported inside the command that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from morphoscope import __version__
from morphoscope.cli_options import (
    AnewOption,
    DataOption,
    FileOption,
    ForceOption,
    IdOption,
    ImagesArgument,
    OutOption,
    RecipeArgument,
    SeeingOption,
    SetOption,
    TableOption,
    ThicknessOption,
    WorkersOption,
)
from morphoscope.errors import MorphoscopeError

if TYPE_CHECKING:
    from morphoscope.recipe import Recipe

__all__ = ["app", "main"]

INTERRUPTED = 130
WIDE = 140

app = typer.Typer(
    name="morphoscope",
    help="Galaxy images in, a morphology catalogue and a trustworthy model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


def _load(recipe: Path, data: str, changes: list[str], out: Path | None) -> tuple[Recipe, Path]:
    import json

    from morphoscope.recipe import load_recipe

    if data:
        path = str(Path(data).expanduser().absolute())
        changes = [*changes, f"acquire.data={json.dumps(path)}"]
    loaded = load_recipe(recipe, changes)
    return loaded, out or Path("runs") / loaded.name


@app.command()
def run(
    recipe: RecipeArgument,
    data: DataOption = "",
    out: OutOption = None,
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
        _misuse(f"--from {first}: there are the stages {', '.join(STAGES)}")
    loaded, folder = _load(recipe, data, changes, out)
    records = run_stages(loaded, folder, force=force, first=first or None)
    score = records["evaluate"].summary
    if loaded.task == "inclination":
        print(score["headline"])
    else:
        print(
            f"accuracy {_interval(score['accuracy'])}, macro-F1 {_interval(score['macro_f1'])} "
            f"(n = {score['n_test']:,} test images)"
        )
    print(f"report: {folder / 'evaluate' / 'report.html'}")
    print(f"model:  {folder / 'export' / records['export'].summary['bundle']}")


def _interval(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def _add_stage(name: str, text: str) -> None:
    def command(
        recipe: RecipeArgument,
        data: DataOption = "",
        out: OutOption = None,
        changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
        force: ForceOption = False,
    ) -> None:
        from morphoscope.pipeline import run_stage

        loaded, folder = _load(recipe, data, changes, out)
        record = run_stage(loaded, folder, name, force=force)
        _show(record.summary)
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
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Draw galaxies of known truth: images and their catalogue; goes on where it was cut off."""
    from morphoscope.engine import open_engine
    from morphoscope.simulate.folder import simulate_folder

    given = [] if n is None else [f"simulate.n={n}"]
    loaded, _ = _load(recipe, "", [*changes, *given], None)
    folder = out or Path("simulated") / loaded.name
    with open_engine(loaded.engine) as engine:
        _show(simulate_folder(loaded.simulate, seed=loaded.seed, out=folder, engine=engine))
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
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Search the settings that the recipe leaves open; goes on where it was cut off."""
    from morphoscope.search import search as search_settings

    options = {"strategy": strategy or None, "trials": trials, "workers": workers}
    given = [f"search.{key}={value}" for key, value in options.items() if value is not None]
    loaded, folder = _load(recipe, data, [*changes, *given], out)
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
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Train the variants of a recipe with several seeds and say which differences are real."""
    from morphoscope.comparison import compare_variants

    loaded, folder = _load(recipe, data, changes, out)
    results = compare_variants(loaded, folder)
    for name, why in results["failed"].items():
        print(f"{name} was left out: {why}")
    for sentence in results["conclusion"]:
        print(sentence)
    for name in ("report.html", "compare.json", "predictions.parquet"):
        print(f"{name.partition('.')[0]}: {folder / 'compare' / name}")


@app.command()
def predict(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or the name of a shipped model.")],
    images: ImagesArgument,
    out: TableOption = Path("predictions.parquet"),
    id_column: IdOption = "",
    file_column: FileOption = "",
    workers: WorkersOption = 0,
    force: AnewOption = False,
) -> None:
    """Classify images with a model; one row for every image, resumable."""
    from morphoscope.engine import open_engine
    from morphoscope.predict import predict as predict_images
    from morphoscope.progress import say
    from morphoscope.recipe import EngineSettings

    with open_engine(EngineSettings(kind="local", workers=workers)) as engine:
        summary = predict_images(
            bundle,
            images,
            out=out,
            engine=engine,
            id_column=id_column,
            file_column=file_column,
            force=force,
        )
    _show(summary)
    for warning in summary.get("warnings", ()):
        say(f"WARNING: {warning}", style="bold red")


@app.command()
def measure(
    images: ImagesArgument,
    out: TableOption = Path("shapes.parquet"),
    q0: ThicknessOption = 0.2,
    psf_fwhm: SeeingOption = 0.0,
    id_column: IdOption = "",
    file_column: FileOption = "",
    workers: WorkersOption = 0,
    force: AnewOption = False,
) -> None:
    """Measure axial ratios and the inclinations of their formula, without a model; resumable."""
    from morphoscope.engine import open_engine
    from morphoscope.measure import measure as measure_images
    from morphoscope.recipe import EngineSettings

    with open_engine(EngineSettings(kind="local", workers=workers)) as engine:
        options: dict[str, Any] = {
            "id_column": id_column,
            "file_column": file_column,
            "force": force,
        }
        _show(measure_images(images, out=out, engine=engine, q0=q0, psf_fwhm=psf_fwhm, **options))


@app.command()
def status(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
) -> None:
    """Show which stages are up to date, which not and why, and what each cost."""
    from rich.console import Console

    from morphoscope.cli_tables import stages_table

    Console(highlight=False).print(stages_table(run_folder))


@app.command()
def doubts(
    predictions: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS...", help="predictions.parquet of a run or all folds."),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Page of pictures; the table beside it ends in .csv.")
    ] = Path("doubts.html"),
    show: Annotated[int, typer.Option("--show", help="Pictures on the page.", min=0)] = 120,
) -> None:
    """Find labels that are likely wrong, from the answers of models that had not seen them."""
    from morphoscope.evaluate.doubts import find_doubts

    _show(find_doubts(predictions, out=out, show=show))


@app.command()
def judge(
    predictions: Annotated[Path, typer.Argument(help="Inclinations that `predict` wrote.")],
    known: Annotated[Path, typer.Argument(help="Table of inclinations that people measured.")],
    column: Annotated[str, typer.Option(help="Its column (deg); A,B: the first value.")] = (
        "inclination"
    ),
    id_column: Annotated[
        str, typer.Option(help="Its column of names or files, if not found.")
    ] = "",
    q0: ThicknessOption = 0.2,
    out: Annotated[Path, typer.Option(help="Page; its numbers end in .json.")] = Path("judge.html"),
) -> None:
    """Compare predicted inclinations with known ones, the ellipse formula and a guess."""
    from morphoscope.evaluate.angles import judge as judge_table

    _show(judge_table(predictions, known, column=column, out=out, id_column=id_column, q0=q0))


@app.command()
def settings(
    section: Annotated[str, typer.Argument(help="Section of the recipe; empty: all.")] = "",
) -> None:
    """List the settings of a recipe with their defaults."""
    from morphoscope.recipe.words import describe_settings

    try:
        print(describe_settings(section), end="")
    except KeyError:
        _misuse(f"there is no section {section!r}")


@app.command()
def networks(
    size: Annotated[int, typer.Option(help="Side of the images (pixels).", min=1)] = 224,
    channels: Annotated[int, typer.Option(help="Channels of the images.", min=1)] = 3,
    classes: Annotated[int, typer.Option(help="Number of classes.", min=2)] = 1000,
    width: Annotated[float, typer.Option(help="Factor on the channels.", min=0.01)] = 1.0,
) -> None:
    """List the networks with parameters, FLOPs of one image, smallest image and source."""
    from rich.console import Console

    from morphoscope.cli_tables import networks_table

    table = networks_table(size=size, channels=channels, classes=classes, width=width)
    # A file or a pipe has no width that a line would have to fit in.
    Console(highlight=False, width=None if sys.stdout.isatty() else WIDE).print(table)
    print(f"at {size}×{size}×{channels}, {classes} classes; two FLOPs are one multiply-add")


@app.command()
def models() -> None:
    """List the models that come with this package."""
    from morphoscope.bundle import open_bundle, shipped_bundles

    for name in shipped_bundles():
        bundle = open_bundle(name)
        print(f"{name}  {bundle.id}  {', '.join(bundle.classes)}")


def _show(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.pretty import Pretty

    Console(highlight=False).print(Pretty(summary, max_length=40))


def _misuse(message: str) -> NoReturn:
    print(f"morphoscope: {message}", file=sys.stderr)
    raise SystemExit(2)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line: exit 0 if all went well, 2 for misuse, 1 for failure."""
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app(args=words, prog_name="morphoscope")
    except MorphoscopeError as error:
        if debug:
            raise
        print(f"morphoscope: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, SystemExit) as error:
        # Typer makes the one into the other.
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.code
        if code == INTERRUPTED:
            print("morphoscope: stopped; run the same command to go on", file=sys.stderr)
        raise SystemExit(code) from None
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        print(f"morphoscope: unexpected {kind}: {error}; --debug shows where", file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(0)
