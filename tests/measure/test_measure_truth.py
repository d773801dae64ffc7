"""A galaxy is drawn, and its shape found again."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import HALF_LIGHT, blurred, draw, noisy, off
from hypothesis import given, settings
from hypothesis import strategies as st

from morphoscope.measure import measure_shape

RATIOS = (0.15, 0.3, 0.5, 0.7, 0.9, 1.0)


@pytest.mark.parametrize("kind", ["exponential", "gaussian"])
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_clean_galaxy_is_measured_to_a_hundredth(kind: str, ratio: float) -> None:
    for angle in (0, 37, 90, 151):
        centre = (80.3, 78.8)
        shape = measure_shape(draw(ratio, angle, kind=kind, centre=centre))
        assert shape.flag is None
        assert shape.axial_ratio == pytest.approx(ratio, abs=0.005)
        assert shape.axial_ratio_isophote == pytest.approx(ratio, abs=0.005)
        assert (shape.y, shape.x) == pytest.approx(centre, abs=0.02)
        if ratio < 1:
            assert off(shape.position_angle_deg, angle) < 0.1
        half = 8 * HALF_LIGHT[kind]
        assert shape.half_light_radius == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize("ratio", RATIOS)
def test_noise_costs_little(ratio: float) -> None:
    shapes = [measure_shape(noisy(draw(ratio, 37), 20, seed)) for seed in range(8)]
    for name in ("axial_ratio", "axial_ratio_isophote"):
        found = np.array([getattr(shape, name) for shape in shapes])
        assert np.abs(found - ratio).max() < 0.06
        assert abs(found.mean() - ratio) < 0.02
    if ratio < 0.8:
        assert max(off(shape.position_angle_deg, 37) for shape in shapes) < 2


@pytest.mark.parametrize("kind", ["exponential", "gaussian"])
@pytest.mark.parametrize("ratio", [0.2, 0.3, 0.5, 0.8])
def test_what_the_seeing_rounds_is_taken_back(kind: str, ratio: float) -> None:
    seen = blurred(draw(ratio, 60, kind=kind), 5)
    plain, corrected = measure_shape(seen), measure_shape(seen, psf_fwhm=5)
    for name in ("axial_ratio", "axial_ratio_isophote"):
        error = abs(getattr(corrected, name) - ratio)
        assert error < 0.04
        assert getattr(plain, name) > ratio
        assert error < 0.5 * (getattr(plain, name) - ratio)
    assert corrected.semi_major < plain.semi_major
    assert corrected.position_angle_deg == plain.position_angle_deg


def test_semi_major_is_the_root_of_the_second_moment() -> None:
    assert measure_shape(draw(0.6, kind="gaussian")).semi_major == pytest.approx(8, rel=0.01)
    seen = blurred(draw(0.6, kind="gaussian"), 7)
    assert measure_shape(seen, psf_fwhm=7).semi_major == pytest.approx(8, rel=0.01)


def test_concentration_is_that_of_the_profile() -> None:
    # r80 / r20 of an exponential is 2.994 / 0.824, of a Gaussian 1.794 / 0.668. The ellipse of 2.5
    # Kron radii leaves a few per cent of the former out.
    disc = measure_shape(draw(0.7, kind="exponential", size=10, side=240)).concentration
    assert disc == pytest.approx(5 * np.log10(2.994 / 0.824), abs=0.12)
    gauss = measure_shape(draw(0.7, kind="gaussian", size=12)).concentration
    assert gauss == pytest.approx(5 * np.log10(1.794 / 0.668), abs=0.05)


def test_signal_to_noise_grows_as_the_noise_falls() -> None:
    galaxy = draw(0.5)
    found = [measure_shape(noisy(galaxy, sigma)).signal_to_noise for sigma in (40, 20, 10)]
    assert np.all(np.diff(found) > 0)
    # The footprint ends where the light is 1.5 times the noise, at 8 ln(1000 / 15) = 33.6 pixels:
    # 1773 pixels, which hold 92.2 % of it.
    assert found[2] == pytest.approx(0.922 * galaxy.sum() / (10 * np.sqrt(1773)), rel=0.05)


def test_upright_and_level_major_axes() -> None:
    upright = measure_shape(draw(0.4, 0)).position_angle_deg
    assert off(upright, 0) < 0.01
    assert 0 <= upright < 180
    assert measure_shape(draw(0.4, 90)).position_angle_deg == pytest.approx(90, abs=0.01)


def test_a_bulge_and_a_disc_are_told_apart_by_the_isophotes() -> None:
    disc = draw(0.3, 20, size=14, side=240)
    bulge = draw(1.0, size=3, side=240, peak=6000)
    shape = measure_shape(disc + bulge)
    # Each holds about half of the light.
    assert shape.axial_ratio_isophote == pytest.approx(0.3, abs=0.04)
    assert shape.axial_ratio > shape.axial_ratio_isophote + 0.01


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(0.2, 0.9),
    angle=st.floats(0, 180),
    dy=st.floats(-3, 3),
    dx=st.floats(-3, 3),
    seed=st.integers(0, 99),
)
def test_quarter_turns_and_mirrors_turn_the_answer(
    ratio: float, angle: float, dy: float, dx: float, seed: int
) -> None:
    image = noisy(draw(ratio, angle, size=6, side=90, centre=(44 + dy, 45 + dx)), 10, seed)
    shape = measure_shape(image)
    turned = {
        shape.position_angle_deg + 90: np.rot90(image),
        shape.position_angle_deg + 180: np.rot90(image, 2),
        -shape.position_angle_deg: image[:, ::-1],
        180 - shape.position_angle_deg: image[::-1],
        90 - shape.position_angle_deg: image.T[:, :],
    }
    for angle_now, now in turned.items():
        other = measure_shape(np.ascontiguousarray(now))
        assert off(other.position_angle_deg, angle_now) < 0.05
        assert 0 <= other.position_angle_deg < 180
        for name in ("axial_ratio", "axial_ratio_isophote", "half_light_radius", "concentration"):
            assert getattr(other, name) == pytest.approx(getattr(shape, name), rel=2e-3)


@settings(max_examples=20, deadline=None)
@given(
    scale=st.sampled_from([1e-25, 1e-9, 0.3, 1e6, 1e20]),
    sky=st.floats(-100, 100),
    seed=st.integers(0, 9),
)
def test_no_unit_and_no_sky_level_matters(scale: float, sky: float, seed: int) -> None:
    image = noisy(draw(0.4, 30, size=6, side=90), 10, seed)
    shape, other = measure_shape(image), measure_shape((image + sky * 100) * scale)
    for name in ("axial_ratio", "axial_ratio_isophote", "signal_to_noise", "x", "semi_major"):
        assert getattr(other, name) == pytest.approx(getattr(shape, name), rel=1e-3)


def test_bands_of_equal_noise_see_deeper_than_one() -> None:
    galaxy = draw(0.4, 30)
    bands = np.stack([noisy(galaxy, 30, seed) for seed in range(5)], -1)
    one, five = measure_shape(bands[..., 0]), measure_shape(bands)
    assert five.signal_to_noise > 1.5 * one.signal_to_noise
    assert five.axial_ratio == pytest.approx(0.4, abs=0.02)
