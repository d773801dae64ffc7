"""Cutouts are what was asked for, and where there is none it is told why."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from morphoscope.errors import RequestError, ServiceError
from morphoscope.images import read_image
from morphoscope.measure.shape import measure_shape
from morphoscope.serve.archives import STATUS_OF_CODE, Archives, ArchiveSettings, Cutout
from morphoscope.serve.archives.surveys import Square, cutout_url
from serve.archives.archive_server import ArchiveServer, Turn, disc_at, draw, jpeg

Make = Callable[..., Archives]
PLACE = (150.123456, 10.5)


def fetch(archives: Archives, *place: Any, **more: Any) -> Cutout:
    async def ask() -> Cutout:
        async with archives:
            return await archives.fetch_cutout(*place, **more)

    return asyncio.run(ask())


def failed(archives: Archives, *place: Any, **more: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        fetch(archives, *place, **more)
    return caught.value


def pixels_of(cutout: Cutout, folder: Path) -> np.ndarray:
    path = folder / "cutout"
    path.write_bytes(cutout.content)
    return read_image(str(path))


@pytest.mark.parametrize("survey", ["sdss", "legacy", "hips"])
def test_a_cutout_shows_the_galaxy_of_its_place(
    archives: Make, tmp_path: Path, survey: str
) -> None:
    cutout = fetch(archives(), *PLACE, 1.0, survey, pixels=200)
    assert (cutout.source, cutout.north_up, cutout.in_vain) == (survey, True, {})
    assert (cutout.ra, cutout.dec) == PLACE
    assert cutout.pixel_scale == pytest.approx(0.3)
    pixels = pixels_of(cutout, tmp_path)
    assert pixels.shape == (200, 200, 3)
    # The scale, the centre and north are right if the disc has its own tilt there.
    shape = measure_shape(pixels)
    truth = disc_at(*PLACE)
    assert shape.axial_ratio == pytest.approx(np.cos(np.radians(truth.inclination)), abs=0.08)
    angle = (shape.position_angle_deg - truth.position_angle + 90) % 180 - 90
    assert abs(angle) < 8


def test_fits_and_jpeg_show_the_same_way_up(archives: Make, tmp_path: Path) -> None:
    fits = fetch(archives(), *PLACE, 1.0, "legacy", pixels=100, form="fits")
    jpeg = fetch(archives(), *PLACE, 1.0, "legacy", pixels=100)
    assert fits.content.startswith(b"SIMPLE")
    one, two = pixels_of(fits, tmp_path).mean(axis=2), pixels_of(jpeg, tmp_path).mean(axis=2)
    alike = np.corrcoef(one.ravel(), two.ravel())[0, 1]
    assert alike > 0.95
    assert alike > np.corrcoef(one[::-1].ravel(), two.ravel())[0, 1] + 0.02


def test_the_real_services_are_asked_in_their_own_words() -> None:
    square = Square(150.0, -2.5, 2.0, 400)
    asked = {
        survey: urlsplit(cutout_url(survey, "jpeg", square, ArchiveSettings()))
        for survey in ("sdss", "legacy", "hips")
    }
    words = {
        survey: {k: v[0] for k, v in parse_qs(url.query).items()} for survey, url in asked.items()
    }
    place = {"ra": "150.000000", "dec": "-2.500000"}
    assert (
        asked["sdss"]
        .geturl()
        .startswith("https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout/getjpeg?")
    )
    assert words["sdss"] == place | {"scale": "0.300000", "width": "400", "height": "400"}
    assert asked["legacy"].geturl().startswith("https://www.legacysurvey.org/viewer/jpeg-cutout?")
    assert words["legacy"] == place | {
        "layer": "ls-dr9",
        "pixscale": "0.300000",
        "size": "400",
        "bands": "grz",
    }
    assert (
        asked["hips"]
        .geturl()
        .startswith("https://alasky.cds.unistra.fr/hips-image-services/hips2fits?")
    )
    assert words["hips"] == place | {
        "hips": "CDS/P/DSS2/color",
        "fov": "0.03333333",
        "width": "400",
        "height": "400",
        "projection": "TAN",
        "coordsys": "icrs",
        "format": "jpg",
    }


@pytest.mark.parametrize(
    ("dec", "survey", "in_vain"),
    [
        (10.0, "legacy", {}),
        (65.0, "sdss", {"legacy": "not_in_survey"}),
        (-60.0, "hips", {"legacy": "not_in_survey", "sdss": "not_in_survey"}),
    ],
)
def test_auto_takes_the_first_that_has_one(
    archives: Make, dec: float, survey: str, in_vain: dict[str, str]
) -> None:
    cutout = fetch(archives(), 150.0, dec, 1.0, "auto", pixels=64)
    assert (cutout.source, cutout.in_vain) == (survey, in_vain)


def test_auto_passes_over_a_service_that_is_away_and_tells_it(
    server: ArchiveServer, archives: Make
) -> None:
    server.fail("legacy", *[Turn("refuse", status=503)] * 2)
    cutout = fetch(archives(retries=1), *PLACE, 1.0, pixels=64)
    assert (cutout.source, cutout.in_vain) == ("sdss", {"legacy": "archive_away"})


def test_auto_tells_of_each_where_none_has_one(server: ArchiveServer, archives: Make) -> None:
    server.fail("sdss", Turn("refuse", status=503))
    server.fail("hips", Turn("blank"))
    told = failed(archives(retries=0), 150.0, 65.0, 1.0, pixels=64)
    assert told.code == "archive_away"
    assert all(survey in told.found for survey in ("legacy", "sdss", "hips"))


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        (Turn("blank"), "not_in_survey"),
        (Turn("words"), "not_in_survey"),
        (Turn("html", to="Requested (ra, dec) is outside the SDSS footprint"), "not_in_survey"),
        (Turn("html", 404, "No data overlaps RA,Dec"), "not_in_survey"),
        (Turn("html", to="Down for maintenance"), "archive_away"),
        (Turn("html", to="Welcome to SkyServer"), "no_image"),
        (Turn("html", 404, "Nothing of that name"), "no_image"),
        (Turn("html", 403, "You are outside the network"), "no_image"),
        (Turn("empty"), "no_image"),
        (Turn("junk"), "no_image"),
        (Turn("broken"), "no_image"),
        (Turn("endless"), "too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind} {value.to[:9]}",
)
def test_each_way_of_having_no_image_is_told_apart(
    server: ArchiveServer, archives: Make, turn: Turn, code: str
) -> None:
    server.fail("sdss", turn)
    assert failed(archives(retries=0), *PLACE, 1.0, "sdss").code == code
    assert code in STATUS_OF_CODE


@pytest.mark.parametrize("form", ["jpeg", "fits"])
def test_outside_of_its_footprint_legacy_sends_one_colour(archives: Make, form: str) -> None:
    told = failed(archives(), 150.0, -60.0, 1.0, "legacy", pixels=64, form=form)
    assert told.code == "not_in_survey"


def test_a_burnt_out_core_is_an_image(server: ArchiveServer, archives: Make) -> None:
    image = draw(*PLACE, 100, 0.3)
    image[:70] = 255
    server.fail("sdss", Turn("bytes", body=jpeg(image)))
    assert fetch(archives(), *PLACE, 1.0, "sdss").content


def test_hips_spreads_the_square_over_whatever_it_sends(
    server: ArchiveServer, archives: Make
) -> None:
    for service in ("hips", "sdss"):
        server.fail(service, Turn("bytes", body=jpeg(draw(*PLACE, 100, 0.3))))
    assert fetch(archives(), *PLACE, 1.0, "hips", pixels=200).pixel_scale == pytest.approx(0.6)
    assert fetch(archives(), *PLACE, 1.0, "sdss", pixels=200).pixel_scale == pytest.approx(0.3)


@pytest.mark.parametrize(
    "place",
    [
        (-0.1, 0.0, 1.0),
        (360.0, 0.0, 1.0),
        (float("nan"), 0.0, 1.0),
        (float("inf"), 0.0, 1.0),
        (0.0, 90.1, 1.0),
        (0.0, -90.1, 1.0),
        (0.0, float("nan"), 1.0),
        (0.0, 0.0, 0.0),
        (0.0, 0.0, -1.0),
        (0.0, 0.0, float("nan")),
        (0.0, 0.0, 30.1),
        (0.0, 0.0, float("inf")),
        (0.0, 0.0, 1.0, "2mass"),
        (0.0, 0.0, 1.0, ""),
    ],
)
def test_what_cannot_be_meant_is_not_asked(
    server: ArchiveServer, archives: Make, place: tuple[Any, ...]
) -> None:
    with pytest.raises(RequestError):
        fetch(archives(), *place)
    assert server.asked == []


@pytest.mark.parametrize("more", [{"pixels": 63}, {"pixels": 2049}, {"form": "fits"}])
def test_nor_what_the_service_does_not_have(
    server: ArchiveServer, archives: Make, more: dict[str, Any]
) -> None:
    with pytest.raises(RequestError):
        fetch(archives(), *PLACE, 1.0, "sdss", **more)
    assert server.asked == []


def test_fits_by_auto_is_that_of_legacy(archives: Make) -> None:
    cutout = fetch(archives(), *PLACE, 1.0, pixels=64, form="fits")
    assert cutout.source == "legacy"
    assert failed(archives(), 150.0, 65.0, 1.0, form="fits").code == "not_in_survey"


def test_an_image_by_its_address_comes_without_a_place(
    server: ArchiveServer, archives: Make
) -> None:
    async def ask() -> Cutout:
        async with archives() as many:
            return await many.fetch_url(server.file_url() + "#middle")

    cutout = asyncio.run(ask())
    assert (cutout.source, cutout.url) == ("url", server.file_url())
    assert (cutout.ra, cutout.dec, cutout.pixel_scale, cutout.north_up) == (None,) * 4


@pytest.mark.parametrize("kind", ["html", "empty", "junk"])
def test_what_is_no_image_is_not_taken_by_its_address(
    server: ArchiveServer, archives: Make, kind: str
) -> None:
    server.fail("files", Turn(kind))

    async def ask() -> None:
        async with archives() as many:
            await many.fetch_url(server.file_url())

    with pytest.raises(ServiceError) as caught:
        asyncio.run(ask())
    assert caught.value.code == "no_image"


def test_a_picture_of_too_many_pixels_is_not_decoded(server: ArchiveServer, archives: Make) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    server.fail("files", Turn("bytes", body=png))

    async def ask() -> None:
        async with archives() as many:
            await many.fetch_url(server.file_url())

    with pytest.raises(ServiceError) as caught:
        asyncio.run(ask())
    assert caught.value.code == "too_large"
