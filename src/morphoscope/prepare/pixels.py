"""One image to its prepared form: the same function for training and for every prediction."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import ImageError
from morphoscope.images import BAND, read_bands, read_image
from morphoscope.prepare.bands import prepare_bands
from morphoscope.prepare.denoise import denoise
from morphoscope.prepare.geometry import cropped, pad_square, resize, side_needed
from morphoscope.prepare.noise import add_noise
from morphoscope.prepare.stretch import stretch
from morphoscope.prepare.view import galaxy_view, view_of
from morphoscope.recipe import PrepareSettings

__all__ = ["channel_count", "pixel_type", "prepare_file", "prepare_pixels"]

Pixels = NDArray[Any]

# Sums over an image of such values still fit into float32.
LARGEST_FLUX = 1e30

# The engine gives each core a process; threads inside one image would only compete with them.
cv2.setNumThreads(1)


def channel_count(settings: PrepareSettings) -> int:
    """Number of channels of a prepared image."""
    if settings.channels == "bands":
        return len(settings.bands)
    return 3 if settings.channels == "rgb" else 1


def pixel_type(settings: PrepareSettings) -> np.dtype[Any]:
    """Type of the pixels of a prepared image: uint8, or float16 on the same scale."""
    return np.dtype(settings.depth)


def prepare_file(file_loc: str, settings: PrepareSettings) -> Pixels:
    """Read and prepare one image; a large JPEG is decoded at a reduced scale where that serves.

    Parameters
    ----------
    file_loc
        As for `morphoscope.images.read_image`.
    settings
        The preparation.

    Returns
    -------
    numpy.ndarray
        (channel, size, size) of `pixel_type`, the same bytes in every process.

    Raises
    ------
    ImageError
        The image cannot be read, or is not as the settings demand.
    """
    if settings.channels != "bands" and BAND in file_loc:
        raise ImageError(
            f"{file_loc} is one file a band",
            reason="missing_band",
            do="set prepare.channels = 'bands' and prepare.bands",
        )
    # A galaxy may fill a small part of its frame: all pixels are wanted.
    needed = side_needed(settings.size, settings.kept) if settings.view == "frame" else 0
    try:
        if settings.channels == "bands":
            return prepare_bands(_bands_of_file(file_loc, settings), settings)
        return prepare_pixels(read_image(file_loc, at_least=needed), settings)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{file_loc} cannot be prepared ({error})", file_loc=file_loc) from error


def _bands_of_file(file_loc: str, settings: PrepareSettings) -> Pixels:
    return read_bands(
        file_loc,
        settings.bands,
        planes=settings.planes,
        unit=settings.unit,
        pixel_scale=settings.pixel_scale,
        mask_bits=settings.mask_bits,
    )


def prepare_pixels(pixels: Pixels, settings: PrepareSettings) -> Pixels:
    """Prepare one image that is in memory.

    In order: bands to grey or colour, padded to a square, cropped and resized (or, with
    ``view = "galaxy"``, the galaxy centred, levelled and scaled), float brought to 0 … 255, noise
    added, denoised, stretched. With ``channels = "bands"`` as
    `morphoscope.prepare.bands.prepare_bands` has it.

    Parameters
    ----------
    pixels
        (ny, nx, channel), row 0 on top: uint8 grey or RGB, or float with any number of bands from
        blue to red. NaN and infinite values count as zero, or, with ``channels = "bands"``, as
        masked; the bands, their unit and pixel scale are then those of the settings.
    settings
        The preparation. ``rgb`` takes the first three bands of a float image in reverse (g, r, i
        become i, r, g), two bands with their mean between; ``grey`` takes the mean of all bands.
        ``grey`` of RGB is the luma of ITU-R BT.601, ``mean`` its plain mean, rounded; ``rgb`` of
        grey repeats it.

    Returns
    -------
    numpy.ndarray
        (channel, size, size) of `pixel_type`, contiguous.

    Raises
    ------
    ImageError
        The array is not an image, or not as the settings demand.

    Examples
    --------
    >>> settings = PrepareSettings(size=16, channels="grey")
    >>> prepare_pixels(np.full((40, 40, 3), 7, np.uint8), settings).shape
    (1, 16, 16)
    """
    if settings.channels == "bands":
        return prepare_bands(pixels, settings)
    if pixels.ndim != 3 or 0 in pixels.shape or _ill_typed(pixels):
        raise ImageError(
            f"an array {pixels.shape} of {pixels.dtype}",
            reason="not_an_image",
            expected="(ny, nx, channel): uint8 with 1 or 3 channels, or float",
        )
    image = pixels if pixels.dtype == np.uint8 else _bands(pixels, settings.channels)
    image = _placed(image, settings)
    if image.dtype != np.uint8:
        image = stretch(image, settings.stretch)
    image = add_noise(_channels(image, settings.channels), settings.add_noise)
    image = denoise(image, settings.denoise, settings.denoise_strength)
    if pixels.dtype == np.uint8:
        image = stretch(image, settings.stretch)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _placed(image: Pixels, settings: PrepareSettings) -> Pixels:
    """The part of the image that the settings keep, (size, size, channel)."""
    transform = view_of(image, settings) if settings.view == "galaxy" else None
    if transform is not None:
        return galaxy_view(image, transform, settings)
    return resize(cropped(pad_square(image, settings.pad), settings), settings.size)


def _ill_typed(pixels: Pixels) -> bool:
    if pixels.dtype == np.uint8:
        return pixels.shape[2] not in (1, 3)
    return not np.issubdtype(pixels.dtype, np.floating)


def _bands(pixels: Pixels, channels: str) -> Pixels:
    """Finite float32 bands that `channels` asks for: one, or three from red to blue."""
    finite = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
    bands = np.clip(finite, -LARGEST_FLUX, LARGEST_FLUX).astype(np.float32)
    if channels != "rgb" or bands.shape[2] == 1:
        mean: Pixels = bands.mean(axis=2, keepdims=True)
        return mean
    if bands.shape[2] == 2:
        return np.stack([bands[..., 1], bands.mean(axis=2), bands[..., 0]], axis=2)
    return np.ascontiguousarray(bands[..., 2::-1])


def _channels(image: Pixels, channels: str) -> Pixels:
    """uint8 image with one channel or three."""
    if channels == "grey" and image.shape[2] == 3:
        grey: Pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return grey[..., None]
    if channels == "mean" and image.shape[2] == 3:
        # A mean of three whole numbers never ends in a half: it has one nearest whole number.
        total = image.sum(axis=2, keepdims=True, dtype=np.uint16)
        mean: Pixels = ((total + 1) // 3).astype(np.uint8)
        return mean
    if channels == "rgb" and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image
