"""FITS in three bands from the files to a table of classes, and real ones as far as they go."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from fits_files import BANDS, PIXEL_SCALE, SKY, drawn, header, without_wcs, write_cube
from morphoscope.bundle import open_bundle
from morphoscope.engine import open_engine
from morphoscope.errors import ImageError
from morphoscope.images import read_bands
from morphoscope.pipeline import run_stages
from morphoscope.predict import predict
from morphoscope.prepare import open_store, prepare_file, prepare_pixels
from morphoscope.prepare.views import as_pictures
from morphoscope.recipe import EngineSettings, PrepareSettings, load_recipe

RECIPE = Path(__file__).parents[1] / "recipes" / "multiband.toml"
N = 72
KINDS = ("smooth", "disc")
# What the drawn galaxies are asked with: small and quick.
CHANGES = [
    "prepare.size=32",
    "train.width=0.125",
    "train.epochs=6",
    "train.batch_size=8",
    "train.learning_rate=0.01",
    "train.average=0.0",
    "train.orientations=1",
    "split.validation=0.25",
    "split.test=0.25",
    "evaluate.bootstrap=100",
    "evaluate.gallery=3",
    "evaluate.explain=2",
    "engine.kind='inline'",
]


def write_galaxy(folder: Path, index: int) -> str:
    """One drawn galaxy, in turn with a NaN row, packed, as files of single bands, in counts."""
    flux = drawn(KINDS[index % 2], index)
    name = f"galaxy-{index:03d}"
    way = index // 2 % 5
    if way == 0:
        flux[:, 5] = np.nan
        write_cube(folder / f"{name}.fits", flux)
    elif way == 1:
        plain = Path(write_cube(folder / f"{name}.fits", flux))
        (folder / f"{name}.fits.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
        return f"{name}.fits.gz"
    elif way == 2:
        write_cube(folder / f"{name}.fits.fz", flux)
        return f"{name}.fits.fz"
    elif way == 3:
        for band, plane in zip(BANDS, flux, strict=True):
            cards = header(FILTER=f"SDSS-{band.upper()}")
            fits.PrimaryHDU(plane, cards).writeto(folder / f"{name}-{band}.fits")
        return f"{name}-{{band}}.fits"
    else:
        # The same flux as counts of 27th magnitude, and its bands in another order.
        counts = flux[::-1].astype(np.float64) * 10 ** (0.4 * (27 - 22.5))
        write_cube(folder / f"{name}.fits", counts, BANDS="irg", BUNIT="adu", MAGZERO=27.0)
    return f"{name}.fits"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of the recipe on drawn galaxies; one image lacks a band, one is too small."""
    data = tmp_path_factory.mktemp("multiband")
    files = [write_galaxy(data, index) for index in range(N)]
    write_cube(data / "two.fits", drawn("disc", 900)[:2], BANDS="g,r")
    write_cube(data / "tiny.fits", drawn("disc", 901, side=10))
    fits.PrimaryHDU(drawn("disc", 902) * np.nan, header(BANDS="gri")).writeto(data / "nan.fits")
    with (data / "labels.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["id", "file", "class"])
        table.writerows([index, file, KINDS[index % 2]] for index, file in enumerate(files))
        table.writerows([[900, "two.fits", "disc"], [901, "tiny.fits", "disc"]])
        table.writerow([902, "nan.fits", "disc"])
    run = tmp_path_factory.mktemp("runs") / "multiband"
    run_stages(load_recipe(RECIPE, [*CHANGES, f"acquire.data={str(data)!r}"]), run)
    return run


def test_each_image_comes_through_or_leaves_with_its_reason(finished: Path) -> None:
    for stage, reasons in (("acquire", []), ("clean", ["too_small", "empty"])):
        rejects = pl.read_parquet(finished / stage / "rejects.parquet")
        assert sorted(rejects["reason"]) == sorted(reasons), stage
    rejects = pl.read_parquet(finished / "prepare" / "rejects.parquet")
    assert rejects["reason"].to_list() == ["missing_band"]
    assert "there is no band i (g, r)" in rejects["detail"][0]
    store = open_store(finished / "prepare")
    assert store.images.shape == (N, 3, 32, 32)
    assert store.images.dtype == np.float16
    assert store.settings.pixel_scale == PIXEL_SCALE


def test_the_way_a_file_is_written_does_not_matter(finished: Path) -> None:
    """Packed, one file a band, in counts with bands the other way round: the same pixels."""
    store = open_store(finished / "prepare")
    for row in store.catalogue.with_row_index().iter_rows(named=True):
        flux = drawn(KINDS[int(row["id_str"]) % 2], int(row["id_str"]))
        if int(row["id_str"]) // 2 % 5 == 0:
            flux[:, 5] = np.nan
        expected = prepare_pixels(flux[:, ::-1].transpose(1, 2, 0), store.settings)
        np.testing.assert_allclose(
            store.images[row["index"]].astype(float), expected.astype(float), atol=0.2
        )


def test_the_network_learns_the_two_classes(finished: Path) -> None:
    metrics = json.loads((finished / "evaluate" / "metrics.json").read_text())
    assert metrics["n_test"] >= 16
    assert metrics["scores"]["accuracy"]["value"] >= 0.9
    assert (finished / "evaluate" / "report.html").stat().st_size > 50_000


def other_files(folder: Path) -> dict[str, str]:
    """Files that are not as the model was made for, by the reason that they should get."""
    flux = drawn("smooth", 500)
    centre, band, rows = flux.copy(), flux.copy(), flux.copy()
    centre[:, 28:37, 28:37] = np.nan
    band[1] = np.nan
    rows[:, :20] = np.nan
    files = {
        "no_unit": write_cube(folder / "no_unit.fits", flux, BUNIT=None),
        "wrong_unit": write_cube(folder / "wrong_unit.fits", flux, BUNIT="electron/s"),
        "missing_band": write_cube(folder / "missing_band.fits", flux, BANDS="grz"),
        "wrong_scale": write_cube(folder / "wrong_scale.fits", flux, scale=0.168),
        "no_scale": str(folder / "no_scale.fits"),
        "masked": write_cube(folder / "masked.fits", centre),
        "masked:rows": write_cube(folder / "rows.fits", rows),
        "empty": write_cube(folder / "empty.fits", band),
        "too_small": write_cube(folder / "tiny.fits", drawn("smooth", 501, side=10)),
        "not_multiband": str(folder / "colour.png"),
        "wrong_hdu": str(folder / "missing_band.fits") + "[3]",
        "blank": write_cube(folder / "blank.fits", np.full_like(flux, SKY)),
        "missing": str(folder / "nowhere.fits"),
        "not_an_image": str(folder / "none.fits"),
        "truncated": str(folder / "cut.fits"),
    }
    fits.PrimaryHDU(flux, without_wcs(BANDS="gri", BUNIT="nanomaggy")).writeto(files["no_scale"])
    fits.PrimaryHDU().writeto(files["not_an_image"])
    Image.new("RGB", (64, 64), (9, 90, 30)).save(files["not_multiband"])
    whole = Path(write_cube(folder / "whole.fits", flux)).read_bytes()
    Path(files["truncated"]).write_bytes(whole[:20_000])
    return files


def test_what_the_model_was_not_made_for_is_flagged(finished: Path, tmp_path: Path) -> None:
    bad = other_files(tmp_path)
    flux = drawn("disc", 600)
    good = {
        "right": write_cube(tmp_path / "right.fits", flux),
        "in nJy": write_cube(tmp_path / "njy.fits", flux.astype(float) * 3630.780547, BUNIT="nJy"),
        "turned": write_cube(tmp_path / "turned.fits", flux[::-1], BANDS="i,r,g"),
        "double": write_cube(tmp_path / "double.fits", flux.astype(np.float64)),
    }
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "file"])
        rows.writerows({**good, **bad}.items())
    with open_engine(EngineSettings(kind="inline")) as engine:
        bundle = finished / "export" / "multiband"
        summary = predict(bundle, table, out=tmp_path / "out.parquet", engine=engine)
    found = pl.read_parquet(tmp_path / "out.parquet")
    flags = dict(found.select("id_str", "flag").iter_rows())
    assert {name: flags[name] for name in bad} == {name: name.split(":")[0] for name in bad}
    assert [flags[name] for name in good] == [None] * len(good)
    answered = found.filter(pl.col("flag").is_null())
    assert set(answered["class"]) == {"disc"}
    first = answered.select("p_smooth", "p_disc").to_numpy()
    np.testing.assert_allclose(first, np.repeat(first[:1], len(good), axis=0), atol=1e-3)
    assert found.filter(pl.col("flag").is_not_null())["class"].is_null().all()
    assert summary["n"] == len(good) + len(bad)


