"""What is read out of the answers: weak spots, galleries, learning curves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

from morphoscope.evaluate.gallery import choose, one_by_one
from morphoscope.evaluate.learning import read_curves
from morphoscope.evaluate.weakness import chi_square_tail, picture_properties, weak_spots


def test_the_property_that_decides_is_found_and_no_other():
    rng = np.random.default_rng(2)
    n = 1000
    size = rng.uniform(1, 10, n)
    frame = pl.DataFrame(
        {
            "size": size,
            "colour": rng.normal(size=n),
            "objid": rng.integers(10**17, 10**18, n),
            "name": ["x"] * n,
            "mostly_null": [1.0, 2.0] + [None] * (n - 2),
        }
    )
    found = weak_spots(frame, rng.random(n) < 0.4 + 0.055 * size, 0.95)
    assert found["tested"] == ["size", "colour"]
    assert [spot["name"] for spot in found["found"]] == ["size"]
    shares = [entry["accuracy"]["value"] for entry in found["found"][0]["bins"]]
    assert shares[0] < shares[-1] - 0.2
    assert sum(entry["n"] for entry in found["found"][0]["bins"]) == n


def test_properties_that_do_not_matter_are_rarely_named():
    rng = np.random.default_rng(4)
    named = 0
    for _ in range(100):
        frame = pl.DataFrame({str(i): rng.normal(size=300) for i in range(5)})
        named += bool(weak_spots(frame, rng.random(300) < 0.8, 0.95)["found"])
    assert named <= 5


def test_all_right_has_no_weak_spot():
    frame = pl.DataFrame({"size": np.arange(100.0)})
    assert weak_spots(frame, np.ones(100, bool), 0.95)["found"] == []


@pytest.mark.parametrize("freedom", [2, 3, 4])
def test_chi_square_tail_agrees_with_scipy(freedom):
    for statistic in (0.5, 3.0, 9.0, 20.0):
        exact = chi2.sf(statistic, freedom)
        assert chi_square_tail(statistic, freedom) == pytest.approx(exact, abs=0.005)


def test_picture_properties_of_a_bright_rim():
    images = np.zeros((1, 3, 16, 16), np.uint8)
    images[:, :, :2] = images[:, :, -2:] = images[:, :, :, :2] = images[:, :, :, -2:] = 200
    row = picture_properties(images, np.array([0])).row(0)
    assert row[0] == pytest.approx(200 * (1 - 144 / 256))
    assert row[2] == pytest.approx(200)


def test_galleries_rank_by_probability():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55], [0.02, 0.98]])
    found = choose(probabilities, np.array([0, 0, 1, 0, 0]), 2)
    assert found.surest_right.tolist() == [0, 2]
    assert found.surest_wrong.tolist() == [4, 3]
    assert found.least_sure.tolist() == [3, 2]


def test_one_by_one_keeps_every_position_once():
    rng = np.random.default_rng(0)
    classes = rng.integers(3, size=50)
    ranked = rng.permutation(50)
    found = one_by_one(ranked, classes)
    assert sorted(found.tolist()) == list(range(50))
    assert len(set(classes[found[:3]])) == 3


def curve(validation, train):
    return [
        {"epoch": i + 1, "train_loss": t, "validation_loss": v}
        for i, (v, t) in enumerate(zip(validation, train, strict=True))
    ]


@pytest.mark.parametrize(
    ("validation", "train", "ending", "words"),
    [
        ([1.0, 0.5, 0.6, 0.8], [1.0, 0.5, 0.3, 0.1], "over_trained", "by heart"),
        ([1.0, 0.8, 0.6, 0.5], [1.0, 0.8, 0.6, 0.5], "still_improving", "more epochs"),
        ([1.0, 0.5, 0.51, 0.5], [1.0, 0.5, 0.45, 0.44], "level", "levelled off"),
        ([1.0], [1.0], "too_few", "too few epochs"),
        ([1.0, 1.2], [1.0, 0.5], "too_few", "too few epochs"),
    ],
)
def test_endings_are_told_apart(validation, train, ending, words):
    found = read_curves([curve(validation, train)], {})
    assert found["members"][0]["ending"] == ending
    assert words in found["text"]


def test_the_gap_is_that_of_the_epoch_kept():
    history = [curve([1.0, 0.5, 0.6], [0.9, 0.4, 0.2])]
    found = read_curves(history, {"members": [{"best_epoch": 3}]})
    assert found["members"][0]["best_epoch"] == 3
    assert found["members"][0]["gap"] == pytest.approx(0.4)
    assert read_curves(history, {})["members"][0]["best_epoch"] == 2
    assert read_curves([], {}) == {"members": [], "text": ""}
