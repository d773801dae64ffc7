"""Settings of the data: acquire, simulate, clean, split, prepare."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from morphoscope.recipe.section import Section

__all__ = [
    "AcquireSettings",
    "ClassRule",
    "CleanSettings",
    "Download",
    "DropRule",
    "MoreImages",
    "PrepareSettings",
    "SimulateSettings",
    "SplitSettings",
]


class Download(Section):
    """One file to fetch before the source is read."""

    url: str = Field(description="Address of the file.")
    name: str = Field(description="File name under the data folder.")
    sha256: str = Field(description="Expected SHA-256, hexadecimal.")
    size_bytes: int | None = Field(None, description="Expected size in bytes.", gt=0)


class MoreImages(Section):
    """Labelled images beside those of the source: they are added to its catalogue."""

    name: str = Field(
        description="Name, written into the column `origin`.", pattern=r"^[A-Za-z0-9][\w.-]*$"
    )
    source: Literal["folder", "table"] = Field("table", description="Kind of source.")
    folder: str = Field(
        "", description="Folder below `acquire.data`; empty: the name. Left out where it is absent."
    )
    table: str = Field("labels.csv", description="Table of labels, relative to the folder.")
    id_column: str = Field("", description="Column of unique names; empty: the file's stem.")
    file_column: str = Field("file", description="Column of image paths.")
    where: str = Field("", description="SQL condition over its columns; empty: all rows.")


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
    more: list[MoreImages] = Field([], description="Further labelled images.")
    licence: str = Field("", description="Licence of the data, written into the catalogue.")
    citation: str = Field("", description="What to cite for the data.")


class SimulateSettings(Section):
    """Galaxies of known truth, drawn when `acquire.source` is `simulated`."""

    n: int = Field(3000, description="Number of galaxies.", ge=10)
    size: int = Field(96, description="Side of a cutout (pixels).", ge=32, le=512)
    survey: Literal["sdss", "legacy", "hsc", "mixed"] = Field(
        "sdss",
        description="Survey whose bands, pixels, seeing, noise and picture are drawn; mixed: each "
        "for a third.",
    )
    format: Literal["png", "jpeg", "fits", "jpeg+fits"] = Field(
        "png",
        description="Files written: a picture, or a cube of all bands in nanomaggies with WCS, or "
        "both.",
    )
    pixel_scale: float = Field(
        0.0, description="Pixel scale (arcsec/pixel); 0: the survey's.", ge=0, le=5
    )
    zoom: list[float] = Field(
        [1.0, 1.0],
        description="Pixels of the survey in one of the cutout's, `[smallest, largest]`, drawn "
        "uniform in the logarithm.",
    )
    psf_fwhm: float = Field(
        0.0, description="Median full width of the PSF (arcsec); 0: the survey's.", ge=0, le=20
    )
    sky_noise: float = Field(1.0, description="Sky noise relative to the survey's.", ge=0)
    neighbours: float = Field(
        1.0, description="Mean number of neighbours in a cutout, for a zoom of 1.", ge=0
    )
    nuisance: float = Field(
        0.0,
        description="Share of cutouts with a mild trail, bright star, gradient, frame edge or "
        "wrong centre.",
        ge=0,
        le=1,
    )
    variety: float = Field(
        0.0,
        description="How much the look of pictures varies as that of different archives: 0 one "
        "look, 1 raised backgrounds, other stretches, grey, white corners.",
        ge=0,
        le=1,
    )
    jpeg_quality: int = Field(93, description="Quality of a JPEG.", ge=30, le=100)
    inclination: Literal["isotropic", "uniform"] = Field(
        "isotropic",
        description="Inclinations of the class `disc`: uniform in their cosine, as on the sky, or "
        "in the angle.",
    )
    fractions: dict[str, float] = Field(
        {"round": 0.3, "in_between": 0.28, "cigar": 0.05, "edge_on": 0.12, "spiral": 0.25},
        description="Share of each class; normalised to one.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.zoom) != 2 or not 0.1 <= self.zoom[0] <= self.zoom[1] <= 10:
            raise ValueError("zoom is [smallest, largest], from 0.1 to 10")
        if 0 < self.pixel_scale < 0.05:
            raise ValueError("pixel_scale is 0, or 0.05 or more")
        if self.survey == "mixed" and "fits" in self.format:
            raise ValueError("a mixture of surveys has no one set of bands, so no FITS")
        return self


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
    inclination: str = Field(
        "",
        description="Column of inclinations (deg, 0 face-on … 90 edge-on): the model then measures "
        "them. The first class is that of the discs, the others are reasons to reject.",
    )

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


# Settings that have an effect on FITS bands alone.
OF_BANDS = (
    "bands",
    "planes",
    "unit",
    "pixel_scale",
    "mask_bits",
    "largest_masked",
    "depth",
)


VIEW_RADIUS = 4.0


class PrepareSettings(Section):
    """From files to one array; the same value prepares images for training and for serving."""

    size: int = Field(64, description="Side of the prepared image (pixels).", ge=16, le=1024)
    channels: Literal["rgb", "grey", "mean", "bands"] = Field(
        "rgb",
        description="Colour, grey as the eye weighs colours, their plain mean, or the `bands` of "
        "FITS files.",
    )
    bands: list[str] = Field(
        [], description="Bands in the order of the channels, blue to red (`channels = 'bands'`)."
    )
    planes: list[str] = Field(
        [],
        description="Bands of the planes of a FITS cube that names none, in its order; empty: such "
        "a cube is refused.",
    )
    unit: str = Field(
        "",
        description="Flux of a pixel is brought to this unit: nanomaggy, maggy, Jy, mJy, uJy, nJy, "
        "or any other that files state alike. Files that state none are refused. Empty: not looked "
        "at.",
    )
    pixel_scale: float = Field(
        0.0,
        description="Pixel scale that files must have, to 10 % (arcsec/pixel); 0: not looked at.",
        ge=0,
    )
    mask_bits: int = Field(
        -1,
        description="Bits of an extension MASK or DQ whose pixels are left out; -1: all, or those "
        "of defects where its header names the planes; 0: it is not looked at.",
        ge=-1,
    )
    largest_masked: float = Field(
        0.2,
        description="Largest share of the pixels, in the whole or in the centre of a band, that "
        "may be missing or masked.",
        ge=0,
        lt=1,
    )
    depth: Literal["uint8", "float16"] = Field(
        "uint8",
        description="Type of the prepared pixels; float16 keeps the full dynamic range of `bands`.",
    )
    white: float = Field(
        0.0,
        description="Flux of a pixel above the sky that becomes 255 (`unit`; depth float16).",
        ge=0,
    )
    softening: float = Field(
        0.0,
        description="Flux of a pixel around which asinh turns from linear to logarithmic (`unit`; "
        "depth float16); 0: the noise of the sky of each image and band.",
        ge=0,
    )
    crop_fraction: float = Field(1.0, description="Central share of the side kept.", gt=0, le=1)
    crop: list[int] = Field(
        [],
        description="Pixels kept of each side, `[first, end, of]`: from `first` to before `end` "
        "on a side of `of` pixels, in proportion on others; instead of `crop_fraction`.",
    )
    view: Literal["frame", "galaxy"] = Field(
        "frame",
        description="The whole frame as it is cropped, or the galaxy in the middle as it is found "
        "by its second moments: centred, turned until its major axis is level, and scaled to its "
        "size. Where none is found the frame is taken.",
    )
    view_radius: float = Field(
        VIEW_RADIUS,
        description="Half of the side of the view of a galaxy, in its semi-major axes (square "
        "root of the larger second moment within the outermost isophote: 0.5 half-light radii of "
        "faint discs to 0.9 of bright ones).",
        ge=1,
        le=20,
    )
    pad: Literal["zero", "edge"] = Field(
        "zero", description="How non-square is made square, and what lies beyond the frame."
    )
    add_noise: float = Field(
        0.0,
        description="Noise added before denoising (standard deviation, grey levels), for "
        "experiments only: such a model is not exported.",
        ge=0,
        le=255,
    )
    denoise: Literal["none", "median", "nl_means"] = Field("none", description="Denoising.")
    denoise_strength: float = Field(
        3.0, description="Filter strength (nl_means, grey levels) or window (median).", gt=0
    )
    stretch: Literal["none", "asinh", "percentile"] = Field(
        "none",
        description="Brightness stretch, the same for all channels of an image; of depth float16 "
        "the same for all images.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.crop:
            return self
        if len(self.crop) != 3 or not 0 <= self.crop[0] < self.crop[1] <= self.crop[2]:
            raise ValueError("crop is [first, end, of] with 0 <= first < end <= of, or empty")
        if self.crop_fraction != 1:
            raise ValueError("crop goes with crop_fraction = 1")
        return self

    @model_validator(mode="after")
    def _view_consistent(self) -> Self:
        if self.view == "galaxy" and (self.crop or self.crop_fraction != 1):
            raise ValueError("view = 'galaxy' goes without crop and crop_fraction")
        if self.view == "frame" and self.view_radius != VIEW_RADIUS:
            raise ValueError("view_radius goes with view = 'galaxy'")
        return self

    @model_validator(mode="after")
    def _bands_consistent(self) -> Self:
        if self.channels != "bands":
            for name in OF_BANDS:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} goes with channels = 'bands'")
            return self
        if not self.bands or len(set(self.bands)) < len(self.bands):
            raise ValueError("channels = 'bands' needs bands, each named once")
        if self.planes and not set(self.bands) <= set(self.planes):
            raise ValueError("planes must hold all bands")
        if self.denoise != "none":
            raise ValueError("channels = 'bands' goes with denoise = 'none'")
        return self

    @model_validator(mode="after")
    def _depth_consistent(self) -> Self:
        if self.depth == "uint8" and (self.white or self.softening):
            raise ValueError("white and softening go with depth = 'float16'")
        if self.depth == "float16" and (self.stretch != "asinh" or not self.white):
            raise ValueError("depth = 'float16' needs stretch = 'asinh' and white above 0")
        if self.softening > self.white:
            raise ValueError("softening must not be above white")
        return self

    @property
    def kept(self) -> float:
        """Share of the side that the crop keeps."""
        return (self.crop[1] - self.crop[0]) / self.crop[2] if self.crop else self.crop_fraction
