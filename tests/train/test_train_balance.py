"""Balance, loss, scores and schedule against independent references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from morphoscope.errors import RecipeError
from morphoscope.recipe import BalanceSettings, TrainSettings
from morphoscope.train.balance import class_weights, epoch_order, images_per_epoch, split_batches
from morphoscope.train.losses import weighted_cross_entropy
from morphoscope.train.optimize import learning_rate, make_optimizer, update_average
from morphoscope.train.scores import accuracy, confusion, macro_f1

COUNTS = np.array([500, 90, 10])
LABELS = np.repeat([0, 1, 2], COUNTS)
NAMES = ["elliptical", "spiral", "merger"]


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=9))
def test_full_weights_are_those_of_scikit_learn(numbers: list[int]) -> None:
    counts = np.array(numbers)
    weights = class_weights(counts, BalanceSettings(method="weighted_loss", power=1.0))
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    np.testing.assert_allclose(weights / weights.sum(), expected / expected.sum(), rtol=1e-9)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


def test_half_weights_lie_between() -> None:
    half = class_weights(COUNTS, BalanceSettings(method="weighted_loss", power=0.5))
    assert half[2] / half[0] == pytest.approx((500 / 10) ** 0.5)
    assert class_weights(COUNTS, BalanceSettings(method="sampling")).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (BalanceSettings(), [500, 90, 10]),
        (BalanceSettings(method="sampling", power=1.0), [200, 200, 200]),
        (BalanceSettings(method="sampling", power=0.0), [500, 90, 10]),
        (BalanceSettings(method="target", target={"merger": 300}), [500, 90, 300]),
        (BalanceSettings(method="target", target={"elliptical": 7}), [7, 90, 10]),
    ],
)
def test_an_epoch_has_the_draws_asked_for(settings: BalanceSettings, expected: list[int]) -> None:
    wanted = images_per_epoch(COUNTS, settings, NAMES)
    assert wanted.tolist() == expected
    order = epoch_order(LABELS, wanted, np.random.default_rng(1))
    assert np.bincount(LABELS[order]).tolist() == expected
    # Each image of a class is drawn equally often, or once more.
    times = np.bincount(order, minlength=len(LABELS))
    for index in range(3):
        assert np.ptp(times[index == LABELS]) <= 1


def test_shares_follow_the_power() -> None:
    wanted = images_per_epoch(COUNTS, BalanceSettings(method="sampling", power=0.5), NAMES)
    np.testing.assert_allclose(wanted / 600, COUNTS**0.5 / (COUNTS**0.5).sum(), atol=1 / 600)
    assert wanted.sum() == 600


def test_the_generator_decides_the_order() -> None:
    first, again, other = (epoch_order(LABELS, COUNTS, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.sort(first))


@pytest.mark.parametrize(
    ("target", "message"),
    [({"mergers": 5}, "did you mean 'merger'"), ({}, "empty"), ({"merger": 0}, "at least 1")],
)
def test_targets_that_are_wrong(target: dict[str, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        images_per_epoch(COUNTS, BalanceSettings(method="target", target=target), NAMES)


@given(st.integers(2, 700), st.integers(1, 64))
def test_batches_leave_nothing_out_and_have_no_small_rest(n: int, batch_size: int) -> None:
    batches = split_batches(np.arange(n), batch_size)
    assert np.concatenate(batches).tolist() == list(range(n))
    sizes = [batch.size for batch in batches]
    assert max(sizes) <= max(batch_size, 3)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2


def test_loss_of_equal_weights_is_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(20, 3, generator=generator)
    labels = torch.arange(20) % 3
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    found = weighted_cross_entropy(logits, labels, torch.ones(3), 0.1)
    torch.testing.assert_close(found, expected)
    heavy = weighted_cross_entropy(logits, labels, torch.tensor([0.0, 3.0, 0.0]), 0.0)
    only = nn.functional.cross_entropy(logits[labels == 1], labels[labels == 1], reduction="sum")
    torch.testing.assert_close(heavy, 3 * only / 20)


@given(st.integers(2, 6), st.integers(0, 2**31))
def test_scores_are_those_of_scikit_learn(classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, answers = generator.integers(0, classes, (2, 25))
    counts = confusion(labels, answers, classes)
    np.testing.assert_array_equal(
        counts, confusion_matrix(labels, answers, labels=np.arange(classes))
    )
    assert accuracy(counts) == pytest.approx(accuracy_score(labels, answers), abs=1e-12)
    expected = f1_score(labels, answers, average="macro", zero_division=0)
    assert macro_f1(counts) == pytest.approx(expected, abs=1e-12)


def test_schedules() -> None:
    rates = {
        name: [
            learning_rate(step, 40, TrainSettings(schedule=name, learning_rate=1.0, warmup=0.1))  # type: ignore[arg-type]
            for step in range(40)
        ]
        for name in ("cosine", "constant", "step")
    }
    for rate in rates.values():
        assert rate[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert all(a > b for a, b in zip(rates["cosine"][4:], rates["cosine"][5:], strict=False))
    assert rates["cosine"][-1] < 0.01
    assert set(rates["constant"][4:]) == {1.0}
    assert sorted(set(rates["step"][4:])) == pytest.approx([0.01, 0.1, 1.0])


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_norms_and_biases_do_not_decay(name: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    before = {key: value.clone() for key, value in network.named_parameters()}
    settings = TrainSettings(optimizer=name, learning_rate=0.1, weight_decay=0.5, momentum=0.0)  # type: ignore[arg-type]
    optimizer = make_optimizer(network, settings)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in network.named_parameters():
        factor = 0.95 if key in {"0.weight", "3.weight"} else 1.0
        torch.testing.assert_close(parameter, factor * before[key])


def test_the_average_follows_the_weights_and_the_norms() -> None:
    network, average = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    nn.init.constant_(network.weight, 3.0)
    network.running_mean.fill_(2.0)  # type: ignore[union-attr]
    network.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
    update_average(average, network, 0.75, step=1000)
    assert average.weight.tolist() == pytest.approx([1.5] * 3)
    assert average.running_mean.tolist() == pytest.approx([0.5] * 3)  # type: ignore[union-attr]
    assert average.num_batches_tracked == 7
    # The first steps count more.
    update_average(average, network, 0.75, step=0)
    assert average.weight.tolist() == pytest.approx([1.5 + 0.9 * 1.5] * 3)
