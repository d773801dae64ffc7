"""Augmentations keep what they say they keep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from morphoscope.augment import AUGMENTATIONS, augment, describe, handed_pairs, refused
from morphoscope.errors import RecipeError
from morphoscope.recipe import AugmentSettings

OFF = AugmentSettings(rotate=False, mirror=False, zoom=[], shift=0.0, brightness=0.0)
HANDED = ["elliptical", "spiral_clockwise", "spiral_anticlockwise"]
PAIR = [["spiral_clockwise", "spiral_anticlockwise"]]


def only(**values: Any) -> AugmentSettings:
    return OFF.model_copy(update=values)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc(axial_ratio: float, angle: float, size: int = 96) -> Tensor:
    """An inclined disc of Gaussian profile, sigma 10 pixels along its major axis."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = 200 * np.exp(-0.5 * (along**2 + (across / axial_ratio) ** 2) / 10**2)
    return torch.from_numpy(np.round(light).astype(np.uint8))[None, None]


def moments(image: Tensor) -> tuple[float, float, float]:
    """Axial ratio, position angle (rad) and major axis (pixels) from second moments."""
    light = image.double().numpy()
    y, x = np.mgrid[: light.shape[0], : light.shape[1]].astype(float)
    total = light.sum()
    x, y = x - (x * light).sum() / total, y - (y * light).sum() / total
    cxx, cyy, cxy = (float((a * light).sum() / total) for a in (x * x, y * y, x * y))
    minor, major = np.linalg.eigvalsh([[cxx, cxy], [cxy, cyy]])
    return math.sqrt(minor / major), 0.5 * math.atan2(2 * cxy, cxx - cyy), math.sqrt(major)


@settings(max_examples=25, deadline=None)
@given(
    axial_ratio=st.floats(0.25, 1.0),
    angle=st.floats(0, math.pi),
    seed=st.integers(0, 2**31),
)
def test_axial_ratio_is_kept(axial_ratio: float, angle: float, seed: int) -> None:
    image = disc(axial_ratio, angle)
    changed, _ = augment(
        image, torch.zeros(1, dtype=torch.int64), AugmentSettings(), generator=generator(seed)
    )
    before, after = moments(image[0, 0])[0], moments(changed[0, 0])[0]
    assert after == pytest.approx(before, abs=0.012)


def test_angles_and_sizes_are_spread_as_asked() -> None:
    n = 400
    images = disc(0.4, 0.3, 64).expand(n, 1, 64, 64)
    changed, _ = augment(
        images,
        torch.zeros(n, dtype=torch.int64),
        only(rotate=True, zoom=[0.7, 1.2]),
        generator=generator(),
    )
    measured = np.array([moments(image[0]) for image in changed])
    # Position angles over half a turn, uniformly; zooms from end to end, as many below as above
    # the geometric mean.
    octants = np.histogram(measured[:, 1], 8, (-math.pi / 2, math.pi / 2))[0]
    assert octants.min() > 0.55 * n / 8
    scale = measured[:, 2] / moments(images[0, 0])[2]
    assert 0.68 < scale.min() < 0.73
    assert 1.15 < scale.max() < 1.22
    assert np.median(scale) == pytest.approx(math.sqrt(0.7 * 1.2), abs=0.03)


def test_mirror_is_exact_and_swaps_handed_labels() -> None:
    images = torch.randint(0, 256, (200, 3, 17, 17), generator=generator(), dtype=torch.uint8)
    labels = torch.arange(200) % 3
    changed, after = augment(
        images, labels, only(mirror=True), generator=generator(2), swap=torch.tensor([0, 2, 1])
    )
    flipped = images.flip(3).float()
    mirrored = (changed - flipped).abs().amax((1, 2, 3)) < 1e-2
    kept = (changed - images.float()).abs().amax((1, 2, 3)) < 1e-2
    assert torch.equal(mirrored, ~kept)
    assert 70 < int(mirrored.sum()) < 130
    assert torch.equal(after, torch.where(mirrored, torch.tensor([0, 2, 1])[labels], labels))


