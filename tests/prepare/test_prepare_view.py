"""The view of a galaxy: wherever it lies and however turned, it comes out level and to size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from fits_files import BANDS
from measure.drawn import draw, noisy
from morphoscope.errors import ImageError
from morphoscope.measure import measure_shape
from morphoscope.prepare import prepare_pixels
from morphoscope.recipe import PrepareSettings
from morphoscope.sources import find_place
from morphoscope.sources.corners import blank_corners

VIEW = PrepareSettings(size=64, channels="grey", view="galaxy", pad="edge")
WHOLE = PrepareSettings(size=64, channels="grey")


def picture(light: NDArray[np.float64], sky: float = 20.0, top: float = 200.0) -> NDArray[np.uint8]:
    """Grey levels (ny, nx, 1) of a galaxy of peak 1000, with noise of two levels."""
    levels = noisy(sky + light * (top / 1000), 2.0)
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)[..., None]


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(0.25, 0.85),
    angle=st.floats(0, 180),
    size=st.floats(4, 12),
    off=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
)
def test_axial_ratio_is_kept_and_the_rest_is_levelled(
    ratio: float, angle: float, size: float, off: tuple[float, float]
) -> None:
    side = 160
    centre = (side / 2 + off[0], side / 2 + off[1])
    drawn = picture(draw(ratio, angle, size=size, side=side, centre=centre))
    before = measure_shape(drawn)
    after = measure_shape(prepare_pixels(drawn, VIEW)[0])
    assert after.axial_ratio == pytest.approx(before.axial_ratio, abs=0.06)
    assert (after.x, after.y) == pytest.approx((31.5, 31.5), abs=1.5)
    # Upwards is 0°, so level is 90°; near a circle there is no major axis.
    tilt = abs((after.position_angle_deg - 90 + 90) % 180 - 90)
    assert tilt < (4 if ratio < 0.7 else 20)
    # Half of the side is four semi-major axes of what rises above the sky.
    assert after.semi_major == pytest.approx(8, rel=0.2)


def test_large_images_are_searched_small_and_seen_whole() -> None:
    light = draw(0.4, 30, size=20, side=424, centre=(220, 205))
    place = find_place(picture(light))
    assert place is not None
    assert (place.x, place.y) == pytest.approx((205, 220), abs=0.5)
    assert place.position_angle == pytest.approx(30, abs=1)
    whole = measure_shape(picture(light))
    assert place.semi_major == pytest.approx(whole.semi_major, rel=0.15)


def test_dark_on_bright_is_found_as_well() -> None:
    drawn = picture(draw(0.4, 120, size=5, side=100, centre=(45, 56)), sky=10)
    place = find_place(255 - drawn)
    assert place is not None
    assert (place.x, place.y) == pytest.approx((56, 45), abs=0.5)
    view = prepare_pixels(255 - drawn, VIEW)
    assert np.array_equal(view, 255 - prepare_pixels(drawn, VIEW))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((80, 80, 1), np.uint8),
        np.random.default_rng(1).integers(10, 20, (80, 60, 1)).astype(np.uint8),
        np.full((8, 8, 1), 30, np.uint8),
    ],
    ids=["blank", "noise", "tiny"],
)
def test_where_nothing_is_found_the_frame_is_taken(pixels: NDArray[np.uint8]) -> None:
    assert np.array_equal(prepare_pixels(pixels, VIEW.model_copy(update={"pad": "zero"})),
                          prepare_pixels(pixels, WHOLE))  # fmt: skip


def test_the_same_galaxy_turned_gives_the_same_view() -> None:
    drawn = picture(draw(0.5, 25, size=6, side=121))
    views = [prepare_pixels(np.rot90(drawn, k), VIEW)[0].astype(int) for k in range(4)]
    for view in views[1:]:
        nearest = min(np.abs(view - views[0]).max(), np.abs(view[::-1, ::-1] - views[0]).max())
        assert nearest <= 2


def test_a_view_never_mirrors() -> None:
    """A galaxy with a blob on its left, seen along the axis from either end, keeps its hand."""
    light = draw(0.4, 0, size=8, side=121)
    light += draw(1, 0, kind="gaussian", size=2, side=121, centre=(48, 54), peak=300)
    view = prepare_pixels(picture(light), VIEW)[0].astype(float)
    # Up and to the left of the centre along an upright axis; a turn brings that to the upper right
    # or the lower left, a mirror would bring it to the other two corners.
    blob = np.clip(view - view[::-1, ::-1], 10, None) - 10
    turned = blob[:32, 32:].sum() + blob[32:, :32].sum()
    mirrored = blob[:32, :32].sum() + blob[32:, 32:].sum()
    assert turned > 5 * mirrored


def of_bands(**values: Any) -> PrepareSettings:
    chosen = {
        "size": 32, "channels": "bands", "bands": list(BANDS), "depth": "float16",
        "stretch": "asinh", "white": 100.0, "softening": 0.1, "view": "galaxy", **values,
    }  # fmt: skip
    return PrepareSettings(**chosen)


def flux_of(view: NDArray[Any]) -> NDArray[np.float64]:
    """Flux (size, size) of one prepared band."""
    return np.asarray(np.sinh(view.astype(float) / 255 * math.asinh(1000)) * 0.1)


def cube(size: float, side: int, angle: float = 60) -> NDArray[np.float32]:
    """Flux (ny, nx, band) of a galaxy, each band three times as bright as the one before."""
    light = draw(0.4, angle, size=size, side=side, centre=(side / 2 - 4, side / 2 + 2), peak=50)
    noise = np.random.default_rng(3).normal(0, 0.1, (side, side, 3))
    return (light[..., None] * np.array([1, 3, 9]) + noise).astype(np.float32)


@pytest.mark.parametrize(("size", "side"), [(3, 64), (6, 128), (20, 400)])
def test_bands_are_seen_alike(size: float, side: int) -> None:
    flux = cube(size, side)
    seen = flux_of(prepare_pixels(flux, of_bands()))
    shape = measure_shape(seen[1])
    assert shape.axial_ratio == pytest.approx(measure_shape(flux[..., 1]).axial_ratio, abs=0.05)
    middle = seen[:, 12:20, 12:20].mean((1, 2))
    assert middle[1:] / middle[:-1] == pytest.approx([3, 3], rel=0.05)


@pytest.mark.parametrize("pad", ["zero", "edge"])
def test_what_is_masked_leaves_no_dark_holes(pad: str) -> None:
    flux = cube(20, 400)
    whole = flux_of(prepare_pixels(flux, of_bands(pad=pad)))
    y, x = np.mgrid[:400, :400]
    holed = flux.copy()
    # A star with a radius of twelve pixels on the galaxy, dead pixels, and a frame without rim.
    holed[np.hypot(y - 215, x - 225) < 12, 1] = np.nan
    holed[np.random.default_rng(5).random(holed.shape) < 0.02] = np.nan
    holed[:3], holed[-3:], holed[:, :3], holed[:, -3:] = (np.nan,) * 4
    found = flux_of(prepare_pixels(holed, of_bands(pad=pad)))
    bright = whole > 5
    assert np.median(np.abs(found / whole - 1)[bright]) < 0.02
    assert (found[bright] > 0.5 * whole[bright]).all()


def test_dead_pixels_do_not_hide_a_galaxy_in_a_large_frame() -> None:
    flux = cube(24, 480)
    flux[np.random.default_rng(5).random(flux.shape) < 0.05] = np.nan
    found, truth = find_place(flux), find_place(cube(24, 480))
    assert found is not None
    assert truth is not None
    assert (found.x, found.y) == pytest.approx((truth.x, truth.y), abs=1.5)
    assert found.semi_major == pytest.approx(truth.semi_major, rel=0.03)
    masked = find_place(np.nan_to_num(flux, nan=1e6), np.isnan(flux).any(2))
    assert masked is not None
    assert (masked.x, masked.y) == pytest.approx((truth.x, truth.y), abs=1.5)


def test_a_galaxy_masked_in_its_middle_is_refused() -> None:
    flux = cube(5, 96)
    flux[30:60, 35:65, 1] = np.nan
    with pytest.raises(ImageError) as caught:
        prepare_pixels(flux, of_bands())
    assert caught.value.data["reason"] == "masked"


@pytest.mark.parametrize(
    "values",
    [
        {"view": "galaxy", "crop_fraction": 0.5},
        {"view": "galaxy", "crop": [2, 66, 69]},
        {"view_radius": 5.0},
        {"view": "galaxy", "view_radius": 0.5},
        {"view": "galaxies"},
    ],
)
def test_settings_that_contradict(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PrepareSettings(**values)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("fill", [0, 12, 255])
def test_blank_corners_hide_no_galaxy(negative: bool, fill: int) -> None:
    drawn = picture(draw(0.4, 120, size=6, side=128, centre=(60, 66)), sky=40)
    drawn = 255 - drawn if negative else drawn
    truth = find_place(drawn)
    y, x = np.abs(np.mgrid[:128, :128] - 63.5)
    drawn[x + y > 88] = fill
    place = find_place(drawn)
    assert place is not None
    assert truth is not None
    assert (place.x, place.y) == pytest.approx((truth.x, truth.y), abs=0.7)
    assert place.semi_major == pytest.approx(truth.semi_major, rel=0.1)
    assert place.position_angle == pytest.approx(truth.position_angle, abs=4)


@pytest.mark.parametrize(("scale", "ratio"), [(4, 0.5), (8, 0.3)])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_a_white_sky_is_no_corner(scale: float, ratio: float, noise: float) -> None:
    light = noisy(draw(ratio, 40, size=scale, side=128, peak=180), noise)
    drawn = np.clip(np.round(light), 0, 255).astype(np.uint8)[..., None]
    truth, place = find_place(drawn), find_place(255 - drawn)
    assert truth is not None
    assert place == truth


def test_light_that_reaches_a_corner_is_no_blank() -> None:
    light = np.clip(20 + 0.9 * draw(0.15, 45, size=60, side=128), 0, 255)
    assert blank_corners(light.astype(np.uint8)[..., None]) is None


def test_corners_are_seen_in_large_images_beside_a_mask_and_by_measure() -> None:
    drawn = picture(draw(0.4, 120, size=18, side=384, centre=(180, 198)), sky=40)
    truth, shape = find_place(drawn), measure_shape(drawn)
    y, x = np.abs(np.mgrid[:384, :384] - 191.5)
    drawn[x + y > 264] = 255
    mask = np.zeros((384, 384), bool)
    mask[0, 0] = True
    assert truth is not None
    for place in (find_place(drawn), find_place(drawn, mask)):
        assert place is not None
        assert place.semi_major == pytest.approx(truth.semi_major, rel=0.05)
    assert measure_shape(drawn).axial_ratio == pytest.approx(shape.axial_ratio, abs=0.02)
