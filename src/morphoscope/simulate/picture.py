"""The picture: noise, composite and the look of the archive that it comes from."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.composite import composite
from morphoscope.simulate.conditions import Conditions
from morphoscope.simulate.flaws import Flaws
from morphoscope.simulate.frame import Pixels
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.scene import Scene, add_noise, draw_scene

__all__ = ["blank", "draw_picture", "observe", "picture_of", "resampled", "vary"]

Picture = NDArray[np.uint8]

# Chances of each look at full variety.
RAISED, TINTED, GREY, NEGATIVE, TURNED = 0.2, 0.12, 0.07, 0.015, 0.05
RAISED_BACKGROUND = (18.5, 24.0, 36.0)  # of composites of Pan-STARRS, grey levels of 255
LUMA = (0.299, 0.587, 0.114)


def draw_picture(
    galaxy: Galaxy,
    settings: SimulateSettings,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Picture:
    """Draw a galaxy as a survey would show it.

    Returns
    -------
    NDArray
        Shape (y, x, 3), uint8, red first, the first row on top.
    """
    scene = draw_scene(galaxy, settings, conditions)
    noisy = observe(scene, settings, rng)
    return picture_of(noisy, scene, settings, conditions.flaws, rng)


def observe(
    scene: Scene, settings: SimulateSettings, rng: np.random.Generator
) -> dict[str, Pixels]:
    """Add noise to all bands of a scene; same shapes, nanomaggies a pixel."""
    cameras, scale = scene.view.survey.bands, scene.view.drawn_scale
    return {
        name: add_noise(image, cameras[name], scale, rng, settings.sky_noise)
        for name, image in scene.bands.items()
    }


def picture_of(
    bands: dict[str, Pixels],
    scene: Scene,
    settings: SimulateSettings,
    flaws: Flaws,
    rng: np.random.Generator,
) -> Picture:
    """Compose bands to a picture of the cutout's size, as an archive would show it."""
    survey, size = scene.view.survey, scene.view.size
    area = (survey.pixel_scale / scene.view.drawn_scale) ** 2
    picture = composite(bands, survey.picture, per_pixel=area)
    if flaws.missing:
        side, share, white = flaws.missing
        blank(picture, side, share, 255 if white else 0)
    if picture.shape[0] != size:
        picture = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC))
    picture = np.ascontiguousarray(picture[::-1])
    return vary(picture, rng, settings.variety) if settings.variety else picture


def resampled(image: Pixels, size: int) -> Pixels:
    """Bring a band to the cutout's size, its flux kept; shape (y, x), nanomaggies a pixel."""
    if image.shape[0] == size:
        return image
    area = np.float32((image.shape[0] / size) ** 2)
    return np.asarray(area * cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC))


def blank(image: NDArray[Any], side: int, share: float, value: float) -> None:
    """Blank a share of a frame, on its right, top, left or bottom; y upwards."""
    ny, nx = image.shape[:2]
    across, up = round(nx * share), round(ny * share)
    part = [
        (slice(None), slice(nx - across, nx)),
        (slice(ny - up, ny), slice(None)),
        (slice(None), slice(0, across)),
        (slice(0, up), slice(None)),
    ][side]
    image[part] = value


def vary(picture: Picture, rng: np.random.Generator, variety: float) -> Picture:
    """Change the look of a picture as the composites of different archives differ.

    Parameters
    ----------
    picture
        Shape (y, x, 3), uint8.
    rng
        Random numbers.
    variety
        From 0, nothing, to 1, by which every chance and spread is multiplied.

    Returns
    -------
    NDArray
        Same shape.
    """
    chances = rng.random(6)
    if chances[0] < 0.6 * variety:
        picture = _saturated(picture, math.exp(0.3 * rng.standard_normal()))
    grey, negative = chances[1] < GREY * variety, chances[2] < NEGATIVE * variety
    if grey or negative:
        picture = _saturated(picture, 0.0)
    background = np.zeros(3)
    if chances[3] < RAISED * variety:
        background = np.array(RAISED_BACKGROUND) * rng.uniform(0.6, 1.3)
    elif chances[3] < (RAISED + TINTED) * variety:
        background = rng.uniform(0, 22, 3)
    if grey or negative:
        background[:] = background.mean()
    gamma = math.exp(0.18 * variety * rng.standard_normal())
    gain = math.exp(0.22 * variety * rng.standard_normal())
    picture = cv2.LUT(picture, _table(background, gamma, gain, negative))
    if chances[4] < TURNED * variety:
        picture = _turned(picture, rng.uniform(8, 82), 255 if rng.random() < 0.7 else 12)
    return picture


def _saturated(picture: Picture, factor: float) -> Picture:
    """Pull colours from or towards grey."""
    weights = np.tile(np.array(LUMA), (3, 1))
    matrix = factor * np.eye(3) + (1 - factor) * weights
    return np.asarray(cv2.transform(picture, matrix))


def _table(
    background: NDArray[np.float64], gamma: float, gain: float, negative: bool
) -> NDArray[np.uint8]:
    """Grey level to grey level for each channel, shape (256, 1, 3)."""
    level = np.minimum(gain * (np.arange(256) / 255) ** gamma, 1)[:, None]
    table = background + (255 - background) * level
    if negative:
        table = 235 - 0.9 * table
    return np.rint(table).astype(np.uint8)[:, None, :]


def _turned(picture: Picture, angle_deg: float, fill: int) -> Picture:
    """Blank the corners that a frame turned by an angle does not cover."""
    ny, nx = picture.shape[:2]
    middle = np.array([(nx - 1) / 2, (ny - 1) / 2])
    angles = np.radians(angle_deg + np.array([45, 135, 225, 315]))
    corners = middle + (nx / 2) * math.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    covered = np.zeros((ny, nx), np.uint8)
    cv2.fillConvexPoly(covered, np.rint(corners).astype(np.int32), 1)
    return np.where(covered[:, :, None] > 0, picture, np.uint8(fill))
