"""Commands that list what there is."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from morphoscope.cli.app import app, misuse

WIDE = 140


@app.command()
def settings(
    section: Annotated[
        str, typer.Argument(help="Section of a recipe, serve or label; empty: all of a recipe.")
    ] = "",
) -> None:
    """List the settings of a recipe, of the server or of a campaign, with their defaults."""
    if section == "serve":
        from morphoscope.serve.settings import describe_server

        print(describe_server(), end="")
        return
    if section == "label":
        from morphoscope.label.campaign import describe_campaign

        print(describe_campaign(), end="")
        return
    from morphoscope.recipe.words import describe_settings

    try:
        print(describe_settings(section), end="")
    except KeyError:
        misuse(f"there is no section {section!r}")


@app.command()
def networks(
    size: Annotated[int, typer.Option(help="Side of the images (pixels).", min=1)] = 224,
    channels: Annotated[int, typer.Option(help="Channels of the images.", min=1)] = 3,
    classes: Annotated[int, typer.Option(help="Number of classes.", min=2)] = 1000,
    width: Annotated[float, typer.Option(help="Factor on the channels.", min=0.01)] = 1.0,
) -> None:
    """List the networks with parameters, FLOPs of one image, smallest image and source."""
    from rich.console import Console

    from morphoscope.cli.tables import networks_table

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
