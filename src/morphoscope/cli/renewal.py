"""Commands that check a model on a new survey and renew it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morphoscope.cli.app import app, load, misuse
from morphoscope.cli.options import (
    FileOption,
    IdOption,
    ImagesArgument,
    RecipeArgument,
    SetOption,
    WorkersOption,
)

NOT_FIT = 1


@app.command()
def fitness(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or the name of a shipped model.")],
    images: ImagesArgument,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Table of labels of some of the images.")
    ] = None,
    column: Annotated[str, typer.Option("--column", help="Its column of labels.")] = "",
    labels_id: Annotated[
        str, typer.Option("--labels-id", help="Its column of names or files, if not found.")
    ] = "",
    means: Annotated[
        list[str],
        typer.Option("--as", metavar="LABEL=CLASS", help="A label's class of the model."),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    precision: Annotated[
        float,
        typer.Option(help="Half-width of the interval wanted; 0: 0.02, or 1 deg.", min=0, max=45),
    ] = 0.0,
    sample: Annotated[int, typer.Option(help="Images looked at; 0: all.", min=0)] = 2000,
    seed: Annotated[int, typer.Option(help="Decides which.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file of all numbers.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless it is fit for use.")
    ] = False,
    id_column: IdOption = "",
    file_column: FileOption = "",
    workers: WorkersOption = 0,
) -> None:
    """Judge whether a model is fit for a new survey, and how many labels would tell."""
    if labels is not None and not column:
        misuse("--labels needs --column, the column of labels")
    pairs = _pairs(means)
    from morphoscope.engine import open_engine
    from morphoscope.fitness import fitness as judge_fitness
    from morphoscope.recipe import EngineSettings

    with open_engine(EngineSettings(kind="local", workers=workers)) as engine:
        found = judge_fitness(
            bundle,
            images,
            engine=engine,
            labels=labels,
            column=column,
            labels_id=labels_id,
            means=pairs,
            precision=precision,
            sample=sample,
            seed=seed,
            id_column=id_column,
            file_column=file_column,
            out=out,
        )
    print(f"verdict: {found['verdict']}")
    for reason in found["reasons"]:
        print(f"- {reason}")
    if strict and not found["fit"]:
        raise SystemExit(NOT_FIT)


@app.command()
def retrain(
    recipe: RecipeArgument,
    labels: Annotated[Path | None, typer.Option("--labels", help="Table of new labels.")] = None,
    campaign: Annotated[
        Path | None,
        typer.Option("--campaign", help="Campaign whose finished galaxies are the new labels."),
    ] = None,
    column: Annotated[
        str,
        typer.Option(
            "--column", help="Column of labels; of a campaign's tree the question [its first]."
        ),
    ] = "",
    reject: Annotated[
        str, typer.Option("--reject", help="Its column of classes beside inclinations.")
    ] = "",
    means: Annotated[
        list[str],
        typer.Option("--as", metavar="LABEL=CLASS", help="A label's class of the model."),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images that bear the names.")
    ] = None,
    id_column: IdOption = "",
    file_column: FileOption = "",
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="RUN", help="Run of the old model [runs/NAME]."),
    ] = None,
    bundle: Annotated[
        str, typer.Option("--bundle", help="Old model as it is served [that of its run].")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="New run [runs/NAME-retrained].")
    ] = None,
    promote_to: Annotated[
        Path | None,
        typer.Option("--promote-to", help="Folder of served models; taken on a clear gain."),
    ] = None,
    changes: SetOption = [],  # noqa: B006 - typer reads it, nothing writes it
) -> None:
    """Train a model on with new labels; compare it with the old one; serve it if it gained."""
    from morphoscope.retraining import retrain as retrain_model
    from morphoscope.retraining.labels import Source

    if (labels is None) == (campaign is None):
        misuse("name the new labels: either --labels TABLE or --campaign CAMPAIGN")
    loaded, usual = load(recipe, "", changes, None)
    if campaign is not None:
        labels, column, reject = _lesson(campaign, column)
    if labels is None or not column:
        misuse("--labels needs --column, the column of labels")
    source = Source(
        labels, column, reject, id_column, file_column, images, means=_pairs(means) or None
    )
    found = retrain_model(
        loaded,
        source,
        run=run or usual,
        out=out or usual.with_name(f"{usual.name}-retrained"),
        bundle=bundle or None,
        promote_to=promote_to,
        settled={change.partition("=")[0].strip() for change in changes},
    )
    for reason in found["reasons"]:
        print(reason)
    print(f"{'promoted' if found['promoted'] else 'not promoted'}: {found['to']}")
    print(f"model: {found['bundle']}")


@app.command()
def rollback(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of served models.")],
    to: Annotated[
        str, typer.Option("--to", metavar="ID", help="Former model [the one before].")
    ] = "",
) -> None:
    """Serve the former model again."""
    from morphoscope.retraining.promoting import rollback as roll_back

    done = roll_back(folder, to=to)
    print(f"{done.name}: {done.served} is served again, {done.former} is kept in former/")


def _pairs(means: list[str]) -> dict[str, str]:
    pairs = {}
    for text in means:
        label, equals, name = text.partition("=")
        if not equals or not label or not name:
            misuse(f"--as {text}: expected LABEL=CLASS")
        pairs[label] = name
    return pairs


def _lesson(campaign: Path, question: str) -> tuple[Path, str, str]:
    """Table of what people have settled, its column of labels, and that of classes beside them."""
    from morphoscope.cli.desks import open_desk
    from morphoscope.label.learning import write_lesson

    lesson = write_lesson(open_desk(campaign), question)
    print(f"{lesson.table}: {lesson.galaxies:,} galaxies")
    return lesson.table, lesson.column, lesson.reject
