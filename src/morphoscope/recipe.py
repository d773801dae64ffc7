"""A recipe: every setting of one experiment, read from TOML and validated.

Order of precedence: the defaults below, then the recipe file, then ``--set section.key=value``.
The descriptions here are the only place where a setting is explained; ``--help`` and the
documentation are made from them.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from morphoscope.errors import RecipeError

__all__ = [
    "AcquireSettings",
    "AugmentSettings",
    "BalanceSettings",
    "ClassRule",
    "CleanSettings",
    "Download",
    "DropRule",
    "EngineSettings",
    "EvaluateSettings",
    "ExportSettings",
    "PrepareSettings",
    "Recipe",
    "Section",
    "SimulateSettings",
    "SplitSettings",
    "TrainSettings",
    "load_recipe",
]

LabelProperty = Literal[
    "handedness", "position_angle", "angular_size", "brightness", "position", "signal_to_noise"
]


def _no_record(name: str) -> str:
    if name.casefold() == "stage.json":
        raise ValueError("a file of the run folder has this name, choose another")
    return name


# A run folder, and the folder of a bundle in it.
FolderName = Annotated[str, AfterValidator(_no_record)]


class Section(BaseModel):
    """A section of the recipe: unknown and ill-typed keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Download(Section):
    """One file to fetch before the source is read."""

    url: str = Field(description="Address of the file.")
    name: str = Field(description="File name under the data folder.")
    sha256: str = Field(description="Expected SHA-256, hexadecimal.")
    size_bytes: int | None = Field(None, description="Expected size in bytes.", gt=0)


class AcquireSettings(Section):
    """Where labelled images come from."""

    source: Literal["simulated", "folder", "table", "galaxy_zoo", "galaxy10"] = Field(
        "simulated",
        description="Kind of source: simulated galaxies, a folder by class, images beside a "
        "table, the Kaggle Galaxy Challenge (zip or unpacked), or a Galaxy10 HDF5 file.",
    )
    data: str = Field("", description="Path of the data; `--data` overrides it.")
    table: str = Field("labels.csv", description="Table of labels, relative to `data` (table).")
    images: str = Field("", description="Folder of images, relative to `data` (table).")
    id_column: str = Field("", description="Column of unique names; empty: the file's stem.")
    file_column: str = Field("file", description="Column of image paths; empty: `<id>.<suffix>`.")
    ra_column: str = Field("ra", description="Column of right ascension (deg, ICRS), if any.")
    dec_column: str = Field("dec", description="Column of declination (deg, ICRS), if any.")
    downloads: list[Download] = Field([], description="Files to fetch into `data` first.")
    licence: str = Field("", description="Licence of the data, written into the catalogue.")
    citation: str = Field("", description="What to cite for the data.")


class SimulateSettings(Section):
    """Galaxies of known truth, drawn when `acquire.source` is `simulated`."""

    n: int = Field(3000, description="Number of galaxies.", ge=10)
    size: int = Field(96, description="Side of a cutout (pixels).", ge=32, le=512)
    pixel_scale: float = Field(0.396, description="Pixel scale (arcsec/pixel).", ge=0.05, le=5)
    psf_fwhm: float = Field(
        1.3, description="Median full width of the PSF (arcsec).", ge=0.05, le=20
    )
    sky_noise: float = Field(1.0, description="Sky noise relative to an SDSS-like frame.", ge=0)
    neighbours: float = Field(1.0, description="Mean number of neighbours in a cutout.", ge=0)
    fractions: dict[str, float] = Field(
        {"round": 0.3, "in_between": 0.28, "cigar": 0.05, "edge_on": 0.12, "spiral": 0.25},
        description="Share of each class; normalised to one.",
    )


class ClassRule(Section):
    """One class and the rows that belong to it."""

    name: str = Field(description="Name of the class.", min_length=1)
    where: str = Field(description="SQL condition over the source's columns.", min_length=1)
    expect: int | None = Field(None, description="Count the class should have.", ge=0)


class DropRule(Section):
    """Rows that leave before classes are given."""

    where: str = Field(description="SQL condition over the source's columns.", min_length=1)
    reason: str = Field(description="Reason written into the rejects.", min_length=1)


