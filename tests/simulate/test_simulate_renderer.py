"""The renderer against GalSim, an independent one, and against what dust and tilt must do."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import galsim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate import CLASSES
from morphoscope.simulate.conditions import Conditions, Neighbour
from morphoscope.simulate.disc import paint_disc
from morphoscope.simulate.drawing import drawing_of
from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.galaxy import (
    Arms,
    Bulge,
    Disc,
    Dust,
    Galaxy,
    Ring,
    axial_ratio,
    scale_height,
)
from morphoscope.simulate.optics import GAUSSIANS, Psf, blur, finest_cell
from morphoscope.simulate.plane import EXPONENTIAL_HALF_LIGHT, paint_plane
from morphoscope.simulate.projection import Layer, Tilt, layers
from morphoscope.simulate.scene import draw_bands
from morphoscope.simulate.sersic import Sersic, paint_sersic

FRAME = Frame(128, 0.396, 0.3, -0.2)
SEEING = 1.3
MOFFAT = galsim.Moffat(beta=3.5, fwhm=SEEING)
ARMS = Arms(2, 20.0, 0.6, 2.0, 1.5, 30.0, 0.5, 1, 1, 0.3, 0.3, 0.2, 0.1, 0.3)


def disc(inclination: float, radius: float = 4.0, q0: float = 0.12, **parts: object) -> Galaxy:
    whole = Disc(inclination, scale_height(q0), **parts)  # type: ignore[arg-type]
    q = axial_ratio(inclination, q0)
    return Galaxy(0, "disc", 16.0, radius, q, 30.0, 0.5, disc=whole)


def reference(profile: galsim.GSObject) -> Pixels:
    moved = galsim.Convolve([profile.shift(FRAME.x, FRAME.y), MOFFAT])
    return np.asarray(moved.drawImage(nx=128, ny=128, scale=FRAME.pixel_scale).array)


def deviation(ours: Pixels, theirs: Pixels) -> float:
    """Largest difference over the peak."""
    return float(np.abs(ours - theirs).max() / theirs.max())


@pytest.mark.parametrize("inclination", [0, 45, 75, 87, 90])
@pytest.mark.parametrize("radius", [1.5, 4.0, 8.0])
def test_a_disc_is_that_of_galsim(inclination: float, radius: float) -> None:
    galaxy = disc(inclination, radius)
    assert galaxy.disc is not None
    ours = blur(paint_disc(galaxy, FRAME, ("r",)).bands["r"], Psf(SEEING), FRAME.pixel_scale)
    theirs = reference(
        galsim.InclinedExponential(
            inclination * galsim.degrees,
            half_light_radius=radius,
            scale_h_over_r=galaxy.disc.thickness,
        ).rotate(120 * galsim.degrees)
    )
    assert deviation(ours[8:-8, 8:-8], theirs[8:-8, 8:-8]) < 0.02


@pytest.mark.parametrize("inclination", [0, 60, 85])
def test_coarser_cells_below_a_wide_psf_make_no_difference(inclination: float) -> None:
    galaxy = disc(inclination, 2.0, arms=replace(ARMS, clumps=0.0), dust=Dust(0.5))
    fine, coarse = (
        blur(paint_disc(galaxy, frame, ("r",)).bands["r"], Psf(SEEING), FRAME.pixel_scale)
        for frame in (FRAME, replace(FRAME, finest=finest_cell(SEEING, FRAME.pixel_scale)))
    )
    assert finest_cell(SEEING, FRAME.pixel_scale) == 0.8
    assert deviation(coarse, fine) < 0.03


@pytest.mark.parametrize(("n", "most"), [(1.0, 0.004), (2.5, 0.006), (4.0, 0.008)])
@pytest.mark.parametrize("q", [0.25, 0.6, 1.0])
@pytest.mark.parametrize("radius", [1.2, 4.0])
def test_a_sersic_profile_is_that_of_galsim(n: float, most: float, q: float, radius: float) -> None:
    ours = paint_sersic(Sersic(n, radius, q, 120.0), FRAME)
    round_one = galsim.Sersic(n, half_light_radius=radius * math.sqrt(q))
    # GalSim's defaults fold half a per cent of the light of a cusp.
    sheared = round_one.shear(q=q, beta=120 * galsim.degrees)
    exact = galsim.GSParams(folding_threshold=5e-4, maximum_fft_size=16384, maxk_threshold=2e-4)
    theirs = reference(sheared.withGSParams(exact))
    assert deviation(blur(ours, Psf(SEEING), FRAME.pixel_scale), theirs) < most


@pytest.mark.parametrize("pixel_scale", [0.1, 0.396, 0.7])
def test_a_star_is_the_moffat_profile_of_galsim(pixel_scale: float) -> None:
    star = Neighbour(x=0.31, y=-0.17, magnitude_r=17.5, g_r=0.5)
    options = SimulateSettings(size=64, pixel_scale=pixel_scale)
    empty = Galaxy(0, "star", 40.0, 0.0, 1.0, 0.0, 0.5)
    ours = draw_bands(empty, options, Conditions(psf_fwhm_arcsec=SEEING, neighbours=(star,)))["r"]
    theirs = MOFFAT.shift(0.31, -0.17).drawImage(nx=64, ny=64, scale=pixel_scale).array * 100
    assert deviation(ours, theirs) < 0.01


@pytest.mark.parametrize("kind", ["star", "disc"])
def test_a_psf_narrower_than_a_pixel_keeps_light_place_and_width(kind: str) -> None:
    star = (Neighbour(x=0.6, y=-0.9, magnitude_r=17.5, g_r=0.5),) if kind == "star" else ()
    galaxy = Galaxy(0, "star", 40.0, 0.0, 1.0, 0.0, 0.5)
    if kind == "disc":
        galaxy = replace(disc(0, 5.0), magnitude_r=17.5)
    options = SimulateSettings(size=48, pixel_scale=1.6)
    conditions = Conditions(psf_fwhm_arcsec=SEEING, neighbours=star)
    light = draw_bands(galaxy, options, conditions)["r"].astype(float)
    assert light.sum() == pytest.approx(100, rel=0.01)
    x = (np.arange(48) - 23.5) * 1.6
    column = light.sum(axis=0) / light.sum()
    mean = (column * x).sum()
    assert mean == pytest.approx(0.6 if star else 0.0, abs=0.05)
    of_psf = sum(share * width**2 for share, width in GAUSSIANS) * SEEING**2
    expected = of_psf + 1.6**2 / 12
    if kind == "disc":
        expected += 3 * (5.0 / EXPONENTIAL_HALF_LIGHT) ** 2
    assert (column * (x - mean) ** 2).sum() == pytest.approx(expected, rel=0.1)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 90), st.floats(0.05, 0.5), st.booleans())
def test_a_tilt_keeps_the_light_and_its_middle(
    inclination: float, height: float, dim: bool
) -> None:
    rng = np.random.default_rng(1)
    plane = np.zeros((64, 64), np.float32)
    plane[24:40, 20:44] = rng.random((16, 24), dtype=np.float32)
    tilt = Tilt(inclination, 64, 0.5, 96, 0.4)
    parts = layers(plane, height, tilt, Layer(0.3 * height, 2.0) if dim else None)
    whole = np.sum(parts, axis=0)
    np.testing.assert_allclose(whole.sum(axis=0), plane.sum(axis=0), rtol=3e-3, atol=1e-3)
    v = (np.arange(96) - 47.5) * 0.4
    y = (np.arange(64) - 31.5) * 0.5 * math.cos(math.radians(inclination))
    expected = (plane.sum(axis=1) * y).sum() / plane.sum()
    assert (whole.sum(axis=1) * v).sum() / whole.sum() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("q0", [0.08, 0.2, 0.35, 0.55])
def test_an_edge_on_disc_is_as_thick_as_said(q0: float) -> None:
    galaxy = replace(disc(90, radius=3.0, q0=q0), position_angle_deg=90.0)
    light = paint_disc(galaxy, Frame(256, 0.1), ("r",)).bands["r"].astype(float)
    axis = (np.arange(256) - 127.5) * 0.1
    across = (light.sum(axis=1) * axis**2).sum() / light.sum()
    # Of an exponential disc the variance along its major axis is three scale lengths squared.
    length = galaxy.radius_arcsec / EXPONENTIAL_HALF_LIGHT
    assert math.sqrt(across / 3) / length == pytest.approx(q0, rel=0.03)


def test_dust_dims_and_reddens_with_tilt() -> None:
    left, colour = [], []
    for inclination in (0, 40, 60, 75, 85, 90):
        painted = paint_disc(disc(inclination, dust=Dust(0.6)), FRAME, ("g", "r", "i"))
        g, r = (float(painted.bands[name].sum()) for name in "gr")
        left.append(painted.left)
        colour.append(-2.5 * math.log10(g / r))
        assert painted.left == pytest.approx(r / 0.993, abs=0.02)
    assert left[0] > 0.75
    assert all(before > after for before, after in pairwise(left[:-1]))
    assert left[-1] < 0.75
    assert colour[0] > 0.5
    assert all(before < after for before, after in pairwise(colour[:4]))


def test_without_dust_nothing_is_lost() -> None:
    painted = paint_disc(disc(70, dust=None), FRAME, ("r",))
    assert painted.left == 1
    barely = paint_disc(disc(70, dust=Dust(1e-6)), FRAME, ("r",))
    np.testing.assert_allclose(barely.bands["r"], painted.bands["r"], atol=3e-4)


def test_an_edge_on_disc_has_a_dust_lane_in_its_middle() -> None:
    galaxy = replace(disc(90, q0=0.2, dust=Dust(1.5, height=0.25)), position_angle_deg=90.0)
    profile = paint_disc(galaxy, Frame(128, 0.2), ("r",)).bands["r"][:, 54:74].sum(axis=1)
    crest = int(np.argmax(profile))
    assert profile[63:65].mean() < 0.7 * profile[crest]
    np.testing.assert_allclose(profile, profile[::-1], rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("near_side", [-1, 1])
def test_the_near_side_of_a_bulge_is_dimmed(near_side: int) -> None:
    bulge = Bulge(0.6, 2.0, 1.5, 0.8, 0.8)
    galaxy = disc(75, bulge=bulge, dust=Dust(2.0, extent=2.0), near_side=near_side)
    galaxy = replace(galaxy, position_angle_deg=0.0)
    light = paint_disc(galaxy, Frame(128, 0.2), ("r",)).bands["r"]
    right, left = light[54:74, 68:].sum(), light[54:74, :60].sum()
    assert (right < 0.9 * left) == (near_side == 1)
    assert (left < 0.9 * right) == (near_side == -1)


def test_rings_breaks_and_lopsidedness_keep_the_light() -> None:
    plain = paint_plane(disc(0), Disc(0, 0.2), 256, 0.2).old
    for parts in (
        {"ring": Ring(0.3, 5.0, 0.1)},
        {"break_radius": 2.5},
        {"lopsidedness": 0.4, "lopsided_deg": 60.0},
    ):
        galaxy = disc(0, **parts)
        assert galaxy.disc is not None
        other = paint_plane(galaxy, galaxy.disc, 256, 0.2).old
        assert other.sum() == pytest.approx(plain.sum(), rel=0.01)
        assert np.abs(other - plain).sum() > 0.05 * plain.sum()


def test_clumps_take_their_light_from_the_arms() -> None:
    even, clumped = (
        paint_plane(disc(0), Disc(0, 0.2, arms=replace(ARMS, clumps=share)), 256, 0.2).young
        for share in (0.0, 0.3)
    )
    assert even is not None
    assert clumped is not None
    assert clumped.sum() == pytest.approx(even.sum(), rel=0.02)
    assert clumped.max() > 3 * even.max()


def test_a_warp_lifts_the_ends_of_an_edge_on_disc() -> None:
    galaxy = replace(disc(90, warp=0.4), position_angle_deg=90.0)
    light = paint_disc(galaxy, Frame(256, 0.2), ("r",)).bands["r"]
    axis = (np.arange(256) - 127.5) * 0.2
    heights = (light * axis[:, None]).sum(axis=0) / np.maximum(light.sum(axis=0), 1e-12)
    inner, outer = np.abs(axis) < 3, (np.abs(axis) > 9) & (np.abs(axis) < 12)
    assert np.abs(heights[inner]).max() < 0.05
    assert (np.sign(axis[outer]) * heights[outer]).min() > 0.2


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_drawn_without_a_warning(kind: str) -> None:
    options = SimulateSettings(
        size=64, format="jpeg", zoom=[0.4, 2.5], neighbours=3.0, nuisance=0.3, variety=1.0
    )
    for index in range(200):
        survey = ("sdss", "legacy", "hsc")[index % 3]
        drawing = drawing_of(2, index, kind, options.model_copy(update={"survey": survey}))
        assert all(np.isfinite(band).all() for band in drawing.observed.values())
        assert drawing.picture.shape == (64, 64, 3)
        numbers = [value for value in drawing.row().values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()


def test_the_inclination_can_be_told_from_the_picture() -> None:
    """Axial ratios by moments of clean discs follow the inclinations of their rows."""
    options = SimulateSettings(
        size=96, inclination="uniform", neighbours=0.0, sky_noise=0.1, fractions={"disc": 1.0}
    )
    found = []
    for index in range(150):
        drawing = drawing_of(3, index, "disc", options)
        row = drawing.row()
        if row["half_light_radius_pixels"] < 7:
            continue
        light = np.maximum(drawing.scene.bands["r"] - 0.02, 0)
        y, x = np.mgrid[:96, :96] - 47.5
        covariance = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=light.ravel())
        small, large = np.linalg.eigvalsh(covariance)
        found.append((row["inclination"], math.degrees(math.acos(math.sqrt(small / large)))))
    assert len(found) > 40
    assert np.corrcoef(np.array(found).T)[0, 1] > 0.9
