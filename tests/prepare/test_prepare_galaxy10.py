"""The Galaxy10 challenge gets exactly its own data, whole and in order."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy10_file import as_sdss, write_decals, write_sdss
from morphoscope.acquire.galaxy10 import SDSS
from morphoscope.errors import RecipeError
from morphoscope.prepare import Store, open_store, prepare_pixels
from morphoscope.prepare.geometry import named_crop
from morphoscope.recipe import PrepareSettings, load_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "galaxy10-challenge.toml"


def prepared(data: Path, out: Path, *changes: str) -> Store:
    """What the recipe's own way, up to prepare, makes of a file."""
    from morphoscope.pipeline import run_stage

    recipe = load_recipe(RECIPE, [f"acquire.data={str(data)!r}", "engine.kind='inline'", *changes])
    for stage in ("acquire", "clean", "split", "prepare"):
        run_stage(recipe, out, stage)
    return open_store(out / "prepare")


def challenge(path: Path) -> np.ndarray:
    """The challenge's own lines."""
    with h5py.File(path, "r") as file:
        images = np.array(file["images"])
    images = np.mean(images, axis=3)
    images = images[:, 2:66, 2:66]
    return images / 255


def rows(store: Store) -> np.ndarray:
    """Row in the file of each image of the store."""
    return store.catalogue["file_loc"].str.extract(r"\[(\d+)\]$").cast(pl.Int64).to_numpy()


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    folder = tmp_path_factory.mktemp("galaxy10")
    path = folder / "standin.h5"
    truth = write_sdss(path, 110)
    with h5py.File(path, "r+") as file:
        images = file["images"][:]
        # What a cleaning would put aside: a copy, a blank and a white image.
        images[5], images[6], images[7] = images[4], 12, 255
        file["images"][:] = images
    assert truth["ans"].n_unique() == 10
    return path, prepared(path, folder / "run")


def test_the_data_are_the_challenges(standin: tuple[Path, Store]) -> None:
    path, store = standin
    expected = challenge(path)
    assert expected.shape == (110, 64, 64)
    assert store.images.shape == (110, 1, 64, 64)
    found = store.images[np.argsort(rows(store)), 0] / 255
    # Whole grey levels: a mean of three of them is a third of one away from the nearest at most.
    assert np.abs(found - expected).max() <= 1 / 3 / 255 + 1e-12
    np.testing.assert_array_equal(found * 255, np.rint(expected * 255))


def test_no_image_is_left_out_and_the_labels_are_those_of_the_file(
    standin: tuple[Path, Store],
) -> None:
    path, store = standin
    with h5py.File(path, "r") as file:
        answers = file["ans"][:]
    assert sorted(rows(store)) == list(range(110))
    names = list(SDSS.classes)
    assert store.catalogue["class"].to_list() == [names[a] for a in answers[rows(store)]]
    assert store.classes == names
    np.testing.assert_array_equal(store.labels, answers[rows(store)])


def test_copies_stay_on_one_side_of_the_split(standin: tuple[Path, Store]) -> None:
    _, store = standin
    twins = store.catalogue.filter(pl.col("file_loc").str.contains(r"\[[45]\]$"))
    assert twins["pixel_sha256"].n_unique() == 1
    assert twins["split"].n_unique() == twins["fold"].n_unique() == 1


def test_real_galaxies_of_either_edition(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "galaxy10-decals-sample"
    as_sdss(tmp_path / "small.h5", sample)
    small = prepared(tmp_path / "small.h5", tmp_path / "small")
    found = small.images[np.argsort(rows(small)), 0]
    expected = challenge(tmp_path / "small.h5") * 255
    assert np.abs(found - expected).max() <= 1 / 3 + 1e-9
    write_decals(tmp_path / "large.h5", sample)
    large = prepared(tmp_path / "large.h5", tmp_path / "large")
    assert large.images.shape == small.images.shape
    same = large.images[np.argsort(rows(large)), 0].astype(float)
    # The same part of the sky, brought to 64 pixels in one step instead of two.
    for one, other in zip(same, found, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95


def test_the_plain_mean_weighs_colours_alike() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[..., 0], image[..., 2] = 200, 99
    image[0, 0] = 255
    settings = PrepareSettings(size=20, channels="mean")
    found = prepare_pixels(image, settings)
    assert found.shape == (1, 20, 20)
    assert found[0, 1, 1] == round(299 / 3) == 100
    assert found[0, 0, 0] == 255
    grey = prepare_pixels(image, PrepareSettings(size=20, channels="grey"))
    assert grey[0, 1, 1] == round(0.299 * 200 + 0.114 * 99)
    single = prepare_pixels(image[..., :1], settings)
    assert single[0, 1, 1] == 200
    bands = np.stack([np.full((20, 20), v, np.float32) for v in (1, 2, 6)], axis=2)
    bands[0, 0] = 0
    assert prepare_pixels(bands, settings).shape == (1, 20, 20)


@given(
    of=st.integers(20, 300),
    bounds=st.tuples(st.floats(0, 0.45), st.floats(0.55, 1)),
    side=st.integers(16, 500),
)
def test_a_named_crop_keeps_the_same_part_of_any_side(
    of: int, bounds: tuple[float, float], side: int
) -> None:
    first, end = int(bounds[0] * of), max(int(bounds[1] * of), int(bounds[0] * of) + 1)
    image = np.broadcast_to(np.arange(side)[:, None, None], (side, side, 1))
    kept = named_crop(image, first, end, of)[:, 0, 0]
    assert kept[0] == pytest.approx(first / of * side, abs=0.5 + 1e-9)
    assert kept[-1] + 1 == pytest.approx(end / of * side, abs=0.5 + 1e-9)
    if side == of:
        assert kept.tolist() == list(range(first, end))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("prepare.crop=[2, 66]", "first, end, of"),
        ("prepare.crop=[66, 2, 69]", "0 <= first < end <= of"),
        ("prepare.crop=[2, 70, 69]", "0 <= first < end <= of"),
        ("prepare.crop_fraction=0.5", "crop goes with crop_fraction = 1"),
    ],
)
def test_a_crop_that_is_none_is_told(values: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        load_recipe(RECIPE, [values])
