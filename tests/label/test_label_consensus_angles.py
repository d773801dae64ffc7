from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest
from crowd import measure, rms

from morphoscope.errors import CatalogueError, VoteError
from morphoscope.label.consensus import angle_consensus

SEEDS = range(4)


def votes_of(*rows: tuple[str, str, float | None]) -> pl.DataFrame:
    schema = {"rater": pl.String, "subject": pl.String, "inclination": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def errors(seed: int, gold: int = 0, **kind: object) -> tuple[np.ndarray, ...]:
    """Errors of consensus, mean and median, and the uncertainty, where nothing is known."""
    made = measure(seed, **kind)  # type: ignore[arg-type]
    found = angle_consensus(made.votes, made.gold(gold) if gold else None).subjects
    mean = made.votes.group_by("subject").agg(pl.col("inclination").mean()).sort("subject")
    columns = (found["inclination"], mean["inclination"], found["median"])
    off = [column.to_numpy()[gold:] - made.truth[gold:] for column in columns]
    return *off, found["uncertainty"].to_numpy()[gold:]


# Least gains over the mean and the median; measured: docs/consensus.md.
@pytest.mark.parametrize(("per", "gold", "least"), [(3, 0, 0.68), (5, 0, 0.68), (10, 100, 0.75)])
def test_beats_mean_and_median(per: int, gold: int, least: float) -> None:
    for seed in SEEDS:
        own, mean, median, _ = errors(seed, gold, per=per)
        assert rms(own) < least * rms(median)
        assert rms(own) < least * rms(mean)


def test_is_no_worse_than_the_median_where_all_are_alike() -> None:
    for seed in SEEDS:
        own, mean, median, _ = errors(seed, random=0, alike=True)
        assert rms(own) < 1.05 * rms(median)
        assert rms(own) < 1.25 * rms(mean)


@pytest.mark.parametrize("gold", [0, 100])
@pytest.mark.parametrize("per", [3, 5, 10])
def test_uncertainty_is_honest(per: int, gold: int) -> None:
    drawn = [errors(10 + seed, gold, per=per) for seed in range(6)]
    within = np.concatenate([np.abs(own) <= sure for own, _, _, sure in drawn])
    twice = np.concatenate([np.abs(own) <= 2 * sure for own, _, _, sure in drawn])
    assert 0.64 < within.mean() < 0.75
    assert 0.93 < twice.mean() < 0.98


def test_recovers_scales_offsets_and_scatters() -> None:
    for seed in SEEDS:
        made = measure(seed, per=10)
        found = angle_consensus(made.votes, made.gold(100)).raters
        good = made.honest
        middle = made.offset + 45 * (made.scale - 1)
        own = found["offset"].to_numpy() + 45 * (found["scale"].to_numpy() - 1)
        assert rms((found["scale"].to_numpy() - made.scale)[good]) < 0.04
        assert rms((own - middle)[good]) < 1.2
        assert rms(found["scatter"].to_numpy()[good] / made.scatter[good] - 1) < 0.1
        assert (np.abs(found["scale"].to_numpy()[~good]) < 0.25).all()


def test_without_gold_the_mean_rater_is_unbiased() -> None:
    made = measure(3, random=0)
    raters = angle_consensus(made.votes).raters
    assert raters["scale"].mean() == pytest.approx(1, abs=0.01)
    assert (raters["offset"] + 45 * (raters["scale"] - 1)).mean() == pytest.approx(0, abs=0.3)


def test_gold_takes_the_crowd_s_common_error_away() -> None:
    made = measure(5, random=0)
    up = made.votes.with_columns((pl.col("inclination") + 10).clip(0, 90))
    without = angle_consensus(up).subjects["inclination"].to_numpy() - made.truth
    tied = angle_consensus(up, made.gold(100)).subjects["inclination"].to_numpy() - made.truth
    assert np.median(without[100:]) > 7
    assert abs(np.median(tied[100:])) < 1


def test_mirrored_raters_are_turned_round() -> None:
    for seed in SEEDS:
        own, _, median, _ = errors(seed, mirrored=0.1)
        assert rms(own) < 0.5 * rms(median)
        made = measure(seed, mirrored=0.1)
        scale = angle_consensus(made.votes).raters["scale"].to_numpy()
        assert (scale[4:8] < -0.7).all()


def test_few_votes_say_little_about_a_rater() -> None:
    made = measure(6, random=0)
    odd = made.votes.head(1).with_columns(
        pl.lit("new").alias("rater"), pl.lit(0.0).alias("inclination")
    )
    raters = angle_consensus(pl.concat([made.votes, odd])).raters
    new = raters.filter(pl.col("rater") == "new")
    assert abs(new["scale"][0] - 1) < 0.3
    assert new["n"][0] == 1


def test_votes_at_the_end_are_at_least_that() -> None:
    made = measure(7, random=0, per=10)
    gold = made.gold(200)
    found = angle_consensus(made.votes, gold).subjects.filter(~pl.col("gold"))
    high = made.truth[200:] > 82
    own = found["inclination"].to_numpy()[high] - made.truth[200:][high]
    plain = found["median"].to_numpy()[high] - made.truth[200:][high]
    assert abs(own.mean()) < 1.5
    assert rms(own) < 0.75 * rms(plain)


def test_a_row_that_begins_at_45() -> None:
    made = measure(8, ends=(45.0, 90.0))
    found = angle_consensus(made.votes, ends=(45.0, 90.0)).subjects
    assert found["inclination"].is_between(45, 90).all()
    assert rms(found["inclination"].to_numpy() - made.truth) < 0.75 * rms(
        found["median"].to_numpy() - made.truth
    )


def test_practised_people_are_as_good_as_astronomers_say() -> None:
    """Who differ by 5.6° r.m.s.: the group's value is good to about 2.6° with a few votes."""
    rng = np.random.default_rng(9)
    truth = rng.uniform(45, 90, 2000)
    s, r = np.repeat(np.arange(2000), 3), np.tile(np.arange(3), 2000)
    given = np.clip(truth[s] + rng.normal(size=6000) * 5.6 / np.sqrt(2), 0, 90)
    names = {"rater": [f"r{i}" for i in r], "subject": [f"s{i:05}" for i in s]}
    found = angle_consensus(pl.DataFrame({**names, "inclination": given})).subjects
    assert 2.1 < rms(found["inclination"].to_numpy() - truth) < 2.8


def test_gold_measures_the_raters() -> None:
    votes = votes_of(*((("a", f"g{i}", 50.0 + (3 if i % 2 else 5))) for i in range(20)))
    gold = votes.select("subject", pl.lit(50).alias("inclination"))
    found = angle_consensus(votes, gold)
    row = found.raters.row(0, named=True)
    assert row["n_gold"] == 20
    assert row["gold_bias"] == pytest.approx(4)
    assert row["gold_error"] == pytest.approx(np.sqrt(17))
    # Quantiles of χ² with 20 degrees: 9.591 and 34.170.
    assert row["gold_error_low"] == pytest.approx(np.sqrt(17 * 20 / 34.170), rel=0.005)
    assert row["gold_error_high"] == pytest.approx(np.sqrt(17 * 20 / 9.591), rel=0.005)
    assert found.subjects["inclination"].to_list() == [50.0] * 20
    assert found.subjects["gold"].all()


def test_no_votes() -> None:
    found = angle_consensus(votes_of())
    assert found.subjects.height == found.raters.height == 0
    assert "uncertainty" in found.subjects.columns
    assert angle_consensus(votes_of(("a", "x", None))).subjects.height == 0


def test_one_vote() -> None:
    row = angle_consensus(votes_of(("a", "x", 50.0))).subjects.row(0, named=True)
    assert row["inclination"] == pytest.approx(50)
    assert 5 < row["uncertainty"] < 15
    assert (row["n"], row["spread"]) == (1, None)


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0])
def test_all_the_same_vote(angle: float) -> None:
    votes = votes_of(*((rater, subject, angle) for rater in "abc" for subject in "xyz"))
    found = angle_consensus(votes)
    assert found.subjects["inclination"].to_list() == pytest.approx([angle] * 3, abs=1)
    assert found.subjects["spread"].to_list() == [0.0] * 3
    numbers = found.raters.select("scale", "offset", "scatter").to_numpy()
    assert np.isfinite(numbers).all()


