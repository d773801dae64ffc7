"""Commands that take images, or what was said of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morphoscope.cli.app import app, enter_container, show_summary
from morphoscope.cli.options import (
    AnewOption,
    EngineOption,
    FileOption,
    IdOption,
    ImagesArgument,
    ProfileOption,
    SeeingOption,
    TableOption,
    ThicknessOption,
    WorkersOption,
)

if TYPE_CHECKING:
    from morphoscope.engine import Engine


def _opened(
    stage: str,
    images: str,
    out: Path,
    engine: str,
    profile: Path | None,
    workers: int,
    bundle: str = "",
) -> AbstractContextManager[Engine]:
    from morphoscope.engine import open_engine
    from morphoscope.recipe import load_engine

    given = {"workers": workers} if workers else {}
    settings = load_engine(profile, engine, **given)
    enter_container(settings, _there(images), out, profile, _there(bundle))
    named = Path(images).expanduser().absolute()
    # A pattern, or a part of a file, is told by who reads it.
    watched = [named] if named.exists() else []
    if not out.suffix:
        folder = out
    elif settings.clustered:
        folder = out.with_name(f"{out.name}.engine")
    else:
        return open_engine(settings, stage=stage)
    folder.mkdir(parents=True, exist_ok=True)
    seen = [_there(images), out.absolute().parent, _there(bundle)]
    return open_engine(settings, stage=stage, folder=folder, watched=watched, seen=seen)


def _there(named: str) -> Path:
    """Folder of what is named, also by a pattern, or within an archive."""
    path = Path(named.partition("::")[0]).expanduser().absolute()
    return next(one for one in (path, *path.parents) if one.exists())


def _show(summary: dict[str, Any]) -> None:
    from morphoscope.progress import say

    show_summary(summary)
    for warning in summary["warnings"]:
        say(f"WARNING: {warning}", style="bold red")


@app.command()
def predict(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or the name of a shipped model.")],
    images: ImagesArgument,
    out: TableOption = Path("predictions.parquet"),
    id_column: IdOption = "",
    file_column: FileOption = "",
    workers: WorkersOption = 0,
    engine: EngineOption = "",
    profile: ProfileOption = None,
    force: AnewOption = False,
) -> None:
    """Classify images with a model; one row for every image, resumable."""
    from morphoscope.predict import predict as predict_images

    with _opened("predict", images, out, engine, profile, workers, bundle) as place:
        summary = predict_images(
            bundle,
            images,
            out=out,
            engine=place,
            id_column=id_column,
            file_column=file_column,
            force=force,
        )
    _show(summary)


@app.command()
def measure(
    images: ImagesArgument,
    out: TableOption = Path("shapes.parquet"),
    q0: ThicknessOption = 0.2,
    psf_fwhm: SeeingOption = 0.0,
    id_column: IdOption = "",
    file_column: FileOption = "",
    workers: WorkersOption = 0,
    engine: EngineOption = "",
    profile: ProfileOption = None,
    force: AnewOption = False,
) -> None:
    """Measure axial ratios and the inclinations of their formula, without a model; resumable."""
    from morphoscope.measure import measure as measure_images

    with _opened("measure", images, out, engine, profile, workers) as place:
        options: dict[str, Any] = {
            "id_column": id_column,
            "file_column": file_column,
            "force": force,
        }
        summary = measure_images(images, out=out, engine=place, q0=q0, psf_fwhm=psf_fwhm, **options)
    _show(summary)


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

    show_summary(find_doubts(predictions, out=out, show=show))


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

    show_summary(
        judge_table(predictions, known, column=column, out=out, id_column=id_column, q0=q0)
    )
