"""Size and form of a source from the second moments of its light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphoscope.sources.sky import Floats, Frame
from morphoscope.sources.source import Source

__all__ = ["FWHM_OF_SIGMA", "PIXEL", "Ellipse", "Moments", "even_out", "moments_of"]

Wide = NDArray[np.float64]
# Second moment of a pixel itself, along each axis.
PIXEL = 1 / 12
FWHM_OF_SIGMA = 2.3548
# Below this share of the point-spread function's own moment, what is left is noise.
RESOLVED = 0.05
TURNS = 2


@dataclass(frozen=True)
class Ellipse:
    """Second moments as an ellipse.

    Attributes
    ----------
    y, x
        Barycentre (pixels from the middle of the first one).
    semi_major, axial_ratio
        Square roots of the larger moment (pixels) and of the ratio of the two, the latter
        not-a-number where it is not resolved.
    position_angle
        Of the major axis, anticlockwise from the picture's upward direction (deg, 0 ≤ … < 180).
    resolved
        Whether the smaller moment exceeds that of a point by more than noise.
    """

    y: float
    x: float
    semi_major: float
    axial_ratio: float
    position_angle: float
    resolved: bool


@dataclass(frozen=True)
class Moments:
    """Moments of the light inside a footprint.

    Attributes
    ----------
    y, x
        Barycentre (pixels from the middle of the first one).
    yy, xx, xy
        Second moments about it (pixels²).
    kept
        Share of its second moments that a Gaussian keeps inside the footprint.
    """

    y: float
    x: float
    yy: float
    xx: float
    xy: float
    kept: float

    def ellipse(self, psf_fwhm: float = 0.0) -> Ellipse:
        """Ellipse without what the pixel and the point-spread function add.

        Subtracted are the moments of a pixel, and those of a Gaussian point-spread function in
        the share that the footprint, which ends at the threshold, leaves of them.

        Parameters
        ----------
        psf_fwhm
            Full width at half maximum of the point-spread function (pixels); 0: no correction.
        """
        point = self.kept * (psf_fwhm / FWHM_OF_SIGMA) ** 2
        moments = np.array([[self.yy, self.xy], [self.xy, self.xx]])
        moments -= np.eye(2) * (PIXEL + point)
        (small, large), axes = np.linalg.eigh(moments)
        resolved = bool(small > RESOLVED * point)
        return Ellipse(
            self.y,
            self.x,
            semi_major=float(np.sqrt(max(large, 0.0))),
            axial_ratio=float(np.sqrt(small / large)) if resolved else np.nan,
            position_angle=_position_angle(*axes[:, 1].tolist()),
            resolved=resolved,
        )


def moments_of(light: Floats, source: Source) -> Moments | None:
    """Moments of the light, shape ``(ny, nx)``, of a source; None where it holds none."""
    y, x = np.nonzero(source.footprint)
    weight = light[y, x].astype(np.float64)
    total = weight.sum()
    if total <= 0:
        return None
    kept = _kept(float(weight.max()), source.threshold)
    weight /= total
    # Sums, not products of vectors: those would start the threads of a linear-algebra library.
    y0, x0 = float((weight * y).sum()), float((weight * x).sum())
    dy, dx = y - y0, x - x0
    wy, wx = weight * dy, weight * dx
    yy, xx, xy = (float((a * b).sum()) for a, b in ((wy, dy), (wx, dx), (wy, dx)))
    return Moments(y0, x0, yy, xx, xy, kept)


def _kept(peak: float, threshold: float) -> float:
    """Share of its second moments that a Gaussian keeps inside the isophote of the threshold."""
    depth = float(np.log(max(peak / threshold, 1.0))) if threshold > 0 else np.inf
    if depth < 1e-3:
        return 0.0
    # At great depth all is kept, and the exponential would only underflow.
    return 1 - depth / float(np.expm1(depth)) if depth < 50 else 1.0


def _position_angle(dy: float, dx: float) -> float:
    """Angle of a direction, from up to the left; dy runs downwards, and so does dx to the right."""
    angle = float(np.degrees(np.arctan2(dx, dy))) % 180
    # A hair below zero rounds to 180, which is upright again.
    return angle if angle < 180 else 0.0


def even_out(frame: Frame, source: Source) -> tuple[Floats, Source, Moments | None]:
    """Make a source even under a turn by 180°, as galaxies about are.

    Where another source, or a hole, covers it, what lies opposite is put in: a notch in the
    footprint would bend the moments. Where it has nothing opposite, it is cut: tails, and
    neighbours that were not told apart, bend them as well.

    Returns
    -------
    tuple
        The light, the new source, and its moments (None where there is no light).
    """
    covered = source.others | frame.holes
    light, even = frame.light, source
    found = moments_of(light, source)
    for _ in range(TURNS):
        if found is None:
            break
        light, footprint = frame.light.copy(), source.footprint & ~frame.holes
        centre = zip((found.y, found.x), light.shape, strict=True)
        box = tuple(_even(place, side) for place, side in centre)
        own, hidden = footprint[box], covered[box]
        gained = hidden & own[::-1, ::-1]
        np.copyto(light[box], frame.light[box][::-1, ::-1], where=gained)
        footprint[box] = (own & (own | hidden)[::-1, ::-1]) | gained
        even = Source(footprint, source.others & ~footprint, source.threshold)
        found = moments_of(light, even)
    return light, even, found


def _even(centre: float, side: int) -> slice:
    """Pixels that have one opposite to them in the image."""
    both = round(2 * centre)
    return slice(max(0, both - side + 1), min(side - 1, both) + 1)
