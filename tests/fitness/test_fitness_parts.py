"""The numbers that a verdict follows from, against truths that are known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from morphoscope.bundle.distribution import distribution_of_answers
from morphoscope.errors import StoreError
from morphoscope.evaluate.binomial import exact_interval
from morphoscope.evaluate.bootstrap import Interval
from morphoscope.familiarity.descriptors import describe
from morphoscope.familiarity.words import differing_traits, traits_of
from morphoscope.fitness.agreement import gap
from morphoscope.fitness.drift import between_counts, between_values
from morphoscope.fitness.needed import labels_for_mean, labels_for_share
from morphoscope.fitness.verdict import FIT, NOT_FIT, judge


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 33, 33), (5, 64, 64)])
def test_every_descriptor_has_a_trait(shape: tuple[int, int, int]) -> None:
    assert len(traits_of(shape)) == describe(np.zeros((1, *shape), np.uint8)).shape[1]


def test_a_trait_is_named_once_and_only_if_it_is_no_chance() -> None:
    random = np.random.default_rng(0)
    names = traits_of((1, 16, 16))
    deviations = random.normal(0, 1, (400, len(names)))
    usual = np.zeros(len(names))
    assert differing_traits(deviations, usual, (1, 16, 16)) == []
    moved = [index for index, name in enumerate(names) if name == names[0]]
    deviations[:, moved] -= 2
    (found,) = differing_traits(deviations, usual, (1, 16, 16))
    assert found.name == names[0]
    assert found.shift == pytest.approx(-2, abs=0.2)
    assert "lower, by 2." in found.sentence or "lower, by 1.9" in found.sentence
    with pytest.raises(StoreError):
        differing_traits(deviations, usual, (3, 16, 16))


@pytest.mark.parametrize("share", [0.5, 0.87, 0.99])
def test_so_many_labels_are_enough_and_hardly_fewer(share: float) -> None:
    n = labels_for_share(share, 0.02)

    def half(number: int) -> float:
        low, high = exact_interval(round(share * number), number, 0.95)
        return (high - low) / 2

    assert half(n) <= 0.02
    assert half(round(0.95 * n)) > 0.02


def test_labels_for_a_mean_are_those_of_its_standard_error() -> None:
    n = labels_for_mean(4.0, 0.5)
    assert 1.96 * 4 / np.sqrt(n) == pytest.approx(0.5, rel=0.01)


def test_mixes_that_chance_explains_have_an_interval_from_zero() -> None:
    random = np.random.default_rng(5)
    shares, misses, n = [0.6, 0.3, 0.1], 0, 40
    for _ in range(n):
        ours, theirs = random.multinomial(300, shares), random.multinomial(800, shares)
        misses += between_counts(ours, theirs, 0.95, random).low > 0
    assert misses <= 7


def test_the_distance_of_mixes_is_found() -> None:
    random = np.random.default_rng(5)
    held, n = 0, 40
    for _ in range(n):
        ours, theirs = (
            random.multinomial(800, [0.6, 0.3, 0.1]),
            random.multinomial(800, [0.4, 0.5, 0.1]),
        )
        found = between_counts(ours, theirs, 0.95, random)
        held += found.low <= 0.2 <= found.high
        assert found.low > 0
    assert held >= 33


def test_the_distance_of_distributions_is_found() -> None:
    random = np.random.default_rng(5)
    steps = np.linspace(0, 1, 101)
    ours = np.quantile(random.uniform(0, 90, 500), steps)
    same = np.quantile(random.uniform(0, 90, 2000), steps)
    other = np.quantile(random.uniform(0, 60, 2000), steps)
    assert between_values(ours, same, 500, 2000, 0.95, random).low == 0
    found = between_values(ours, other, 500, 2000, 0.95, random)
    assert found.low <= 1 / 3 <= found.high
    assert found.value == pytest.approx(1 / 3, abs=0.06)


def test_a_gap_holds_the_true_difference() -> None:
    random = np.random.default_rng(3)
    held, n = 0, 60
    for _ in range(n):
        sides = []
        for share, number in ((0.8, 120), (0.9, 800)):
            right = int(random.binomial(number, share))
            low, high = exact_interval(right, number, 0.95)
            sides.append(Interval(right / number, low, high, number))
        found = gap(*sides)
        held += found.low <= -0.1 <= found.high
    assert held >= 0.9 * n


def test_the_distribution_of_inclinations_leaves_rejects_out() -> None:
    frame = pl.DataFrame(
        {
            "reject": [None, None, "star", None],
            "inclination": [10.0, 30.0, 89.0, 50.0],
            "inclination_low": [5.0, 20.0, 0.0, 45.0],
            "inclination_high": [15.0, 40.0, 90.0, 55.0],
        }
    )
    found = distribution_of_answers(frame, "inclination", ["disc", "star"])
    assert found["counts"] == {"disc": 3, "star": 1}
    assert found["of"] == {"inclination": 3, "width_68": 3}
    assert found["quantiles"]["inclination"][50] == 30
    assert max(found["quantiles"]["width_68"]) == 20


def found(**changes: object) -> dict[str, object]:
    """What is found of a model that is fit."""
    as_promised = {
        "new": Interval(0.9, 0.88, 0.92, 900).as_dict(),
        "promised": Interval(0.9, 0.88, 0.92, 900).as_dict(),
        "gap": Interval(0.0, -0.03, 0.03, 900).as_dict(),
    }
    return {
        "task": "classes",
        "unanswered": Interval(0.0, 0.0, 0.01, 900).as_dict(),
        "flags": {},
        "inputs": {
            "unlike": Interval(0.01, 0.0, 0.02, 900).as_dict(),
            "expected": 0.01,
            "traits": [],
        },
        "answers": {},
        "agreement": {"n": 900, "scores": {"accuracy": as_promised}, "recalls": {}},
        "labels_needed": 400,
        **changes,
    }


def with_gap(low: float, high: float) -> dict[str, object]:
    values = found()
    values["agreement"]["scores"]["accuracy"]["gap"] |= {"low": low, "high": high}  # type: ignore[index]
    return values


FOREIGN = {
    "unlike": Interval(0.9, 0.8, 0.95, 900).as_dict(),
    "expected": 0.01,
    "traits": [],
}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (found(), FIT),
        (with_gap(-0.049, 0.1), FIT),
        (with_gap(-0.051, 0.1), "label about 400 more of these"),
        (with_gap(-0.2, -0.049), "label about 400 more of these"),
        (with_gap(-0.2, -0.051), NOT_FIT),
        (found(agreement=None), "label about 400 more of these"),
        (found(agreement=None, inputs=FOREIGN), NOT_FIT),
        (found(inputs=FOREIGN), FIT),
        ({**with_gap(-0.1, 0.1), "inputs": FOREIGN}, NOT_FIT),
        (found(unanswered=Interval(0.8, 0.6, 0.9, 90).as_dict()), NOT_FIT),
    ],
)
def test_the_rules_decide(values: dict[str, object], verdict: str) -> None:
    assert judge(values).word == verdict


def test_a_lost_class_and_sets_that_mislead_ask_for_labels() -> None:
    values = found()
    lost = {
        "new": Interval(0.2, 0.1, 0.3, 60).as_dict(),
        "promised": Interval(0.8, 0.7, 0.9, 90).as_dict(),
        "gap": Interval(-0.6, -0.7, -0.5, 60).as_dict(),
    }
    values["agreement"]["recalls"] = {"bars": lost, "spiral": lost}  # type: ignore[index]
    values["labels_needed"] = 10
    told = judge(values)
    assert told.labels == 100
    assert "do not rely on this class" in told.reasons[0]
    values = found()
    values["agreement"]["scores"]["coverage"] = {  # type: ignore[index]
        "new": Interval(0.7, 0.65, 0.75, 900).as_dict(),
        "promised": Interval(0.9, 0.9, 0.9, 0).as_dict(),
        "gap": None,
    }
    values["labels_needed"] = 10
    told = judge(values)
    assert "sets hold the truth" in told.reasons[0]
    assert told.labels == 100
