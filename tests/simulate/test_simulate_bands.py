"""Bands, noise and the picture, against astropy and against arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.simulate.bands import SURVEYS, flux_ratio, nanomaggies
from morphoscope.simulate.composite import composite
from morphoscope.simulate.picture import vary
from morphoscope.simulate.scene import add_noise

SDSS = SURVEYS["sdss"]
RECIPE = SDSS.picture


@pytest.mark.parametrize("survey", ["sdss", "hsc"])
def test_the_picture_is_that_of_astropy(survey: str) -> None:
    from astropy.visualization import make_lupton_rgb

    recipe = SURVEYS[survey].picture
    rng = np.random.default_rng(1)
    bands = {
        name: recipe.stretch * rng.lognormal(-2, 2, (40, 50)).astype(np.float32) for name in "irg"
    }
    scaled = [
        bands[name] * scale + recipe.pedestal for name, scale in zip(recipe.bands, recipe.scales)
    ]
    reference = make_lupton_rgb(*scaled, minimum=0, stretch=recipe.stretch, Q=recipe.softening)
    picture = composite(bands, recipe)
    assert picture.dtype == np.uint8
    assert picture.shape == (40, 50, 3)
    # astropy truncates where we round.
    assert np.abs(picture.astype(int) - reference).max() <= 1


def test_the_picture_of_legacy_is_its_viewers() -> None:
    """Worked out by hand from the viewer's formula for one pixel."""
    recipe = SURVEYS["legacy"].picture
    bands = {"g": 0.01, "r": 0.02, "z": 0.05}
    planes = {name: np.full((1, 1), flux, np.float32) for name, flux in bands.items()}
    red, green, blue = 0.05 * 2.2 + 0.03, 0.02 * 3.4 + 0.03, 0.01 * 6.0 + 0.03
    mean = (red + green + blue) / 3
    factor = np.arcsinh(20 * mean) / np.sqrt(20) / mean
    expected = np.rint(255 * factor * np.array([red, green, blue]))
    np.testing.assert_allclose(composite(planes, recipe)[0, 0], expected, atol=1)


@given(st.floats(20, 1e6), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_saturated_pixel_keeps_its_colour(flux: float, green: float, blue: float) -> None:
    r = np.full((1, 1), flux, np.float32)
    red_scale, green_scale, blue_scale = RECIPE.scales
    bands = {"i": r / red_scale, "r": r * green / green_scale, "g": r * blue / blue_scale}
    pixel = composite(bands, RECIPE)[0, 0]
    assert pixel[0] == 255
    np.testing.assert_allclose(pixel[1:] / 255, (green, blue), atol=0.006)


@pytest.mark.parametrize("survey", SURVEYS)
def test_negative_sky_stays_in_range(survey: str) -> None:
    names = SURVEYS[survey].bands
    planes = {name: np.full((2, 2), -5, np.float32) for name in names}
    assert (composite(planes, SURVEYS[survey].picture) == 0).all()


def test_larger_pixels_of_the_same_brightness_look_the_same() -> None:
    rng = np.random.default_rng(2)
    bands = {name: rng.random((8, 8), dtype=np.float32) for name in "gri"}
    doubled = {name: 4 * band for name, band in bands.items()}
    one, other = composite(bands, RECIPE), composite(doubled, RECIPE, per_pixel=0.25)
    np.testing.assert_array_equal(one, other)


def test_magnitudes_and_colours() -> None:
    assert nanomaggies(22.5) == 1
    assert nanomaggies(20.0) == pytest.approx(10)
    assert flux_ratio("r", 0.8) == 1
    assert -2.5 * np.log10(flux_ratio("g", 0.8)) == pytest.approx(0.8)
    assert flux_ratio("i", 0.8) > flux_ratio("i", 0.4) > 1
    fluxes = [flux_ratio(band, 0.8) for band in "grizy"]
    assert fluxes == sorted(fluxes)


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize("sky_noise", [0.5, 2.0])
def test_sky_noise_is_the_stated_one(survey: str, sky_noise: float) -> None:
    scale = SURVEYS[survey].pixel_scale
    for band in SURVEYS[survey].bands.values():
        rng = np.random.default_rng(3)
        noise = add_noise(np.zeros((300, 300), np.float32), band, scale, rng, sky_noise)
        sky = nanomaggies(band.sky_mag) * scale**2
        expected = sky_noise * np.sqrt(sky * band.gain) / band.gain
        assert noise.std() == pytest.approx(expected, rel=0.02)
        assert abs(noise.mean()) < expected
        right = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
        assert abs(right) < 0.02


def test_without_sky_the_photons_of_the_galaxy_remain() -> None:
    image = np.full((300, 300), 4.0, np.float32)
    noisy = add_noise(image, SDSS.bands["r"], 0.396, np.random.default_rng(3), 0.0)
    assert noisy.mean() == pytest.approx(4.0, abs=0.001)
    assert noisy.std() == pytest.approx(np.sqrt(4.0 / SDSS.bands["r"].gain), rel=0.02)


def test_no_variety_leaves_a_picture_and_much_of_it_changes_most() -> None:
    picture = np.random.default_rng(1).integers(0, 90, (32, 32, 3)).astype(np.uint8)
    same = vary(picture.copy(), np.random.default_rng(5), 0.0)
    np.testing.assert_array_equal(same, picture)
    looks = [vary(picture.copy(), np.random.default_rng(k), 1.0) for k in range(300)]
    assert all(look.shape == picture.shape and look.dtype == np.uint8 for look in looks)
    assert np.mean([(look != picture).any() for look in looks]) > 0.95
    grey = np.mean([(look == look[:, :, :1]).all() for look in looks])
    corners = np.mean([(look[0, 0] == 255).all() for look in looks])
    assert 0.03 < grey < 0.16
    assert 0.005 < corners < 0.09
