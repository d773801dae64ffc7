"""Bands of flux to prepared images: one calibrated scale, masks that do not smear, the store."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fits_files import BANDS, NOISE, SKY, drawn, upright, write_cube
from morphoscope.augment import augment
from morphoscope.catalog import write_catalogue
from morphoscope.engine import open_engine
from morphoscope.errors import ImageError, StoreError
from morphoscope.evaluate.pictures import to_picture
from morphoscope.evaluate.weakness import picture_properties
from morphoscope.prepare import open_store, prepare, prepare_file, prepare_pixels
from morphoscope.prepare.bands import fill, resize_measured, sky_and_noise
from morphoscope.prepare.pixels import channel_count, pixel_type
from morphoscope.prepare.store import npy_header
from morphoscope.prepare.views import as_pictures
from morphoscope.recipe import EngineSettings, PrepareSettings

Pixels = NDArray[Any]
FLOAT = {"depth": "float16", "stretch": "asinh", "white": 10.0, "softening": 0.05}


def settings_of(**values: Any) -> PrepareSettings:
    return PrepareSettings.model_validate(
        {"size": 32, "channels": "bands", "bands": list(BANDS), **FLOAT, **values}
    )


def eight_bits(**values: Any) -> PrepareSettings:
    return settings_of(depth="uint8", white=0.0, softening=0.0, **values)


def reason_of(pixels: Pixels, settings: PrepareSettings) -> str:
    with pytest.raises(ImageError) as caught:
        prepare_pixels(pixels, settings)
    return caught.value.reason


def flux_of(levels: Pixels) -> NDArray[np.float64]:
    """The stretch undone: flux above the sky."""
    scale = math.asinh(FLOAT["white"] / FLOAT["softening"]) / 255  # type: ignore[operator]
    return 0.05 * np.sinh(levels.astype(np.float64) * scale)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("side", [32, 50, 64, 20])
def test_any_number_of_bands(n: int, side: int) -> None:
    names = [f"b{i}" for i in range(n)]
    flux = np.random.default_rng(n).normal(0, 1, (side, side, n)).astype(np.float32)
    for chosen in (settings_of(bands=names), eight_bits(bands=names)):
        found = prepare_pixels(flux, chosen)
        assert found.shape == (n, 32, 32) == (channel_count(chosen), 32, 32)
        assert found.dtype == pixel_type(chosen)
        assert found.flags.c_contiguous


def test_the_stretch_can_be_undone() -> None:
    flux = np.random.default_rng(1).normal(0, 30, (32, 32, 3)).astype(np.float32)
    flux[:4] = flux[-4:] = flux[:, :4] = flux[:, -4:] = SKY
    found = prepare_pixels(flux, settings_of())
    assert found.min() < -255
    assert found.max() > 255
    expected = (flux - SKY).transpose(2, 0, 1)
    np.testing.assert_allclose(flux_of(found), expected, rtol=8e-3, atol=1e-5)
    # White is 255 whatever else is in the image, the sky 0.
    flux[16, 16] = 10 + SKY
    assert prepare_pixels(flux, settings_of())[:, 16, 16].tolist() == [255] * 3
    assert not prepare_pixels(flux, settings_of())[:, 0, 0].any()


def test_floats_tell_apart_what_eight_bits_saturate() -> None:
    """Two cores whose light differs tenfold, beside a star that is white in both."""
    y, x = np.mgrid[:64, :64] - 31.5
    images = []
    for bright in (30, 300):
        core = bright * np.exp(-(np.hypot(y, x) ** 2) / 8) + 0.02 * np.exp(-np.hypot(y, x) / 12)
        images.append(np.repeat(core[..., None], 3, axis=2).astype(np.float32))
    whole = [prepare_pixels(image, settings_of(size=64)) for image in images]
    # The former way to a picture with a fixed scale: everything above white is white.
    cut = [as_pictures(image[None])[0] for image in whole]
    middle = (slice(None), slice(30, 34), slice(30, 34))
    assert {int(value) for image in cut for value in image[middle].ravel()} == {255}
    np.testing.assert_array_less(whole[0][middle] + 50, whole[1][middle])
    ratio = flux_of(whole[1][middle]).mean() / flux_of(whole[0][middle]).mean()
    assert ratio == pytest.approx(10, rel=0.02)
    # And the faint disc keeps its level beside either, which a stretch of each image loses.
    faint = (slice(None), slice(4, 8), slice(4, 8))
    np.testing.assert_allclose(whole[0][faint], whole[1][faint], atol=0.1)
    own = [prepare_pixels(image, eight_bits(size=64)) for image in images]
    assert own[0][middle].mean() == own[1][middle].mean() == pytest.approx(255, abs=15)


def test_softening_is_the_noise_where_none_is_given() -> None:
    flux = drawn("disc", 3)
    found = prepare_pixels(upright(flux), settings_of(size=64, softening=0.0))
    expected = 255 / math.asinh(10 / NOISE) * math.asinh(1)
    corners = np.concatenate([found[:, :8].ravel(), found[:, -8:].ravel()])
    assert 1.4826 * np.median(np.abs(corners)) == pytest.approx(expected, rel=0.2)
    flat = np.zeros((32, 32, 3), np.float32)
    assert np.isfinite(prepare_pixels(flat, settings_of(softening=0.0))).all()


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    values=arrays(np.float64, (20, 24, 2), elements=st.floats(allow_nan=True)),
    softening=st.sampled_from([0.0, 1e-6, 1.0, 10.0]),
)
def test_no_flux_is_too_odd(values: Pixels, softening: float) -> None:
    chosen = settings_of(size=16, bands=["g", "r"], softening=softening, largest_masked=0.99)
    if np.isfinite(values).mean() < 0.99:
        with contextlib.suppress(ImageError):
            assert np.isfinite(prepare_pixels(values, chosen)).all()
        return
    assert np.isfinite(prepare_pixels(values, chosen)).all()


def test_turns_and_mirrors_commute() -> None:
    flux = upright(drawn("disc", 5, side=50)).copy()
    flux[10:13, 20:24, 1] = np.nan
    straight = prepare_pixels(flux, settings_of()).transpose(1, 2, 0).astype(float)
    for turn in (np.fliplr, np.flipud, np.rot90):
        turned = prepare_pixels(np.ascontiguousarray(turn(flux)), settings_of())
        np.testing.assert_allclose(turned.transpose(1, 2, 0), turn(straight), atol=0.3)


def test_means_over_areas_keep_surface_brightness() -> None:
    flux = np.full((96, 96, 3), SKY, np.float32)
    flux[24:72, 24:72] += 2
    found = flux_of(prepare_pixels(flux, settings_of()))
    np.testing.assert_allclose(found[:, 12:20, 12:20], 2, rtol=8e-3)


@pytest.mark.parametrize("side", [32, 50, 64, 20])
def test_masked_pixels_do_not_smear(side: int) -> None:
    """Cosmic rays that are masked change nothing beyond their own pixels; not masked they do."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    truth = np.repeat(8 * np.exp(-np.hypot(y, x) / 0.1)[..., None], 3, axis=2).astype(np.float32)
    hit, masked = truth.copy(), truth.copy()
    rows, columns = np.random.default_rng(2).integers(side // 8, side - side // 8, (2, side // 4))
    hit[rows, columns, 1] = 1e6
    masked[rows, columns, 1] = np.nan
    expected = prepare_pixels(truth, settings_of()).astype(float)
    found = prepare_pixels(masked, settings_of()).astype(float)
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    assert np.abs(found - expected).max() < 25
    assert np.abs(found - expected).mean() < 1.5
    assert np.abs(prepare_pixels(hit, settings_of()) - expected).max() > 300


def test_a_mean_is_that_of_the_measured_part() -> None:
    flux = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    measured = np.ones((4, 4, 1), bool)
    measured[0, :2] = measured[1, 0] = False
    found = resize_measured(flux, measured, 2)[..., 0]
    np.testing.assert_allclose(found, [[5, 4.5], [10.5, 12.5]])
    measured[1, 1] = False
    assert 4.5 < resize_measured(flux, measured, 2)[0, 0, 0] < 12.5


def test_holes_are_filled_from_their_neighbours() -> None:
    flux = np.full((40, 40, 2), 7, np.float32)
    measured = np.ones((40, 40, 2), bool)
    measured[10:13, 10:13, 0] = measured[:, 20:, 1] = False
    found = fill(np.where(measured, flux, 1e9), measured)
    np.testing.assert_allclose(found[..., 0], 7, rtol=1e-5)
    np.testing.assert_allclose(found[:, :22, 1], 7, rtol=1e-5)
    assert not found[:, 30:, 1].any()


def test_the_sky_is_the_rims() -> None:
    random = np.random.default_rng(4)
    flux = random.normal(5, 0.5, (80, 80)).astype(np.float32)
    flux[20:60, 20:60] += 100
    measured = np.ones(flux.shape, bool)
    assert sky_and_noise(flux, measured) == pytest.approx((5, 0.5), rel=0.05)
    flux[:, :5] = 1e9
    measured[:, :5] = False
    assert sky_and_noise(flux, measured) == pytest.approx((5, 0.5), rel=0.05)
    assert sky_and_noise(flux, np.zeros_like(measured)) == (0, 0)
    rim = np.zeros_like(measured)
    rim[30:40, 30:40] = True
    assert sky_and_noise(flux, rim)[0] == pytest.approx(105, rel=0.05)


def test_too_little_measured_is_refused() -> None:
    whole = upright(drawn("smooth", 6)).copy()
    rows, centre, band, speckled = (whole.copy() for _ in range(4))
    rows[:12] = np.nan
    assert prepare_pixels(rows, settings_of()).shape == (3, 32, 32)
    rows[:14] = np.nan
    assert reason_of(rows, settings_of()) == "masked"
    assert prepare_pixels(rows, settings_of(largest_masked=0.3)).shape == (3, 32, 32)
    # What the crop leaves out does not count.
    assert prepare_pixels(rows, settings_of(crop_fraction=0.5)).shape == (3, 32, 32)
    centre[28:36, 28:36, 2] = np.nan
    assert np.isnan(centre).mean() < 0.01
    assert reason_of(centre, settings_of()) == "masked"
    band[..., 0] = np.nan
    assert reason_of(band, settings_of()) == "empty"
    speckled[::8, ::8] = np.inf
    assert prepare_pixels(speckled, settings_of()).shape == (3, 32, 32)


def test_padding_is_sky_and_not_masked() -> None:
    flux = np.full((20, 40, 3), SKY, np.float32)
    flux[5:15, 15:25] += 1
    found = prepare_pixels(flux, settings_of(size=40))
    assert not found[:, :10].any()
    assert found[:, 16:24, 16:24].min() > 100
    flux[0, :] = np.nan
    assert prepare_pixels(flux, settings_of(size=40)).shape == (3, 40, 40)


def test_what_is_no_image_of_these_bands_is_refused() -> None:
    flux = upright(drawn("disc", 7))
    assert reason_of(flux[..., :2], settings_of()) == "missing_band"
    assert reason_of(np.zeros((64, 64, 3), np.uint8), settings_of()) == "not_multiband"
    assert reason_of(flux[..., 0], settings_of()) == "not_multiband"
    assert reason_of(flux[27:37, 27:37], settings_of()) == "too_small"
    assert prepare_pixels(flux[24:40, 24:40], settings_of()).shape == (3, 32, 32)


def test_files_with_one_band_each_need_bands(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        prepare_file(str(tmp_path / "{band}.fits"), PrepareSettings())
    assert caught.value.reason == "missing_band"


@pytest.mark.parametrize(
    "values",
    [
        {"bands": []},
        {"bands": ["g", "r", "g"]},
        {"planes": ["g", "r"]},
        {"denoise": "median"},
        {"stretch": "none"},
        {"white": 0.0},
        {"softening": 11.0},
        {"depth": "uint8"},
        {"channels": "rgb"},
        {"channels": "grey", "bands": [], **dict.fromkeys(("white", "softening"), 0.0)},
    ],
)
def test_settings_that_contradict_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"go(es)? with|needs|must"):
        settings_of(**values)


def test_noise_that_is_added_has_no_bounds() -> None:
    flux = np.full((32, 32, 3), SKY, np.float32)
    found = prepare_pixels(flux, settings_of(add_noise=20.0)).astype(float)
    assert found.std() == pytest.approx(20, rel=0.05)
    assert found.min() < -40
    again = prepare_pixels(flux, settings_of(add_noise=20.0)).astype(float)
    np.testing.assert_array_equal(found, again)


def test_augmented_floats_keep_their_range() -> None:
    import torch

    from morphoscope.recipe import AugmentSettings

    images = torch.from_numpy(np.array([-40, 0, 300, 900], np.float16).reshape(1, 1, 2, 2))
    chosen = AugmentSettings(rotate=False, mirror=False, shift=0.0, brightness=0.0, noise=1e-6)
    generator = torch.Generator().manual_seed(1)
    found, _ = augment(images, torch.zeros(1, dtype=torch.int64), chosen, generator=generator)
    np.testing.assert_allclose(found.numpy().ravel(), [-40, 0, 300, 900], atol=0.01)


def write_galaxies(folder: Path, n: int) -> pl.DataFrame:
    files = [write_cube(folder / f"{i}.fits", drawn("disc", i, side=40)) for i in range(n)]
    ids = [Path(file).stem for file in files]
    return pl.DataFrame({"id_str": ids, "file_loc": files, "split": ["train"] * n})


def make(folder: Path, out: str, settings: PrepareSettings) -> dict[str, Any]:
    with open_engine(EngineSettings.model_validate({"kind": "inline"})) as engine:
        return prepare(settings, catalogue=folder / "in.parquet", out=folder / out, engine=engine)


def test_a_store_of_floats(tmp_path: Path) -> None:
    frame = write_galaxies(tmp_path, 40)
    Path(frame["file_loc"][7]).unlink()
    write_catalogue(tmp_path / "in.parquet", frame, {})
    summary = make(tmp_path, "out", settings_of(unit="nanomaggy"))
    assert summary["rejects"] == {"missing": 1}
    assert summary["shape"] == [39, 3, 32, 32]
    header = npy_header((39, 3, 32, 32), np.float16)
    assert summary["bytes"] == len(header) + 39 * 3 * 32 * 32 * 2
    store = open_store(tmp_path / "out", settings_of(unit="nanomaggy"))
    assert store.images.dtype == np.float16
    assert json.loads((tmp_path / "out" / "store.json").read_text())["dtype"] == "float16"
    kept = frame.filter(pl.col("id_str") != "7")
    for row, file_loc in enumerate(kept["file_loc"]):
        expected = prepare_file(file_loc, store.settings)
        np.testing.assert_array_equal(store.images[row], expected)
    found = store.gather([3, 1])
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, store.images[[3, 1]])
    shown = store.pictures([3, 1])
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, np.clip(np.rint(found[:, ::-1].astype(float)), 0, 255))
    properties = picture_properties(store.images, np.arange(39))
    assert properties["galaxy: light above the sky"].is_finite().all()
    with pytest.raises(StoreError, match="of another recipe"):
        open_store(tmp_path / "out", settings_of(unit="nJy"))


