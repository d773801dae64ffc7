"""Scores, pairs and ensembles of a comparison, and what is said of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss
from test_evaluate_report import HOSTILE, Page

from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.claims import conclude, p_in_words
from morphoscope.evaluate.compare import compare
from morphoscope.evaluate.compare_report import render_comparison
from morphoscope.evaluate.marking import Candidate, Exam
from morphoscope.recipe import CompareSettings
from tiny_run import tiny_recipe

RESAMPLING = Resampling(300, 0.95, 1)


def exam(n=400, *, grouped=False, folds=0):
    rng = np.random.default_rng(1)
    return Exam(
        classes=["disc", HOSTILE, "absent"],
        truth=rng.integers(0, 2, n),
        groups=np.arange(n) // 4 if grouped else None,
        fold=np.arange(n) % folds if folds else None,
        validation_truth=rng.integers(0, 2, 100),
        validation_fold=np.arange(100) % folds if folds else None,
    )


def answers(rng, truth, seeds, gain):
    logits = rng.normal(0, 1, (seeds, len(truth), 3)) - [0, 0, 4]
    logits[:, np.arange(len(truth)), truth] += gain
    likely = np.exp(logits)
    return likely / likely.sum(2, keepdims=True)


def candidate(name, asked, gain, seeds=3, number=0):
    rng = np.random.default_rng((number, len(name), sum(map(ord, name))))
    return Candidate(
        name,
        tuple(f"{name}/{seed}" for seed in range(seeds)),
        answers(rng, asked.truth, seeds, gain),
        answers(rng, asked.validation_truth, seeds, gain),
    )


def compared(asked, *candidates, score="accuracy", planned=()):
    return compare(asked, list(candidates), score=score, planned=planned, resampling=RESAMPLING)


def test_scores_are_means_over_trainings_and_those_of_scikit_learn():
    asked = exam()
    one = candidate("A", asked, 1.5)
    found = compared(asked, one, candidate("B", asked, 1.0))["variants"][0]
    seeds = found["scores"]["macro_f1"]["seeds"]
    expected = [f1_score(asked.truth, a.argmax(1), average="macro") for a in one.test]
    assert seeds == pytest.approx(expected)
    assert found["scores"]["macro_f1"]["value"] == pytest.approx(np.mean(expected))
    assert found["scores"]["macro_f1"]["sd"] == pytest.approx(np.std(expected, ddof=1))
    losses = [log_loss(asked.truth, a, labels=[0, 1, 2]) for a in one.test]
    assert found["scores"]["log_loss"]["value"] == pytest.approx(np.mean(losses))
    for score in found["scores"].values():
        assert score["low"] <= score["low_images"] <= score["value"] <= score["high_images"]
        assert score["high_images"] <= score["high"]
    by_class = [f1_score(asked.truth, a.argmax(1), average=None) for a in one.test]
    assert found["per_class"]["disc"]["value"] == pytest.approx(np.mean(by_class, 0)[0])
    assert found["per_class"]["absent"]["n"] == 0
    json.dumps(found, allow_nan=False)


def test_a_clear_winner_is_named_and_the_rest_is_left_open():
    asked = exam()
    found = compared(
        asked,
        candidate("B", asked, 1.0),
        candidate("A", asked, 3.0),
        candidate("C", asked, 1.0, number=1),
    )
    words = conclude(found)
    assert re.fullmatch(
        r"A beats (B|C) by \d+\.\d points of accuracy \(\d+\.\d–\d+\.\d, 95\u202f% for this pair; "
        r"p .* after Holm\) and (B|C) by \d+\.\d \(\d+\.\d–\d+\.\d, .*; p .* after Holm\)\.",
        words[0],
    )
    assert "no difference can be claimed with n = 400 test images and 3 trainings each" in words[1]
    assert re.search(r"lies between −?\d+\.\d and \d+\.\d points of accuracy", words[1])
    assert words[-1].startswith("By macro-F1, tested apart: A beats")
    best, rest = found["pairs"][:2], found["pairs"][2]
    assert all(pair["first"] == "A" and pair["scores"]["accuracy"]["low"] > 0 for pair in best)
    assert rest["scores"]["accuracy"]["low_all"] < 0 < rest["scores"]["accuracy"]["high_all"]
    for pair in found["pairs"]:
        for one in pair["scores"].values():
            assert one["p"] <= one["p_holm"]
            assert one["low_all"] <= one["low"] <= one["value"] <= one["high"] <= one["high_all"]


@pytest.mark.parametrize("folds", [0, 4])
def test_the_f1_of_one_class_can_be_what_the_claim_is_about(folds):
    asked = replace(exam(folds=folds), of_class="disc")
    one, other = candidate("A", asked, 3.0), candidate("B", asked, 1.0)
    found = compared(asked, other, one, score="class_f1")
    expected = [f1_score(asked.truth, a.argmax(1), average=None)[0] for a in one.test]
    score = found["variants"][1]["scores"]["class_f1"]
    assert score["seeds"] == pytest.approx(expected)
    assert found["pairs"][0]["first"] == "A"
    assert re.match(r"A beats B by \d+\.\d points of F1 of disc \(", conclude(found)[0])


def few(n, found):
    """A class of `n` of 200 images, of which a variant finds some, and all others."""
    truth = np.r_[np.ones(n, int), np.zeros(200 - n, int)]
    asked = replace(exam(200), truth=truth, of_class=HOSTILE)
    rights = np.eye(3)[truth] * 0.98 + 0.01
    rights[found:n] = rights[-1]
    return asked, Candidate(f"finds {found}", (f"{found}",) * 3, *[np.stack([rights] * 3)] * 2)


@pytest.mark.parametrize(("n", "right", "claimed"), [(1, 1, False), (3, 3, False), (12, 11, True)])
def test_a_claim_about_a_class_of_a_few_images_needs_more_of_them(n, right, claimed):
    asked, one = few(n, right)
    asked = replace(asked, validation_truth=asked.truth)
    found = compared(asked, one, few(n, 0)[1], score="class_f1")
    words = conclude(found)
    assert ("beats" in words[0]) is claimed
    assert any(re.match(rf"Of the test images {n} (is|are) ", one) for one in words)
    first = found["variants"][0]
    assert first["scores"]["class_f1"] == first["per_class"][HOSTILE]
    none = compared(asked, *(replace(few(n, 0)[1], name=name) for name in "AB"), score="class_f1")
    assert any("No variant finds one." in one for one in conclude(none))


def test_a_lower_loss_is_better():
    asked = exam()
    found = compared(
        asked, candidate("B", asked, 1.0), candidate("A", asked, 3.0), score="log_loss"
    )
    assert re.match(
        r"A beats B by 0\.\d{3} of log loss \(0\.\d{3}–0\.\d{3}; p [=<] 0\.\d+\)\.",
        conclude(found)[0],
    )


def test_one_training_each_says_nothing_of_networks():
    asked = exam()
    found = compared(asked, candidate("A", asked, 3.0, 1), candidate("B", asked, 1.0, 1))
    words = conclude(found)
    assert words[0].startswith("The model of A beats the model of B by")
    assert any("no claim about networks or settings, only about these 2 models" in w for w in words)
    assert found["variants"][0]["scores"]["accuracy"]["sd"] is None


def test_few_answers_that_differ_are_not_a_claim_of_students():
    """Four images, all won by one model: the signs say 1 in 8, whatever Student's t says."""
    asked = exam(848)
    first = candidate("A", asked, 2.0, 1)
    right = np.flatnonzero(first.test[0].argmax(1) == asked.truth)[:4]
    worse = first.test.copy()
    worse[0, right] = worse[0, right][:, [1, 0, 2]]
    found = compared(asked, first, replace(first, name="B", trainings=("B/0",), test=worse))
    one = found["pairs"][0]["scores"]["accuracy"]
    assert one["p"] == pytest.approx(0.125, abs=0.02)
    assert one["low"] == one["low_all"] == 0
    assert conclude(found)[0].startswith("Between the model of A and the model of B no difference")


