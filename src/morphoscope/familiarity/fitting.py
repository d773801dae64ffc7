"""Fit how the training images look, and ask how unlike them an image is."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import StoreError
from morphoscope.familiarity.descriptors import VERSION, describe
from morphoscope.familiarity.mixture import Mixture, fit_mixture

__all__ = ["FLAGGED", "deviations", "distances", "familiarity", "fit_familiarity"]
__all__ += ["known_version", "usual_deviations"]

Floats = NDArray[np.float64]

# Share of images like those of training that is flagged all the same.
FLAGGED = 0.01
# More Gaussians gain little, and each takes 5 kB of the bundle.
MOST_COMPONENTS = 8
POINTS_A_COMPONENT = 400
# Half the width of the middle 68 % is the standard deviation of a Gaussian.
MIDDLE = (15.87, 84.13)
# Of a descriptor that is nearly always one value, the middle has no width.
LEAST_OF_DEVIATION = 0.3
# Beyond, further is not more unlike, and small numbers would overflow.
FARTHEST = 30.0


def fit_familiarity(
    train: Floats,
    calibration: Floats,
    *,
    origins: NDArray[Any] | None = None,
    seed: int = 0,
    flagged: float = FLAGGED,
) -> dict[str, Any] | None:
    """Fit the density of the training images' descriptors, and the limit of what is like them.

    Parameters
    ----------
    train
        Descriptors of training images ``(n, d)``, as from `describe`.
    calibration
        Of images that the model was not trained on, drawn as those: ``(m, d)``.
    origins
        Where each calibration image is from, shape ``(m,)``: no more of each origin than
        ``flagged`` is flagged, if it has images enough, lest many simulated galaxies decide about a
        few real ones. ``None``: all are of one.
    seed
        Decides where the fit begins.
    flagged
        Share of new images like those of calibration that is flagged, at most, on average over
        calibration sets.

    Returns
    -------
    dict or None
        For `familiarity`; it can be written as JSON. ``None`` where the calibration images are too
        few for such a limit (99 are needed for 0.01).

    Raises
    ------
    StoreError
        There are fewer than two training images, or the two have other descriptors.

    Notes
    -----
    A mixture of Gaussians over robustly standardised descriptors. The limit is that of split
    conformal prediction: the ⌈(m + 1) × (1 - flagged)⌉-th smallest distance of the calibration
    images (Vovk, Gammerman & Shafer 2005, *Algorithmic Learning in a Random World*).
    """
    if len(train) < 2 or train.shape[1:] != calibration.shape[1:]:
        raise StoreError(
            f"descriptors {train.shape} of training images, {calibration.shape} of others",
            expected="the same number of descriptors of two images or more",
        )
    if _rank(len(calibration), flagged) > len(calibration):
        return None
    centre, scale = _standard(train)
    points = _standardised(train, centre, scale)
    components = int(np.clip(len(points) // POINTS_A_COMPONENT, 1, MOST_COMPONENTS))
    mixture = fit_mixture(points, components, np.random.default_rng(seed))
    found: dict[str, Any] = {
        "descriptors": VERSION,
        "n": len(train),
        "n_calibration": len(calibration),
        "flagged": flagged,
        "size": train.shape[1],
        "components": len(mixture.means),
        "centre": _packed(centre, "<f4"),
        "scale": _packed(scale, "<f4"),
        "log_weights": _packed(mixture.log_weights, "<f4"),
        "means": _packed(mixture.means, "<f2"),
        "roots": _packed(mixture.roots[:, *np.triu_indices(train.shape[1])], "<f2"),
    }
    # With the numbers as they are written, so that the promise holds of them.
    found["limit"] = _limit(distances(calibration, found), origins, flagged)
    return found


def familiarity(images: NDArray[Any], found: dict[str, Any]) -> tuple[Floats, float]:
    """How unlike the training images each image is.

    Parameters
    ----------
    images
        Prepared as those, shape ``(n, channel, y, x)``.
    found
        By `fit_familiarity`.

    Returns
    -------
    tuple
        Distances ``(n,)``, never negative, about 1 for a usual image; and the limit, beyond which
        an image counts as unlike all that the model was trained on.

    Raises
    ------
    StoreError
        The images have another shape than those of training.
    """
    return distances(describe(images), found), float(found["limit"])


def distances(descriptors: Floats, found: dict[str, Any]) -> Floats:
    """Distances ``(n,)`` of images by their descriptors ``(n, d)``: as `familiarity` has them.

    The square is the fall of the logarithm of the density from its peak, times two, a descriptor:
    the mean of squared deviations in units of the standard deviation, of a single Gaussian.
    """
    points = deviations(descriptors, found)
    size = int(found["size"])
    mixture = _mixture(found, size)
    density = mixture.log_density(points)
    fall = np.maximum(mixture.peaks.max() - density, 0)
    return np.asarray(np.sqrt(2 * fall / size))


def deviations(descriptors: Floats, found: dict[str, Any]) -> Floats:
    """Each descriptor ``(n, d)`` minus its median over the training images, over its spread there.

    Raises
    ------
    StoreError
        The images have another shape than those of training.
    """
    size = int(found["size"])
    if descriptors.shape[1:] != (size,):
        raise StoreError(
            f"images with {descriptors.shape[1:]} descriptors",
            expected=f"{size}, as the images of training",
            do="prepare them as those",
        )
    centre, scale = (_unpacked(found[name], "<f4") for name in ("centre", "scale"))
    return _standardised(descriptors, centre, scale)


def usual_deviations(found: dict[str, Any]) -> Floats:
    """Mean of each of `deviations` over the training images ``(d,)``."""
    mixture = _mixture(found, int(found["size"]))
    return np.asarray(np.exp(mixture.log_weights) @ mixture.means)


def known_version(found: dict[str, Any]) -> bool:
    """Whether this version computes the descriptors that a density is of."""
    return bool(found.get("descriptors") == VERSION)


def _standard(train: Floats) -> tuple[Floats, Floats]:
    """Median and robust standard deviation of each descriptor, as they are written."""
    low, high = np.percentile(train, MIDDLE, axis=0)
    scale = np.maximum((high - low) / 2, LEAST_OF_DEVIATION * train.std(axis=0))
    # What never varied is told by any difference that is not rounding.
    scale = np.maximum(scale, 1e-3)
    return np.median(train, axis=0).astype("<f4").astype(float), scale.astype("<f4").astype(float)


def _standardised(descriptors: Floats, centre: Floats, scale: Floats) -> Floats:
    return np.clip((descriptors - centre) / scale, -FARTHEST, FARTHEST)


def _limit(apart: Floats, origins: NDArray[Any] | None, flagged: float) -> float:
    """Largest limit of all images and of each origin that has images enough."""
    parts = [apart]
    if origins is not None:
        parts += [apart[origins == origin] for origin in np.unique(origins)]
    ranks = [(_rank(len(part), flagged), part) for part in parts]
    return max(float(np.sort(part)[rank - 1]) for rank, part in ranks if rank <= len(part))


def _rank(n: int, flagged: float) -> int:
    """Give the place, from below, of the distance that so small a share of n lies beyond."""
    return int(np.ceil((n + 1) * (1 - flagged) - 1e-9))


def _mixture(found: dict[str, Any], size: int) -> Mixture:
    number = int(found["components"])
    roots = np.zeros((number, size, size))
    roots[:, *np.triu_indices(size)] = _unpacked(found["roots"], "<f2").reshape(number, -1)
    return Mixture(
        _unpacked(found["log_weights"], "<f4"),
        _unpacked(found["means"], "<f2").reshape(number, size),
        roots,
    )


def _packed(values: Floats, kind: str) -> str:
    """Numbers as text of base64, which takes a third of what digits would."""
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


def _unpacked(text: str, kind: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), kind).astype(np.float64)
