from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest
from crowd import answer, one_coin

from morphoscope.errors import CatalogueError, VoteError
from morphoscope.label.consensus import answer_consensus, reject_consensus

SEEDS = range(4)
SCHEMA = dict.fromkeys(("rater", "subject", "question", "answer"), pl.String)


def votes_of(*rows: tuple[str, str, str, str | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def right(votes: pl.DataFrame, truth: np.ndarray) -> tuple[float, float]:
    """Share of right answers of the consensus, and of the majority (ties by chance)."""
    found = answer_consensus(votes)
    own = found.subjects["answer"].to_numpy() == np.char.add("a", truth.astype(str))
    fractions = found.answers["vote_fraction"].to_numpy().reshape(len(truth), -1)
    most = fractions == fractions.max(1, keepdims=True)
    return own.mean(), (most[np.arange(len(truth)), truth] / most.sum(1)).mean()


@pytest.mark.parametrize(("per", "least"), [(3, 0.05), (5, 0.09), (10, 0.07)])
def test_beats_the_majority_where_raters_differ(per: int, least: float) -> None:
    accuracy = np.where(np.arange(40) < 10, 0.95, 0.45)
    gains = []
    for seed in SEEDS:
        own, majority = right(*answer(seed, one_coin(accuracy, 3), per=per))
        gains.append(own - majority)
    assert min(gains) > least


@pytest.mark.parametrize(("per", "accuracy"), [(3, 0.8), (5, 0.8), (10, 0.65)])
def test_equals_the_majority_where_they_do_not(per: int, accuracy: float) -> None:
    gains = []
    for seed in SEEDS:
        votes, truth = answer(seed, one_coin(np.full(40, accuracy), 3), per=per)
        own, majority = right(votes, truth)
        gains.append(own - majority)
    assert abs(np.mean(gains)) < 0.012


def test_recovers_confusions() -> None:
    rng = np.random.default_rng(1)
    confusions = one_coin(rng.uniform(0.5, 0.95, 30), 3)
    # Everybody takes the last answer for the first more often than the other way round.
    confusions[:, 2, 0] += confusions[:, 2, 1] * 0.8
    confusions[:, 2, 1] *= 0.2
    votes, _ = answer(1, confusions, per=6, subjects=3000)
    found = answer_consensus(votes)
    own = found.confusions["share"].to_numpy().reshape(30, 3, 3)
    assert np.abs(own - confusions).mean() < 0.025
    assert np.allclose(own.sum(2), 1)
    counts = found.confusions["votes"].to_numpy().reshape(30, 9).sum(1)
    assert np.allclose(counts, found.raters["n"])
    accuracy = np.diagonal(confusions, axis1=1, axis2=2).mean(1)
    assert np.abs(found.raters["accuracy"] - accuracy).mean() < 0.03


def test_probabilities_are_nearly_calibrated() -> None:
    sure, hit = [], []
    for seed in SEEDS:
        accuracy = np.random.default_rng(seed).uniform(0.4, 0.95, 40)
        votes, truth = answer(seed, one_coin(accuracy, 3))
        found = answer_consensus(votes).subjects
        sure.append(found["probability"].mean())
        hit.append((found["answer"].to_numpy() == np.char.add("a", truth.astype(str))).mean())
    assert abs(np.mean(sure) - np.mean(hit)) < 0.02


def test_who_answers_the_other_way_round_is_understood() -> None:
    accuracy = np.where(np.arange(20) < 4, 0.05, 0.9)
    votes, truth = answer(2, one_coin(accuracy, 2), per=5, subjects=1000)
    own, majority = right(votes, truth)
    assert own > majority + 0.05


def test_gold_fixes_the_truth_and_measures_raters() -> None:
    confusions = one_coin(np.full(10, 0.7), 2)
    votes, truth = answer(3, confusions, per=3, subjects=200)
    known = [f"s{i:05}" for i in range(50)]
    gold = pl.DataFrame(
        {"subject": known, "question": "q", "answer": [f"a{i}" for i in truth[:50]]}
    )
    found = answer_consensus(votes, gold)
    first = found.subjects.head(50)
    assert first["answer"].to_list() == gold["answer"].to_list()
    assert first["probability"].to_list() == [1.0] * 50
    assert first["gold"].all()
    assert not found.subjects["gold"][50:].any()
    assert found.raters["n_gold"].sum() == 150
    told = votes.head(150)["answer"].to_numpy() == np.repeat(gold["answer"].to_numpy(), 3)
    assert found.raters["gold_right"].sum() == told.sum()


def test_how_much_a_rater_errs_is_learnt_from_all_questions() -> None:
    accuracy = np.where(np.arange(20) < 10, 0.95, 0.5)
    many, _ = answer(4, one_coin(accuracy, 2), per=6, subjects=600, question="first")
    few, _ = answer(5, one_coin(accuracy, 2), per=6, subjects=40, question="second")
    alone = answer_consensus(few).raters["accuracy"].to_numpy()
    both = answer_consensus(pl.concat([many, few])).raters
    helped = both.filter(pl.col("question") == "second")["accuracy"].to_numpy()
    assert np.abs(helped - accuracy).mean() < np.abs(alone - accuracy).mean() - 0.03


def test_each_question_is_its_own_problem() -> None:
    votes = votes_of(
        ("a", "x", "shape", "disc"),
        ("b", "x", "shape", "disc"),
        ("c", "x", "shape", "smooth"),
        ("a", "x", "bar", "yes"),
        ("b", "x", "bar", "yes"),
        ("a", "y", "shape", "smooth"),
    )
    found = answer_consensus(votes)
    rows = found.subjects.select("subject", "question", "answer", "n").rows()
    assert rows == [
        ("x", "bar", "yes", 2),
        ("x", "shape", "disc", 3),
        ("y", "shape", "smooth", 1),
    ]
    disc = found.answers.row(by_predicate=(pl.col("subject") == "x") & (pl.col("answer") == "disc"))
    assert disc[4:] == (pytest.approx(2 / 3), 2)
    total = found.answers.group_by("subject", "question").agg(pl.col("probability").sum())
    assert np.allclose(total["probability"], 1)
    assert found.raters.select("rater", "question").rows() == [
        ("a", "bar"),
        ("b", "bar"),
        ("a", "shape"),
        ("b", "shape"),
        ("c", "shape"),
    ]


def test_answers_that_nobody_gave_are_there() -> None:
    votes = votes_of(("a", "x", "bar", "yes"))
    found = answer_consensus(votes, answers={"bar": ["yes", "weak", "no"]}).answers
    assert found["answer"].to_list() == ["yes", "weak", "no"]
    assert found["probability"][0] > 0.5
    assert found["votes"].to_list() == [1, 0, 0]


def test_nothing_one_and_all_the_same() -> None:
    for empty in (votes_of(), votes_of(("a", "x", "bar", None))):
        found = answer_consensus(empty)
        tables = (found.subjects, found.answers, found.raters, found.confusions)
        assert [table.height for table in tables] == [0] * 4
        assert "probability" in found.subjects.columns
    same = votes_of(*((rater, subject, "bar", "no") for rater in "abc" for subject in "xyz"))
    found = answer_consensus(same)
    assert found.subjects["probability"].to_list() == [1.0] * 3
    assert found.raters["accuracy"].to_list() == [1.0] * 3


def test_votes_that_cannot_be() -> None:
    votes = votes_of(("a", "x", "bar", "maybe"))
    with pytest.raises(VoteError, match=r"'bar' has no answer 'maybe'; expected 'yes', 'no'"):
        answer_consensus(votes, answers={"bar": ["yes", "no"]})
    with pytest.raises(VoteError, match="two rows of rater 'a', subject 'x', question 'bar'"):
        answer_consensus(pl.concat([votes, votes]))
    with pytest.raises(CatalogueError, match="'question'"):
        answer_consensus(votes.drop("question"))
    with pytest.raises(VoteError, match="not true or false"):
        reject_consensus(pl.DataFrame({"rater": ["a"], "subject": ["x"], "reject": ["yes"]}))


def test_gold_that_nobody_saw_is_left_out() -> None:
    gold = pl.DataFrame({"subject": ["never"], "question": ["bar"], "answer": ["no"]})
    found = answer_consensus(votes_of(("a", "x", "bar", "yes")), gold)
    assert found.subjects["subject"].to_list() == ["x"]


def test_rejections() -> None:
    rng = np.random.default_rng(6)
    votes, truth = answer(6, one_coin(rng.uniform(0.6, 0.98, 30), 2), per=5, subjects=800)
    asked = votes.select("rater", "subject", (pl.col("answer") == "a1").alias("reject"))
    found = reject_consensus(asked)
    said = found["p_reject"].to_numpy() > 0.5
    majority = found["fraction"].to_numpy() > 0.5
    assert (said == truth).mean() > (majority == truth).mean() + 0.01
    assert found["n"].to_list() == [5] * 800
    gold = found.head(10).select("subject", pl.lit(True).alias("reject"))
    assert reject_consensus(asked, gold)["p_reject"][:10].to_list() == [1.0] * 10
    nobody = reject_consensus(asked.with_columns(pl.lit(False).alias("reject")))
    assert nobody["p_reject"].max() < 0.1
    assert reject_consensus(asked.head(0)).height == 0


def test_a_hundred_thousand_votes() -> None:
    accuracy = np.random.default_rng(7).uniform(0.5, 0.95, 300)
    votes, _ = answer(7, one_coin(accuracy, 4), subjects=20_000)
    began = time.process_time()
    assert answer_consensus(votes).subjects.height == 20_000
    assert time.process_time() - began < 15