def test_one_test_image_claims_nothing():
    asked = exam(1)
    sure = np.eye(3)[asked.truth][None]
    first, second = candidate("A", asked, 1.0, 1), candidate("B", asked, 1.0, 1)
    wrong = sure[..., [1, 0, 2]] * 0.8 + 0.2 / 3
    found = compared(asked, replace(first, test=sure * 0.8 + 0.2 / 3), replace(second, test=wrong))
    assert found["pairs"][0]["scores"]["accuracy"]["value"] == 1
    assert not any("beats" in sentence for sentence in conclude(found))
    assert "between −100.0 and 100.0 points" in conclude(found)[0]
    json.dumps(found, allow_nan=False)


def test_two_trainings_each_are_said_to_be_few():
    asked = exam()
    found = compared(asked, candidate("A", asked, 1.1, 2), candidate("B", asked, 1.0, 2))
    words = conclude(found)
    assert words[0].startswith("Between ")
    assert words[1].startswith("Two trainings each say little")


def test_the_same_answers_are_said_to_be_the_same():
    asked = exam()
    one = candidate("A", asked, 1.5)
    words = conclude(compared(asked, one, replace(one, name="A again")))
    assert words[0] == (
        "A and A again gave the same answer to every image: no score of answers tells them apart."
    )
    assert not any("beats" in sentence for sentence in words)


def test_planned_pairs_leave_the_others_untested():
    asked = exam()
    three = [candidate(name, asked, 1.0) for name in "ABC"]
    found = compared(asked, *three, planned=[("A", "B"), ("C", "B"), ("C", "lost")])
    assert {frozenset((p["first"], p["second"])) for p in found["pairs"]} == {
        frozenset("AB"),
        frozenset("CB"),
    }
    assert conclude(found)[0].startswith("Within each of these pairs no difference can be")
    assert not found["planned_lost"]
    lost = compared(asked, *three, planned=[("A", "lost")])
    assert len(lost["pairs"]) == 3
    words = " ".join(conclude({**lost, "failed": {"lost": "no memory"}}))
    assert "Left out: lost. With that all planned pairs are gone; all pairs" in words


