from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from morphoscope.bundle import open_bundle, shipped_bundles
from morphoscope.bundle.card import card
from morphoscope.bundle.opening import BATCH, content_id
from morphoscope.catalog import read_table
from morphoscope.errors import BundleError
from morphoscope.prepare import open_store, prepare_file, prepare_pixels
from morphoscope.recipe import load_recipe
from morphoscope.simulate.drawing import drawing_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


@pytest.mark.parametrize("n", [0, 1, BATCH, BATCH + 1])
def test_answers_are_those_of_the_trained_model(tiny_run: Path, tiny_bundle: Path, n: int) -> None:
    import torch

    from morphoscope.networks import load_model

    temperature = json.loads((tiny_run / "evaluate/calibration.json").read_text())["temperature"]
    assert temperature != pytest.approx(1, abs=0.05)
    images = np.array(open_store(tiny_run / "prepare").images[:n])
    with torch.inference_mode():
        logits = load_model(tiny_run / "train/model")(torch.from_numpy(images)) / temperature
    expected = torch.softmax(logits, 1).numpy()
    found = open_bundle(tiny_bundle).predict(images)
    assert found.dtype == np.float32
    assert found.shape == (n, 3)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    if n > 1:
        assert expected.std(0).min() > 0.05


def test_one_image_answers_as_it_does_among_others(tiny_run: Path, tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle, threads=1)
    images = np.array(open_store(tiny_run / "prepare").images[:5])
    alone = np.concatenate([bundle.predict(image[None]) for image in images])
    np.testing.assert_allclose(alone, bundle.predict(images), atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 31, 32), np.uint8),
        np.zeros((2, 1, 32, 32), np.uint8),
        np.zeros((3, 32, 32), np.uint8),
        np.zeros((2, 3, 32, 32), np.float32),
    ],
    ids=lambda images: f"{images.dtype}{images.shape}",
)
def test_other_shapes_and_types_are_refused(tiny_bundle: Path, images: np.ndarray) -> None:
    with pytest.raises(BundleError, match=r"uint8 of shape \(n, 3, 32, 32\)"):
        open_bundle(tiny_bundle).predict(images)


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def edit(path: Path, **values: object) -> None:
    manifest = {**json.loads(path.read_text()), **values}
    manifest["id"] = content_id(manifest)
    path.write_text(json.dumps(manifest))


