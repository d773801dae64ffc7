"""Files in, a table of shapes out: every format, bad files, resumed, with the formula."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from drawn import draw, noisy, off
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr

from morphoscope.catalog import read_catalogue
from morphoscope.cli import main
from morphoscope.engine import Engine, open_engine
from morphoscope.errors import RecipeError, StageError
from morphoscope.measure import measure, measure_files
from morphoscope.recipe import EngineSettings

GALAXY = noisy(draw(0.5, 30, size=9), 5)
COLUMNS = [
    "id_str",
    "file_loc",
    "axial_ratio",
    "axial_ratio_isophote",
    "position_angle_deg",
    "half_light_radius",
    "semi_major",
    "x",
    "y",
    "signal_to_noise",
    "concentration",
    "inclination_formula",
    "inclination_formula_isophote",
    "flag",
]


@pytest.fixture
def inline() -> Engine:
    with open_engine(EngineSettings(kind="inline")) as engine:
        return engine


def write_galaxies(folder: Path) -> dict[str, str | None]:
    """The same galaxy in many formats; and the flag that each file should get."""
    upwards = GALAXY[::-1]
    holed = upwards.copy()
    holed[80:82] = np.nan
    grey = (GALAXY / 5 + 20).clip(0, 255).astype(np.uint8)
    primary = fits.PrimaryHDU(upwards.astype(np.float32))
    primary.writeto(folder / "plain.fits")
    (folder / "packed.fits.gz").write_bytes(gzip.compress((folder / "plain.fits").read_bytes()))
    fits.PrimaryHDU(upwards).writeto(folder / "double.fits")
    fits.PrimaryHDU((upwards * 100).astype(np.int64)).writeto(folder / "whole.fits")
    fits.PrimaryHDU(holed).writeto(folder / "rows.fits")
    bands = np.stack([upwards, 2 * upwards, 3 * upwards]).astype(np.float32)
    fits.PrimaryHDU(bands).writeto(folder / "bands.fits")
    tiles = fits.CompImageHDU(upwards.astype(np.float32), quantize_level=32)
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(folder / "tiles.fits.fz")
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.ones(3))])
    image = fits.ImageHDU(upwards.astype(np.float32))
    fits.HDUList([fits.PrimaryHDU(), table, image]).writeto(folder / "second.fits")
    cv2.imwrite(str(folder / "grey.png"), grey)
    cv2.imwrite(str(folder / "colour.jpg"), cv2.merge([grey] * 3), [cv2.IMWRITE_JPEG_QUALITY, 95])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "no-image.fits")
    (folder / "cut.fits").write_bytes((folder / "plain.fits").read_bytes()[:20_000])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not a galaxy")
    cv2.imwrite(str(folder / "flat.png"), np.full((50, 50), 9, np.uint8))
    cv2.imwrite(str(folder / "tiny.png"), grey[:8, :8])
    good = "plain.fits packed.fits.gz double.fits whole.fits bands.fits tiles.fits.fz second.fits"
    return {
        **dict.fromkeys(good.split()),
        "grey.png": None,
        "colour.jpg": None,
        "rows.fits": "masked",
        "no-image.fits": "not_an_image",
        "cut.fits": "truncated",
        "empty.jpg": "empty",
        "text.jpg": "not_an_image",
        "flat.png": "blank",
        "tiny.png": "too_small",
        "absent.jpg": "missing",
    }


@pytest.fixture
def galaxies(tmp_path: Path) -> tuple[Path, dict[str, str | None]]:
    folder = tmp_path / "sky"
    folder.mkdir()
    flags = write_galaxies(folder)
    names = [*flags, None]
    pl.DataFrame({"id": range(len(names)), "file": names}).write_csv(folder / "list.csv")
    return folder / "list.csv", flags


def test_every_format_gives_the_same_shape_and_bad_files_a_flag(
    galaxies: tuple[Path, dict[str, str | None]], inline: Engine, tmp_path: Path
) -> None:
    table, flags = galaxies
    out = tmp_path / "shapes.parquet"
    summary = measure(table, out=out, engine=inline, shard_rows=5)
    found = pl.read_parquet(out)
    assert found.columns == COLUMNS
    assert found["id_str"].to_list() == [str(i) for i in range(len(flags) + 1)]
    assert found["flag"].to_list() == [*flags.values(), "missing"]
    good = found.filter(pl.col("axial_ratio").is_not_null())
    assert good.height == 10
    for name in ("axial_ratio", "axial_ratio_isophote"):
        np.testing.assert_allclose(good[name], 0.5, atol=0.03)
    assert max(off(angle, 30) for angle in good["position_angle_deg"]) < 1.5
    np.testing.assert_allclose(good.select("x", "y"), 79.5, atol=0.3)
    bad = found[good.height :]
    assert bad.drop("id_str", "file_loc", "flag").null_count().sum_horizontal().item() == 8 * 11
    assert (summary["n"], summary["kept"]) == (18, 0)
    assert summary["flagged"]["missing"] == 2
    json.dumps(summary)


def test_the_formula_and_its_thickness_are_told(
    galaxies: tuple[Path, dict[str, str | None]], inline: Engine, tmp_path: Path
) -> None:
    table, _ = galaxies
    for q0 in (0.2, 0.6):
        out = tmp_path / f"{q0}.parquet"
        measure(table, out=out, engine=inline, q0=q0, psf_fwhm=2)
        found = read_catalogue(out)
        assert found.metadata["q0"] == q0
        assert found.metadata["psf_fwhm"] == 2
        assert "Hubble (1926)" in found.metadata["inclination_formula"]
        rows = found.frame.drop_nulls("axial_ratio")
        for end in ("", "_isophote"):
            q = rows[f"axial_ratio{end}"].to_numpy().astype(float)
            cosine = np.sqrt(np.maximum(q**2 - q0**2, 0) / (1 - q0**2))
            expected = np.degrees(np.arccos(cosine))
            np.testing.assert_allclose(rows[f"inclination_formula{end}"], expected, atol=1e-3)
    assert rows["inclination_formula"].max() == 90


def test_files_are_measured_into_memory_alike_on_every_engine(
    galaxies: tuple[Path, dict[str, str | None]], inline: Engine, tmp_path: Path
) -> None:
    table, flags = galaxies
    files = [str(table.parent / name) for name in flags] * 3
    found = measure_files(files)
    assert found.columns == COLUMNS[1:]
    assert found["file_loc"].to_list() == files
    measure(table, out=tmp_path / "shapes.parquet", engine=inline)
    streamed = pl.read_parquet(tmp_path / "shapes.parquet").drop("id_str")[: len(flags)]
    assert_frame_equal(found[: len(flags)], streamed)
    with open_engine(EngineSettings(kind="local", workers=2)) as local:
        assert_frame_equal(measure_files(files, local), found)
        measure(table, out=tmp_path / "two.parquet", engine=local)
    assert_frame_equal(pl.read_parquet(tmp_path / "two.parquet").drop("id_str")[:-1], streamed)
    none = measure_files([])
    assert none.schema == found.schema
    assert none.height == 0


KILLED = """
import os, signal
from pathlib import Path
from morphoscope.measure import measure