class CleanSettings(Section):
    """From votes and files to classes and usable images."""

    classes: list[ClassRule] = Field([], description="Rules in order; the first match wins.")
    drop: list[DropRule] = Field([], description="Rows to drop, with the reason.")
    expected_size: list[int] = Field([], description="Only (ny, nx) allowed; empty: any.")
    smallest_side: int = Field(32, description="Smallest side allowed (pixels).", ge=1)
    largest_pixels: int = Field(64_000_000, description="Most pixels an image may have.", ge=1)
    blank_spread: float = Field(
        2.0, description="An image whose grey levels (0–255) spread less than this is blank.", ge=0
    )
    saturated_fraction: float = Field(
        0.5, description="Largest share of pixels at the top grey level.", gt=0, le=1
    )
    duplicates: bool = Field(True, description="Find images with the same pixels.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.expected_size) not in (0, 2):
            raise ValueError("expected_size is [ny, nx], or empty")
        return self


class SplitSettings(Section):
    """Train, validation and test, or folds."""

    kind: Literal["holdout", "kfold"] = Field("holdout", description="Hold-out or k-fold.")
    validation: float = Field(0.15, description="Share for validation.", gt=0, lt=1)
    test: float = Field(0.15, description="Share for test (holdout).", gt=0, lt=1)
    folds: int = Field(5, description="Number of folds (kfold).", ge=2)
    fold: int = Field(0, description="Which fold is the test split (kfold).", ge=0)
    given: str = Field(
        "",
        description="Table of galaxies whose split is known beforehand, as a published test set: "
        "`id_str` and `split` (holdout). A path in the recipe is relative to the recipe, one after "
        "`--set` to the working directory.",
    )
    groups: list[str] = Field([], description="Columns whose equal values stay together.")
    sdss_field: str = Field(
        "", description="Column of SDSS object ids: galaxies of one field stay together."
    )
    neighbours_arcsec: float = Field(
        0.0, description="Galaxies closer than this on the sky stay together; 0: off.", ge=0
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "holdout" and self.validation + self.test >= 0.95:
            raise ValueError("validation + test leave less than 5 % to train on")
        if self.kind == "kfold" and self.fold >= self.folds:
            raise ValueError(f"fold counts from 0, so it must be below folds = {self.folds}")
        if self.kind == "kfold" and self.given:
            raise ValueError("given goes with kind = 'holdout'")
        return self


class PrepareSettings(Section):
    """From files to one array; the same value prepares images for training and for serving."""

    size: int = Field(64, description="Side of the prepared image (pixels).", ge=16, le=1024)
    channels: Literal["rgb", "grey"] = Field("rgb", description="Colour or grey.")
    crop_fraction: float = Field(1.0, description="Central share of the side kept.", gt=0, le=1)
    pad: Literal["zero", "edge"] = Field("zero", description="How non-square is made square.")
    denoise: Literal["none", "median", "nl_means"] = Field("none", description="Denoising.")
    denoise_strength: float = Field(
        3.0, description="Filter strength (nl_means, grey levels) or window (median).", gt=0
    )
    stretch: Literal["none", "asinh", "percentile"] = Field(
        "none", description="Brightness stretch, the same for all channels of an image."
    )


class AugmentSettings(Section):
    """Random changes of training images that keep the label."""

    rotate: bool = Field(True, description="Rotate by any angle.")
    mirror: bool = Field(True, description="Mirror half of the images; handed classes swap.")
    zoom: list[float] = Field([0.9, 1.1], description="Range of isotropic zoom; empty: off.")
    shift: float = Field(0.04, description="Largest shift as a share of the side.", ge=0, lt=0.5)
    noise: float = Field(0.0, description="Largest added noise (share of full range).", ge=0, le=1)
    brightness: float = Field(0.1, description="Largest relative change of brightness.", ge=0, lt=1)
    label_depends_on: list[LabelProperty] = Field(
        [],
        description="Properties that the label depends on; an augmentation that changes one "
        "is refused.",
    )
    handed: list[list[str]] = Field([], description="Pairs of classes that a mirror swaps.")


class BalanceSettings(Section):
    """What is done about rare classes."""

    method: Literal["none", "weighted_loss", "sampling", "target"] = Field(
        "none", description="Nothing, weighted loss, balanced sampling, or target counts."
    )
    power: float = Field(
        0.5, description="0: as found, 1: all classes alike (weighted_loss, sampling).", ge=0, le=1
    )
    target: dict[str, int] = Field({}, description="Images an epoch per named class (target).")


class TrainSettings(Section):
    """The network and how it is trained."""

    network: str = Field("resnet18", description="Name of the network.")
    width: float = Field(1.0, description="Width of the network relative to its paper.", gt=0)
    dropout: float = Field(0.0, description="Dropout before the last layer.", ge=0, lt=1)
    epochs: int = Field(20, description="Most epochs.", ge=1)
    batch_size: int = Field(64, description="Images a step.", ge=1)
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimizer.")
    learning_rate: float = Field(1e-3, description="Highest learning rate.", gt=0)
    momentum: float = Field(0.9, description="Momentum (sgd) or beta1 (adamw).", ge=0, lt=1)
    weight_decay: float = Field(0.05, description="Weight decay, not on norms and biases.", ge=0)
    schedule: Literal["cosine", "constant", "step"] = Field("cosine", description="Schedule.")
    warmup: float = Field(0.05, description="Share of the steps that warm up.", ge=0, lt=1)
    label_smoothing: float = Field(0.0, description="Label smoothing.", ge=0, lt=1)
    average: float = Field(
        0.0, description="Decay of the running average of the weights; 0: off.", ge=0, lt=1
    )
    patience: int = Field(0, description="Epochs without a better validation score; 0: off.", ge=0)
    monitor: Literal["loss", "accuracy", "macro_f1"] = Field(
        "macro_f1", description="Validation score that picks the best epoch."
    )
    members: int = Field(1, description="Networks trained with seeds of their own.", ge=1, le=16)
    orientations: Literal[1, 4, 8] = Field(
        1,
        description="Orientations averaged when the model answers: 4 by quarter turns, 8 with "
        "mirrors.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Arithmetic.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")
    threads: int = Field(0, description="CPU threads; 0: all cores.", ge=0)
    checkpoint_s: float = Field(60.0, description="Seconds between checkpoints.", ge=0)


class EvaluateSettings(Section):
    """Scores, calibration and pictures."""

    bootstrap: int = Field(2000, description="Bootstrap samples for intervals.", ge=100)
    confidence: float = Field(0.95, description="Confidence of the intervals.", gt=0.5, lt=1)
    gallery: int = Field(12, description="Images in each gallery.", ge=0, le=100)
    explain: int = Field(6, description="Images explained with Grad-CAM.", ge=0, le=50)
    calibrate: bool = Field(True, description="Fit a temperature on validation.")


class ExportSettings(Section):
    """The servable model."""

    name: FolderName = Field(
        "",
        description="Name of the bundle; empty: the recipe's name.",
        pattern=r"^([A-Za-z0-9][\w.-]*)?$",
    )
    description: str = Field("", description="One paragraph for the model card.")
    licence: str = Field("", description="Licence of the model.")


class EngineSettings(Section):
    """Where work that fans out runs."""

    kind: Literal["local", "inline"] = Field(
        "local", description="Local processes through Dask, or this process."
    )
    workers: int = Field(0, description="Worker processes; 0: one a core.", ge=0)


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
    engine: EngineSettings = EngineSettings()


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Parameters
    ----------
    path
        TOML file.
    overrides
        Settings as ``section.key=value``, the value in TOML; a bare word is a string.

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
    given = values.get("split", {}).get("given") if isinstance(values.get("split"), dict) else None
    if isinstance(given, str) and given:
        values["split"]["given"] = str(path.parent.absolute() / given)
    changes = list(overrides)
    for change in changes:
        _apply_override(values, change)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        do = f"mend {_culprits(error, changes, path)}"
        raise RecipeError(_explain(error), do=do, path=str(path)) from error


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


def _culprits(error: ValidationError, changes: list[str], path: Path) -> str:
    """Where to mend: the last ``--set`` of each wrong setting, else the file."""
    found = []
    for problem in error.errors(include_url=False):
        place = problem["loc"]
        named = (c for c in reversed(changes) if all(a == b for a, b in zip(_keys(c), place)))
        change = next(named, None)
        found.append(f"--set {change}" if change else str(path))
    return " and ".join(dict.fromkeys(found))


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"there is no setting '{place}'{_nearest(problem['loc'])}")
        elif problem["type"] == "missing":
            lines.append(f"setting '{place}' is missing")
        else:
            lines.append(f"'{place}' is {problem['input']!r}: {problem['msg']}")
    return "; ".join(lines)


def _nearest(location: tuple[int | str, ...]) -> str:
    known: list[str] = []
    model: Any = Recipe
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            arguments = getattr(annotation, "__args__", ())
            model = arguments[0] if arguments else annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        known = list(model.model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f", did you mean '{near[0]}'?" if near else f" (there are: {', '.join(known)})"