def test_predict_answers_as_evaluate(finished: Path) -> None:
    store = open_store(finished / "prepare")
    rows = store.rows("test")
    evaluated = pl.read_parquet(finished / "evaluate" / "predictions.parquet").filter(split="test")
    files = [str(name) for name in store.catalogue["file_loc"][rows.tolist()]]
    model = open_bundle(finished / "export" / "multiband")
    found = model.predict(np.stack([prepare_file(file, model.preparation) for file in files]))
    expected = evaluated.select(f"p_{name}" for name in model.classes).to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


# Real galaxies: five bands of HSC in COSMOS.
HSC_SCALE = 0.168
HSC_BANDS = ["g", "r", "i", "z", "y"]
# Words for a galaxy that is masked in part, and as a whole.
MASKED = {"masked", "empty"}


def hsc_settings(**values: Any) -> PrepareSettings:
    chosen = {"channels": "bands", "bands": HSC_BANDS, "depth": "float16", "stretch": "asinh"}
    return PrepareSettings.model_validate(
        {"size": 40, **chosen, "white": 20.0, "softening": 0.1, **values}
    )


def refusal(file_loc: Path | str, settings: PrepareSettings) -> str:
    with pytest.raises(ImageError) as caught:
        prepare_file(str(file_loc), settings)
    return caught.value.reason


