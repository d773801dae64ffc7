"""Bands of FITS files: found by name, in one unit, masked; what is not as asked has its word."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from PIL import Image

from fits_files import (
    BANDS,
    PIXEL_SCALE,
    drawn,
    header,
    image,
    upright,
    without_wcs,
    write_cube,
    write_extensions,
)
from morphoscope.errors import ImageError
from morphoscope.images import band_name, files_of, image_size, read_bands, read_image
from morphoscope.images.units import flux_factor, scale_of

FLUX = drawn("disc", 1, side=40)


def reason_of(file_loc: str, bands: tuple[str, ...] = BANDS, **demand: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_bands(file_loc, bands, **demand)
    assert file_loc in str(caught.value)
    return caught.value.reason


def extensions(**cards: Any) -> list[fits.ImageHDU]:
    return [image(FLUX[i], FILTER=name, **cards) for i, name in enumerate(BANDS)]


def cube_named(path: Path, cards: dict[str, Any]) -> str:
    return write_cube(path, FLUX, BANDS=cards.pop("BANDS", None), **cards)


@pytest.mark.parametrize(
    "cards",
    [
        {"BANDS": "g,r,i"},
        {"BANDS": "gri"},
        {"BANDS": "HSC-G HSC-R2 HSC-I"},
        {"BAND1": "g_SDSS", "BAND2": "r_SDSS", "BAND3": "i_SDSS"},
        {"BAND0": "g", "BAND1": "r", "BAND2": "i"},
    ],
)
def test_planes_of_a_cube_are_found_by_name(cards: dict[str, Any], tmp_path: Path) -> None:
    file_loc = cube_named(tmp_path / "a.fits", dict(cards))
    for order in ((0, 1, 2), (2, 0), (1,)):
        found = read_bands(file_loc, [BANDS[i] for i in order])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, upright(FLUX[list(order)]))


def test_one_extension_a_band(tmp_path: Path) -> None:
    by_filter = write_extensions(tmp_path / "a.fits", *extensions()[::-1])
    by_name = write_extensions(
        tmp_path / "b.fits", *(image(FLUX[i], name.upper()) for i, name in enumerate(BANDS))
    )
    for file_loc in (by_filter, by_name):
        np.testing.assert_array_equal(read_bands(file_loc, BANDS), upright(FLUX))


def test_one_file_a_band(tmp_path: Path) -> None:
    for index, name in enumerate(BANDS):
        (tmp_path / name).mkdir()
        card = {"FILTER": "DECam " + name if index else None}
        fits.PrimaryHDU(FLUX[index], header(**card)).writeto(tmp_path / name / "galaxy.fits")
    pattern = str(tmp_path / "{band}" / "galaxy.fits")
    np.testing.assert_array_equal(read_bands(pattern, BANDS), upright(FLUX))
    assert image_size(pattern) == (40, 40)
    assert len(files_of(pattern)) == 3
    assert reason_of(pattern, ("g", "z")) == "missing_band"
    assert reason_of(str(tmp_path / "{band}" / "other.fits")) == "missing"
    fits.PrimaryHDU(FLUX[0], header(FILTER="z")).writeto(tmp_path / "i/galaxy.fits", overwrite=True)
    assert reason_of(pattern) == "missing_band"


def test_one_image_of_many_is_chosen(tmp_path: Path) -> None:
    cube = image(FLUX, "SCI", BANDS="gri")
    other = image(FLUX + 5, "SCI", BANDS="gri")
    other.ver = 2
    table = fits.BinTableHDU.from_columns([fits.Column("id", "J", array=np.arange(3))], name="CAT")
    file_loc = write_extensions(
        tmp_path / "a.fits", image(FLUX[0] * 0, "MODEL"), table, cube, other
    )
    for wanted, shift in (("SCI", 0), ("3", 0), ("sci,2", 5), ("4", 5)):
        chosen = f"{file_loc}[{wanted}]"
        np.testing.assert_array_equal(read_bands(chosen, BANDS), upright(FLUX + np.float32(shift)))
        np.testing.assert_array_equal(read_image(chosen), upright(FLUX + np.float32(shift)))
        assert image_size(chosen) == (40, 40)
    for wrong in ("9", "CAT", "0", "SCI,3", "NONE"):
        assert reason_of(f"{file_loc}[{wrong}]") == "wrong_hdu"
    with pytest.raises(ImageError, match=r"\[3\] SCI \(3×40×40\)"):
        read_image(f"{file_loc}[9]")
    # A name that only looks like a choice is a name.
    literal = tmp_path / "b.fits[1]"
    literal.write_bytes((tmp_path / "a.fits").read_bytes())
    assert read_image(str(literal)).shape == (40, 40, 1)


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz", "a.fits.fz"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "i8", "u1"])
def test_every_type_and_packing(name: str, dtype: str, tmp_path: Path) -> None:
    values = (FLUX * 20).astype(dtype)
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(Path(write_cube(tmp_path / "b.fits", values)).read_bytes()))
    else:
        write_cube(path, values)
    found = read_bands(str(path), BANDS, unit="nanomaggy", pixel_scale=PIXEL_SCALE)
    np.testing.assert_array_equal(found, upright(values).astype(np.float32))


def test_integers_without_value_are_missing(tmp_path: Path) -> None:
    values = (FLUX * 100).astype(np.int16)
    values[0, 3, 4] = -32768
    found = read_bands(write_cube(tmp_path / "a.fits", values, BLANK=-32768), BANDS)
    assert np.argwhere(np.isnan(found)).tolist() == [[36, 4, 0]]


def test_what_is_beyond_float32_is_missing(tmp_path: Path) -> None:
    values = FLUX.astype(np.float64)
    values[1, 0, 0] = 1e300
    found = read_bands(write_cube(tmp_path / "a.fits", values), BANDS)
    assert np.argwhere(np.isnan(found)).tolist() == [[39, 0, 1]]


def test_names_that_cannot_be_trusted_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    nameless = cube_named(path, {})
    assert reason_of(nameless) == "missing_band"
    np.testing.assert_array_equal(read_bands(nameless, BANDS, planes=BANDS), upright(FLUX))
    assert reason_of(nameless, planes=("g", "r", "i", "z")) == "missing_band"
    # What the header says counts for more than what the recipe declares.
    turned = cube_named(path, {"BANDS": "i,r,g"})
    found = read_bands(turned, BANDS, planes=BANDS)
    np.testing.assert_array_equal(found, upright(FLUX[::-1]))
    assert reason_of(cube_named(path, {"BANDS": "g,r"})) == "missing_band"
    assert reason_of(cube_named(path, {"BANDS": "g,r,z"})) == "missing_band"
    # Johnson's R is not Sloan's r.
    assert reason_of(cube_named(path, {"BANDS": "g,R,i"})) == "missing_band"
    twice = write_extensions(path, *extensions(), image(FLUX[0], FILTER="g"))
    assert reason_of(twice) == "missing_band"
    # The primary's card names the one image of a file, not each of several.
    primary = fits.PrimaryHDU(header=fits.Header({"FILTER": "g"}))
    fits.HDUList([primary, image(FLUX[1], FILTER="r"), image(FLUX[0])]).writeto(
        tmp_path / "primary.fits"
    )
    assert reason_of(str(tmp_path / "primary.fits"), ("g", "r")) == "missing_band"
    odd = write_extensions(path, *extensions()[:2], image(FLUX[2][:30], FILTER="i"))
    assert reason_of(odd) == "wrong_size"


def test_what_is_no_fits_has_no_bands(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 40)).save(path)
    assert reason_of(str(path)) == "not_multiband"
    assert reason_of(str(tmp_path / "a.h5::images[0]")) == "not_multiband"
    fits.PrimaryHDU().writeto(tmp_path / "b.fits")
    assert reason_of(str(tmp_path / "b.fits")) == "not_an_image"
    (tmp_path / "c.fits").write_bytes(b"")
    assert reason_of(str(tmp_path / "c.fits")) == "empty"
    assert reason_of(str(tmp_path / "d.fits")) == "missing"
    cut = Path(write_cube(tmp_path / "e.fits", FLUX))
    cut.write_bytes(cut.read_bytes()[:9000])
    assert reason_of(str(cut)) == "truncated"
    assert reason_of(write_cube(cut, FLUX), largest_pixels=1599) == "too_large"


@pytest.mark.parametrize(
    ("stated", "astropys"),
    [
        ("Jy", units.Jy),
        ("mJy", units.mJy),
        ("uJy", units.uJy),
        ("nJy", units.nJy),
        ("nanomaggies", units.nmgy),
        ("maggy/pixel", units.mgy),
    ],
)
@pytest.mark.parametrize("wanted", ["nJy", "nanomaggy"])
def test_units_agree_with_astropy(stated: str, astropys: Any, wanted: str) -> None:
    into = {"nJy": units.nJy, "nanomaggy": units.nmgy}[wanted]
    zero = units.zero_point_flux(units.ABflux)
    expected = (1 * astropys).to_value(into, equivalencies=zero)
    # astropy rounds the AB zero point to 3630.7805 Jy.
    assert flux_factor({"BUNIT": stated}, wanted) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("cards", "magnitude_of_one"),
    [
        ({"BUNIT": "adu", "MAGZERO": 27.0}, 27.0),
        ({"PHOTZP": 25.0}, 25.0),
        ({"BUNIT": "electron/s", "ZP": 26.5, "MAGSYS": "AB"}, 26.5),
        ({"FLUXMAG0": 63095734448.0194}, 27.0),
        # ACS F814W: 25.94 of STScI's tables.
        ({"BUNIT": "ELECTRONS/S", "PHOTFLAM": 7.07e-20, "PHOTPLAM": 8045.5}, 25.94),
        ({"SURVEY": "DECaLS"}, 22.5),
    ],
)
def test_zero_points_are_units(cards: dict[str, Any], magnitude_of_one: float) -> None:
    nanomaggies = flux_factor(cards, "nanomaggy")
    assert 22.5 - 2.5 * np.log10(nanomaggies) == pytest.approx(magnitude_of_one, abs=0.01)


def test_surface_brightness_needs_the_pixel_scale() -> None:
    cards = {**header(scale=0.1), "BUNIT": "MJy/sr"}
    expected = (1 * units.MJy / units.sr * (0.1 * units.arcsec) ** 2).to_value(units.uJy)
    assert flux_factor(cards, "uJy") == pytest.approx(expected)
    with pytest.raises(ImageError) as caught:
        flux_factor({"BUNIT": "MJy/sr"}, "uJy")
    assert caught.value.reason == "no_scale"


@pytest.mark.parametrize(
    ("cards", "unit", "reason"),
    [
        ({}, "nanomaggy", "no_unit"),
        ({"BUNIT": "adu"}, "nanomaggy", "wrong_unit"),
        ({"BUNIT": "adu", "MAGZERO": 25.0, "MAGSYS": "Vega"}, "nanomaggy", "wrong_unit"),
        ({"BUNIT": "MJY"}, "nanomaggy", "wrong_unit"),
        ({"BUNIT": "Jy/beam", "MAGZERO": 25.0}, "nanomaggy", "wrong_unit"),
        ({"BUNIT": "nanomaggy"}, "adu", "wrong_unit"),
        ({"MAGZERO": 0.0}, "Jy", "no_unit"),
        ({"MAGZERO": "unknown"}, "Jy", "no_unit"),
    ],
)
def test_no_unit_is_guessed(cards: dict[str, Any], unit: str, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        flux_factor(cards, unit)
    assert caught.value.reason == reason


def test_units_that_are_alike_need_no_conversion() -> None:
    assert flux_factor({"BUNIT": "ADU"}, "adu") == flux_factor({"BUNIT": "furlong"}, "") == 1


@pytest.mark.parametrize(
    "cards",
    [
        {"CD1_1": -1e-4, "CD1_2": 2e-5, "CD2_1": 2e-5, "CD2_2": 1.1e-4},
        {"CDELT1": -1e-4, "CDELT2": 1e-4},
        {"CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -4.6e-5, "PC2_2": 4.6e-5},
        {"CDELT1": -0.2, "CDELT2": 0.2, "CUNIT1": "arcsec", "CUNIT2": "arcsec"},
    ],
)
def test_the_pixel_scale_is_astropys(cards: dict[str, Any]) -> None:
    made = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": 10.0, **cards})
    squares = proj_plane_pixel_scales(WCS(made)).prod()
    assert scale_of(made) == pytest.approx(3600 * np.sqrt(squares), rel=2e-2)
    if "CD1_2" not in cards:
        assert scale_of(made) == pytest.approx(3600 * np.sqrt(squares), rel=1e-9)


def test_the_pixel_scale_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    for scale, reason in ((0.396, ""), (0.42, ""), (0.45, "wrong_scale"), (0.262, "wrong_scale")):
        file_loc = write_cube(path, FLUX, scale=scale)
        assert read_bands(file_loc, BANDS).shape == (40, 40, 3)
        if reason:
            assert reason_of(file_loc, pixel_scale=PIXEL_SCALE) == reason
        else:
            assert read_bands(file_loc, BANDS, pixel_scale=PIXEL_SCALE).shape == (40, 40, 3)
    fits.PrimaryHDU(FLUX, without_wcs(BANDS="gri")).writeto(path, overwrite=True)
    assert reason_of(str(path), pixel_scale=PIXEL_SCALE) == "no_scale"
    assert read_bands(str(path), BANDS).shape == (40, 40, 3)


def masked(found: NDArray[np.float32]) -> list[list[int]]:
    """(band, row of the file, column) of the pixels that are left out."""
    return [[band, 39 - y, x] for y, x, band in np.argwhere(np.isnan(found))]


def test_masks_go_with_their_images(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    mask = np.zeros((40, 40), np.int32)
    mask[5, 6] = 4
    one = write_extensions(path, image(FLUX, "SCI", BANDS="gri"), image(mask, "MASK"))
    assert masked(read_bands(one, BANDS)) == [[0, 5, 6], [1, 5, 6], [2, 5, 6]]
    assert masked(read_bands(one, BANDS, mask_bits=3)) == []
    assert len(masked(read_bands(one, BANDS, mask_bits=4))) == 3
    assert masked(read_bands(one, BANDS, mask_bits=0)) == []
    cube = np.zeros((3, 40, 40), np.uint8)
    cube[1, 0, 0] = 1
    of_planes = write_extensions(path, image(FLUX, "SCI", BANDS="gri"), image(cube, "DQ"))
    assert masked(read_bands(of_planes, BANDS)) == [[1, 0, 0]]
    masks = [image(plane, f"MASK_{name.upper()}") for name, plane in zip(BANDS, cube, strict=True)]
    of_names = write_extensions(path, *extensions(), *masks)
    assert masked(read_bands(of_names, BANDS)) == [[1, 0, 0]]
    wrong = write_extensions(path, image(FLUX, "SCI", BANDS="gri"), image(mask[:9], "MASK"))
    assert reason_of(wrong) == "wrong_mask"
    of_one = write_extensions(path, *extensions(), masks[1])
    assert masked(read_bands(of_one, BANDS)) == [[1, 0, 0]]
    hidden = np.ones((40, 40), np.int32)
    of_another = write_extensions(path, *extensions(), image(hidden, "MASK_I"))
    assert masked(read_bands(of_another, BANDS[:2])) == []
    unclear = write_extensions(path, *extensions(), *masks[:2], image(mask, "MASK"))
    assert reason_of(unclear, ("i", "z")) == "missing_band"
    several = write_extensions(path, image(FLUX, "SCI", BANDS="gri"), *masks)
    assert masked(read_bands(several, BANDS)) == [[1, 0, 0]]
    two = write_extensions(path, image(FLUX, "SCI", BANDS="gri"), *[image(mask, "MASK")] * 2)
    assert reason_of(two) == "wrong_mask"


def test_a_detection_is_no_defect(tmp_path: Path) -> None:
    """As HSC and LSST have it: the file's primary names the band, the mask its planes."""
    mask = np.full((40, 40), 1 << 5, np.int32)
    mask[7, 8] |= 1 << 3
    planes = {"HIERARCH MP_DETECTED": 5, "MP_CR": 3, "MP_BAD": 0, "MP_INTRP": 2}
    hdus = [
        fits.PrimaryHDU(header=fits.Header({"FILTER": "HSC-I2", "FLUXMAG0": 10**10.8})),
        image(FLUX[2], "IMAGE", BUNIT=None),
        image(mask, "MASK", **planes),
        image(FLUX[2] ** 2, "VARIANCE"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    found = read_bands(str(tmp_path / "a.fits"), ("i",), unit="maggy")
    assert masked(found) == [[0, 7, 8]]
    np.testing.assert_allclose(np.nanmax(found), FLUX[2].max() * 10**-10.8, rtol=1e-5)
    assert len(masked(read_bands(str(tmp_path / "a.fits"), ("i",), mask_bits=1 << 5))) == 1600


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("g", "g"),
        ("R", "R"),
        ("HSC-G", "g"),
        ("hsc_y", "y"),
        ("HSC-R2", "r"),
        ("r_SDSS", "r"),
        ("sdss_r", "r"),
        ("SDSS-U", "u"),
        ("DECam z", "z"),
        ("g DECam SDSS c0001 4720.0 1520.0", "g"),
        ("PS1.i", "i"),
        ("F814W", "F814W"),
        ("VIS", "VIS"),
        ("Ks", "Ks"),
    ],
)
def test_names_of_bands(written: str, name: str) -> None:
    assert band_name(written) == name


def test_a_band_in_a_name_is_no_number(tmp_path: Path) -> None:
    for name in ("1g.fits", "1r.fits", "10g.fits"):
        (tmp_path / name).touch()
    found = files_of(str(tmp_path / "1{band}.fits"))
    assert sorted(Path(file).name for file in found) == ["1g.fits", "1r.fits"]
