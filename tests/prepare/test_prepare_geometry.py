"""Where pixels land, and how much light they keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from morphoscope.prepare.geometry import (
    central_crop,
    crop_side,
    pad_square,
    resize,
    side_needed,
)

Pixels = NDArray[Any]


def galaxy(side: int, *, dtype: type = np.uint8, centre: tuple[float, float] = (0, 0)) -> Pixels:
    """Round exponential disc in three colours, its centre (y, x) from the image's."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    light = np.exp(-np.hypot(y - centre[0], x - centre[1]) / (side / 12))
    values = light[..., None] * np.array([220, 180, 120]) + 8
    return np.rint(values).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


@given(side=st.integers(1, 2000), fraction=st.floats(0.01, 1))
def test_the_crop_is_central_and_of_its_share(side: int, fraction: float) -> None:
    found = crop_side(side, fraction)
    assert 1 <= found <= side
    assert (side - found) % 2 == 0
    assert abs(found - side * fraction) <= 1 or found <= 2


@given(size=st.integers(16, 1024), fraction=st.floats(0.05, 1), more=st.integers(0, 50))
def test_the_side_needed_leaves_enough(size: int, fraction: float, more: int) -> None:
    assert crop_side(side_needed(size, fraction) + more, fraction) >= 0.95 * size


def test_padding_keeps_the_middle_and_fills_as_asked() -> None:
    image = np.arange(1, 13, dtype=np.uint8).reshape(2, 6, 1)
    black = pad_square(image, "zero")
    assert black.shape == (6, 6, 1)
    np.testing.assert_array_equal(black[2:4], image)
    assert black[[0, 1, 4, 5]].max() == 0
    edge = pad_square(image.transpose(1, 0, 2), "edge")
    np.testing.assert_array_equal(edge[:, :3, 0], image[:1].transpose(1, 0, 2).repeat(3, 1)[..., 0])


def test_the_crop_takes_the_middle() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1)
    np.testing.assert_array_equal(central_crop(image, 0.6), image[2:8, 2:8])
    assert central_crop(image, 1.0).shape == (10, 10, 1)


def test_a_dot_lands_where_geometry_says() -> None:
    image = np.zeros((120, 120, 1), np.float32)
    image[60:64, 80:84] = 255
    small = resize(image, 30)
    assert small[15, 20, 0] == 255
    assert np.count_nonzero(small) == 1


def overlaps(side: int, size: int) -> Pixels:
    """Share of each of `side` pixels in each of `size` wider ones."""
    edges, pixels = np.arange(size + 1) * side / size, np.arange(side)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(shared, 0, None) * size / side


@pytest.mark.parametrize(("side", "size"), [(423, 64), (253, 128), (212, 128), (127, 64), (96, 64)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_areas_agree_with_their_definition(side: int, size: int, dtype: Any) -> None:
    random = np.random.default_rng(1)
    image = galaxy(side) // 2 + random.integers(0, 25, (side, side, 3), dtype=np.uint8)
    image = image.astype(dtype)
    weights = overlaps(side, size)
    expected = np.einsum("ji,ikc,lk->jlc", weights, image, weights, optimize=True)
    difference = np.abs(resize(image, size) - expected)
    if dtype == np.float32:
        assert difference.max() < 1e-3
    else:
        assert difference.mean() < 0.4
        assert difference.max() < 2.5


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_whole_factors_agree_with_pillow(factor: int) -> None:
    image = np.random.default_rng(5).integers(0, 256, (factor * 32,) * 2 + (3,), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).reduce(factor)).astype(int)
    assert np.abs(resize(image, 32) - expected).max() <= 1


@pytest.mark.parametrize(("side", "size"), [(423, 64), (253, 128), (212, 128), (96, 64), (64, 16)])
def test_the_mean_flux_stays(side: int, size: int) -> None:
    image = np.random.default_rng(2).normal(0, 1, (side, side, 3)).astype(np.float32) + 5
    np.testing.assert_allclose(resize(image, size).mean((0, 1)), image.mean((0, 1)), rtol=1e-4)
    levels = galaxy(side)
    np.testing.assert_allclose(resize(levels, size).mean(), levels.mean(), atol=0.3)


@pytest.mark.parametrize("side", [40, 64, 70, 127, 128, 200, 423])
def test_a_constant_image_stays_constant(side: int) -> None:
    for value in (0, 7, 255):
        assert set(resize(np.full((side, side, 3), value, np.uint8), 64).ravel()) == {value}


@settings(deadline=None, max_examples=40)
@given(side=st.integers(20, 300), size=st.sampled_from([16, 33, 64]), seed=st.integers(0, 99))
def test_turns_and_mirrors_commute(side: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = galaxy(side, centre=(random.uniform(-5, 5), random.uniform(-5, 5)))
    small = resize(image, size).astype(int)
    for turn in (np.fliplr, np.flipud, np.rot90):
        turned = resize(np.ascontiguousarray(turn(image)), size)
        assert np.abs(turned - turn(small)).max() <= 1


def test_growing_keeps_shape_and_range() -> None:
    image = galaxy(40)[..., :1]
    large = resize(image, 64)
    assert large.shape == (64, 64, 1)
    assert abs(float(large.mean()) - float(image.mean())) < 0.5
