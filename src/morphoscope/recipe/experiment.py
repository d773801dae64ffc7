"""The whole recipe, read from TOML and validated."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from morphoscope.errors import RecipeError
from morphoscope.recipe.data import (
    AcquireSettings,
    CleanSettings,
    PrepareSettings,
    SimulateSettings,
    SplitSettings,
)
from morphoscope.recipe.engine import EngineSettings, engine_values
from morphoscope.recipe.explaining import explain
from morphoscope.recipe.model import (
    IMAGENET,
    AugmentSettings,
    BalanceSettings,
    EvaluateSettings,
    ExportSettings,
    TrainSettings,
)
from morphoscope.recipe.section import FolderName, Section
from morphoscope.recipe.study import CompareSettings, SearchSettings

__all__ = ["Recipe", "changed", "load_recipe", "named_paths"]

# Settings that name a file, and the word that is none; in a recipe a path is relative to it.
FILES = (("split", "given", ""), ("train", "weights", IMAGENET))

# What can no longer be read from a galaxy that is centred, levelled and scaled to its size.
LOST_IN_VIEW = ("position_angle", "angular_size", "position", "brightness")


class Recipe(Section):
    """Every setting of one experiment."""

    name: FolderName = Field(description="Name of the experiment.", pattern=r"^[A-Za-z0-9][\w.-]*$")
    description: str = Field("", description="What the experiment is for.")
    seed: int = Field(1, description="Seed of every random draw.", ge=0)
    acquire: AcquireSettings = AcquireSettings()
    simulate: SimulateSettings = SimulateSettings()
    clean: CleanSettings = CleanSettings()
    split: SplitSettings = SplitSettings()
    prepare: PrepareSettings = PrepareSettings()
    augment: AugmentSettings = AugmentSettings()
    balance: BalanceSettings = BalanceSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    export: ExportSettings = ExportSettings()
    search: SearchSettings = SearchSettings()
    compare: CompareSettings = CompareSettings()
    engine: EngineSettings = EngineSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prepare.view != "galaxy":
            return self
        levels = "prepare.view = 'galaxy', which levels galaxies"
        if self.train.orientations != 1:
            raise ValueError(f"train.orientations must be 1 with {levels}")
        if self.augment.rotate is True:
            raise ValueError(f"augment.rotate must be 'half', or false, with {levels}")
        lost = [name for name in LOST_IN_VIEW if name in self.augment.label_depends_on]
        if lost:
            raise ValueError(
                f"augment.label_depends_on says {', '.join(lost)}, which prepare.view = 'galaxy' "
                "takes away"
            )
        return self

    @property
    def task(self) -> Literal["classes", "inclination"]:
        """What the model answers with."""
        return "inclination" if self.clean.inclination else "classes"


def load_recipe(
    path: Path, overrides: Iterable[str] = (), *, profile: Path | None = None, kind: str = ""
) -> Recipe:
    """Read and validate a recipe.

    Parameters
    ----------
    path
        TOML file.
    overrides
        Settings as ``section.key=value``, the value in TOML; a bare word is a string.
    profile
        TOML file whose section ``engine`` comes before the recipe's.
    kind
        ``engine.kind``, or the address of a scheduler, before both.

    Raises
    ------
    RecipeError
        The file is absent or not TOML, or a key or value is not valid; the message names the
        nearest key that exists.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise RecipeError(f"there is no recipe {path}", do="check the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}", do="mend that line") from error
    _name_files(values, path.parent.absolute())
    _name_files_of_variants(values, path.parent.absolute())
    _name_files_of_space(values, path.parent.absolute())
    if profile is not None or kind or isinstance(values.get("engine"), str):
        values["engine"] = engine_values(values.get("engine", {}), profile, kind)
    changes = list(overrides)
    for change in changes:
        _apply_override(values, change)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        do = f"mend {_culprits(error, changes, path)}"
        raise RecipeError(explain(error, Recipe), do=do, path=str(path)) from error


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other values of some settings, by names as ``train.epochs``.

    Raises
    ------
    RecipeError
        There is no such setting, or it does not take the value.
    """
    values = recipe.model_dump()
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise RecipeError(f"there is no setting {key!r}: {section!r} is not a section")
        place[last] = value
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(error, Recipe), do=f"mend {', '.join(changes)}") from error


def named_paths(recipe: Recipe) -> list[Path]:
    """Files and folders that a recipe names and that are there, those of its engine left out."""
    found: list[Path] = []

    def look(value: Any) -> None:
        if isinstance(value, Mapping):
            for one in value.values():
                look(one)
        elif isinstance(value, list | tuple):
            for one in value:
                look(one)
        elif isinstance(value, str | Path):
            # As data.zip::part, or sqlite:////folder/trials.db.
            text = str(value).partition("::")[0].removeprefix("sqlite:///")
            if text.startswith(("/", "~")) and (path := Path(text).expanduser()).exists():
                found.append(path)

    look(recipe.model_dump(exclude={"engine"}))
    return found


def _name_files(values: dict[str, Any], folder: Path) -> None:
    for section, key, word in FILES:
        place = values.get(section)
        named = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict) and isinstance(named, str) and named not in ("", word):
            place[key] = str(folder / named)
    train = values.get("train")
    others = train.get("others") if isinstance(train, dict) else None
    for other in others if isinstance(others, list) else ():
        _name_files({"train": other}, folder)


def _name_files_of_variants(values: dict[str, Any], folder: Path) -> None:
    compare = values.get("compare")
    variants = compare.get("variants") if isinstance(compare, dict) else None
    for variant in variants if isinstance(variants, list) else ():
        changes = variant.get("set") if isinstance(variant, dict) else None
        if not isinstance(changes, dict):
            continue
        _name_files(changes, folder)
        for section, key, word in FILES:
            named = changes.get(f"{section}.{key}")
            if isinstance(named, str) and named not in ("", word):
                changes[f"{section}.{key}"] = str(folder / named)


def _name_files_of_space(values: dict[str, Any], folder: Path) -> None:
    search = values.get("search")
    space = search.get("space") if isinstance(search, dict) else None
    for section, key, word in FILES:
        span = space.get(f"{section}.{key}") if isinstance(space, dict) else None
        choices = span.get("choices") if isinstance(span, dict) else None
        if isinstance(span, dict) and isinstance(choices, list):
            span["choices"] = [
                str(folder / one) if isinstance(one, str) and one not in ("", word) else one
                for one in choices
            ]


def _apply_override(values: dict[str, Any], override: str) -> None:
    _, equals, text = override.partition("=")
    *sections, last = _keys(override)
    if not equals or not all((*sections, last)) or len(override.strip().splitlines()) > 1:
        raise RecipeError(f"--set {override!r}", expected="section.key=value, on one line")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise RecipeError(f"--set {override!r}: {section!r} is not a section")
    place[last] = value


def _keys(override: str) -> list[str]:
    return [key.strip() for key in override.partition("=")[0].split(".")]


def _key(override: str) -> str:
    return ".".join(_keys(override))


def _culprits(error: ValidationError, changes: list[str], path: Path) -> str:
    """Where to mend: the last ``--set`` of each wrong setting, else the file."""
    found = []
    for problem in error.errors(include_url=False):
        place, said = problem["loc"], problem["msg"]
        # What contradicts itself across sections has no place, and names its settings.
        named = (
            c
            for c in reversed(changes)
            if (all(a == b for a, b in zip(_keys(c), place)) if place else _key(c) in said)
        )
        change = next(named, None)
        found.append(f"--set {change}" if change else str(path))
    return " and ".join(dict.fromkeys(found))
