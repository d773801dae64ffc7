"""What scores hide is told with the right numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import top_k_accuracy_score

from morphoscope.evaluate.assess import Answers, Resampling, assess
from morphoscope.evaluate.measures import count_rare, explain_measures, measure_costs
from morphoscope.evaluate.metrics import within_first


def answers(n: int, seed: int) -> Answers:
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, n, p=[0.6, 0.3, 0.08, 0.02])
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), truth] += 1.5
    return Answers(np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)), truth)


def assessed() -> dict:
    test, validation = answers(150, 1), answers(150, 2)
    found = assess(test, validation, list("abcd"), 1.0, Resampling(100, 0.95, 1))
    found["costs"] = measure_costs(np.exp(test.log_probabilities), test.truth)
    return found


def test_top_two_is_scikit_learns() -> None:
    some = answers(300, 3)
    score = within_first(np.exp(some.log_probabilities), some.truth, 2).mean()
    assert score == top_k_accuracy_score(some.truth, some.log_probabilities, k=2)
    found = assess(some, some, list("abcd"), 1.0, Resampling(100, 0.95, 1))["scores"]
    assert found["top2_accuracy"]["value"] == pytest.approx(score)
    assert found["top2_accuracy"]["value"] >= found["accuracy"]["value"]


def test_equal_probabilities_earn_no_more_than_their_places() -> None:
    flat = np.full((40, 4), 0.25)
    assert within_first(flat, np.arange(40) % 4, 2).mean() == 0.5
    assert within_first(flat, np.arange(40) % 4, 1).mean() == 0.25


def test_the_share_of_the_costliest_images() -> None:
    probabilities = np.full((200, 2), 0.5)
    probabilities[:2] = [1e-6, 1 - 1e-6]
    found = measure_costs(probabilities, np.zeros(200, np.int64))
    dear, cheap = 2 * np.log(1e6), 198 * np.log(2)
    assert found["costliest"] == pytest.approx(dear / (dear + cheap))
    assert found["second"] == 1.0


def test_each_score_is_told_with_the_numbers_of_the_run() -> None:
    metrics = assessed()
    rows = {row["title"]: row for row in explain_measures(metrics)}
    support = {name: one["support"] for name, one in metrics["per_class"].items()}
    rarest = min(support, key=lambda name: support[name])
    assert f"“{rarest}” {support[rarest] / 1.5:.1f}" in rows["Accuracy"]["hides"]
    step = 100 / (4 * support[rarest])
    assert f"(n = {support[rarest]}) moves it by {step:.2f}" in rows["Balanced accuracy"]["hides"]
    assert rows["Top-2 accuracy"]["score"] == metrics["scores"]["top2_accuracy"]
    metrics["classes"] = metrics["classes"][:2]
    assert "Everything" in explain_measures(metrics)[3]["hides"]


def test_rare_classes_are_told_what_can_be_known() -> None:
    metrics = assessed()
    counts = {split: dict.fromkeys("abcd", 7) for split in ("train", "validation", "test")}
    told = {row["name"]: row for row in count_rare(metrics, counts)}
    support = {name: one["support"] for name, one in metrics["per_class"].items()}
    assert set(told) == {name for name, n in support.items() if 0 < n < 30} >= {"c", "d"}
    assert (told["d"]["train"], told["d"]["validation"]) == (7, 7)
    assert told["d"]["test"] == support["d"]
    exact = binomtest(support["d"], support["d"]).proportion_ci(0.95, method="exact").low
    assert told["d"]["above"] == pytest.approx(exact)
    assert count_rare(metrics, {})[0]["train"] is None
