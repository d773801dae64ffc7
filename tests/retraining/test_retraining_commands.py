"""The commands say what was found and done, and end with the promised status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from morphoscope.bundle import open_bundle
from morphoscope.bundle.opening import content_id
from morphoscope.cli import main
from morphoscope.retraining import promote


def status_of(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_fitness_ends_with_zero_and_strictly_with_one(
    tiny_bundle: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fitness.json"
    asked = ["fitness", tiny_bundle, tiny_run / "images", "--workers", 1, "--sample", 20]
    assert status_of(*asked, "--out", out) == 0
    said = capsys.readouterr().out
    assert f"verdict: {json.loads(out.read_text())['verdict']}" in said
    assert "There are no labels of these images" in said
    assert "Looked at: 20 of 60 images, by chance." in said
    assert status_of(*asked, "--strict") == 1


def test_labels_need_a_column_and_pairs_an_equals_sign(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("fitness", tiny_bundle, tmp_path, "--labels", tmp_path / "t.csv") == 2
    assert "--column" in capsys.readouterr().err
    assert status_of("fitness", tiny_bundle, tmp_path, "--as", "round") == 2
    assert "LABEL=CLASS" in capsys.readouterr().err


def test_retrain_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "r"\n')
    words = ["--labels", tmp_path / "t.csv", "--column", "class", "--run", tmp_path / "none"]
    assert status_of("retrain", recipe, *words) == 1
    assert "a run folder" in capsys.readouterr().err


def test_rollback_says_what_is_served(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / "tiny"
    shutil.copytree(tiny_bundle, other)
    manifest = json.loads((other / "model.json").read_text())
    manifest["provenance"]["seed"] = 77
    manifest["id"] = content_id(manifest)
    (other / "model.json").write_text(json.dumps(manifest))
    promote(tiny_bundle, tmp_path / "served")
    promote(other, tmp_path / "served")
    assert status_of("rollback", tmp_path / "served") == 0
    before = open_bundle(tiny_bundle).id
    assert f"tiny: {before} is served again" in capsys.readouterr().out
    assert status_of("rollback", tmp_path / "served", "--to", "nobody") == 1
