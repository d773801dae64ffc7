from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from morphoscope.bundle import export, open_bundle
from morphoscope.bundle.graph import calibrated
from morphoscope.bundle.writing import LARGEST_DIFFERENCE, _compare
from morphoscope.errors import BundleError, StageError
from morphoscope.prepare import open_store
from morphoscope.recipe import Recipe
from tiny_run import CLASSES, N, tiny_recipe


def test_every_weight_is_stored_once(tiny_bundle: Path) -> None:
    import onnx
    from safetensors.numpy import load_file

    assert sorted(file.name for file in tiny_bundle.iterdir()) == [
        *("card.md", "model.json", "model.onnx", "weights.safetensors")
    ]
    weights = load_file(tiny_bundle / "weights.safetensors")
    graph = onnx.load(tiny_bundle / "model.onnx", load_external_data=False).graph
    inside = [tensor for tensor in graph.initializer if tensor.data_location != tensor.EXTERNAL]
    assert {t.name for t in graph.initializer} - {t.name for t in inside} == set(weights)
    assert sum(len(tensor.raw_data) for tensor in inside) < 1000
    # What ONNX finds by offset and length is what safetensors finds by name.
    whole = onnx.load(tiny_bundle / "model.onnx").graph
    for tensor in whole.initializer:
        if tensor.name in weights:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), weights[tensor.name])


def test_nothing_tells_where_it_was_made(tiny_run: Path, tmp_path: Path) -> None:
    here = str(tiny_run)
    split = {"given": f"{here}/my.test.csv"}
    values = tiny_recipe().model_dump() | {"split": split, "acquire": {"data": here}}
    export(Recipe.model_validate(values), run=tiny_run, out=tmp_path)
    for file in next(tmp_path.iterdir()).iterdir():
        content = file.read_bytes()
        assert here.encode() not in content, file
        assert b"site-packages" not in content, file
        assert b'File "' not in content, file


def test_the_manifest_says_what_it_is(tiny_run: Path, tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "model.json").read_text())
    metrics = json.loads((tiny_run / "evaluate/metrics.json").read_text())
    assert manifest["classes"] == CLASSES
    assert manifest["preparation"] == tiny_recipe().prepare.model_dump()
    assert manifest["scores"]["scores"] == metrics["scores"]
    assert manifest["provenance"]["seed"] == 1
    assert manifest["provenance"]["recipe"]["train"]["network"] == "resnet10"
    data = manifest["provenance"]["data"]
    assert (data["source"], data["licence"], data["citation"]) == (
        "drawn",
        "CC0-1.0",
        "Nobody 2026",
    )
    assert sum(sum(classes.values()) for classes in data["counts"].values()) == N
    assert sum(data["counts"]["test"].values()) == metrics["n_test"]


def test_the_card_tells_scores_limits_and_terms(tiny_run: Path, tiny_bundle: Path) -> None:
    card = (tiny_bundle / "card.md").read_text()
    metrics = json.loads((tiny_run / "evaluate/metrics.json").read_text())
    accuracy = metrics["scores"]["accuracy"]
    stated = f"{accuracy['value']:.3f} ({accuracy['low']:.3f}–{accuracy['high']:.3f})"
    assert f"{stated} of {metrics['n_test']} test images" in card
    for name, scores in metrics["per_class"].items():
        precision = scores["precision"]
        told = f"{precision['value']:.3f} (" if precision["n"] else "not known"
        assert f"| {name} | {scores['support']} | {told}" in card
    assert open_bundle(tiny_bundle).id in card
    assert "Fewer than 50 test images stand behind: edge_on" in card
    for word in ("CC0-1.0", "Nobody 2026", "A test of the way, not of the sky.", "32 × 32"):
        assert word in card
    assert "None" not in card


def test_the_summary_is_true_and_the_same_run_gives_the_same_id(
    tiny_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / ".tiny.1.partial").mkdir()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/old.txt").write_text("of an export that was cut off")
    summary = export(tiny_recipe(), run=tiny_run, out=tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]
    assert not (tmp_path / "tiny/old.txt").exists()
    assert summary["bundle"] == "tiny"
    assert summary["id"] == open_bundle(tmp_path / "tiny").id == open_bundle(tiny_bundle).id
    assert summary["bytes"] == sum(file.stat().st_size for file in (tmp_path / "tiny").iterdir())
    assert 0 < summary["largest_difference"] <= LARGEST_DIFFERENCE
    json.dumps(summary)


def test_a_bundle_that_answers_otherwise_is_refused(tiny_run: Path, tiny_bundle: Path) -> None:
    from morphoscope.networks import load_model

    other = calibrated(load_model(tiny_run / "train/model"), temperature=1.0)
    with pytest.raises(BundleError, match="differs by"):
        _compare(tiny_bundle, other, open_store(tiny_run / "prepare"))


def test_without_evaluation_there_is_no_bundle(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run / "train", tmp_path / "run/train")
    with pytest.raises(StageError, match="run evaluate first"):
        export(tiny_recipe(), run=tmp_path / "run", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
