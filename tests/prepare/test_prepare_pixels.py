"""One image to its prepared form."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from morphoscope.errors import ImageError
from morphoscope.images import read_image
from morphoscope.prepare import prepare_file, prepare_pixels
from morphoscope.recipe import PrepareSettings

Pixels = NDArray[Any]
RANDOM = np.random.default_rng(4)
GOLDEN = Path(__file__).parent.parent / "golden" / "prepare.json"
# Regenerates the golden numbers:
#   python tests/prepare/test_prepare_pixels.py ../shared/data/galaxy-zoo-1/images
GOLDEN_SETTINGS = {
    "plain": {"size": 64, "crop_fraction": 0.6},
    "grey": {"size": 128, "channels": "grey", "denoise": "median"},
    "asinh": {"size": 96, "stretch": "asinh", "denoise": "nl_means"},
}


def settings_of(**values: Any) -> PrepareSettings:
    return PrepareSettings.model_validate(values)


def blob(side: int, seed: int = 0) -> Pixels:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2 - random.uniform(-4, 4, (2, 1, 1))
    light = 230 * np.exp(-np.hypot(y, x / random.uniform(0.4, 1)) / (side / 9))
    return np.clip(light[..., None] * [1, 0.8, 0.6] + 9, 0, 255).astype(np.uint8)


def test_every_size_and_channel_count_asked_for() -> None:
    image = blob(423)
    for size, channels, expected in [
        (224, "rgb", (3, 224, 224)),
        (256, "rgb", (3, 256, 256)),
        (128, "rgb", (3, 128, 128)),
        (64, "grey", (1, 64, 64)),
        (17, "grey", (1, 17, 17)),
    ]:
        found = prepare_pixels(image, settings_of(size=size, channels=channels))
        assert found.shape == expected
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous


@hypothesis_settings(deadline=None, max_examples=30)
@given(
    side=st.integers(40, 200),
    fraction=st.sampled_from([1.0, 0.6, 0.8]),
    channels=st.sampled_from(["rgb", "grey"]),
    stretching=st.sampled_from(["none", "percentile", "asinh"]),
    denoising=st.sampled_from(["none", "median"]),
    seed=st.integers(0, 1000),
)
def test_turns_and_mirrors_commute(
    side: int, fraction: float, channels: str, stretching: str, denoising: str, seed: int
) -> None:
    chosen = settings_of(
        size=32, crop_fraction=fraction, channels=channels, stretch=stretching, denoise=denoising
    )
    image = blob(side, seed)
    straight = prepare_pixels(image, chosen).astype(int)
    # A grey level of rounding before a stretch may be several after it, in its steep part.
    allowed, on_average = (1, 0.5) if stretching == "none" else (12, 2.5)
    for turn in (np.fliplr, np.flipud, np.rot90):
        turned = prepare_pixels(np.ascontiguousarray(turn(image)), chosen).transpose(1, 2, 0)
        difference = np.abs(turned - turn(straight.transpose(1, 2, 0)))
        assert difference.max() <= allowed
        assert difference.mean() < on_average


def test_a_dot_lands_where_crop_and_resize_say() -> None:
    image = np.zeros((200, 200, 1), np.uint8)
    image[80:84, 120:124] = 255
    found = prepare_pixels(image, settings_of(size=40, channels="grey", crop_fraction=0.8))
    y, x = np.unravel_index(found[0].argmax(), found[0].shape)
    assert (y, x) == (15, 25)
    assert found[0, 15, 25] == 255


def test_non_square_images_are_centred() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    found = prepare_pixels(image, settings_of(size=40))
    assert found[:, 10:30].min() == 200
    assert found[:, :10].max() == found[:, 30:].max() == 0
    assert prepare_pixels(image, settings_of(size=40, pad="edge")).min() == 200


def test_grey_is_the_luma_and_colour_of_grey_repeats() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 100
    assert set(prepare_pixels(red, settings_of(size=32, channels="grey")).ravel()) == {30}
    grey = blob(64)[..., :1]
    found = prepare_pixels(grey, settings_of(size=32))
    assert (found == found[:1]).all()


def test_bands_become_colours_red_first() -> None:
    cube = np.zeros((32, 32, 5), np.float32)
    for band in range(5):
        cube[:, :, band] = band * 10
    found = prepare_pixels(cube, settings_of(size=32))
    np.testing.assert_array_equal(found[:, 0, 0], [255, 128, 0])
    two = prepare_pixels(cube[..., :2], settings_of(size=32))
    np.testing.assert_array_equal(two[:, 0, 0], [255, 128, 0])
    ramp = np.arange(32, dtype=np.float32)[None, :, None] * [1.0, 2.0, 6.0] * np.ones((32, 1, 1))
    mean = prepare_pixels(ramp, settings_of(size=32, channels="grey"))
    np.testing.assert_allclose(mean[0, 0], np.arange(32) * 255 / 31, atol=0.51)


def test_nan_counts_as_zero_flux() -> None:
    values = RANDOM.normal(0, 1, (64, 64, 1)).astype(np.float32)
    values[10:20, 10:20] = np.nan
    values[30, 30] = np.inf
    zeroed = np.nan_to_num(values, nan=0, posinf=0)
    chosen = settings_of(size=32, stretch="asinh")
    np.testing.assert_array_equal(prepare_pixels(values, chosen), prepare_pixels(zeroed, chosen))


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    values=arrays(np.float64, (20, 24, 2), elements=st.floats(allow_nan=True)),
    stretching=st.sampled_from(["none", "percentile", "asinh"]),
)
def test_no_flux_is_too_odd(values: Pixels, stretching: str) -> None:
    found = prepare_pixels(values, settings_of(size=16, stretch=stretching))
    assert found.shape == (3, 16, 16)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.int16),
        np.zeros((8, 8, 3), complex),
    ],
)
def test_what_is_no_image_is_refused(pixels: Pixels) -> None:
    with pytest.raises(ImageError) as caught:
        prepare_pixels(pixels, settings_of())
    assert caught.value.reason == "not_an_image"


@pytest.mark.parametrize(("fraction", "size"), [(1.0, 64), (0.6, 64), (0.6, 128), (1.0, 300)])
def test_a_reduced_decode_is_near_the_full_one(fraction: float, size: int, tmp_path: Path) -> None:
    path = tmp_path / "galaxy.jpg"
    Image.fromarray(blob(423)).save(path, quality=92)
    chosen = settings_of(size=size, crop_fraction=fraction)
    quick = prepare_file(str(path), chosen).astype(int)
    full = prepare_pixels(read_image(str(path)), chosen)
    assert np.abs(quick - full).mean() < 1.5
    side = 423
    cut = (side - round(side * fraction)) // 2
    with Image.open(path) as image:
        box = (cut, cut, side - cut, side - cut)
        reference = np.asarray(image.crop(box).resize((size, size), Image.Resampling.BOX))
    assert np.abs(quick - reference.transpose(2, 0, 1)).mean() < 2


def test_every_process_gives_the_same_bytes(tmp_path: Path) -> None:
    noise = RANDOM.integers(0, 256, (150, 140, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    path = tmp_path / "noise.jpg"
    path.write_bytes(buffer.getvalue())
    chosen = settings_of(size=48, denoise="nl_means", stretch="asinh", crop_fraction=0.7)
    code = (
        "import sys, hashlib\n"
        "from morphoscope.prepare import prepare_file\n"
        "from morphoscope.recipe import PrepareSettings\n"
        "chosen = PrepareSettings.model_validate_json(sys.argv[2])\n"
        "print(hashlib.sha256(prepare_file(sys.argv[1], chosen)).hexdigest())\n"
    )
    command = [sys.executable, "-c", code, str(path), chosen.model_dump_json()]
    there = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    assert there == hashlib.sha256(prepare_file(str(path), chosen)).hexdigest()


def test_a_bad_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.jpg") as caught:
        prepare_file(str(tmp_path / "nowhere.jpg"), settings_of())
    assert caught.value.reason == "missing"


def test_preparing_needs_no_torch() -> None:
    code = "import sys, morphoscope.prepare; assert not {'torch', 'astropy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.real
def test_golden_galaxies(real_data: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    found = golden_numbers(real_data / "galaxy-zoo-1" / "images", list(golden))
    for name, by_settings in golden.items():
        for which, levels in by_settings.items():
            # Means of quadrants and channels; another JPEG library may round otherwise.
            np.testing.assert_allclose(found[name][which], levels, atol=0.15, err_msg=name)


def golden_numbers(folder: Path, names: list[str]) -> dict[str, dict[str, list[float]]]:
    """Mean level of each channel and quadrant, then the standard deviation."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in names:
        found[name] = {}
        for which, values in GOLDEN_SETTINGS.items():
            image = prepare_file(str(folder / f"{name}.jpg"), settings_of(**values))
            channels, size, _ = image.shape
            quadrants = image.reshape(channels, 2, size // 2, 2, size // 2).mean((2, 4)).ravel()
            found[name][which] = [round(float(v), 3) for v in (*quadrants, image.std())]
    return found


if __name__ == "__main__":
    chosen_names = sorted(path.stem for path in Path(sys.argv[1]).glob("*.jpg"))[::1100]
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden_numbers(Path(sys.argv[1]), chosen_names), indent=1) + "\n")
