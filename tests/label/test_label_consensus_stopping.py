from __future__ import annotations

import math

import numpy as np
import pytest
from crowd import rms

from morphoscope.label.consensus import (
    angles_agree,
    answers_agree,
    lead_probability,
    standard_error,
)

LIMIT = 3.0


def test_lead_is_the_share_of_the_beta_distribution() -> None:
    rng = np.random.default_rng(1)
    for votes in [(3, 0), (5, 2), (8, 7), (1, 4)]:
        drawn = rng.beta(votes[0] + 1, votes[1] + 1, 200_000)
        assert lead_probability(*votes) == pytest.approx((drawn > 0.5).mean(), abs=0.005)
    assert lead_probability(0, 0) == 0.5


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("scatter", [4.0, 8.0])
def test_error_is_honest_of_a_known_scatter(n: int, scatter: float) -> None:
    drawn = np.random.default_rng(2).normal(60, scatter, (1500, n))
    sure = np.array([standard_error(row, scatter) for row in drawn.tolist()])
    within = np.abs(np.median(drawn, axis=1) - 60) <= sure
    assert 0.64 < within.mean() < 0.75


def test_one_click_at_random_does_not_undo_the_others() -> None:
    close = [60.0, 61, 62, 59, 60, 61, 63, 58]
    assert standard_error([*close, 5.0]) < 1.3 * standard_error(close)
    assert standard_error([]) == math.inf
    assert standard_error([30, 31, 60, 61]) > 5


def stop(seed: int, scatter: float, limit: float, least: int) -> tuple[list[float], list[int]]:
    """Ask one after the other until they agree: errors of the medians, and votes."""
    rng = np.random.default_rng(seed)
    errors, many = [], []
    for _ in range(300):
        votes: list[float] = []
        while len(votes) < 15 and not angles_agree(votes, 0, limit, least):
            votes.append(float(rng.normal(60, scatter)))
        many.append(len(votes))
        if len(votes) < 15:
            errors.append(float(np.median(votes)) - 60)
    return errors, many


@pytest.mark.parametrize("scatter", [3.0, 4.0, 5.0])
@pytest.mark.parametrize("least", [3, 5])
def test_the_limit_holds_where_asking_stopped(scatter: float, least: int) -> None:
    errors, many = stop(3, scatter, LIMIT, least)
    assert rms(errors) < LIMIT
    assert np.mean(many) < 7


def test_more_scatter_takes_more_votes() -> None:
    many = [np.mean(stop(4, scatter, LIMIT, 3)[1]) for scatter in (3.0, 6.0, 10.0)]
    assert many[0] + 1 < many[1] < many[2] - 1


def test_angles() -> None:
    close = [60.0, 61, 63, 59, 62]
    assert angles_agree(close, 0, LIMIT, 5)
    assert not angles_agree(close, 0, LIMIT, 6)
    assert not angles_agree(close, 0, 0.5, 5)
    assert not angles_agree([10.0, 80, 40, 60, 20], 0, LIMIT, 5)
    assert not angles_agree([*close[:4], math.nan], 0, LIMIT, 5)
    assert not angles_agree([], 0, LIMIT, 0)


def test_rejections_are_decided_first() -> None:
    close = [60.0, 61, 63, 59, 62, 60]
    assert angles_agree([], 5, LIMIT, 5)
    assert angles_agree([60.0], 5, LIMIT, 5)
    assert not angles_agree([60.0], 4, LIMIT, 5)
    assert not angles_agree([60.0, 61, 63], 2, LIMIT, 5)
    assert not angles_agree(close, 3, LIMIT, 5)
    assert angles_agree(close, 1, LIMIT, 5)


def test_answers() -> None:
    disc = [("shape", "disc"), ("bar", "yes")]
    plain = [("shape", "disc"), ("bar", "no")]
    smooth = [("shape", "smooth"), ("round", "very")]
    assert answers_agree([disc] * 5, 0.7, 5)
    assert not answers_agree([disc] * 4, 0.7, 5)
    # The bar is in doubt, and most came to it.
    assert not answers_agree([disc] * 3 + [plain] * 3, 0.7, 5)
    # What a minority came to need not be agreed on.
    assert answers_agree([smooth] * 7 + [disc], 0.7, 5)
    assert answers_agree([[("shape", "disc")]] * 6 + [disc, plain], 0.7, 5)
    # Leads for sure, but with too small a share.
    mixed = [[("shape", "disc")]] * 12 + [[("shape", "smooth")]] * 4
    assert answers_agree(mixed, 0.7, 5)
    assert not answers_agree(mixed, 0.8, 5)
    assert not answers_agree([], 0.7, 0)
    assert not answers_agree([[]] * 5, 0.7, 5)


@pytest.mark.parametrize(("share", "most"), [(0.7, 0.09), (0.8, 0.03), (0.9, 0.01)])
def test_how_often_asking_stops_at_the_wrong_answer(share: float, most: float) -> None:
    """Asked one after the other, of whom this share gives the right one of two answers."""
    rng = np.random.default_rng(5)
    stopped = wrong = 0
    for _ in range(600):
        paths: list[list[tuple[str, str]]] = []
        while len(paths) < 15 and not answers_agree(paths, 0.7, 3):
            paths.append([("q", "right" if rng.random() < share else "wrong")])
        if answers_agree(paths, 0.7, 3):
            stopped += 1
            wrong += sum(path[0][1] == "right" for path in paths) < len(paths) / 2
    assert stopped > 400
    assert wrong / stopped < most
