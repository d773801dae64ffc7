"""The surveys and what each one's service is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlencode

from morphoscope.errors import RequestError
from morphoscope.serve.archives.settings import ArchiveSettings

__all__ = ["AUTO", "SURVEYS", "Form", "Square", "Survey", "cutout_url", "service_of"]

Survey = Literal["legacy", "sdss", "hips"]
Form = Literal["jpeg", "fits"]
# In the order in which `auto` asks them: the deepest first, the one that covers all the sky last.
SURVEYS: tuple[Survey, ...] = get_args(Survey)
AUTO = "auto"
SMALLEST_ARCMIN = 0.05
PIXELS = (64, 2048)  # that all three services keep


@dataclass(frozen=True)
class Square:
    """A square of the sky, north up, east to the left.

    Attributes
    ----------
    ra, dec
        Its centre (deg, ICRS).
    size_arcmin
        Its side.
    pixels
        Its side.

    Raises
    ------
    RequestError
        There is no such place, or its side is not one that services keep.
    """

    ra: float
    dec: float
    size_arcmin: float
    pixels: int

    def __post_init__(self) -> None:
        # Written so that NaN is refused, too.
        if not 0 <= self.ra < 360:
            raise RequestError(f"ra is {self.ra:g}", expected="0 ≤ ra < 360 (deg)")
        if not -90 <= self.dec <= 90:
            raise RequestError(f"dec is {self.dec:g}", expected="−90 ≤ dec ≤ 90 (deg)")
        if not self.size_arcmin >= SMALLEST_ARCMIN:
            raise RequestError(
                f"size_arcmin is {self.size_arcmin:g}", expected=f"at least {SMALLEST_ARCMIN:g}"
            )
        if not PIXELS[0] <= self.pixels <= PIXELS[1]:
            raise RequestError(
                f"the cutout would have {self.pixels} pixels a side",
                expected=f"{PIXELS[0]} to {PIXELS[1]}",
            )

    @property
    def pixel_scale(self) -> float:
        """Pixel scale (arcsec/pixel)."""
        return 60 * self.size_arcmin / self.pixels


def service_of(survey: Survey, form: Form, settings: ArchiveSettings) -> str:
    """Address of the service of a survey.

    Raises
    ------
    RequestError
        It has no such images.
    """
    if form == "fits" and survey != "legacy":
        raise RequestError(
            f"there are no FITS cutouts of {survey} here",
            expected="survey legacy",
            do="ask for JPEG, or for another survey",
        )
    services = {
        "legacy": settings.legacy_fits if form == "fits" else settings.legacy,
        "sdss": settings.sdss,
        "hips": settings.hips,
    }
    return services[survey]


def cutout_url(survey: Survey, form: Form, square: Square, settings: ArchiveSettings) -> str:
    """Address of a cutout; one square has one address.

    Raises
    ------
    RequestError
        The survey has no such images.
    """
    place = {"ra": f"{square.ra:.6f}", "dec": f"{square.dec:.6f}"}
    scale = f"{square.pixel_scale:.6f}"
    questions: dict[Survey, dict[str, str | int]] = {
        "legacy": {
            **place,
            "layer": settings.legacy_layer,
            "pixscale": scale,
            "size": square.pixels,
            "bands": settings.legacy_bands,
        },
        "sdss": {**place, "scale": scale, "width": square.pixels, "height": square.pixels},
        "hips": {
            "hips": settings.hips_survey,
            **place,
            "fov": f"{square.size_arcmin / 60:.8f}",
            "width": square.pixels,
            "height": square.pixels,
            "projection": "TAN",
            "coordsys": "icrs",
            "format": "jpg",
        },
    }
    return f"{service_of(survey, form, settings)}?{urlencode(questions[survey])}"
