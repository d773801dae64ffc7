"""What each descriptor is about, in plain words, and by how much new images differ in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import StoreError
from morphoscope.familiarity.descriptors import LEVELS, QUANTILES, RADII, SMALLEST_LEVEL

__all__ = ["Trait", "differing_traits", "traits_of"]

Floats = NDArray[np.float64]

# The quantiles up to these are dark, and those from here on bright.
DARK, BRIGHT = 0.25, 0.75
FINE = ("the finest detail", "the noise of single pixels")
COARSE = ("the detail over {} pixels", "the noise over {} pixels")
# No more and less of these.
WITHOUT_ORDER = (
    "the colour of the sky",
    "the colour of the galaxy",
    "the noise of the colours against each other",
)
# So many standard errors are no chance, of some sixty descriptors looked at.
SURE = 4.0
# A shift of less than half of the spread among training images leaves most of both alike.
LEAST_SHIFT = 0.5


@dataclass(frozen=True)
class Trait:
    """A property of images in which new ones differ.

    Attributes
    ----------
    name
        In words, as ``the noise of single pixels``.
    shift
        Mean of the new images minus that of the training images, in units of the spread among the
        latter.
    """

    name: str
    shift: float

    @property
    def sentence(self) -> str:
        """The trait in a clause."""
        way = "higher" if self.shift > 0 else "lower"
        if self.name in WITHOUT_ORDER:
            way = "another"
        return (
            f"{self.name} is {way}, by {abs(self.shift):.1f} times the spread among the training "
            "images"
        )


def traits_of(shape: tuple[int, int, int]) -> list[str]:
    """What each descriptor of images ``(channel, y, x)`` is about, in the order of `describe`.

    Examples
    --------
    >>> traits_of((1, 16, 16))[0]
    'the brightness of the darkest parts'
    """
    channels, *sides = shape
    several = channels if channels > 1 else 0
    return [
        *map(_quantile, QUANTILES),
        "the share of black pixels",
        "the share of saturated pixels",
        "the brightness of the sky",
        *["the colour of the sky"] * several,
        "the noise of the sky",
        "the light at the edge of the frame",
        "the amount of light",
        "the light below the sky",
        "the lopsidedness of the galaxy",
        *["the share of light in the middle"] * len(RADII),
        "the distance of the galaxy from the middle",
        "the size of the galaxy in the frame",
        "the elongation of the galaxy",
        "the share of edges in one direction",
        "the share of edges along rows and columns",
        *_colours(several),
        *_scales(min(side - side % 2 for side in sides)),
    ]


def differing_traits(
    deviations: Floats, usual: Floats, shape: tuple[int, int, int], most: int = 4
) -> list[Trait]:
    """Traits in which new images surely differ from those of training, the greatest first.

    Parameters
    ----------
    deviations
        As from `morphoscope.familiarity.deviations`, ``(n, d)``.
    usual
        Their means among the training images ``(d,)``.
    shape
        Shape ``(channel, y, x)`` of an image.
    most
        Number of traits, at most; of several descriptors of one trait that which differs most.

    Raises
    ------
    StoreError
        The descriptors are not those of such images.
    """
    names = traits_of(shape)
    if deviations.shape[1] != len(names):
        raise StoreError(
            f"{deviations.shape[1]} descriptors", expected=f"{len(names)}, of images {shape}"
        )
    if not len(deviations):
        return []
    shifts = deviations.mean(0) - usual
    error = deviations.std(0) / np.sqrt(len(deviations))
    surely = (np.abs(shifts) > SURE * error) & (np.abs(shifts) > LEAST_SHIFT)
    found: dict[str, Trait] = {}
    for index in np.argsort(-np.abs(shifts), kind="stable").tolist():
        if surely[index]:
            found.setdefault(names[index], Trait(names[index], float(shifts[index])))
    return list(found.values())[:most]


def _quantile(share: float) -> str:
    part = "darkest" if share <= DARK else "brightest" if share >= BRIGHT else "middling"
    return f"the brightness of the {part} parts"


def _colours(channels: int) -> list[str]:
    if not channels:
        return []
    return [
        *["the colour of the galaxy"] * (2 * channels),
        "the strength of the colours",
        *["the likeness of the colours in structure"] * channels,
        *["the likeness of the colours in noise"] * channels,
        *["the noise of the colours against each other"] * channels,
    ]


def _scales(side: int) -> list[str]:
    found: list[str] = []
    for level in range(LEVELS):
        if side < 2 * SMALLEST_LEVEL and level:
            break
        detail, noise = FINE if not level else (text.format(2**level) for text in COARSE)
        found += [detail, detail, f"the sparseness of {detail.removeprefix('the ')}", noise]
        if not level:
            found.append("the share of pixels like their neighbours")
        side = side // 2
    return found