def test_rotation_turns_by_one_angle_about_the_centre() -> None:
    """Compared with OpenCV's own warp by the angle that is measured in the image."""
    import cv2

    image = disc(0.3, 0.0)
    changed, _ = augment(
        image, torch.zeros(1, dtype=torch.int64), only(rotate=True), generator=generator(3)
    )
    turned = -math.degrees(moments(changed[0, 0])[1])
    matrix = cv2.getRotationMatrix2D((47.5, 47.5), turned, 1.0)
    expected = cv2.warpAffine(image[0, 0].numpy().astype(np.float32), matrix, (96, 96))
    assert np.abs(expected - changed[0, 0].numpy()).max() < 4


def test_shift_moves_the_centre_at_most_so_far() -> None:
    n = 300
    changed, _ = augment(
        disc(1.0, 0.0, 64).expand(n, 1, 64, 64),
        torch.zeros(n, dtype=torch.int64),
        only(shift=0.1),
        generator=generator(),
    )
    peaks = changed.flatten(1).argmax(1)
    offsets = torch.stack([peaks % 64, peaks // 64]) - 31.5
    assert offsets.abs().max() <= 6.4 + 1
    assert offsets.abs().max() > 5.5
    assert offsets.mean(1).abs().max() < 1.0


def test_corners_hold_neither_dark_wedges_nor_ghosts() -> None:
    image = torch.clamp(disc(0.8, 0.5, 64), min=40)
    changed, _ = augment(
        image.expand(20, 1, 64, 64),
        torch.zeros(20, dtype=torch.int64),
        only(rotate=True, zoom=[0.5, 0.6]),
        generator=generator(),
    )
    y, x = np.mgrid[:64, :64] - 31.5
    outside = torch.from_numpy(np.hypot(x, y) > 24)
    torch.testing.assert_close(changed[:, 0, outside], torch.full((20, int(outside.sum())), 40.0))


def test_brightness_and_noise_have_the_size_asked_for() -> None:
    grey = torch.full((500, 1, 16, 16), 100, dtype=torch.uint8)
    labels = torch.zeros(500, dtype=torch.int64)
    bright, _ = augment(grey, labels, only(brightness=0.2), generator=generator())
    factors = bright[:, 0, 0, 0] / 100
    assert factors.min() == pytest.approx(0.8, abs=0.01)
    assert factors.max() == pytest.approx(1.2, abs=0.01)
    torch.testing.assert_close(bright, bright[:, :, :1, :1].expand_as(bright))
    noisy, _ = augment(grey, labels, only(noise=0.1), generator=generator())
    spread = noisy.std((1, 2, 3)) / 255
    assert spread.max() == pytest.approx(0.1, abs=0.015)
    assert spread.mean() == pytest.approx(0.05, abs=0.005)
    assert noisy.mean() == pytest.approx(100, abs=0.5)


def test_grey_levels_stay_in_range() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).expand(64, 3, 8, 2).contiguous()
    changed, _ = augment(
        images,
        torch.zeros(64, dtype=torch.int64),
        only(noise=0.5, brightness=0.5),
        generator=generator(),
    )
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_the_generator_decides_all() -> None:
    images = torch.randint(0, 256, (9, 3, 24, 24), dtype=torch.uint8, generator=generator(8))
    labels = torch.arange(9) % 3
    values = AugmentSettings(noise=0.05)
    swap = torch.tensor([0, 2, 1])
    torch.manual_seed(1)
    first = augment(images, labels, values, generator=generator(4), swap=swap)
    torch.manual_seed(2)
    again = augment(images, labels, values, generator=generator(4), swap=swap)
    other = augment(images, labels, values, generator=generator(5), swap=swap)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_nothing_asked_for_changes_nothing() -> None:
    images = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8, generator=generator(8))
    changed, labels = augment(images, torch.arange(4), OFF, generator=generator())
    assert torch.equal(changed, images.float())
    assert torch.equal(labels, torch.arange(4))


