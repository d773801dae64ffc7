"""Bands, noise and the picture, against astropy and against arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.bands import (
    BANDS,
    PEDESTAL,
    SOFTENING,
    STRETCH,
    composite,
    flux_ratio,
    nanomaggies,
)
from morphoscope.simulate.scene import add_noise


def test_the_picture_is_that_of_astropy() -> None:
    from astropy.visualization import make_lupton_rgb

    rng = np.random.default_rng(1)
    bands = [rng.lognormal(-2, 2, (40, 50)).astype(np.float32) for _ in "irg"]
    scaled = [band * BANDS[name].scale + PEDESTAL for name, band in zip("irg", bands, strict=True)]
    reference = make_lupton_rgb(*scaled, minimum=0, stretch=STRETCH, Q=SOFTENING)
    picture = composite(*bands)
    assert picture.dtype == np.uint8
    assert picture.shape == (40, 50, 3)
    # astropy truncates where we round.
    assert np.abs(picture.astype(int) - reference).max() <= 1


@given(st.floats(20, 1e6), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_saturated_pixel_keeps_its_colour(flux: float, green: float, blue: float) -> None:
    r = np.full((1, 1), flux, np.float32)
    scale = {name: BANDS[name].scale for name in "irg"}
    pixel = composite(r / scale["i"], r * green / scale["r"], r * blue / scale["g"])[0, 0]
    assert pixel[0] == 255
    np.testing.assert_allclose(pixel[1:] / 255, (green, blue), atol=0.006)


def test_negative_sky_stays_in_range() -> None:
    picture = composite(*(np.full((2, 2), -5, np.float32) for _ in "irg"))
    assert (picture == 0).all()


def test_magnitudes_and_colours() -> None:
    assert nanomaggies(22.5) == 1
    assert nanomaggies(20.0) == pytest.approx(10)
    assert flux_ratio("r", 0.8) == 1
    assert -2.5 * np.log10(flux_ratio("g", 0.8)) == pytest.approx(0.8)
    assert flux_ratio("i", 0.8) > flux_ratio("i", 0.4) > 1


@pytest.mark.parametrize("band", "gri")
@pytest.mark.parametrize("sky_noise", [0.5, 1.0, 2.0])
def test_sky_noise_is_the_stated_one(band: str, sky_noise: float) -> None:
    settings = SimulateSettings(sky_noise=sky_noise)
    noise = add_noise(np.zeros((300, 300), np.float32), band, settings, np.random.default_rng(3))
    sky = nanomaggies(BANDS[band].sky_mag) * 0.396**2
    expected = sky_noise * np.sqrt(sky * BANDS[band].gain) / BANDS[band].gain
    assert noise.std() == pytest.approx(expected, rel=0.02)
    assert abs(noise.mean()) < expected
    right = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert abs(right) < 0.02


def test_without_sky_the_photons_of_the_galaxy_remain() -> None:
    settings = SimulateSettings(sky_noise=0.0)
    image = np.full((300, 300), 4.0, np.float32)
    noisy = add_noise(image, "r", settings, np.random.default_rng(3))
    assert noisy.mean() == pytest.approx(4.0, abs=0.001)
    assert noisy.std() == pytest.approx(np.sqrt(4.0 / BANDS["r"].gain), rel=0.02)
