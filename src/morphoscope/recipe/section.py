"""What the sections of a recipe share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["FolderName", "Section"]


def _no_record(name: str) -> str:
    if name.casefold() == "stage.json":
        raise ValueError("a file of the run folder has this name, choose another")
    return name


# A run folder, and the folder of a bundle in it.
FolderName = Annotated[str, AfterValidator(_no_record)]


class Section(BaseModel):
    """A section of the recipe: unknown and ill-typed keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