def test_what_is_no_number_and_gold_nobody_saw_is_left_out() -> None:
    votes = votes_of(("a", "x", 50.0), ("b", "x", float("nan")), ("a", "y", None))
    gold = pl.DataFrame({"subject": ["never", "y"], "inclination": [10.0, float("nan")]})
    found = angle_consensus(votes, gold)
    assert found.subjects["subject"].to_list() == ["x"]
    assert found.raters["rater"].to_list() == ["a"]


def test_order_of_the_votes_does_not_matter() -> None:
    made = measure(11, subjects=100)
    one = angle_consensus(made.votes).subjects
    other = angle_consensus(made.votes.sample(fraction=1, shuffle=True, seed=1)).subjects
    assert np.allclose(one["inclination"], other["inclination"], atol=1e-6)


def test_votes_that_cannot_be() -> None:
    with pytest.raises(VoteError, match=r"outside of 0 … 90, as 95"):
        angle_consensus(votes_of(("a", "x", 95.0)))
    with pytest.raises(VoteError, match="two rows of rater 'a', subject 'x'"):
        angle_consensus(votes_of(("a", "x", 5.0), ("a", "x", 6.0)))
    with pytest.raises(VoteError, match="known inclinations has 1 inclinations outside"):
        angle_consensus(
            votes_of(("a", "x", 5.0)), pl.DataFrame({"subject": ["x"], "inclination": [-1]})
        )
    with pytest.raises(VoteError, match="without a rater"):
        angle_consensus(pl.DataFrame({"rater": [None], "subject": ["x"], "inclination": [5.0]}))
    with pytest.raises(VoteError, match="no numbers"):
        angle_consensus(pl.DataFrame({"rater": "a", "subject": ["x"], "inclination": ["5"]}))
    with pytest.raises(CatalogueError, match="no column 'rater'"):
        angle_consensus(pl.DataFrame({"subject": ["x"], "inclination": [5.0]}))


def test_a_hundred_thousand_votes() -> None:
    made = measure(12, raters=300, subjects=20_000)
    began = time.process_time()
    found = angle_consensus(made.votes)
    assert time.process_time() - began < 15
    assert found.subjects.height == 20_000
    assert found.raters.height == 300
