"""Through the bundle to the catalogue: what is unlike the training images is marked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from astropy.table import Table
from skies import galaxies

from morphoscope.bundle import add_familiarity, open_bundle
from morphoscope.bundle.opening import content_id
from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.engine import InlineEngine
from morphoscope.errors import BundleError
from morphoscope.familiarity import describe, fit_familiarity
from morphoscope.predict import predict
from morphoscope.prepare import open_store, prepare_pixels
from morphoscope.prepare.store import write_description


def told(bundle: Path, folder: Path, familiar: dict | None) -> Path:
    """Copy of a bundle with a density, or with none."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["calibration"].pop("familiar", None)
    if familiar:
        manifest["calibration"]["familiar"] = familiar
    manifest["id"] = content_id(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def seen(tiny_bundle: Path) -> Callable[[np.ndarray], np.ndarray]:
    """How the model sees images ``(n, 3, y, x)``."""
    settings = open_bundle(tiny_bundle).preparation

    def prepared(images: np.ndarray) -> np.ndarray:
        return np.stack([prepare_pixels(image.transpose(1, 2, 0), settings) for image in images])

    return prepared


@pytest.fixture(scope="module")
def familiar(seen: Callable[[np.ndarray], np.ndarray]) -> dict:
    parts = [describe(seen(galaxies(n, seed=n))) for n in (500, 300)]
    found = fit_familiarity(*parts)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def knowing(tiny_bundle: Path, familiar: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told(tiny_bundle, tmp_path_factory.mktemp("knowing") / "bundle", familiar)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two usual galaxies, their negatives, and a file that is no image."""
    place = tmp_path_factory.mktemp("images")
    for index, image in enumerate(galaxies(2, seed=3)):
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1])
        cv2.imwrite(str(place / f"a{index}.png"), pixels)
        cv2.imwrite(str(place / f"b{index}.png"), 255 - pixels)
    (place / "c.png").write_bytes(b"no image")
    return place


EXPECTED = [False, False, True, True, None]


def test_the_bundle_says_how_unlike_images_are(
    knowing: Path, seen: Callable[[np.ndarray], np.ndarray]
) -> None:
    images = seen(galaxies(50, seed=4))
    bundle = open_bundle(knowing)
    found = bundle.familiarity(images)
    assert found is not None
    distances, limit = found
    assert distances.shape == (50,)
    assert (distances > limit).mean() < 0.1
    unlike = bundle.familiarity(255 - images)
    assert unlike is not None
    assert (unlike[0] > limit).all()
    none = bundle.familiarity(images[:0])
    assert none is not None
    assert none[0].shape == (0,)


def test_the_bundle_refuses_images_that_are_not_prepared(knowing: Path) -> None:
    with pytest.raises(BundleError, match="uint8 of shape"):
        open_bundle(knowing).familiarity(np.zeros((1, *open_bundle(knowing).shape), np.float32))


@pytest.mark.parametrize("suffix", ["parquet", "fits", "vot", "ecsv", "csv"])
def test_the_catalogue_marks_what_is_unlike(
    knowing: Path, folder: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"p.{suffix}"
    predict(knowing, folder, out=out, engine=InlineEngine())
    if suffix in ("parquet", "csv"):
        table = pl.read_parquet(out) if suffix == "parquet" else pl.read_csv(out)
        found = table["unlike_training"].to_list()
    else:
        found = Table.read(out)["unlike_training"].tolist()
        if suffix == "fits":
            # A truth value has no null there that astropy could write: the flag tells.
            assert found.pop() is False
            found.append(None)
    assert found == EXPECTED


@pytest.mark.parametrize("version", [None, 0])
def test_a_bundle_without_a_density_it_knows_says_nothing(
    tiny_bundle: Path, familiar: dict, folder: Path, tmp_path: Path, version: int | None
) -> None:
    other = None if version is None else {**familiar, "descriptors": version}
    bundle = told(tiny_bundle, tmp_path / "bundle", other)
    assert (
        open_bundle(bundle).familiarity(np.zeros((2, *open_bundle(bundle).shape), np.uint8)) is None
    )
    predict(bundle, folder, out=tmp_path / "p.parquet", engine=InlineEngine())
    frame = pl.read_parquet(tmp_path / "p.parquet")
    assert "unlike_training" not in frame.columns
    assert frame["class"].null_count() == 1


def test_an_older_bundle_is_given_its_density(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    # The tiny run has too few validation images, and the drawn store is no one's training set.
    with pytest.raises(BundleError, match="too few for a limit"):
        add_familiarity(tiny_bundle, tiny_run / "prepare", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    bundle, prepared = enlarged(tiny_bundle, tiny_run / "prepare", tmp_path)
    told = add_familiarity(bundle, prepared, tmp_path / "new")
    before, after = open_bundle(bundle), open_bundle(tmp_path / "new")
    assert before.familiar is None
    assert after.familiar is not None
    assert told["id"] == after.id != before.id
    assert told["limit"] == after.familiar["limit"]
    assert after.id in (tmp_path / "new/card.md").read_text()
    images = np.array(open_store(prepared).images[:8])
    np.testing.assert_array_equal(before.predict(images), after.predict(images))
    found = after.familiarity(255 - images)
    assert found is not None
    assert (found[0] > found[1]).all()
    with pytest.raises(BundleError, match="exists"):
        add_familiarity(bundle, prepared, tmp_path / "new")


def test_a_store_of_another_split_is_refused(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    _, prepared = enlarged(tiny_bundle, tiny_run / "prepare", tmp_path)
    with pytest.raises(BundleError, match="was trained on"):
        add_familiarity(tiny_bundle, prepared, tmp_path / "new")


def enlarged(bundle: Path, prepared: Path, folder: Path) -> tuple[Path, Path]:
    """A store of twelve slightly changed copies of each image, and a bundle that says so."""
    store = open_store(prepared)
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 4, (12, *store.images.shape))
    images = np.clip(store.images + noise, 0, 255).astype(np.uint8).reshape(-1, *noise.shape[2:])
    place = folder / "prepare"
    place.mkdir()
    np.save(place / "images.npy", images)
    about = read_catalogue(prepared / "catalogue.parquet")
    frame = pl.concat([about.frame] * 12)
    write_catalogue(place / "catalogue.parquet", frame, about.metadata)
    settings = store.settings.model_dump()
    write_description(place, "complete", shape=list(images.shape), preparation=settings)
    manifest = json.loads((bundle / "model.json").read_text())
    counts = manifest["provenance"]["data"]["counts"]
    for one in counts.values():
        one |= {name: 12 * n for name, n in one.items()}
    manifest["id"] = content_id(manifest)
    shutil.copytree(bundle, folder / "bundle")
    (folder / "bundle/model.json").write_text(json.dumps(manifest))
    return folder / "bundle", place
