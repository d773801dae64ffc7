"""Classes counted as one: the scores of added probabilities, and rules that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from striped_run import small_recipe
from test_evaluate_report import Page

from morphoscope.errors import RecipeError
from morphoscope.evaluate import evaluate
from morphoscope.evaluate.assess import Answers, Resampling
from morphoscope.evaluate.merging import merge_classes, score_merged
from morphoscope.recipe import EvaluateSettings

CLASSES = ["round", "boxy", "spiral", "thin"]
MERGE = {"edge_on": ["thin", "boxy"]}


def test_the_scores_are_those_of_added_probabilities() -> None:
    rng = np.random.default_rng(3)
    probabilities, truth = rng.dirichlet(np.ones(4), 200), rng.integers(4, size=200)
    test = Answers(np.log(probabilities), truth)
    found = score_merged(probabilities, test, CLASSES, MERGE, Resampling(100, 0.95, 1))
    added = np.stack(
        [probabilities[:, 0], probabilities[:, 1] + probabilities[:, 3], probabilities[:, 2]], 1
    )
    merged = np.array([0, 1, 2, 1])[truth]
    assert found["classes"] == ["round", "edge_on", "spiral"]
    accuracy = found["scores"]["accuracy"]
    assert accuracy["value"] == (added.argmax(1) == merged).mean()
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert found["scores"]["macro_f1"]["value"] == pytest.approx(
        f1_score(merged, added.argmax(1), average="macro")
    )
    losses = -np.log(added[np.arange(200), merged])
    assert found["scores"]["log_loss"]["value"] == pytest.approx(losses.mean())
    assert found["per_class"]["edge_on"]["support"] == (merged == 1).sum()


@pytest.mark.parametrize(
    ("merge", "says"),
    [
        ({"edge_on": ["thinn", "boxy"]}, "names the class 'thinn'; expected one of round"),
        ({"a": ["thin", "boxy"], "b": ["boxy"]}, "every class in one place"),
        ({"round": ["thin", "boxy"]}, "new names"),
        ({"all": CLASSES}, "two classes at least"),
    ],
)
def test_rules_that_do_not_fit_are_told(merge: dict[str, list[str]], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        merge_classes(CLASSES, merge)


def test_nothing_merged_is_everything_as_it_was() -> None:
    names, place = merge_classes(CLASSES, {})
    assert names == CLASSES
    assert place.tolist() == [0, 1, 2, 3]


def test_a_rule_of_another_edition_is_left_out_and_told(striped: Path, tmp_path: Path) -> None:
    merge = {"edge_on": ["thin", "boxy"]}
    settings = EvaluateSettings(bootstrap=100, gallery=0, explain=0, merge=merge)
    evaluate(small_recipe(settings), run=striped, out=tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "merged" not in metrics
    assert metrics["not_merged"] == ["edge_on"]
    page = Page((tmp_path / "report.html").read_text())
    assert "none of the classes of “edge_on” is here" in page.words


def test_the_report_shows_both_tables(striped: Path, tmp_path: Path) -> None:
    settings = EvaluateSettings(bootstrap=100, gallery=0, explain=0, merge={"some": ["one", "two"]})
    evaluate(small_recipe(settings), run=striped, out=tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["merged"]["classes"] == ["none", "some"]
    merged, before = (m["scores"]["accuracy"]["value"] for m in (metrics["merged"], metrics))
    assert merged >= before
    page = Page((tmp_path / "report.html").read_text())
    assert page.open == []
    assert "“some” for one · two" in page.words
    wrong = EvaluateSettings(bootstrap=100, merge={"some": ["three", "two"]})
    with pytest.raises(RecipeError, match="'three'"):
        evaluate(small_recipe(wrong), run=striped, out=tmp_path)