def test_half_turns_keep_the_major_axis_level() -> None:
    n = 64
    images = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8, generator=generator(8))
    values = only(rotate="half", label_depends_on=["position_angle", "handedness"])
    refused(values, ["a", "b"])
    (text,) = describe(values, ["a", "b"])
    assert "position angle" in text["keeps"]
    labels = torch.zeros(n, dtype=torch.int64)
    changed, _ = augment(images.expand(n, 3, 24, 24), labels, values, generator=generator())
    upright = [torch.allclose(image, images[0].float(), atol=1e-2) for image in changed]
    over = [torch.allclose(image, images[0].float().flip((1, 2)), atol=1e-2) for image in changed]
    assert all(a != b for a, b in zip(upright, over, strict=True))
    assert 20 <= sum(upright) <= 44


@pytest.mark.parametrize(
    "augmentation", [a for a in AUGMENTATIONS if a.changes], ids=lambda a: a.name
)
def test_refused_where_the_label_depends_on_what_changes(augmentation: Any) -> None:
    switched_on = {
        "rotate": {"rotate": True},
        "mirror": {"mirror": True},
        "zoom": {"zoom": [0.9, 1.1]},
        "shift": {"shift": 0.1},
        "brightness": {"brightness": 0.1},
        "noise": {"noise": 0.1},
    }[augmentation.name]
    for name in augmentation.changes:
        settings_on = only(**switched_on, label_depends_on=[name])
        with pytest.raises(RecipeError, match=f"augment.{augmentation.name} changes the") as caught:
            refused(settings_on, ["a", "b"])
        assert caught.value.data["property"] == name
    unaffected = {"handedness", "position_angle", "angular_size", "brightness", "position",
                  "signal_to_noise"} - set(augmentation.changes)  # fmt: skip
    refused(only(**switched_on, label_depends_on=sorted(unaffected)), ["a", "b"])


@pytest.mark.parametrize(
    "name",
    ["spiral_clockwise", "Anticlockwise", "ccw", "spiral cw", "S-wise", "tail_left"],
)
def test_mirror_is_refused_for_classes_that_look_handed(name: str) -> None:
    with pytest.raises(RecipeError, match=name):
        refused(only(mirror=True), ["elliptical", name])
    refused(OFF, ["elliptical", name])
    refused(OFF, ["elliptical", name], orientations=4)
    with pytest.raises(RecipeError, match=r"train\.orientations = 8 mirrors images"):
        refused(OFF, ["elliptical", name], orientations=8)


def test_names_that_only_contain_such_letters_are_not_handed() -> None:
    refused(only(mirror=True), ["bright", "cleft", "likewise", "spiral", "edge_on"])


def test_a_pair_allows_the_mirror() -> None:
    values = only(mirror=True, handed=PAIR, label_depends_on=["handedness"])
    refused(values, HANDED, orientations=8)
    assert handed_pairs(values, HANDED) == [(1, 2)]
    (text,) = describe(values, HANDED)
    assert "spiral_clockwise ↔ spiral_anticlockwise" in text["keeps"]


@pytest.mark.parametrize(
    ("handed", "message"),
    [
        ([["spiral_clockwise", "spiral_anticlokwise"]], "did you mean 'spiral_anticlockwise'"),
        ([["spiral_clockwise"]], "pairs of two classes"),
        ([["elliptical", "elliptical"]], "pairs of two classes"),
        ([*PAIR, ["elliptical", "spiral_clockwise"]], "twice"),
    ],
)
def test_pairs_that_are_wrong(handed: list[list[str]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        refused(only(handed=handed), HANDED)


@pytest.mark.parametrize("zoom", [[1.0], [1.2, 0.8], [0.0, 1.0], [0.9, 1.0, 1.1]])
def test_zooms_that_are_wrong(zoom: list[float]) -> None:
    with pytest.raises(RecipeError, match=r"augment\.zoom"):
        refused(only(zoom=zoom), ["a", "b"])


def test_only_what_is_on_is_described() -> None:
    assert describe(OFF, ["a"]) == []
    described = describe(AugmentSettings(), ["a"])
    assert [item["name"] for item in described] == [
        "rotate", "mirror", "zoom", "shift", "brightness"
    ]  # fmt: skip
    assert all(set(item) == {"name", "text", "keeps"} for item in described)