@pytest.mark.real
@pytest.mark.parametrize("name", ["Cut_HSC.fits", "hsc_ra=150.24071_dec=2.06514.fits"])
def test_real_cubes_state_their_scale_and_nothing_else(name: str, real_data: Path) -> None:
    file = real_data / "hsc-multiband" / name
    declared = {"planes": HSC_BANDS}
    assert refusal(file, hsc_settings()) == "missing_band"
    assert refusal(file, hsc_settings(**declared, unit="nanomaggy")) == "no_unit"
    assert refusal(file, hsc_settings(**declared, pixel_scale=PIXEL_SCALE)) == "wrong_scale"
    found = prepare_file(str(file), hsc_settings(**declared, pixel_scale=HSC_SCALE))
    with fits.open(file) as hdus:
        values = hdus[0].data.astype(np.float32)
    np.testing.assert_array_equal(
        read_bands(str(file), HSC_BANDS, planes=HSC_BANDS), values[:, ::-1].transpose(1, 2, 0)
    )
    # The galaxies are in the middle, and the brightest band is far from the faintest.
    assert found[:, 16:24, 16:24].mean() > 3 * abs(float(np.median(found[:, :4])))
    assert found.max() > 90


@pytest.mark.real
def test_a_point_spread_function_is_no_cutout(real_data: Path) -> None:
    file = next((real_data / "hsc-multiband").glob("psf_*.fits"))
    assert refusal(file, hsc_settings(planes=HSC_BANDS, pixel_scale=HSC_SCALE)) == "no_scale"
    other = real_data / "hsc-multiband" / "Cut_HST.fits"
    assert refusal(other, hsc_settings(planes=HSC_BANDS)) == "missing_band"
    one = hsc_settings(bands=["F814W"], planes=["F814W"], pixel_scale=HSC_SCALE)
    assert refusal(other, one) == "wrong_scale"


def cut(scene: NDArray[Any], x: float, y: float, half: int, beyond: float) -> NDArray[Any]:
    """Cutout of a scene ``(band, ny, nx)`` around a place, and a value beyond its edge."""
    padded = np.pad(scene, ((0, 0), (half, half), (half, half)), constant_values=beyond)
    top, left = round(float(y)), round(float(x))
    return padded[:, top : top + 2 * half, left : left + 2 * half]


@pytest.mark.real
def test_real_scenes_cut_at_their_catalogue(real_data: Path, tmp_path: Path) -> None:
    scene = np.load(real_data / "hsc-multiband" / "hsc_cosmos_35.npz")
    filters = [str(name) for name in scene["filters"]]
    # The planes of HSC's masks, whose numbers the scene does not tell: those of its pipeline.
    planes = {"MP_BAD": 0, "MP_SAT": 1, "MP_CR": 3, "HIERARCH MP_DETECTED": 5}
    settings = hsc_settings(
        size=32, unit="nanomaggy", pixel_scale=HSC_SCALE, white=0.5, softening=0.002
    )
    accepted = 0
    for index, source in enumerate(scene["catalog"]):
        place = (source["x"], source["y"], 16)
        flux, mask = cut(scene["images"], *place, np.nan), cut(scene["mask"], *place, 0)
        made = header(scale=HSC_SCALE, BANDS=",".join(filters), BUNIT="adu", MAGZERO=27.0)
        bits = fits.ImageHDU(mask, fits.Header(planes), name="MASK")
        file = tmp_path / f"{index}.fits"
        fits.HDUList([fits.PrimaryHDU(flux, made), bits]).writeto(file)
        left_out = np.isnan(flux) | (mask & 0b1011 != 0)
        shares = [part.mean((1, 2)).max() for part in (left_out, left_out[:, 12:20, 12:20])]
        if max(shares) > settings.largest_masked:
            assert refusal(file, settings) == "masked"
            continue
        accepted += 1
        shown = as_pictures(prepare_file(str(file), settings)[None])[0]
        # The source is there, in the middle; the sky is 0, its noise cut there 2 to 3.
        assert shown[:, 13:19, 13:19].mean() > 5
        # Any bit of the mask would leave out the galaxies themselves: they are what was detected.
        assert refusal(file, settings.model_copy(update={"mask_bits": 1 << 5})) in MASKED
    assert 2 <= accepted < len(scene["catalog"])