def test_a_cut_off_store_of_floats_goes_on(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "in.parquet", write_galaxies(tmp_path, 40), {})
    chosen = settings_of()
    whole = make(tmp_path, "whole", chosen)
    make(tmp_path, "cut", chosen)
    out = tmp_path / "cut"
    described = json.loads((out / "store.json").read_text())
    described.update(state="writing")
    (out / "store.json").write_text(json.dumps(described))
    width = 3 * 32 * 32 * 2
    content = (out / "images.npy").read_bytes()[len(npy_header((40, 3, 32, 32), np.float16)) :]
    lines = []
    for start in range(0, 40, 3):
        data = content[start * width : (start + 3) * width]
        digest = hashlib.sha256(data).hexdigest()
        n = len(data) // width
        lines.append({"start": start, "n": n, "sha256": digest, "rejects": {}, "sizes": {}})
    (out / "shards.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    # Only shards whose digests hold can come from the first run.
    for row in range(3, 40):
        (tmp_path / f"{row}.fits").unlink()
    with (out / "images.npy").open("r+b") as handle:
        handle.seek(len(npy_header((40, 3, 32, 32), np.float16)) + 5)
        handle.write(b"torn")
    make(tmp_path, "cut", chosen)
    assert (out / "images.npy").read_bytes() == (tmp_path / "whole/images.npy").read_bytes()
    assert whole["n"] == len(open_store(out)) == 40


def test_a_store_from_before_there_were_floats(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "in.parquet", write_galaxies(tmp_path, 20), {})
    chosen = PrepareSettings.model_validate({"size": 32, "stretch": "asinh"})
    make(tmp_path, "out", chosen)
    path = tmp_path / "out" / "store.json"
    described = json.loads(path.read_text())
    assert described.pop("dtype") == "uint8"
    former = ("size", "channels", "crop_fraction", "crop", "pad", "add_noise", "denoise")
    former += ("denoise_strength", "stretch")
    described["preparation"] = {name: described["preparation"][name] for name in former}
    path.write_text(json.dumps(described))
    store = open_store(tmp_path / "out", chosen)
    assert store.images.dtype == np.uint8
    np.testing.assert_array_equal(store.images[0], prepare_file(str(tmp_path / "0.fits"), chosen))
    described["dtype"] = "float16"
    path.write_text(json.dumps(described))
    with pytest.raises(StoreError, match="bytes"):
        open_store(tmp_path / "out")


def test_pictures_of_any_channels() -> None:
    random = np.random.default_rng(3)
    colour = random.integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    assert as_pictures(colour) is colour
    bands = random.normal(100, 90, (4, 5, 8, 8)).astype(np.float16)
    for n, order in ((5, (4, 2, 0)), (4, (3, 2, 0)), (3, (2, 1, 0)), (1, (0,))):
        found = as_pictures(bands[:, :n])
        assert found.dtype == np.uint8
        expected = np.clip(np.rint(bands[:, order].astype(np.float32)), 0, 255)
        np.testing.assert_array_equal(found, expected)
        assert to_picture(bands[0, :n]).shape == (8, 8, 3)
    two = as_pictures(bands[:, :2])
    expected = np.clip(np.rint(bands[:, :2].astype(np.float32).mean(1)), 0, 255)
    np.testing.assert_array_equal(two[:, 1], expected)


def test_one_pixel_of_the_rim_is_no_sky() -> None:
    flux = np.zeros((32, 32), np.float32)
    flux[0, 0] = 99
    measured = np.zeros((32, 32), bool)
    measured[4:28, 4:28] = measured[0, 0] = True
    assert sky_and_noise(flux, measured) == (0.0, 0.0)
