"""Files: JPEG, FITS cubes with units and places, and a folder by itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.cli import main
from morphoscope.engine import InlineEngine
from morphoscope.errors import RecipeError, StageError
from morphoscope.images import read_image
from morphoscope.recipe import SimulateSettings
from morphoscope.simulate import CLASSES, simulate
from morphoscope.simulate.bands import SURVEYS, nanomaggies
from morphoscope.simulate.drawing import drawing_of
from morphoscope.simulate.folder import simulate_folder


def drawn(settings: SimulateSettings, out: Path) -> pl.DataFrame:
    simulate(settings, seed=1, out=out, engine=InlineEngine())
    return pl.read_parquet(out / "catalogue.parquet")


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_a_cube_has_its_place_units_and_flux(survey: str, zoom: float, tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    settings = SimulateSettings(
        n=10,
        size=96,
        survey=survey,
        format="fits",
        zoom=[zoom, zoom],
        neighbours=0.0,
        sky_noise=0.05,
        fractions={"elliptical": 1.0},
    )
    for row in drawn(settings, tmp_path).iter_rows(named=True):
        with fits.open(row["file_loc"]) as hdus:
            header, cube = hdus[0].header, hdus[0].data
        names = header["BANDS"].split(",")
        assert names == list(SURVEYS[survey].bands)
        assert cube.shape == (len(names), 96, 96)
        assert cube.dtype == np.dtype(">f4")
        assert header["BUNIT"] == "nanomaggy"
        assert header[f"FILTER{len(names)}"] == names[-1]
        assert header["PIXSCALE"] == pytest.approx(row["pixel_scale"])
        wcs = WCS(header, naxis=2)
        assert wcs.proj_plane_pixel_scales()[0].to_value("arcsec") == pytest.approx(
            row["pixel_scale"]
        )
        # The catalogue counts y downwards, FITS upwards.
        ra, dec = wcs.pixel_to_world_values(row["x"], 95 - row["y"])
        assert float(dec) == pytest.approx(row["dec"], abs=1e-9)
        assert float(ra) == pytest.approx(row["ra"], abs=1e-9)
        if row["half_light_radius_pixels"] < 4:
            flux = cube[names.index("r")].sum()
            assert flux == pytest.approx(nanomaggies(row["magnitude_r"]), rel=0.12)


def test_the_reader_sees_a_cube_and_its_picture_the_same_way_up(tmp_path: Path) -> None:
    settings = SimulateSettings(
        n=10, size=64, format="jpeg+fits", sky_noise=0.2, fractions={"spiral": 1.0}
    )
    straight, flipped = [], []
    for row in drawn(settings, tmp_path).iter_rows(named=True):
        picture, cube = read_image(row["file_loc"]), read_image(row["fits_loc"])
        assert picture.shape == cube.shape == (64, 64, 3)
        grey = cv2.GaussianBlur(picture.astype(np.float32).sum(axis=2), (0, 0), 1)
        light = cv2.GaussianBlur(np.arcsinh(20 * np.maximum(cube.sum(axis=2), 0)), (0, 0), 1)
        straight.append(np.corrcoef(grey.ravel(), light.ravel())[0, 1])
        flipped.append(np.corrcoef(grey.ravel(), light[::-1].ravel())[0, 1])
    assert np.mean(straight) > 0.8
    assert np.mean(np.greater(straight, flipped)) >= 0.9
    assert np.mean(flipped) < np.mean(straight) - 0.03


def test_noise_of_a_zoomed_cutout_is_that_of_its_pixels() -> None:
    """Twice the pixel has twice the noise, as of four pixels added up."""
    found = []
    for zoom in (1.0, 2.0):
        settings = SimulateSettings(size=128, zoom=[zoom, zoom], neighbours=0.0)
        band = drawing_of(1, 3, "star", settings).observed["r"]
        found.append(np.diff(band[:40, :40]).std())
    assert found[1] / found[0] == pytest.approx(2, rel=0.1)


def test_a_share_of_the_light_is_measured() -> None:
    settings = SimulateSettings(size=128, neighbours=0.0)
    for index in range(12):
        drawing = drawing_of(1, index, "elliptical", settings)
        row = drawing.row()
        inside = 0.5 * nanomaggies(row["magnitude_r"])
        area = np.pi * row["half_light_radius_arcsec"] ** 2 * row["axial_ratio"]
        expected = 22.5 - 2.5 * np.log10(inside / area)
        assert row["surface_brightness_r"] == pytest.approx(expected, abs=0.12)
        camera = SURVEYS["sdss"].bands["r"]
        sky = camera.sky_sigma(1.0) ** 2 * area
        assert row["signal_to_noise"] == pytest.approx(
            inside / np.sqrt(sky + inside / camera.gain), rel=0.12
        )


def test_a_folder_goes_on_and_is_never_mixed(tmp_path: Path) -> None:
    settings = SimulateSettings(n=20, size=32, format="jpeg", fractions={"disc": 1.0})
    out = tmp_path / "discs"
    first = simulate_folder(settings, seed=1, out=out, engine=InlineEngine())
    assert first["n"] == 20
    before = (out / "shards" / "0000.parquet").stat().st_mtime_ns
    assert simulate_folder(settings, seed=1, out=out, engine=InlineEngine()) == first
    assert (out / "shards" / "0000.parquet").stat().st_mtime_ns == before
    with pytest.raises(StageError, match="galaxies of other seed"):
        simulate_folder(settings, seed=2, out=out, engine=InlineEngine())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(StageError, match="is not empty"):
        simulate_folder(settings, seed=1, out=tmp_path / "full", engine=InlineEngine())


def test_the_command_draws_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "some.toml"
    recipe.write_text(
        'name = "some"\n[engine]\nkind = "inline"\n[simulate]\nsize = 32\nfractions.disc = 1.0\n'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["simulate", str(recipe), "--n", "12", "--set", "simulate.survey=legacy"])
    assert left.value.code == 0
    frame = pl.read_parquet(tmp_path / "simulated" / "some" / "catalogue.parquet")
    assert frame.height == 12
    assert set(frame["survey"]) == {"legacy"}
    assert "simulated/some/catalogue.parquet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"zoom": [2.0, 1.0]}, "zoom is"),
        ({"pixel_scale": 0.01}, "pixel_scale is 0"),
        ({"survey": "mixed", "format": "fits"}, "no one set of bands"),
    ],
)
def test_settings_that_contradict_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SimulateSettings(**values)  # type: ignore[arg-type]


def test_a_mixture_of_surveys_shows_each_for_a_third(tmp_path: Path) -> None:
    settings = SimulateSettings(n=90, size=32, survey="mixed", fractions={"elliptical": 1.0})
    shares = drawn(settings, tmp_path)["survey"].value_counts()
    assert set(shares["survey"]) == set(SURVEYS)
    assert shares["count"].min() > 15


def test_every_class_has_the_same_columns_in_the_same_order() -> None:
    settings = SimulateSettings(size=32)
    rows = [drawing_of(1, index, kind, settings).row() for kind in CLASSES for index in range(12)]
    assert {tuple(row) for row in rows} == {tuple(rows[0])}


def test_a_misspelt_class_leaves_the_folder_free(tmp_path: Path) -> None:
    wrong = SimulateSettings(n=10, size=32, fractions={"discc": 1.0})
    with pytest.raises(RecipeError, match="discc"):
        simulate_folder(wrong, seed=1, out=tmp_path / "new", engine=InlineEngine())
    right = SimulateSettings(n=10, size=32, fractions={"disc": 1.0})
    assert simulate_folder(right, seed=1, out=tmp_path / "new", engine=InlineEngine())["n"] == 10