class Deadly:
    workers = 1
    threads = 1
    def map(self, function, items, careful):
        for index, item in enumerate(items):
            if index == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield index, function(item)

measure({images!r}, out=Path({out!r}), engine=Deadly(), shard_rows=40)
"""


def test_killed_and_resumed_is_uninterrupted(inline: Engine, tmp_path: Path) -> None:
    (tmp_path / "sky").mkdir()
    file = tmp_path / "sky/a.fits"
    fits.PrimaryHDU(GALAXY[60:100, 60:100]).writeto(file)
    for index in range(99):
        os.link(file, tmp_path / f"sky/b{index:02d}.fits")
    out = tmp_path / "shapes.parquet"
    code = KILLED.format(images=str(tmp_path / "sky"), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    with pytest.raises(StageError, match=r"another run \(another q0\)"):
        measure(tmp_path / "sky", out=out, engine=inline, shard_rows=40, q0=0.1)
    summary = measure(tmp_path / "sky", out=out, engine=inline, shard_rows=40)
    assert summary["kept"] == 80
    found = pl.read_parquet(out)
    assert found["id_str"].to_list() == ["a", *(f"b{index:02d}" for index in range(99))]
    assert found.drop("id_str", "file_loc").unique().height == 1
    assert measure(tmp_path / "sky", out=out, engine=inline, shard_rows=40)["kept"] == 100


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".ecsv", ".csv"])
def test_other_formats_hold_the_same(
    galaxies: tuple[Path, dict[str, str | None]], inline: Engine, tmp_path: Path, suffix: str
) -> None:
    from astropy.table import Table

    table, _ = galaxies
    measure(table, out=tmp_path / "expected.parquet", engine=inline)
    expected = pl.read_parquet(tmp_path / "expected.parquet")["axial_ratio"]
    measure(table, out=tmp_path / f"shapes{suffix}", engine=inline)
    if suffix == ".csv":
        found = pl.read_csv(tmp_path / "shapes.csv")["axial_ratio"].to_numpy()
    else:
        read = Table.read(tmp_path / f"shapes{suffix}")
        found = np.ma.filled(read["axial_ratio"].astype(float), np.nan)
        assert "Hubble" in str(read.meta)
    np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-6)


def test_options_out_of_range_are_refused(inline: Engine, tmp_path: Path) -> None:
    for wrong in ({"q0": 1.0}, {"q0": -0.1}, {"psf_fwhm": -1.0}, {"psf_fwhm": np.nan}):
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            measure(tmp_path, out=tmp_path / "s.parquet", engine=inline, **wrong)
        with pytest.raises(RecipeError, match=next(iter(wrong))):
            measure_files([], **wrong)


def test_the_command(
    galaxies: tuple[Path, dict[str, str | None]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table, _ = galaxies
    out = tmp_path / "shapes.parquet"
    words = ["measure", str(table), "--out", str(out), "--q0", "0.13", "--psf-fwhm", "1.5"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--workers", "1"])
    assert ended.value.code == 0
    assert "'n': 18" in capsys.readouterr().out
    metadata = read_catalogue(out).metadata
    assert (metadata["q0"], metadata["psf_fwhm"]) == (0.13, 1.5)


def test_measuring_needs_no_torch(galaxies: tuple[Path, dict[str, str | None]]) -> None:
    table, _ = galaxies
    code = (
        "import sys\n"
        "from morphoscope.measure import measure_files\n"
        f"assert measure_files([{str(table.parent / 'grey.png')!r}]).height == 1\n"
        "heavy = {'torch', 'onnxruntime', 'matplotlib', 'distributed', 'scipy'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_axial_ratios_of_real_galaxies_follow_the_given_ones(real_data: Path) -> None:
    folder = real_data / "galaxy-zoo-2"
    if not folder.is_dir():
        pytest.skip("no galaxy-zoo-2 among the real galaxies")
    labels = pl.read_csv(folder / "labels.csv", schema_overrides={"class": pl.String})
    # Those without a class, which the constants were chosen on.
    labels = labels.filter(pl.col("class").fill_null("") == "")[:150]
    found = measure_files([str(folder / file) for file in labels["file"]])
    given = (labels["b"] / labels["a"]).to_numpy()
    for name, least in (("axial_ratio", 0.93), ("axial_ratio_isophote", 0.95)):
        measured = found[name].to_numpy()
        known = np.isfinite(measured)
        assert known.mean() > 0.98
        assert spearmanr(measured[known], given[known]).statistic > least
    flat = given < 0.6
    turned = found["position_angle_deg"].to_numpy() + labels["theta_deg"].to_numpy() - 90
    assert np.median(np.abs((turned + 90) % 180 - 90)[flat]) < 2
