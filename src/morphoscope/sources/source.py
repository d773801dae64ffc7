"""The galaxy in the middle and what does not belong to it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import sep
from numpy.typing import NDArray

from morphoscope.sources.sky import Floats, Frame

__all__ = ["Source", "find_source", "surroundings"]

Mask = NDArray[np.bool_]
# Sources are connected pixels of the smoothed image this many times its spread above the sky: about
# 1.5 times the noise of a pixel where that is pure, more where the sky is blotchy. Chosen, like
# CONTRAST, on 200 composites of SDSS by the axial ratios that their source gives.
DEEP = 8.0
FEWEST_PIXELS = 5
# A part of a source is one of its own if it holds this share of the light.
CONTRAST = 0.003
LEVELS = 16
# The galaxy lies in the middle pixel, or no further from it than this share of the shorter side.
NEAR = 1 / 8


@dataclass(frozen=True)
class Source:
    """The galaxy's pixels.

    Attributes
    ----------
    footprint
        Pixels of the galaxy, shape ``(ny, nx)``.
    others
        Pixels of other sources.
    threshold
        Level above the sky that the footprint ends at.
    """

    footprint: Mask
    others: Mask
    threshold: float


def find_source(frame: Frame) -> Source | None:
    """Find the galaxy in the middle; None where nothing rises above the sky there."""
    threshold = DEEP * frame.spread
    above = (frame.smooth > threshold).astype(np.uint8)
    _, islands, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    own = _central(islands)
    if not own:
        return None
    left, top, width, height = stats[own, : cv2.CC_STAT_AREA].tolist()
    box = np.s_[top : top + height, left : left + width]
    island = islands[box] == own
    parts = _parts(np.where(island, frame.smooth[box], 0), threshold)
    # What is too small to be a source is nothing to part either.
    if parts.any():
        centre = ((above.shape[0] - 1) / 2 - top, (above.shape[1] - 1) / 2 - left)
        island = parts == _nearest(parts, centre, np.inf)
    footprint = np.zeros(islands.shape, bool)
    footprint[box] = island
    return Source(footprint, (islands > 0) & ~footprint, threshold)


def _parts(plane: Floats, threshold: float) -> NDArray[np.int32]:
    """Number of the source that each pixel of an island belongs to; 0 off it."""
    plane = np.ascontiguousarray(plane)
    # Its buffer of pixels must take a source as large as the image.
    sep.set_extract_pixstack(max(300_000, plane.size + 1))
    options = {"minarea": FEWEST_PIXELS, "filter_kernel": None, "segmentation_map": True}
    try:
        _, labels = sep.extract(
            plane, threshold, deblend_nthresh=LEVELS, deblend_cont=CONTRAST, **options
        )
    except Exception as error:
        # More peaks than it can part, as a globular cluster has.
        if "deblend" not in str(error):
            raise
        _, labels = sep.extract(plane, threshold, deblend_cont=1.0, **options)
    return np.asarray(labels)


def _central(labels: NDArray[np.int32]) -> int:
    centre = [(side - 1) / 2 for side in labels.shape]
    reach = max(1.0, NEAR * min(labels.shape))
    top, left = (max(0, int(place - reach)) for place in centre)
    window = labels[top : int(centre[0] + reach) + 2, left : int(centre[1] + reach) + 2]
    return _nearest(window, (centre[0] - top, centre[1] - left), reach)


def _nearest(labels: NDArray[np.int32], centre: tuple[float, float], reach: float) -> int:
    """Source with the pixel nearest to a place; 0: none is within reach (pixels)."""
    y, x = np.nonzero(labels)
    if not len(y):
        return 0
    distance = np.hypot(y - centre[0], x - centre[1])
    nearest = int(distance.argmin())
    return int(labels[y[nearest], x[nearest]]) if distance[nearest] <= reach else 0


def surroundings(frame: Frame, source: Source) -> tuple[Frame, Source, tuple[int, int]]:
    """Cut out a source with room for it on every side, and where the cut begins (y, x)."""
    rows, columns = (np.nonzero(source.footprint.any(axis))[0] for axis in (1, 0))
    cut = tuple(
        slice(max(0, int(2 * line[0] - line[-1]) - 1), int(2 * line[-1] - line[0]) + 2)
        for line in (rows, columns)
    )
    part = Frame(frame.light[cut], frame.smooth[cut], frame.holes[cut], frame.noise, frame.spread)
    own = Source(source.footprint[cut], source.others[cut], source.threshold)
    return part, own, (cut[0].start, cut[1].start)
