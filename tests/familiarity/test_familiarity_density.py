"""What is like the training images is flagged as seldom as promised; what is not, is."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from skies import galaxies

from morphoscope.errors import StoreError
from morphoscope.familiarity import describe, distances, familiarity, fit_familiarity
from morphoscope.familiarity.mixture import fit_mixture

N = 1500


@pytest.fixture(scope="module")
def train() -> np.ndarray:
    return describe(galaxies(N, seed=1))


@pytest.fixture(scope="module")
def found(train: np.ndarray) -> dict:
    fitted = fit_familiarity(train, describe(galaxies(N, seed=2)))
    assert fitted is not None
    return fitted


def flagged(images: np.ndarray, found: dict) -> float:
    apart, limit = familiarity(images, found)
    return float((apart > limit).mean())


def test_as_many_are_flagged_as_promised(train: np.ndarray) -> None:
    # The share flagged of 4,000 new images, of one calibration set of 1,000: 1 ± 0.35 %.
    new = describe(galaxies(4000, seed=3))
    shares = []
    for seed in range(5):
        fitted = fit_familiarity(train, describe(galaxies(1000, seed=10 + seed)))
        assert fitted is not None
        shares.append((distances(new, fitted) > fitted["limit"]).mean())
    assert np.mean(shares) == pytest.approx(0.01, abs=0.006)
    assert min(shares) > 0


def test_the_limit_is_that_of_split_conformal_prediction(train: np.ndarray) -> None:
    calibration = describe(galaxies(400, seed=4))
    fitted = fit_familiarity(train, calibration, flagged=0.05)
    assert fitted is not None
    # ⌈401 × 0.95⌉ = 381: 19 of the 400 lie beyond.
    assert (distances(calibration, fitted) > fitted["limit"]).sum() == 19


def test_an_ordinary_image_is_at_a_distance_of_about_one(found: dict) -> None:
    apart, limit = familiarity(galaxies(500, seed=5), found)
    assert (apart >= 0).all()
    assert 0.7 < np.median(apart) < 1.1 < limit


CHANGED = {
    "negative": lambda images: 255 - images,
    "noisier": lambda _: galaxies(100, seed=6, noise=18),
    "brighter sky": lambda _: galaxies(100, seed=6, sky=90),
    "grey": lambda _: galaxies(100, seed=6, grey=True),
    "blurred": lambda images: np.stack(
        [cv2.GaussianBlur(i.transpose(1, 2, 0), (0, 0), 2).transpose(2, 0, 1) for i in images]
    ),
    "moved": lambda images: np.roll(images, 10, axis=3),
    "noise": lambda images: np.random.default_rng(1).integers(0, 256, images.shape, np.uint8),
    "black": np.zeros_like,
    "white": lambda images: np.full_like(images, 255),
}


@pytest.mark.parametrize("change", CHANGED)
def test_what_is_unlike_is_flagged(found: dict, change: str) -> None:
    assert flagged(CHANGED[change](galaxies(100, seed=6)), found) > 0.95


def test_a_mixture_of_two_kinds_knows_both() -> None:
    def both(n: int, seed: int) -> np.ndarray:
        return np.concatenate([galaxies(n, seed=seed), galaxies(n, seed=seed, grey=True, sky=60)])

    fitted = fit_familiarity(describe(both(800, 1)), describe(both(500, 2)))
    assert fitted is not None
    assert fitted["components"] > 1
    assert flagged(galaxies(500, seed=3), fitted) < 0.03
    assert flagged(galaxies(500, seed=3, grey=True, sky=60), fitted) < 0.03
    # Between the two lies neither.
    assert flagged(galaxies(100, seed=3, sky=40), fitted) > 0.95


def test_few_images_of_another_origin_are_flagged_as_seldom(train: np.ndarray) -> None:
    many, few = describe(galaxies(900, seed=7)), describe(galaxies(150, seed=8, noise=8))
    both = np.concatenate([many, few])
    origins = np.repeat(["many", "few"], [len(many), len(few)])
    together = fit_familiarity(train, both)
    apart = fit_familiarity(train, both, origins=origins)
    assert together is not None
    assert apart is not None
    new = describe(galaxies(500, seed=9, noise=8))
    assert (distances(new, together) > together["limit"]).mean() > 0.04
    assert (distances(new, apart) > apart["limit"]).mean() < 0.03


def test_the_same_seed_gives_the_same_density(train: np.ndarray, found: dict) -> None:
    again = fit_familiarity(train, describe(galaxies(N, seed=2)))
    assert again == found


def test_it_goes_through_json_and_stays_small(found: dict) -> None:
    text = json.dumps(found, allow_nan=False)
    assert len(text) < 50_000
    images = galaxies(20, seed=11)
    np.testing.assert_array_equal(
        familiarity(images, json.loads(text))[0], familiarity(images, found)[0]
    )


def test_no_image_has_no_distance(found: dict) -> None:
    apart, limit = familiarity(galaxies(2, seed=1)[:0], found)
    assert apart.shape == (0,)
    assert limit == found["limit"]


def test_too_few_to_calibrate_give_no_density(train: np.ndarray) -> None:
    images = describe(galaxies(99, seed=12))
    assert fit_familiarity(train, images[:98]) is None
    assert fit_familiarity(train, images) is not None


def test_fewer_images_than_descriptors_and_flat_ones_are_enough() -> None:
    few = fit_familiarity(describe(galaxies(20, seed=1)), describe(galaxies(200, seed=2)))
    assert few is not None
    assert flagged(255 - galaxies(50, seed=3), few) > 0.95
    flat = describe(np.zeros((50, 3, 32, 32), np.uint8))
    fitted = fit_familiarity(flat, np.concatenate([flat] * 2))
    assert fitted is not None
    assert flagged(np.zeros((3, 3, 32, 32), np.uint8), fitted) == 0
    assert flagged(galaxies(50, seed=3), fitted) == 1


def test_images_of_another_shape_are_refused(found: dict, train: np.ndarray) -> None:
    with pytest.raises(StoreError, match="prepare them as those"):
        familiarity(np.zeros((1, 1, 32, 32), np.uint8), found)
    with pytest.raises(StoreError, match="two images or more"):
        fit_familiarity(train[:1], train)


def test_the_mixture_is_the_density_it_should_be() -> None:
    rng = np.random.default_rng(1)
    turn = np.array([[1.0, 0.6], [0.0, 0.5]])
    points = np.concatenate([rng.normal(size=(6000, 2)) @ turn, rng.normal(size=(2000, 2)) + 8])
    mixture = fit_mixture(points, 2, rng)
    order = np.argsort(mixture.means[:, 0])
    np.testing.assert_allclose(np.exp(mixture.log_weights[order]), [0.75, 0.25], atol=0.01)
    np.testing.assert_allclose(mixture.means[order], [[0, 0], [8, 8]], atol=0.1)
    covariances = [np.linalg.inv(root @ root.T) for root in mixture.roots]
    np.testing.assert_allclose(covariances[order[0]], turn.T @ turn, atol=0.06)
    expected = sum(
        np.exp(weight) * multivariate_normal(mean, covariance).pdf(points)
        for weight, mean, covariance in zip(
            mixture.log_weights, mixture.means, covariances, strict=True
        )
    )
    np.testing.assert_allclose(mixture.log_density(points), np.log(expected), rtol=1e-9)
