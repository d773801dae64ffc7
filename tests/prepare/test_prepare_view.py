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
from morphoscope.measure.place import find_place
from morphoscope.prepare import prepare_pixels
from morphoscope.recipe import PrepareSettings

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
    size=st.floats(3, 12),
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
    assert after.semi_major == pytest.approx(8, rel=0.15)


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


def test_bands_are_seen_alike_and_masks_go_with_them() -> None:
    chosen: dict[str, Any] = {
        "size": 32, "channels": "bands", "bands": list(BANDS), "depth": "float16",
        "stretch": "asinh", "white": 100.0, "softening": 0.1, "view": "galaxy",
    }  # fmt: skip
    settings_of = PrepareSettings(**chosen)
    light = noisy(draw(0.4, 60, size=5, side=96, centre=(44, 50), peak=50), 0.1)
    flux = np.stack([light, light, light], axis=2).astype(np.float32)
    seen = prepare_pixels(flux, settings_of).astype(float)
    assert np.array_equal(seen[0], seen[1])
    shape = measure_shape(np.sinh(seen[0] / 255 * math.asinh(1000)))
    assert shape.axial_ratio == pytest.approx(measure_shape(light).axial_ratio, abs=0.05)
    holed = flux.copy()
    holed[44, 50, 1] = np.nan
    assert np.isfinite(prepare_pixels(holed, settings_of)).all()
    holed[30:60, 35:65, 1] = np.nan
    with pytest.raises(ImageError) as caught:
        prepare_pixels(holed, settings_of)
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
