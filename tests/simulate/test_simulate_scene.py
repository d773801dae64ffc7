"""Galaxies drawn without noise give back their truth when they are measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate import CLASSES, draw_galaxy
from morphoscope.simulate.bands import nanomaggies
from morphoscope.simulate.conditions import Conditions, Neighbour
from morphoscope.simulate.disc import paint_disc
from morphoscope.simulate.drawing import drawing_of
from morphoscope.simulate.frame import Frame
from morphoscope.simulate.galaxy import Arms, Bar, Disc, Galaxy, axial_ratio
from morphoscope.simulate.picture import draw_picture
from morphoscope.simulate.population import FIXED
from morphoscope.simulate.scene import draw_bands
from morphoscope.simulate.streams import generator

Plane = NDArray[np.float32]

LARGE = SimulateSettings(size=256, pixel_scale=0.3)
NO_PSF = Conditions(psf_fwhm_arcsec=0.0)
ARMS = Arms(
    number=2,
    pitch_angle_deg=20.0,
    contrast=0.8,
    sharpness=2.0,
    begin_arcsec=1.0,
    phase_deg=30.0,
    patchiness=0.0,
    patches=1,
    winding=1,
    g_r=0.3,
)


def smooth(q: float, angle: float = 30.0, n: float = 1.0, radius: float = 4.0) -> Galaxy:
    return Galaxy(0, "round", 16.0, radius, q, angle, 0.8, sersic_n=n)


def disc(inclination: float, thickness: float = 0.2, **parts: object) -> Galaxy:
    q = axial_ratio(inclination, math.pi * thickness / 6)
    whole = Disc(inclination, thickness, **parts)  # type: ignore[arg-type]
    return Galaxy(0, "spiral", 16.0, 4.0, q, 30.0, 0.5, disc=whole)


def painted(galaxy: Galaxy, frame: Frame) -> Plane:
    """A disc in r as no atmosphere has blurred it."""
    return paint_disc(galaxy, frame, ("g", "r")).bands["r"]


def positions(image: Plane, scale: float = 0.3) -> tuple[Plane, Plane]:
    """Distance of each pixel from the middle, right and up (arcsec)."""
    along = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * scale
    return along[None, :], along[:, None]


def moments(image: Plane) -> tuple[float, float, float]:
    """Axial ratio and position angle (deg) by second moments, and the total."""
    x, y = positions(image)
    total = image.sum()
    mx, my = (image * x).sum() / total, (image * y).sum() / total
    xx, yy = (image * (x - mx) ** 2).sum() / total, (image * (y - my) ** 2).sum() / total
    xy = (image * (x - mx) * (y - my)).sum() / total
    values, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1])) - 90
    return math.sqrt(values[0] / values[1]), angle % 180, float(total)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.25, 0.95), st.floats(0, 180))
def test_axial_ratio_and_angle_of_a_smooth_galaxy(q: float, angle: float) -> None:
    measured, direction, _ = moments(draw_bands(smooth(q, angle, radius=3.0), LARGE, NO_PSF)["r"])
    assert measured == pytest.approx(q, abs=0.01)
    assert abs((direction - angle + 90) % 180 - 90) < 1


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 90), st.floats(0.1, 0.5))
def test_axial_ratio_of_a_disc_is_its_inclination_and_thickness(
    inclination: float, thickness: float
) -> None:
    galaxy = disc(inclination, thickness)
    measured, _, _ = moments(draw_bands(galaxy, LARGE, NO_PSF)["r"])
    assert measured == pytest.approx(galaxy.axial_ratio, abs=0.015)


@pytest.mark.parametrize("thickness", [0.12, 0.3])
def test_an_edge_on_disc_falls_off_as_sech_squared(thickness: float) -> None:
    galaxy = replace(disc(90, thickness), position_angle_deg=90.0)
    image = draw_bands(galaxy, SimulateSettings(size=256, pixel_scale=0.1), NO_PSF)["r"]
    height = thickness * galaxy.radius_arcsec / 1.67835
    profile = image[:, 118:138].sum(axis=1)
    _, up = positions(image, 0.1)
    expected = 1 / np.cosh(up[:, 0] / height) ** 2
    np.testing.assert_allclose(profile / profile.max(), expected / expected.max(), atol=0.03)


@pytest.mark.parametrize("n", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("q", [1.0, 0.5])
def test_half_the_light_is_inside_the_half_light_ellipse(n: float, q: float) -> None:
    galaxy = smooth(q, angle=90.0, n=n, radius=3.0)
    image = draw_bands(galaxy, LARGE, NO_PSF)["r"]
    x, y = positions(image)
    inside = image[np.hypot(x, y / q) < galaxy.radius_arcsec].sum()
    assert inside / nanomaggies(16.0) == pytest.approx(0.5, abs=0.015)


def test_half_the_light_of_a_face_on_disc() -> None:
    image = draw_bands(disc(0), LARGE, NO_PSF)["r"]
    inside = image[np.hypot(*positions(image)) < 4.0].sum()
    assert inside / nanomaggies(16.0) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("kind", FIXED)
def test_flux_is_the_magnitude(kind: str) -> None:
    for index in range(3):
        galaxy = replace(draw_galaxy(3, index, kind), radius_arcsec=2.0)
        total = draw_bands(galaxy, LARGE, Conditions(psf_fwhm_arcsec=1.3))["r"].sum()
        assert total == pytest.approx(nanomaggies(galaxy.magnitude_r), rel=0.02)


def test_arms_keep_the_radial_profile() -> None:
    frame = Frame(300, 0.2)
    plain = painted(disc(0), frame)
    armed = painted(disc(0, arms=ARMS), frame)
    radius = np.hypot(*positions(plain, 0.2))
    for inner in range(2, 12):
        ring = (radius >= inner) & (radius < inner + 1)
        assert armed[ring].sum() == pytest.approx(plain[ring].sum(), rel=0.01)
        assert armed[ring].std() > 1.5 * plain[ring].std()


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("winding", [-1, 1])
def test_arms_are_as_many_and_as_tightly_wound_as_said(number: int, winding: int) -> None:
    arms = replace(ARMS, number=number, winding=winding)
    image = painted(disc(0, arms=arms), Frame(400, 0.1))
    x, y = positions(image, 0.1)
    radius, azimuth = np.hypot(x, y), np.arctan2(y, x)
    phases = []
    for inner in np.arange(3.0, 10.0, 0.25):
        ring = (radius >= inner) & (radius < inner + 0.25)
        strength = [abs((image[ring] * np.exp(-1j * m * azimuth[ring])).sum()) for m in range(1, 6)]
        assert 1 + int(np.argmax(strength)) == number
        phases.append(-np.angle((image[ring] * np.exp(-1j * number * azimuth[ring])).sum()))
    slope = np.polyfit(np.log(np.arange(3.125, 10.125, 0.25)), np.unwrap(phases) / number, 1)[0]
    assert np.sign(slope) == winding
    assert math.degrees(math.atan(1 / abs(slope))) == pytest.approx(20, abs=0.5)


def test_arms_are_bluer_than_the_disc() -> None:
    bands = draw_bands(disc(30, arms=ARMS), LARGE, Conditions(psf_fwhm_arcsec=1.3))
    plain = draw_bands(disc(30), LARGE, Conditions(psf_fwhm_arcsec=1.3))
    colour, plain_colour = (b["g"].sum() / b["r"].sum() for b in (bands, plain))
    assert plain_colour == pytest.approx(10 ** (-0.4 * 0.5), rel=0.01)
    assert colour > 1.05 * plain_colour


def test_patches_are_in_the_arms_and_keep_the_light() -> None:
    frame = Frame(300, 0.2)
    even = painted(disc(20, arms=ARMS), frame)
    patchy = painted(disc(20, arms=replace(ARMS, patchiness=0.8)), frame)
    assert patchy.sum() == pytest.approx(even.sum(), rel=3e-3)
    assert np.abs(patchy - even).sum() > 0.05 * even.sum()


def test_a_bar_lies_in_the_disc() -> None:
    bar = Bar(fraction=0.15, radius_arcsec=3.0)
    frame = Frame(300, 0.2)
    barred = painted(disc(0, bar=bar, arms=replace(ARMS, contrast=0.0)), frame)
    only_bar = barred - 0.85 * painted(disc(0), frame)
    assert only_bar.sum() == pytest.approx(0.15, rel=0.01)
    assert moments(only_bar)[0] == pytest.approx(0.3, abs=0.02)
    radius = np.hypot(*positions(only_bar, 0.2))
    assert np.abs(only_bar[radius > 3.3]).max() < 0.01 * only_bar.max()


def full_width(image: Plane, scale: float) -> float:
    """Full width at half maximum of a symmetric image, from the area above half (arcsec)."""
    return 2 * scale * math.sqrt((image > image.max() / 2).sum() / math.pi)


@pytest.mark.parametrize("fwhm", [1.0, 1.6])
def test_the_psf_has_its_width(fwhm: float) -> None:
    star = Neighbour(x=0.0, y=0.0, magnitude_r=17.0, g_r=0.5)
    fine = SimulateSettings(size=256, pixel_scale=0.06)
    faint = replace(smooth(1.0), magnitude_r=40.0)
    image = draw_bands(faint, fine, Conditions(psf_fwhm_arcsec=fwhm, neighbours=(star,)))["r"]
    assert full_width(image, 0.06) == pytest.approx(fwhm, rel=0.03)
    assert image.sum() == pytest.approx(nanomaggies(17.0), rel=0.01)


def test_a_wider_psf_lowers_the_peak_and_blurs_the_arms() -> None:
    galaxy = disc(20, arms=ARMS)
    peaks = [
        draw_bands(galaxy, LARGE, Conditions(psf_fwhm_arcsec=f))["r"].max() for f in (0, 1, 2, 3)
    ]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] < 0.8 * peaks[0]


@pytest.mark.parametrize("kind", ["round", "spiral"])
def test_the_galaxy_is_where_it_is_pointed(kind: str) -> None:
    galaxy = smooth(0.7, radius=2.0) if kind == "round" else disc(40)
    conditions = Conditions(psf_fwhm_arcsec=1.3, x=1.5, y=-0.75)
    image = draw_bands(galaxy, LARGE, conditions)["r"]
    x, y = positions(image, 1.0)
    assert (image * x).sum() / image.sum() == pytest.approx(1.5, abs=0.05)
    assert (image * y).sum() / image.sum() == pytest.approx(-0.75, abs=0.05)


def test_a_picture_is_the_right_way_up() -> None:
    """Position angles turn anticlockwise from the upward direction of the picture."""
    galaxy = replace(smooth(0.3, angle=30.0, radius=3.0), magnitude_r=14.0)
    picture = draw_picture(
        galaxy, SimulateSettings(), Conditions(psf_fwhm_arcsec=1.3), generator(1, 1, 2)
    )
    _, angle, _ = moments(picture[::-1, :, 0].astype(float) - 10)
    assert angle == pytest.approx(30, abs=3)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_picture_is_decided_by_seed_and_index(kind: str) -> None:
    small = SimulateSettings(size=48, nuisance=0.2, variety=0.5)
    first = drawing_of(1, 17, kind, small).picture
    others = [drawing_of(1, 18, kind, small).picture, drawing_of(2, 17, kind, small).picture]
    np.testing.assert_array_equal(first, drawing_of(1, 17, kind, small).picture)
    assert first.shape == (48, 48, 3)
    assert all((first != other).mean() > 0.3 for other in others)