def test_the_recipe_plans_pairs():
    variants = [{"name": "A"}, {"name": "B"}, {"name": "C", "against": "B"}]
    settings = CompareSettings.model_validate({"variants": variants})
    assert settings.planned == [("C", "B")]
    with_baseline = CompareSettings.model_validate({"variants": variants, "baseline": "A"})
    assert with_baseline.planned == [("B", "A"), ("C", "B")]
    assert CompareSettings.model_validate({"variants": variants[:2]}).planned == []


def test_many_open_pairs_are_counted():
    asked = exam()
    five = [candidate(name, asked, 1.0, number=9) for name in "ABCDE"]
    words = conclude(compared(asked, *five))
    assert words[0].startswith("Between any two no difference can be claimed with n = 400")
    assert words[0].endswith("and 4 more pairs.")


def test_no_sentence_claims_what_its_test_does_not():
    """Over many pairs, a claim stands if and only if Holm's p-value is below 0.05."""
    asked = exam(150)
    for number in range(25):
        gain = 1.0 + 0.06 * number
        first, second = (candidate(n, asked, g, number=number) for n, g in (("A", gain), ("B", 1)))
        found = compared(asked, first, second)
        claimed = " beats " in conclude(found)[0]
        one = found["pairs"][0]["scores"]["accuracy"]
        assert claimed == (one["p_holm"] < 0.05) == (one["low"] > 0)


def test_groups_are_drawn_whole_and_folds_compared_fold_by_fold():
    asked = exam(grouped=True)
    pair = candidate("A", asked, 3.0), candidate("B", asked, 1.0)
    found = compared(asked, *pair)
    assert (found["unit"], found["units"], found["folds"]) == ("group", 100, 0)
    asked = exam(folds=5)
    found = compared(asked, *pair)
    assert found["folds"] == 5
    assert found["pairs"][0]["scores"]["accuracy"]["freedom"] == 4
    words = conclude(compared(asked, pair[1], candidate("C", asked, 1.0, number=7)))
    assert "3 trainings each in 5 folds" in words[0]


def test_ensembles_are_marked_and_chosen_on_validation():
    asked = exam()
    good, other, bad = (candidate(n, asked, g) for n, g in (("A", 1.6), ("B", 1.5), ("C", 0.0)))
    twin = replace(good, name="A, other orientations")
    found = compared(asked, bad, other, good, twin)["ensembles"]
    assert [one["name"] for one in found[:2]] == ["C, all seeds", "B, all seeds"]
    chosen = found[-1]
    assert chosen["name"] == "A + B, chosen on validation"
    assert chosen["members"] == 6
    one = next(e for e in found if e["name"] == "A, all seeds")
    single = compared(asked, good, other)["variants"][0]["scores"]
    assert one["scores"]["accuracy"]["value"] > single["accuracy"]["value"]
    assert one["scores"]["log_loss"]["value"] < single["log_loss"]["value"]


@pytest.mark.parametrize(
    ("p_value", "words"),
    [(0.0004, "p < 0.001"), (0.0123, "p = 0.012"), (0.0499, "p = 0.0499"), (1.0, "p = 1.000")],
)
def test_p_values_in_words(p_value, words):
    assert p_in_words(p_value) == words


@pytest.mark.parametrize(("folds", "score"), [(0, "class_f1"), (4, "accuracy")])
def test_the_page_is_whole_and_safe(folds, score):
    asked = replace(exam(folds=folds), of_class=HOSTILE if score == "class_f1" else "")
    rivals = candidate("A", asked, 3.0), candidate("B", asked, 1.0)
    found = compared(asked, *rivals, score=score)
    found |= {
        "failed": {HOSTILE: "the loss is nan"},
        "conclusion": conclude(found),
        "versions": {"morphoscope": "0"},
    }
    for place, one in enumerate(found["variants"]):
        one |= {"settings": {"train.network": HOSTILE}, "folders": ["trainings/x/1"]}
        one["cost"] = {
            "parameters": 10**6,
            "flops": 10 ** (7 + place),
            "memory_bytes": 10**7,
            "images_per_s": {"cpu": 512.3},
            "epoch_s": 3.2,
            "epochs": 12,
            "training_s": 99.0,
            "device": "cpu",
            "precision": "float32",
        }
    text = render_comparison(tiny_recipe(), found)
    page = Page(text)
    assert not page.open
    assert not page.unnamed
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert "script" not in page.names
    assert found["conclusion"][0] in page.words
    assert page.words.index("beats") < page.words.index("Scores")
    assert "Nadeau" in page.words if folds else "analysis of variance" in page.words
