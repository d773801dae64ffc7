"""Shares of every class, also of tiny ones and of those that come in groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from morphoscope.split.shares import _give_every_class, share_out

SHARES = np.array([0.7, 0.15, 0.15])


def drawn(
    contents: NDArray[np.int64],
    shares: NDArray[np.float64] = SHARES,
    seed: int = 1,
    fixed: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part of each group, and the number of galaxies (part, class)."""
    parts = share_out(contents, shares, np.random.default_rng(seed), fixed)
    found = np.zeros((len(shares), contents.shape[1]), np.int64)
    np.add.at(found, parts, contents)
    return parts, found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(3, 400), min_size=1, max_size=6), st.integers(0, 99))
def test_single_galaxies_are_shared_to_within_one(sizes: list[int], seed: int) -> None:
    contents = np.repeat(np.eye(len(sizes), dtype=np.int64), sizes, axis=0)
    _, found = drawn(contents, seed=seed)
    assert found.sum(0).tolist() == sizes
    for n, counts in zip(sizes, found.T):
        assert counts.min() >= 1
        # Three galaxies give one to each part, which is as near as it gets.
        assert np.abs(counts - SHARES * n).max() < (1 if n > 6 else 2)


def test_a_class_of_seventeen() -> None:
    contents = np.repeat(np.eye(2, dtype=np.int64), [3000, 17], axis=0)
    for seed in range(20):
        _, found = drawn(contents, seed=seed)
        assert sorted(found[:, 1].tolist()) in ([2, 3, 12], [3, 3, 11])
        assert found[:, 0].tolist() == [2100, 450, 450]
    _, folds = drawn(contents, np.full(5, 0.2))
    assert sorted(folds[:, 1].tolist()) == [3, 3, 3, 4, 4]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_mixed_groups_are_evened_out_by_small_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    large = rng.multinomial(rng.integers(2, 40, 60), [0.5, 0.3, 0.15, 0.05])
    small = np.repeat(np.eye(4, dtype=np.int64), [600, 300, 200, 60], axis=0)
    contents = np.concatenate([large, small])
    _, found = drawn(contents, seed=seed)
    total = contents.sum(0)
    assert np.abs(found - np.outer(SHARES, total)).max() < 1.5


def test_many_large_groups_alone_come_near() -> None:
    rng = np.random.default_rng(4)
    contents = rng.multinomial(rng.integers(5, 30, 300), [0.6, 0.3, 0.1])
    _, found = drawn(contents)
    assert np.abs(found / contents.sum(0) - SHARES[:, None]).max() < 0.01


def test_every_part_gets_a_class_that_has_enough_groups() -> None:
    # Two large groups and a single galaxy of the rare class; its share of test is below one.
    contents = np.array([[0, 40], [0, 40], [0, 1], *[[1, 0]] * 200])
    for seed in range(10):
        _, found = drawn(contents, seed=seed)
        assert found.min() >= 1


def test_no_class_is_taken_from_a_part_to_serve_another() -> None:
    # Part 1 lacks the first class. The smallest group with it is all that part 0 has of the second.
    contents = np.array([[1, 1], [3, 0], [0, 5]])
    parts = np.array([0, 0, 1])
    _give_every_class(parts, contents, np.full(3, True), 2)
    assert parts.tolist() == [0, 1, 1]
    fixed = np.array([0, 0, 1])
    _give_every_class(fixed, contents, np.array([True, False, True]), 2)
    assert fixed.tolist() == [0, 0, 1]


def test_fixed_groups_stay_and_others_are_drawn_around_them() -> None:
    contents = np.ones((1000, 1), np.int64)
    fixed = np.full(1000, -1)
    fixed[:300] = 2
    parts, found = drawn(contents, fixed=fixed)
    assert (parts[:300] == 2).all()
    # Test has twice its share already, so that all the others go elsewhere, in proportion.
    assert found[2, 0] == 300
    assert found[0, 0] == pytest.approx(577, abs=25)
    fixed[100:] = -1
    assert drawn(contents, fixed=fixed)[1][:, 0].tolist() == [700, 150, 150]


def test_the_seed_decides_and_like_groups_are_drawn_at_random() -> None:
    contents = np.ones((500, 1), np.int64)
    first, second = drawn(contents, seed=1)[0], drawn(contents, seed=1)[0]
    other = drawn(contents, seed=2)[0]
    assert (first == second).all()
    assert 0.4 < (first == other).mean() < 0.7
    share = np.mean([drawn(contents, seed=s)[0][0] == 2 for s in range(200)])
    assert share == pytest.approx(0.15, abs=0.1)


def test_nothing_free_is_nothing_to_do() -> None:
    fixed = np.array([0, 1, 2, 0])
    parts, _ = drawn(np.ones((4, 1), np.int64), fixed=fixed)
    assert parts.tolist() == fixed.tolist()
