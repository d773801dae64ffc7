"""Descriptors tell what differs, and are numbers for any image."""

from __future__ import annotations

import numpy as np
import pytest
from skies import galaxies

from morphoscope.errors import StoreError
from morphoscope.familiarity import describe


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("side", [16, 17, 33, 64, 144])
def test_any_shape_has_numbers_of_its_own(channels: int, side: int) -> None:
    rng = np.random.default_rng(side)
    images = rng.integers(0, 256, (3, channels, side, side)).astype(np.uint8)
    found = describe(images)
    assert np.isfinite(found).all()
    assert found.shape == (3, describe(images[:1] * 0).shape[1])
    assert 30 < found.shape[1] < 90
    assert not np.allclose(found[0], found[1])


def test_an_image_has_the_same_numbers_among_others() -> None:
    images = galaxies(40, seed=1)
    alone = np.concatenate([describe(image[None]) for image in images])
    np.testing.assert_allclose(describe(images), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [2, 3])
def test_a_mirror_image_has_the_same_numbers(axis: int) -> None:
    images = galaxies(5, seed=2)
    np.testing.assert_allclose(
        describe(np.flip(images, axis)), describe(images), rtol=1e-3, atol=2e-3
    )


def test_no_image_has_no_numbers() -> None:
    images = galaxies(2, seed=3)
    assert describe(images[:0]).shape == (0, describe(images).shape[1])


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_images_have_finite_numbers(value: int) -> None:
    assert np.isfinite(describe(np.full((2, 3, 32, 32), value, np.uint8))).all()


def test_floats_without_value_count_as_zero() -> None:
    images = galaxies(2, seed=4).astype(np.float16)
    holes = images.copy()
    holes[0, 0, 3], holes[1, 2, 4, 5] = np.nan, np.inf
    images[0, 0, 3], images[1, 2, 4, 5] = 0, 0
    np.testing.assert_array_equal(describe(holes), describe(images))
    assert np.isfinite(describe(np.full((1, 1, 32, 32), np.nan, np.float16))).all()
    assert np.isfinite(describe(np.full((1, 3, 32, 32), -6e4, np.float16))).all()


def test_float_and_byte_of_the_same_scale_are_alike() -> None:
    images = galaxies(3, seed=5)
    np.testing.assert_allclose(
        describe(images.astype(np.float16)), describe(images), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "images", [np.zeros((3, 32, 32)), np.zeros((1, 3, 4, 4)), np.zeros((1, 0, 32, 32))]
)
def test_what_is_no_image_is_refused(images: np.ndarray) -> None:
    with pytest.raises(StoreError, match="sides of at least 8"):
        describe(images)
