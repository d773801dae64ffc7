"""Stretches and denoising: order, colour, noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from morphoscope.prepare.denoise import denoise
from morphoscope.prepare.stretch import stretch

Pixels = NDArray[Any]
RANDOM = np.random.default_rng(3)


def sky_with_galaxy(sky: float = 100.0, noise: float = 1.0, peak: float = 5000.0) -> Pixels:
    y, x = np.mgrid[:64, :64] - 31.5
    light = peak * np.exp(-np.hypot(y, x) / 4)
    values = (
        light[..., None] * np.array([1.0, 0.6, 0.3]) + sky + RANDOM.normal(0, noise, (64, 64, 3))
    )
    return values.astype(np.float32)


def test_none_leaves_levels_and_maps_float_linearly() -> None:
    levels = RANDOM.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert stretch(levels, "none") is levels
    values = levels.astype(np.float32) * 3 - 40
    low, high = levels.min(), levels.max()
    expected = (levels.astype(float) - low) / (high - low) * 255
    assert np.abs(stretch(values, "none") - expected).max() <= 0.5 + 1e-3


def test_percentile_ignores_a_cosmic_ray() -> None:
    values = RANDOM.normal(50, 10, (64, 64, 1)).astype(np.float32)
    clean = stretch(values, "percentile")
    values[5, 5] = 1e9
    hit = stretch(values, "percentile")
    assert np.abs(clean.astype(int) - hit)[values < 1e8].max() <= 3
    assert 100 < np.median(hit) < 155


def test_asinh_lifts_the_faint_and_keeps_the_order() -> None:
    values = sky_with_galaxy()
    stretched = stretch(values, "asinh").mean(axis=2)
    linear = stretch(values, "none").mean(axis=2)
    y, x = np.mgrid[:64, :64] - 31.5
    ring = np.abs(np.hypot(y, x) - 16) < 0.5
    assert linear[ring].mean() < 10
    assert stretched[ring].mean() > 3 * linear[ring].mean()
    radii = range(1, 24, 3)
    profile = [stretched[np.abs(np.hypot(y, x) - r) < 0.7].mean() for r in radii]
    assert profile == sorted(profile, reverse=True)
    corner = stretched[:8, :8]
    assert corner.mean() < 25


@pytest.mark.parametrize("method", ["asinh", "percentile"])
def test_a_neutral_image_stays_neutral(method: Any) -> None:
    grey = sky_with_galaxy()[..., :1].repeat(3, axis=2)
    found = stretch(grey, method)
    assert (found == found[..., :1]).all()


def test_asinh_keeps_the_colour() -> None:
    values = sky_with_galaxy(sky=0, noise=0.01)
    found = stretch(values, "asinh").astype(float)
    bright = values[..., 0] > 500
    np.testing.assert_allclose(found[bright, 1] / found[bright, 0], 0.6, atol=0.02)
    np.testing.assert_allclose(found[bright, 2] / found[bright, 0], 0.3, atol=0.02)


@pytest.mark.parametrize("method", ["none", "asinh", "percentile"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_one_single_value(method: Any, dtype: Any) -> None:
    found = stretch(np.full((8, 8, 3), 9, dtype), method)
    assert set(found.ravel()) == {9 if dtype == np.uint8 else 0}


@settings(deadline=None, max_examples=60)
@given(
    values=arrays(np.float32, (6, 6, 3), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    method=st.sampled_from(["none", "asinh", "percentile"]),
)
def test_any_finite_flux_becomes_levels(values: Pixels, method: Any) -> None:
    found = stretch(values, method)
    assert found.dtype == np.uint8
    assert found.shape == values.shape


@pytest.mark.parametrize("method", ["asinh", "percentile"])
def test_the_unit_of_flux_does_not_matter(method: Any) -> None:
    values = sky_with_galaxy()
    difference = stretch(values, method).astype(int) - stretch(values * 1024, method)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("method", "strength"), [("median", 3.0), ("nl_means", 12.0)])
def test_denoising_brings_an_image_nearer_to_its_truth(
    channels: int, method: Any, strength: float
) -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    truth = (20 + 200 * np.exp(-np.hypot(y, x) / 9))[..., None].repeat(channels, axis=2)
    noisy = np.clip(truth + RANDOM.normal(0, 12, truth.shape), 0, 255).astype(np.uint8)
    found = denoise(noisy, method, strength)
    assert found.shape == noisy.shape
    assert found.dtype == np.uint8
    assert np.sqrt(((found - truth) ** 2).mean()) < 0.7 * np.sqrt(((noisy - truth) ** 2).mean())


def test_the_median_window_is_odd_and_grows() -> None:
    dot = np.zeros((15, 15, 1), np.uint8)
    dot[6:9, 6:9] = 255
    assert denoise(dot, "median", 3.0).max() == 255
    assert denoise(dot, "median", 4.9).max() == 0
    assert denoise(dot, "none", 9.0) is dot
    single = np.zeros((15, 15, 1), np.uint8)
    single[7, 7] = 255
    assert denoise(single, "median", 0.1).max() == 0


def test_nl_means_keeps_the_hue_of_red() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 180
    found = denoise(red, "nl_means", 5.0).astype(int)
    assert np.abs(found - red).max() <= 3
