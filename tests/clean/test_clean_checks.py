"""Every defect is found in a file that really has it, and sound files in odd formats pass."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from morphoscope.clean.checks import CHECKS, Look, Shard, blank, look_at_shard, pixel_sha256
from morphoscope.recipe import CleanSettings

SETTINGS = CleanSettings()


def galaxy(size: int = 64, seed: int = 1) -> NDArray[np.uint8]:
    """A round galaxy on noisy sky, (ny, nx, 3)."""
    y, x = np.mgrid[:size, :size] - size / 2
    light = 200 * np.exp(-np.hypot(x, y) / (size / 10))
    noise = np.random.default_rng(seed).normal(12, 3, (size, size, 3))
    return np.clip(light[..., None] + noise, 0, 255).astype(np.uint8)


def look(file: Path | None, settings: CleanSettings = SETTINGS) -> Look:
    return look_at_shard(Shard((None if file is None else str(file),), settings))[0]


def write_jpeg(path: Path, pixels: NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels).save(path, quality=95)
    return path


def truncated(path: Path) -> None:
    write_jpeg(path, galaxy(128))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def huge(path: Path) -> None:
    """A whole PNG of 20,000×20,000 black pixels of one bit: 50 MB unpacked, 50 kB packed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(100 * 2501)) for _ in range(200)) + packer.flush()
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def flat(path: Path) -> None:
    write_jpeg(path, np.full((64, 64, 3), (20, 40, 60), np.uint8))


def white(path: Path) -> None:
    pixels = galaxy()
    pixels[:40] = 255
    write_jpeg(path, pixels)


DEFECTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": truncated,
    "too_large": huge,
    "not_an_image": lambda path: path.write_text("<html>404 Not Found</html>" * 20),
    "missing": lambda path: None,
    "too_small": lambda path: write_jpeg(path, galaxy(24)),
    "blank": flat,
    "saturated": white,
}


@pytest.mark.parametrize("reason", DEFECTS)
def test_defects_are_found(tmp_path: Path, reason: str) -> None:
    DEFECTS[reason](tmp_path / "image.jpg")
    assert look(tmp_path / "image.jpg").reason == reason


def test_a_row_without_file_is_missing() -> None:
    assert look(None) == Look(None, None, None, "missing")


@pytest.mark.usefixtures("ordinary_user")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", galaxy()).chmod(0)
    assert look(tmp_path / "a.jpg").reason == "unreadable"


def test_a_folder_in_place_of_a_file_ends_nothing(tmp_path: Path) -> None:
    assert look(tmp_path).reason in {"unreadable", "not_an_image"}


def sound(name: str, path: Path) -> None:
    pixels = galaxy()
    picture = Image.fromarray(pixels)
    if name == "png_named_jpg":
        picture.save(path, format="PNG")
    elif name == "16_bit":
        path.write_bytes(cv2.imencode(".png", pixels[..., ::-1].astype(np.uint16) * 257)[1])
    elif name == "rgba":
        picture.putalpha(255)
        picture.save(path, format="PNG")
    elif name == "palette":
        picture.quantize(64).save(path, format="PNG")
    else:
        picture.convert("L").save(path, format="JPEG")


@pytest.mark.parametrize("name", ["png_named_jpg", "16_bit", "rgba", "palette", "grey"])
def test_sound_images_in_odd_formats_pass(tmp_path: Path, name: str) -> None:
    sound(name, tmp_path / "image.jpg")
    found = look(tmp_path / "image.jpg")
    assert found[:2] == (64, 64)
    assert found.reason is None


def test_the_size_that_is_expected_counts_rows_first(tmp_path: Path) -> None:
    file = write_jpeg(tmp_path / "a.jpg", galaxy()[:50])
    assert look(file, CleanSettings(expected_size=[50, 64])).reason is None
    assert look(file, CleanSettings(expected_size=[64, 50])).reason == "wrong_size"


def test_largest_pixels_is_the_settings(tmp_path: Path) -> None:
    file = write_jpeg(tmp_path / "a.jpg", galaxy())
    assert look(file, CleanSettings(largest_pixels=64 * 64)).reason is None
    assert look(file, CleanSettings(largest_pixels=64 * 64 - 1)).reason == "too_large"


def test_blank_is_a_matter_of_spread() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (128, 128, 1))
    for spread, expected in ((1.5, True), (2.5, False)):
        pixels = np.clip(100 + spread * noise, 0, 255).astype(np.uint8)
        assert blank(pixels, SETTINGS) == expected
    one_hot = np.full((424, 424, 3), 30, np.uint8)
    one_hot[200, 200] = 255
    assert blank(one_hot, SETTINGS)


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "blank"), (-3.5, "blank"), (np.nan, "empty"), (np.inf, "empty")]
)
def test_floats_are_blank_when_all_alike(value: float, reason: str) -> None:
    pixels = np.full((64, 64, 5), value, np.float32)
    assert [name for name, check in CHECKS.items() if check(pixels, SETTINGS)] == [reason]
    pixels[10, 10, 1], pixels[10, 11, 1] = 1e-3, 2e-3
    assert not any(check(pixels, SETTINGS) for check in CHECKS.values())


def test_pixels_have_one_hash_whatever_the_file(tmp_path: Path) -> None:
    pixels = galaxy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.tif")
    hashes = {look(tmp_path / name).pixel_sha256 for name in ("a.png", "b.tif")}
    assert hashes == {pixel_sha256(pixels)}
    others = {
        pixel_sha256(other)
        for other in (pixels.transpose(1, 0, 2), pixels.reshape(32, 128, 3), galaxy(seed=2))
    }
    assert len(others | hashes) == 4


@pytest.mark.real
def test_real_galaxies_are_sound(real_data: Path) -> None:
    files = sorted((real_data / "galaxy-zoo-1" / "images").glob("*.jpg"))[::250]
    looks = look_at_shard(Shard(tuple(map(str, files)), SETTINGS))
    assert {found.reason for found in looks} == {None}
    assert {(found.ny, found.nx) for found in looks} == {(423, 423)}
