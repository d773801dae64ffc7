"""Neighbours, edges, holes, tiny and empty images: measured right, or flagged."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import draw, noisy, off

from morphoscope.measure import Shape, measure_shape

FALSE = np.zeros((160, 160), bool)


def unmeasured(shape: Shape, flag: str) -> bool:
    values = [value for name, value in vars(shape).items() if name != "flag"]
    return shape.flag == flag and bool(np.isnan(values).all())


def test_a_far_brighter_neighbour_does_not_take_its_place() -> None:
    galaxy = draw(0.4, 30, size=6)
    star = draw(1.0, kind="gaussian", size=2, peak=100_000, centre=(40, 125))
    shape = measure_shape(noisy(galaxy + star, 5))
    assert (shape.y, shape.x) == pytest.approx((79.5, 79.5), abs=0.3)
    assert shape.axial_ratio == pytest.approx(0.4, abs=0.03)
    assert shape.axial_ratio_isophote == pytest.approx(0.4, abs=0.03)
    assert off(shape.position_angle_deg, 30) < 2


@pytest.mark.parametrize("place", [(60, 95), (95, 100), (105, 72)])
def test_a_star_on_the_disc_is_parted_and_replaced(place: tuple[int, int]) -> None:
    galaxy = draw(0.6, 30, size=10)
    star = draw(1.0, kind="gaussian", size=2, peak=1500, centre=place)
    shape = measure_shape(noisy(galaxy + star, 5))
    assert shape.axial_ratio == pytest.approx(0.6, abs=0.03)
    assert shape.axial_ratio_isophote == pytest.approx(0.6, abs=0.03)


def test_a_mask_hides_what_the_person_knows() -> None:
    galaxy = draw(0.5, 30, size=10)
    spoilt = galaxy.copy()
    spoilt[70:78, 92:100] = 20_000
    mask = FALSE.copy()
    mask[69:79, 91:101] = True
    shape = measure_shape(noisy(spoilt, 5), mask)
    assert shape.axial_ratio == pytest.approx(0.5, abs=0.03)
    assert shape.flag == "masked"


def test_rows_without_values_are_no_dark_rows() -> None:
    image = noisy(draw(0.5, 30, size=10), 5)
    whole = measure_shape(image)
    image[77:79] = np.nan
    image[:, 90] = np.inf
    image[:5] = np.nan
    shape = measure_shape(image)
    assert shape.axial_ratio == pytest.approx(whole.axial_ratio, abs=0.02)
    assert shape.axial_ratio_isophote == pytest.approx(whole.axial_ratio_isophote, abs=0.02)
    assert shape.half_light_radius == pytest.approx(whole.half_light_radius, rel=0.05)
    assert shape.flag == "masked"


def test_a_band_without_any_value_is_left_out() -> None:
    image = noisy(draw(0.5, 30), 5)
    bands = np.stack([image, np.full_like(image, np.nan), image], -1)
    assert measure_shape(bands) == measure_shape(image)


def test_cut_by_the_edge_is_measured_and_told() -> None:
    shape = measure_shape(noisy(draw(0.3, 90, size=40), 5))
    assert shape.flag == "cut_by_edge"
    assert shape.axial_ratio < 0.6
    assert off(shape.position_angle_deg, 90) < 2
    inside = measure_shape(noisy(draw(0.3, 90, size=8), 5))
    assert inside.flag is None


def test_a_star_alone_is_round_and_with_its_seeing_unresolved() -> None:
    star = noisy(draw(1.0, kind="gaussian", size=1.7), 1)
    assert measure_shape(star).axial_ratio > 0.95
    told = measure_shape(star, psf_fwhm=1.7 * 2.3548)
    assert told.flag == "unresolved"
    assert np.isnan(told.axial_ratio)


def test_saturated_cores_are_told() -> None:
    light = draw(0.5, 30, peak=3000)
    eight = np.repeat(np.clip(noisy(light, 3) + 10, 0, 255).astype(np.uint8)[..., None], 3, 2)
    shape = measure_shape(eight)
    assert shape.flag == "saturated"
    assert shape.axial_ratio == pytest.approx(0.5, abs=0.03)
    assert measure_shape(np.minimum(light, 500)).flag == "saturated"
    assert measure_shape(light).flag is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, ">f4"])
def test_any_type_of_number(dtype: str) -> None:
    image = (noisy(draw(0.5, 30, peak=200), 2) + 20).clip(0, 255).astype(dtype)
    assert measure_shape(image).axial_ratio == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 60)),
        np.full((60, 60, 3), np.nan),
        np.full((60, 60), np.inf),
        np.full((60, 60), 1e300),
        np.full((60, 60, 3), 90, np.uint8),
    ],
)
def test_nothing_to_see(image: np.ndarray) -> None:
    assert unmeasured(measure_shape(image), "blank")


def test_all_masked_is_blank() -> None:
    assert unmeasured(measure_shape(draw(0.5), ~FALSE), "blank")


def test_noise_alone_holds_no_source() -> None:
    for seed in range(10):
        assert unmeasured(measure_shape(noisy(np.zeros((160, 160)), 5, seed)), "no_source")


def test_a_source_far_from_the_middle_is_not_the_galaxy() -> None:
    image = noisy(draw(0.5, size=4, centre=(30, 30)), 5)
    assert unmeasured(measure_shape(image), "no_source")


def test_ten_pixels_are_enough_for_a_small_galaxy_and_nine_are_not() -> None:
    small = draw(0.6, 90, size=1.2, side=10, kind="gaussian")
    shape = measure_shape(small)
    assert shape.axial_ratio == pytest.approx(0.6, abs=0.1)
    assert off(shape.position_angle_deg, 90) < 1
    assert unmeasured(measure_shape(small[1:]), "too_small")
    assert unmeasured(measure_shape(np.ones((3, 300, 3), np.uint8)), "too_small")


def test_a_few_pixels_are_no_shape() -> None:
    image = noisy(np.zeros((60, 60)), 5)
    image[30, 30] += 200
    assert unmeasured(measure_shape(image), "too_small")


def test_what_is_thinner_than_a_point_has_no_ratio() -> None:
    image = noisy(np.zeros((60, 60)), 5)
    image[29:31, 29:31] += 100
    shape = measure_shape(image, psf_fwhm=4)
    assert shape.flag == "unresolved"
    assert np.isnan([shape.axial_ratio, shape.axial_ratio_isophote]).all()


def test_misuse_is_told() -> None:
    with pytest.raises(ValueError, match="no image"):
        measure_shape(np.zeros(9))
    with pytest.raises(ValueError, match="mask"):
        measure_shape(np.zeros((20, 20)), np.zeros((20, 21), bool))
    with pytest.raises(ValueError, match="psf_fwhm"):
        measure_shape(np.zeros((20, 20)), psf_fwhm=-1)


@pytest.mark.parametrize("size", [(12, 300), (300, 12), (11, 13)])
def test_any_shape_of_frame(size: tuple[int, int]) -> None:
    image = np.zeros(size)
    part = draw(0.8, 0, size=1.5, side=11, kind="gaussian")
    y, x = (size[0] - 11) // 2, (size[1] - 11) // 2
    image[y : y + 11, x : x + 11] = part
    assert measure_shape(image).axial_ratio == pytest.approx(0.8, abs=0.1)


def test_a_field_of_stars_ends_well() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((200, 200))
    for y, x in rng.uniform(5, 195, (2500, 2)):
        image[int(y), int(x)] += rng.uniform(100, 10_000)
    import cv2

    shape = measure_shape(noisy(cv2.GaussianBlur(image, (0, 0), 1.5), 1))
    assert shape.flag is None or "no_source" not in shape.flag