DAMAGES = {
    "one bit of the weights": (lambda b: flip_byte(b / "weights.safetensors"), "SHA-256"),
    "one bit of the graph": (lambda b: flip_byte(b / "model.onnx"), "SHA-256"),
    "graph cut off": (lambda b: (b / "model.onnx").write_bytes(b""), "SHA-256"),
    "no weights": (lambda b: (b / "weights.safetensors").unlink(), "lacks weights"),
    "classes renamed": (
        lambda b: (b / "model.json").write_text(
            (b / "model.json").read_text().replace("edge_on", "face_on")
        ),
        "was changed",
    ),
    "manifest cut off": (lambda b: (b / "model.json").write_text('{"format": 1'), "damaged"),
    "manifest of another kind": (lambda b: (b / "model.json").write_text("[1]"), "damaged"),
    "newer format": (lambda b: edit(b / "model.json", format=2), "newer Morphoscope"),
    "unknown preparation": (
        lambda b: edit(b / "model.json", preparation={"size": 32, "lens": "fish-eye"}),
        "preparation that this version does not know",
    ),
    "file elsewhere": (
        lambda b: edit(b / "model.json", files={"../card.md": "0"}),
        "outside of itself",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_at_opening(copy: Path, name: str) -> None:
    open_bundle(copy)
    damage, message = DAMAGES[name]
    damage(copy)
    with pytest.raises(BundleError, match=message):
        open_bundle(copy)


def test_a_graph_that_is_none_is_told(copy: Path) -> None:
    import hashlib

    (copy / "model.onnx").write_bytes(b"not a graph")
    digest = hashlib.sha256(b"not a graph").hexdigest()
    edit(copy / "model.json", files={"model.onnx": digest})
    with pytest.raises(BundleError, match="cannot be opened"):
        open_bundle(copy).predict(np.zeros((1, 3, 32, 32), np.uint8))


def test_the_card_may_be_edited(copy: Path) -> None:
    (copy / "card.md").write_text("We like it.")
    assert open_bundle(copy).classes == ["edge_on", "smooth and round", "spiral"]


def test_shipped_models_open_by_name(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "package/bundles/tiny-1")
    (tmp_path / "tiny-1").mkdir()
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / "package")
    # A folder of the same name, as of the data it was trained on, is not in the way.
    monkeypatch.chdir(tmp_path)
    assert list(shipped_bundles()) == ["tiny-1"]
    assert open_bundle("tiny-1").id == open_bundle(tiny_bundle).id
    with pytest.raises(BundleError, match=r"neither a folder nor a shipped model.*\(tiny-1\)"):
        open_bundle("tiny-2")
    with pytest.raises(BundleError, match=r"package holds no model\.json"):
        open_bundle(tmp_path / "package")


@pytest.mark.parametrize("name", shipped_bundles())
def test_models_of_this_package_are_whole(name: str) -> None:
    bundle = open_bundle(name)
    answers = bundle.predict(np.zeros((1, *bundle.shape), np.uint8))
    assert answers[:, : len(bundle.classes)].sum() == pytest.approx(1, abs=1e-5)
    manifest = json.loads((bundle.folder / "model.json").read_text())
    size = sum(file.stat().st_size for file in bundle.folder.iterdir())
    assert size < 45_000_000
    assert (bundle.folder / "card.md").read_text() == card(manifest)


def test_the_galaxy_zoo_model_is_as_good_as_its_card_says(real_data: Path) -> None:
    data, bundle = real_data / "galaxy-zoo-1", open_bundle("galaxy-zoo-1")
    chosen = read_table(ROOT / "recipes/galaxy-zoo-1.test.csv", text=["id_str"])[::6]
    labels = read_table(data / "labels.csv", text=["objid"])
    galaxies = chosen.join(labels, left_on="id_str", right_on="objid")
    images = [prepare_file(str(data / file), bundle.preparation) for file in galaxies["file"]]
    answers = bundle.predict(np.stack(images)).argmax(1)
    right = np.mean(
        [
            true.removesuffix("_clockwise").removesuffix("_anticlockwise") == bundle.classes[answer]
            for true, answer in zip(galaxies["class"], answers, strict=True)
        ]
    )
    # 0.874 on all 848; four standard deviations below that on 142.
    assert right > 0.75


def test_the_model_of_inclinations_knows_discs_of_another_seed() -> None:
    bundle, recipe = open_bundle("inclination"), load_recipe(ROOT / "recipes/inclination.toml")
    images, truth = [], []
    for index in range(240):
        # Another seed than that of training: galaxies that it has not seen.
        disc = drawing_of(2026, index, "disc", recipe.simulate)
        row = disc.row()
        if row["inclination"] >= 20 and (row["half_light_radius_pixels"] or 0) >= 4:
            images.append(prepare_pixels(disc.picture, bundle.preparation))
            truth.append(row["inclination"])
    answers = bundle.predict(np.stack(images))
    said, known = answers[:, len(bundle.classes)], np.array(truth)
    # 2.0 and 3.5 on 6,853 discs; three standard deviations above that on some 190.
    assert np.median(np.abs(said - known)) < 3
    assert np.mean(np.abs(said - known)) < 4.7
    low, high = bundle.intervals(answers, 0.68)
    assert 0.57 < np.mean((low <= known) & (known <= high)) < 0.78


def test_opening_needs_no_torch(tiny_bundle: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from morphoscope.bundle import open_bundle\n"
        f"answer = open_bundle({str(tiny_bundle)!r}).predict(np.zeros((2, 3, 32, 32), np.uint8))\n"
        "assert answer.shape == (2, 3)\n"
        "found = {'torch', 'onnx', 'safetensors', 'matplotlib'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
