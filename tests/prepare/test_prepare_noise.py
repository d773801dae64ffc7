"""Noise that is added on purpose: as much as asked for, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from morphoscope.bundle import export
from morphoscope.errors import RecipeError
from morphoscope.prepare import prepare_pixels
from morphoscope.prepare.noise import add_noise
from morphoscope.recipe import PrepareSettings
from tiny_run import tiny_recipe

GREY = np.full((120, 120, 3), 128, np.uint8)


def test_noise_has_the_spread_and_leaves_the_mean() -> None:
    noisy = add_noise(GREY, 12.0).astype(float)
    assert noisy.std() == pytest.approx(12, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    # No two channels and no two neighbours go together.
    flat = noisy.reshape(-1, 3) - 128
    assert abs(np.corrcoef(flat.T) - np.eye(3)).max() < 0.03
    assert abs(((noisy[1:] - 128) * (noisy[:-1] - 128)).mean()) < 3


def test_black_and_white_stay_in_range() -> None:
    for level in (0, 255):
        noisy = add_noise(np.full((40, 40, 1), level, np.uint8), 30.0)
        assert noisy.dtype == np.uint8
        assert (np.abs(noisy.astype(int) - level) < 180).all()


def test_an_image_gets_its_own_noise_every_time() -> None:
    other = GREY.copy()
    other[0, 0] = 127
    assert (add_noise(GREY, 5.0) == add_noise(GREY.copy(), 5.0)).all()
    assert (add_noise(GREY, 5.0)[1:] != add_noise(other, 5.0)[1:]).mean() > 0.5
    assert add_noise(GREY, 0.0) is GREY


def test_denoising_sees_the_noise_that_the_plain_image_has() -> None:
    y, x = np.mgrid[:64, :64] - 32
    light = 40 + 150 * np.exp(-np.hypot(x, y) / 9)
    image = np.repeat(light[..., None], 3, 2).astype(np.uint8)
    clean, noisy, denoised = (
        prepare_pixels(image, PrepareSettings.model_validate({"size": 64, **values})).astype(float)
        for values in (
            {},
            {"add_noise": 15.0},
            {"add_noise": 15.0, "denoise": "nl_means", "denoise_strength": 15.0},
        )
    )
    assert (noisy - clean).std() == pytest.approx(15, rel=0.1)
    assert (denoised - clean).std() < 0.6 * (noisy - clean).std()


def test_a_model_of_such_images_is_not_exported(tiny_run, tmp_path) -> None:
    recipe = tiny_recipe(prepare={"size": 32, "crop_fraction": 0.8, "add_noise": 4.0})
    with pytest.raises(RecipeError, match="images with noise added"):
        export(recipe, run=tiny_run, out=tmp_path)
    assert not any(tmp_path.iterdir())
