"""Shapes measured from pixels are those that were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from morphoscope.engine import open_engine
from morphoscope.evaluate.shapes import MEASURED, measure_shapes
from morphoscope.evaluate.weakness import examples, picture_properties, weak_spots
from morphoscope.images import read_image
from morphoscope.recipe import EngineSettings, SimulateSettings
from morphoscope.simulate import simulate

RADIUS, LIGHT, RATIO, NOISE, OTHERS = MEASURED


def drawn(
    sigma: float, ratio: float, angle: float, *, noise: float, others: int = 0, side: int = 80
) -> np.ndarray:
    """A Gaussian galaxy of known shape with point sources round it, shape (1, 3, side, side)."""
    rng = np.random.default_rng(int(1000 * sigma + 10 * angle) + others)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    image = 150 * np.exp(-(along**2 + (across / ratio) ** 2) / 2 / sigma**2) + 20
    for at in range(others):
        turn = 2 * np.pi * at / others
        far = np.hypot(y - 33 * np.sin(turn), x - 33 * np.cos(turn))
        image += 90 * np.exp(-(far**2) / 2 / 1.3**2)
    image = image + rng.normal(0, noise, (3, side, side))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize("noise", [0.0, 3.0, 9.0])
@pytest.mark.parametrize(("sigma", "ratio"), [(3.0, 1.0), (5.0, 0.6), (8.0, 0.3)])
def test_a_drawn_galaxy_is_measured_as_drawn(sigma: float, ratio: float, noise: float) -> None:
    for angle in (0.0, 0.6, 2.2):
        found = measure_shapes(drawn(sigma, ratio, angle, noise=noise)).row(0, named=True)
        assert found[RATIO] == pytest.approx(ratio, abs=0.08)
        # Half of a round Gaussian's light lies within 1.18 sigma.
        if ratio == 1:
            assert found[RADIUS] == pytest.approx(1.18 * sigma, rel=0.15)
        total = np.log10(2 * np.pi * 150 * sigma**2 * ratio)
        assert found[LIGHT] == pytest.approx(total, abs=0.06)
        assert found[NOISE] == pytest.approx(noise / np.sqrt(3), rel=0.15, abs=0.4)
        assert found[OTHERS] == 0


@pytest.mark.parametrize("others", [1, 3, 5])
def test_sources_beside_the_galaxy_are_counted_and_change_nothing_else(others: int) -> None:
    alone = measure_shapes(drawn(5, 0.5, 0.4, noise=3)).row(0, named=True)
    crowd = measure_shapes(drawn(5, 0.5, 0.4, noise=3, others=others)).row(0, named=True)
    assert crowd[OTHERS] == others
    for name in (RADIUS, LIGHT, RATIO):
        assert crowd[name] == pytest.approx(alone[name], rel=0.05)
    assert crowd[NOISE] == pytest.approx(alone[NOISE], rel=0.3)


def test_nothing_in_the_middle_is_not_a_number() -> None:
    for image in (np.zeros((1, 1, 40, 40), np.uint8), np.full((1, 3, 40, 40), 255, np.uint8)):
        found = measure_shapes(image)
        assert found.select(RADIUS, LIGHT, RATIO).to_numpy() == pytest.approx(np.nan, nan_ok=True)
        assert found[OTHERS][0] == 0
    corner = np.full((1, 1, 40, 40), 10, np.uint8)
    corner[0, 0, 6:12, 6:12] = 200
    assert np.isnan(measure_shapes(corner)[RATIO][0])
    assert measure_shapes(corner)[OTHERS][0] == 1


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_quarter_turn_changes_nothing(turn: int) -> None:
    image = drawn(6, 0.4, 0.3, noise=4, others=2)
    turned = np.ascontiguousarray(np.rot90(image, turn, axes=(2, 3)))
    before, after = (measure_shapes(one).to_numpy() for one in (image, turned))
    assert after == pytest.approx(before, rel=1e-3)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, np.ndarray]:
    out = tmp_path_factory.mktemp("simulated")
    with open_engine(EngineSettings(kind="inline")) as engine:
        simulate(SimulateSettings(n=150, size=69), seed=3, out=out, engine=engine)
    truth = pl.read_parquet(out / "catalogue.parquet")
    images = np.stack([read_image(file) for file in truth["file_loc"]])
    return truth, images.transpose(0, 3, 1, 2)


def test_simulated_galaxies_are_ranked_as_their_truth(
    simulated: tuple[pl.DataFrame, np.ndarray],
) -> None:
    truth, images = simulated
    found = measure_shapes(images)
    assert found[RADIUS].is_nan().sum() == 0
    for name, true, least in (
        (RADIUS, "half_light_radius_arcsec", 0.5),
        (LIGHT, "magnitude_r", -0.93),
        (RATIO, "axial_ratio", 0.8),
        (OTHERS, "neighbours", 0.6),
    ):
        agreement = spearmanr(found[name], truth[true]).statistic
        assert np.sign(agreement) == np.sign(least)
        assert abs(agreement) > abs(least), name
    difference = (found[RATIO] - truth["axial_ratio"]).abs()
    assert difference.median() < 0.08


def test_noisier_skies_are_measured_as_noisier(tmp_path: Path) -> None:
    levels = []
    for noise in (0.5, 3.0):
        out = tmp_path / str(noise)
        with open_engine(EngineSettings(kind="inline")) as engine:
            settings = SimulateSettings(n=12, size=69, sky_noise=noise)
            simulate(settings, seed=3, out=out, engine=engine)
        files = pl.read_parquet(out / "catalogue.parquet")["file_loc"]
        images = np.stack([read_image(file) for file in files]).transpose(0, 3, 1, 2)
        levels.append(measure_shapes(images)[NOISE].median())
    assert levels[1] > 2 * levels[0]


def test_a_failure_along_the_axial_ratio_is_found_and_shown(
    simulated: tuple[pl.DataFrame, np.ndarray],
) -> None:
    truth, images = simulated
    rng = np.random.default_rng(2)
    right = rng.random(150) < np.where(truth["axial_ratio"].to_numpy() < 0.4, 0.3, 0.95)
    properties = picture_properties(images, np.arange(150))
    found = weak_spots(properties, right, 0.95)
    assert found["found"][0]["name"] == RATIO
    compared = {one["name"]: one for one in found["compared"]}
    assert set(compared) == set(found["tested"]) >= set(MEASURED[:4])
    assert compared[RATIO]["wrong"] < 0.6 * compared[RATIO]["right"]
    assert compared[RATIO]["p_value"] == min(one["p_value"] for one in found["compared"])
    values = properties[RATIO].to_numpy()
    wrong, fine = examples(values, right, found["found"][0], 6)
    assert len(wrong) == len(fine) == 6
    assert not right[wrong].any()
    assert right[fine].all()
    assert values[wrong].max() < values[fine].min()
