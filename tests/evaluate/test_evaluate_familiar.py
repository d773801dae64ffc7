"""Evaluate says what is unlike the training images, and how often a test image is said to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from striped_run import small_recipe, write_run

from morphoscope.evaluate import evaluate
from morphoscope.evaluate.reading import labelled_rows
from morphoscope.evaluate.wording import familiar_in_words
from morphoscope.familiarity import familiarity, of_store
from morphoscope.prepare import open_store

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluated run with validation images enough for a limit."""
    run = write_run(tmp_path_factory.mktemp("larger") / "run", ["none", "one", "two"], n=500)
    (run / "evaluate").mkdir()
    evaluate(small_recipe(), run=run, out=run / "evaluate")
    return run


def read(path: Path) -> dict:
    return dict(json.loads(path.read_text()))


def test_what_it_counts_is_what_the_density_flags(larger: Path) -> None:
    told = read(larger / "evaluate/metrics.json")["familiar"]
    found = read(larger / "evaluate/calibration.json")["familiar"]
    store = open_store(larger / "prepare")
    apart, limit = familiarity(np.array(store.images[store.rows("test")]), found)
    assert told["flagged"] == (apart > limit).sum()
    assert told["limit"] == limit
    for split in SPLITS:
        assert told[f"n_{split}"] == len(store.rows(split))
    validation, _ = familiarity(np.array(store.images[store.rows("validation")]), found)
    # ⌈(n + 1) × 0.99⌉ are within the limit.
    n = len(validation)
    assert (validation > limit).sum() == n - np.ceil((n + 1) * 0.99)
    other, _ = familiarity(255 - np.array(store.images[:20, :, ::2].repeat(2, axis=2)), found)
    assert (other > limit).all()


def test_the_report_says_it(larger: Path, striped: Path, tmp_path: Path) -> None:
    metrics = read(larger / "evaluate/metrics.json")
    sentence = familiar_in_words(metrics)
    assert sentence in (larger / "evaluate/report.html").read_text()
    told = metrics["familiar"]
    share = 100 * told["flagged"] / told["n_test"]
    assert f"of the {told['n_test']} test images {share:.1f}\u202f% are" in sentence
    evaluate(small_recipe(), run=striped, out=tmp_path)
    assert "familiar" not in read(tmp_path / "calibration.json")
    few = familiar_in_words(read(tmp_path / "metrics.json"))
    assert "too few" in few
    assert few in (tmp_path / "report.html").read_text()


def test_of_many_images_some_are_drawn_by_the_seed(
    larger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_store, "MOST_ROWS", 120)
    store = open_store(larger / "prepare")
    rows = {split: labelled_rows(store, split) for split in SPLITS}
    one, told = of_store.judge_store(store, rows, seed=1)
    assert one is not None
    assert told["n_train"] == told["n_validation"] == told["n_test"] == 120
    assert of_store.judge_store(store, rows, seed=1)[0] == one
    assert of_store.judge_store(store, rows, seed=2)[0] != one
