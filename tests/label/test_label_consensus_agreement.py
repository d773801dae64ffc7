from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crowd import answer, measure, one_coin, rms

from morphoscope.errors import CatalogueError
from morphoscope.label.consensus import (
    angle_alpha,
    answer_alpha,
    intraclass_correlation,
    pair_difference,
    rater_differences,
)

# Krippendorff (2004), Content Analysis, chapter 11: four observers, twelve units, values missing.
KNOWN = ["11.1", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", ".555", "..11"]
KNOWN += ["..3."]


def known() -> pl.DataFrame:
    rows = [
        (str(rater), str(unit), float(value))
        for unit, values in enumerate(KNOWN)
        for rater, value in enumerate(values)
        if value != "."
    ]
    return pl.DataFrame(rows, schema=["rater", "subject", "inclination"], orient="row")


def normal(seed: int, between: float, within: float, per: int = 4) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.normal(50, between, 500)
    s = np.repeat(np.arange(500), per)
    given = truth[s] + rng.normal(size=len(s)) * within
    rater = np.tile(np.arange(per), 500)
    return pl.DataFrame({"rater": rater, "subject": s, "inclination": given})


def test_alpha_of_the_textbook() -> None:
    votes = known()
    assert angle_alpha(votes).value == pytest.approx(0.849, abs=5e-4)
    words = votes.select(
        "rater", "subject", pl.lit("q").alias("question"), answer=pl.col("inclination").cast(str)
    )
    found = answer_alpha(words)["q"]
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.n == 11
    assert found.low < found.value < found.high


def test_correlation_of_the_textbook() -> None:
    """Shrout & Fleiss (1979), table 2: six targets, four judges, ICC(1) = 0.17."""
    rows = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    votes = pl.DataFrame(
        [(str(i), str(j), float(v)) for j, row in enumerate(rows) for i, v in enumerate(row)],
        schema=["rater", "subject", "inclination"],
        orient="row",
    )
    assert intraclass_correlation(votes).value == pytest.approx(0.17, abs=0.005)


def test_what_is_known_is_found() -> None:
    votes = normal(1, between=15, within=4)
    assert pair_difference(votes).value == pytest.approx(np.sqrt(2) * 4, rel=0.05)
    share = 15**2 / (15**2 + 4**2)
    assert intraclass_correlation(votes).value == pytest.approx(share, abs=0.02)
    assert angle_alpha(votes).value == pytest.approx(share, abs=0.02)


def test_intervals_hold_the_truth() -> None:
    held = []
    for seed in range(60):
        found = pair_difference(normal(seed, 15, 4, per=2).head(200), samples=300)
        held.append(found.low <= np.sqrt(2) * 4 <= found.high)
    assert 0.85 <= np.mean(held) <= 1


def test_chance_has_no_agreement() -> None:
    accuracy = np.full(20, 1 / 3)
    votes, _ = answer(1, one_coin(accuracy, 3), subjects=2000)
    assert abs(answer_alpha(votes)["q"].value) < 0.02
    perfect, _ = answer(1, one_coin(np.ones(20), 3), subjects=100)
    assert answer_alpha(perfect)["q"].value == 1
    assert abs(angle_alpha(normal(2, between=0, within=5)).value) < 0.05


def test_raters_against_the_others() -> None:
    made = measure(3, per=8, random=0.05)
    found = rater_differences(made.votes, samples=200)
    difference = found["difference"].to_numpy()
    assert difference[:2].min() > 2 * np.median(difference)
    assert (found["low"] <= found["difference"]).all()
    assert (found["difference"] <= found["high"]).all()
    middle = made.offset + 45 * (made.scale - 1)
    assert np.corrcoef(found["bias"][2:], middle[2:])[0, 1] > 0.9


def test_the_others_are_without_oneself() -> None:
    votes = pl.DataFrame(
        {"rater": [*"abcd", "a"], "subject": [*"xxxx", "y"], "inclination": [10, 20, 40, 80, 5]}
    )
    found = rater_differences(votes)
    assert found["rater"].to_list() == [*"abcd"]
    assert found["difference"].to_list() == [30.0, 20.0, 20.0, 60.0]
    assert found["bias"].to_list() == [-30.0, -20.0, 20.0, 60.0]


@pytest.mark.parametrize("score", [pair_difference, intraclass_correlation, angle_alpha])
def test_where_nobody_shares_a_galaxy_nothing_is_said(score) -> None:  # type: ignore[no-untyped-def]
    alone = pl.DataFrame({"rater": ["a", "b"], "subject": ["x", "y"], "inclination": [1.0, 2]})
    for votes in (alone, alone.head(0)):
        found = score(votes)
        assert np.isnan(found.value)
        assert found.n == 0
    assert rater_differences(alone).height == 0
    with pytest.raises(CatalogueError, match="'inclination'"):
        score(alone.drop("inclination"))


def test_where_all_say_the_same_alpha_says_nothing() -> None:
    same = pl.DataFrame({"rater": [*"ab"] * 2, "subject": [*"xxyy"], "inclination": [30.0] * 4})
    assert np.isnan(angle_alpha(same).value)
    assert np.isnan(intraclass_correlation(same).value)
    assert pair_difference(same).value == 0
    words = same.select("rater", "subject", question=pl.lit("q"), answer=pl.lit("yes"))
    assert np.isnan(answer_alpha(words)["q"].value)
    assert answer_alpha(words.head(0)) == {}


def test_known_galaxies_do_not_speak_for_all() -> None:
    """One galaxy with 100 votes has 99 times the weight of one with two, not 4,950 times."""
    rng = np.random.default_rng(4)
    wide = pl.DataFrame(
        {"rater": range(100), "subject": [-1] * 100, "inclination": rng.normal(50, 20, 100)}
    )
    votes = pl.concat([normal(5, 15, 4, per=2), wide])
    expected = np.sqrt(2 * (500 * 4**2 + 99 * 20**2) / 599)
    assert pair_difference(votes).value == pytest.approx(expected, rel=0.1)
    assert rms([pair_difference(votes).value]) < 15
