"""Arguments and options that commands of the command line share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AnewOption",
    "DataOption",
    "EngineOption",
    "FileOption",
    "ForceOption",
    "IdOption",
    "ImagesArgument",
    "OutOption",
    "ProfileOption",
    "RecipeArgument",
    "SeeingOption",
    "SetOption",
    "TableOption",
    "ThicknessOption",
    "WorkersOption",
]

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe, a TOML file.")]
DataOption = Annotated[
    str, typer.Option("--data", metavar="PATH", help="Path of the data (acquire.data).")
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="KIND",
        help="local, inline, slurm, pbs, htcondor, kubernetes, or tcp://HOST:PORT of a scheduler.",
    ),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        envvar="MORPHOSCOPE_PROFILE",
        help="TOML file with a section [engine]: where work runs, and with what.",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="RUN", help="Run folder [runs/NAME].")
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: train.epochs=20."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run again although up to date.")]

ImagesArgument = Annotated[
    str, typer.Argument(help="Folder, glob, image, table, archive, or partitions.")
]
TableOption = Annotated[
    Path,
    typer.Option(
        "--out", help="Result: .parquet, .fits, .vot, .ecsv, .csv, or a folder of shards."
    ),
]
IdOption = Annotated[str, typer.Option("--id-column", help="Column of names in the table.")]
FileOption = Annotated[
    str, typer.Option("--file-column", help="Column of image paths in the table.")
]
WorkersOption = Annotated[
    int, typer.Option("--workers", help="Worker processes; 0: one a core.", min=0)
]
AnewOption = Annotated[bool, typer.Option("--force", help="Start anew over another result.")]

ThicknessOption = Annotated[
    float, typer.Option("--q0", help="Thickness in the formula.", min=0, max=0.99)
]
SeeingOption = Annotated[
    float,
    typer.Option("--psf-fwhm", metavar="PIXELS", help="Seeing to take away; 0: none.", min=0),
]
