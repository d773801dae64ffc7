"""Reading images: every format, every defect, and no exception but ``ImageError``."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from morphoscope.errors import ImageError
from morphoscope.images import IMAGE_SUFFIXES, image_size, read_image

Pixels = NDArray[Any]
RANDOM = np.random.default_rng(20)
NOISE = RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8)
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def fits_bytes(*images: Pixels) -> bytes:
    from astropy.io import fits

    first, *rest = images
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(first), *map(fits.ImageHDU, rest)]).writeto(buffer)
    return buffer.getvalue()


def written(folder: Path, data: bytes, name: str = "image.jpg") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def reason_of(file_loc: str, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(file_loc, **options)
    assert file_loc in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_give_the_pixels_back_whatever_the_suffix(
    kind: str, tmp_path: Path
) -> None:
    file_loc = written(tmp_path, encoded(Image.fromarray(NOISE), kind))
    np.testing.assert_array_equal(read_image(file_loc), NOISE)
    assert image_size(file_loc) == (40, 50)


def test_lossless_webp_gives_the_pixels_back(tmp_path: Path) -> None:
    file_loc = written(tmp_path, encoded(Image.fromarray(NOISE), "WEBP", lossless=True))
    np.testing.assert_array_equal(read_image(file_loc), NOISE)
    assert image_size(file_loc) == (40, 50)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_agrees_with_pillow(mode: str, tmp_path: Path) -> None:
    smooth = Image.fromarray(NOISE).resize((160, 120), Image.Resampling.BICUBIC)
    data = encoded(smooth.convert(mode), "JPEG", quality=95)
    pillow = Image.open(io.BytesIO(data))
    expected = np.asarray(pillow if mode == "L" else pillow.convert("RGB"))
    found = read_image(written(tmp_path, data))
    assert found.shape == (120, 160, 1 if mode == "L" else 3)
    difference = np.abs(found.squeeze().astype(int) - expected)
    assert difference.mean() < 0.5


def test_lossy_webp_is_near(tmp_path: Path) -> None:
    smooth = Image.fromarray(NOISE).resize((200, 160), Image.Resampling.BICUBIC)
    data = encoded(smooth, "WEBP")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    file_loc = written(tmp_path, data)
    assert np.abs(read_image(file_loc) - expected).mean() < 1
    assert image_size(file_loc) == (160, 200)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    levels = np.array([[0, 257, 32768, 65535, 128, 129]], np.uint16).repeat(3, axis=0)
    for kind in ("PNG", "TIFF"):
        found = read_image(written(tmp_path, encoded(Image.fromarray(levels), kind)))
        assert found.dtype == np.uint8
        assert found[0, :, 0].tolist() == [0, 1, 128, 255, 0, 1]


def test_transparency_is_laid_on_black(tmp_path: Path) -> None:
    alpha = RANDOM.integers(0, 256, (40, 50, 1), dtype=np.uint8)
    data = encoded(Image.fromarray(np.concatenate([NOISE, alpha], axis=2)), "PNG")
    expected = np.rint(NOISE * (alpha / 255.0))
    np.testing.assert_array_equal(read_image(written(tmp_path, data)), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_palettes_are_expanded(kind: str, tmp_path: Path) -> None:
    image = Image.fromarray(NOISE).quantize(16)
    found = read_image(written(tmp_path, encoded(image, kind)))
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    image = Image.fromarray(NOISE).convert("1")
    found = read_image(written(tmp_path, encoded(image, "PNG")))
    np.testing.assert_array_equal(found[..., 0], np.asarray(image) * 255)


def test_float_tiff_keeps_its_values(tmp_path: Path) -> None:
    values = RANDOM.normal(0, 1e4, (40, 50)).astype(np.float32)
    found = read_image(written(tmp_path, encoded(Image.fromarray(values), "TIFF")))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], values)


def test_orientation_tag_is_ignored(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(Image.fromarray(NOISE), kind, exif=tags)
        assert read_image(written(tmp_path, data)).shape == (40, 50, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_orientation_of_tiff_is_followed(orientation: int, bits: int, tmp_path: Path) -> None:
    image = Image.fromarray(NOISE[..., 0] if bits == 8 else NOISE[..., 0].astype(np.uint16) * 257)
    file_loc = written(tmp_path, encoded(image, "TIFF", tiffinfo={274: orientation}))
    turned = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T,
        8: np.rot90,
    }[orientation](NOISE[..., 0])
    np.testing.assert_array_equal(read_image(file_loc)[..., 0], turned)
    assert image_size(file_loc) == turned.shape


@pytest.mark.parametrize(
    ("at_least", "side"), [(0, 101), (13, 13), (14, 26), (26, 26), (27, 51), (52, 101), (999, 101)]
)
def test_jpeg_is_reduced_while_both_sides_keep_enough(
    at_least: int, side: int, tmp_path: Path
) -> None:
    flat = Image.new("RGB", (205, 101), (10, 100, 200))
    file_loc = written(tmp_path, encoded(flat, "JPEG", quality=95))
    found = read_image(file_loc, at_least=at_least)
    assert found.shape[0] == side
    assert np.abs(found.astype(int) - [10, 100, 200]).max() <= 2
    assert image_size(file_loc) == (101, 205)


def test_bad_files_have_a_reason(tmp_path: Path) -> None:
    assert reason_of(str(tmp_path / "absent.jpg")) == "missing"
    assert reason_of(str(tmp_path / "file.jpg/below")) == "missing"
    assert reason_of("a\0b.jpg") == "missing"
    assert reason_of(str(tmp_path / ("x" * 400))) == "missing"
    assert reason_of(str(tmp_path)) == "not_an_image"
    assert reason_of(written(tmp_path, b"")) == "empty"
    assert reason_of(written(tmp_path, b"<html>Not found</html>")) == "not_an_image"
    assert reason_of(written(tmp_path, gzip.compress(b"text" * 99))) == "not_an_image"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_truncated_files_are_truncated(kind: str, share: float, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(NOISE), kind)
    assert reason_of(written(tmp_path, data[: int(share * len(data))])) == "truncated"


def test_a_truncated_tiff_is_refused(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(NOISE), "TIFF")
    assert reason_of(written(tmp_path, data[: len(data) // 2])) == "unreadable"


def test_a_flipped_bit_in_a_png_is_found_and_nothing_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(encoded(Image.fromarray(NOISE), "PNG"))
    data[len(data) // 2] ^= 1
    assert reason_of(written(tmp_path, bytes(data))) == "unreadable"
    assert reason_of(written(tmp_path, bytes(data[:-9]))) in {"truncated", "unreadable"}
    assert capfd.readouterr().err == ""


def png_of_claimed_size(ny: int, nx: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", nx, ny, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_absurd_size_is_refused_before_decoding(tmp_path: Path) -> None:
    file_loc = written(tmp_path, png_of_claimed_size(20_000, 20_000))
    assert image_size(file_loc) == (20_000, 20_000)
    assert reason_of(file_loc) == "too_large"


@pytest.mark.parametrize("kind", FORMATS)
def test_largest_pixels_is_met_exactly(kind: str, tmp_path: Path) -> None:
    file_loc = written(tmp_path, encoded(Image.fromarray(NOISE), kind))
    assert reason_of(file_loc, largest_pixels=1999) == "too_large"
    assert read_image(file_loc, largest_pixels=2000).shape == (40, 50, 3)


@pytest.mark.usefixtures("ordinary_user")
def test_no_permission_is_unreadable(tmp_path: Path) -> None:
    file_loc = written(tmp_path, encoded(Image.fromarray(NOISE), "PNG"))
    Path(file_loc).chmod(0)
    assert reason_of(file_loc) == "unreadable"


def test_fits_is_float_with_row_zero_on_top(tmp_path: Path) -> None:
    values = RANDOM.normal(0, 1, (30, 20)).astype(">f8")
    values[3, 4] = np.nan
    data = fits_bytes(values)
    for name, content in (("a.fits", data), ("a.fits.gz", gzip.compress(data))):
        found = read_image(written(tmp_path, content, name))
        assert found.dtype == np.dtype("=f4")
        np.testing.assert_array_equal(found[::-1, :, 0], values.astype("=f4"))
        assert image_size(str(tmp_path / name)) == (30, 20)


def test_fits_bands_come_last_and_the_first_image_is_taken(tmp_path: Path) -> None:
    cube = RANDOM.integers(-99, 99, (5, 12, 9)).astype(np.int16)
    file_loc = written(tmp_path, fits_bytes(np.float32(3.0) * np.ones(4, np.float32), cube[None]))
    found = read_image(file_loc)
    np.testing.assert_array_equal(found[::-1], cube.transpose(1, 2, 0))
    assert reason_of(file_loc, largest_pixels=100) == "too_large"


def test_bad_fits(tmp_path: Path) -> None:
    data = fits_bytes(NOISE[..., 0].astype(np.float32))
    assert reason_of(written(tmp_path, data[:6000])) == "truncated"
    assert reason_of(written(tmp_path, data[:1000])) == "truncated"
    assert reason_of(written(tmp_path, gzip.compress(data)[:20])) == "truncated"
    assert reason_of(written(tmp_path, fits_bytes(np.ones(9, np.float32)))) == "not_an_image"
    spectra = fits_bytes(np.ones((2, 3, 4, 5), np.float32))
    assert reason_of(written(tmp_path, spectra)) == "not_an_image"


def test_rows_of_hdf5(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "Galaxy10.h5"
    images = RANDOM.integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["grey"] = images[..., 0].astype(np.uint16) * 257
        file["flux"] = images[..., 0].astype(np.float64)
        file["ans"] = np.arange(3)
    for index in range(3):
        np.testing.assert_array_equal(read_image(f"{path}::images[{index}]"), images[index])
    np.testing.assert_array_equal(read_image(f"{path}::grey[1]")[..., 0], images[1, ..., 0])
    assert read_image(f"{path}::flux[1]").dtype == np.float32
    assert image_size(f"{path}::images[0]") == (8, 9)
    assert reason_of(f"{path}::images[3]") == "missing"
    assert reason_of(f"{path}::pictures[0]") == "missing"
    assert reason_of(f"{path}::ans[0]") == "not_an_image"
    assert reason_of(f"{path}::images[0]", largest_pixels=71) == "too_large"
    assert reason_of(f"{tmp_path}/absent.h5::images[0]") == "missing"
    assert reason_of(written(tmp_path, b"no HDF5", "b.h5") + "::images[0]") == "unreadable"


def test_a_rewritten_hdf5_file_is_opened_anew(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "a.h5"
    for level in (1, 2):
        fresh = tmp_path / "fresh.h5"
        with h5py.File(fresh, "w") as file:
            file["images"] = np.full((1, 4, 4), level, np.uint8)
        fresh.replace(path)
        assert read_image(f"{path}::images[0]").max() == level


FUZZED = {
    "jpeg": encoded(Image.fromarray(NOISE), "JPEG"),
    "progressive": encoded(Image.fromarray(NOISE), "JPEG", progressive=True),
    "png": encoded(Image.fromarray(NOISE), "PNG"),
    "palette": encoded(Image.fromarray(NOISE).quantize(16), "PNG"),
    "tiff": encoded(Image.fromarray(NOISE), "TIFF", compression="tiff_lzw"),
    "webp": encoded(Image.fromarray(NOISE), "WEBP"),
    "bmp": encoded(Image.fromarray(NOISE), "BMP"),
    "fits": fits_bytes(NOISE[..., 0].astype(np.float32)),
}


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(sorted(FUZZED)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=5),
    header_only=st.booleans(),
    share=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_damage_is_an_image_error_or_an_image(
    kind: str,
    changes: list[tuple[float, int]],
    header_only: bool,
    share: float,
    tmp_path: Path,
) -> None:
    data = bytearray(FUZZED[kind])
    for place, value in changes:
        reach = min(200, len(data)) if header_only else len(data)
        data[int(place * (reach - 1))] = value
    file_loc = written(tmp_path, bytes(data[: int(share * len(data))]))
    with contextlib.suppress(ImageError):
        pixels = read_image(file_loc)
        assert pixels.ndim == 3
        assert pixels.shape[:2] == image_size(file_loc)


def test_suffixes_fit_endswith() -> None:
    assert "a.FITS.gz".lower().endswith(tuple(IMAGE_SUFFIXES))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


def test_astropy_and_h5py_load_only_when_needed() -> None:
    code = "import sys, morphoscope.images as i; assert not {'astropy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
