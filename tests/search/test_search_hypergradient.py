"""Hypergradients agree with finite differences, and following them lowers the loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from morphoscope.errors import RecipeError
from morphoscope.recipe import AugmentSettings, BalanceSettings, Recipe, TrainSettings
from morphoscope.search import hypergradient, search
from morphoscope.search.hypergradient import PREFIX, SETTINGS, hypergradient_method
from morphoscope.search.space import open_space
from morphoscope.search.strategies import check_strategy
from morphoscope.train import train
from morphoscope.train.optimize import learning_rate, make_optimizer

Make = Callable[..., Recipe]
START = {"learning_rate": 0.05, "weight_decay": 0.1, "momentum": 0.8, "label_smoothing": 0.1}
BATCH, STEPS, CLASSES = 12, 7, 3


def settings_of(optimizer: str, **changes: Any) -> TrainSettings:
    values = {"batch_size": BATCH, "optimizer": optimizer, "warmup": 0.3, **START, **changes}
    return TrainSettings(**values)


class Small(nn.Module):
    """Smooth, with a batch norm, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten())
        self.head = nn.Linear(4 * 4 * 4, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


def small_training(optimizer: str, names: tuple[str, ...], **changes: float) -> Any:
    """Train a small network; the validation loss and its hypergradients."""
    settings = settings_of(optimizer, **changes)
    random = torch.Generator().manual_seed(1)
    images = torch.randn((STEPS + 2) * BATCH, 2, 6, 6, generator=random, dtype=torch.double)
    labels = torch.randint(CLASSES, (len(images),), generator=random)
    plan: Any = SimpleNamespace(
        settings=settings,
        lesson=SimpleNamespace(loss_weights=torch.tensor([0.5, 1.0, 2.0], dtype=torch.double)),
        validation=np.arange(STEPS * BATCH, len(images)),
        gather=lambda rows: (images[rows], labels[rows]),
        normalise=lambda images: images,
    )
    torch.manual_seed(2)
    network = Small().double()
    state: Any = SimpleNamespace(network=network, optimizer=make_optimizer(network, settings))
    for step in range(STEPS):
        network.train()
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(step, STEPS, settings) * group["factor"]
        rows = slice(step * BATCH, (step + 1) * BATCH)
        hypergradient._step(plan, state, images[rows], labels[rows], names)
    found = hypergradient._hypergradients(plan, state, names)
    assert not network.body[1].training
    network.train()
    with torch.no_grad():
        losses = [
            nn.functional.cross_entropy(network(images[start : start + BATCH]), labels[rows])
            for start in (STEPS * BATCH, (STEPS + 1) * BATCH)
            for rows in [slice(start, start + BATCH)]
        ]
    return float(torch.stack(losses).mean()), found


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_agrees_with_finite_differences(optimizer: str) -> None:
    _, found = small_training(optimizer, SETTINGS)
    for name in SETTINGS:
        width = 0.01 * START[name]
        high, _ = small_training(optimizer, (), **{name: START[name] + width})
        low, _ = small_training(optimizer, (), **{name: START[name] - width})
        assert found[f"{PREFIX}{name}"] == pytest.approx((high - low) / (2 * width), rel=0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_its_steps_are_those_of_the_optimizer(
    prepared_run: Path, tmp_path: Path, optimizer: str
) -> None:
    changes = {"network": "resnet10", "width": 0.125, "epochs": 2, "learning_rate": 0.003}
    settings = settings_of(optimizer, **changes, device="cpu", precision="float32", threads=1)
    losses = []
    for method in (None, hypergradient_method(("momentum",))):
        epochs: list[dict[str, float]] = []
        train(
            settings,
            AugmentSettings(),
            BalanceSettings(),
            store=prepared_run / "prepare",
            seed=5,
            out=tmp_path / f"{method is None}",
            watch=lambda history, epochs=epochs: epochs.extend(history[-1:]),
            method=method,
        )
        losses.append([epoch["train_loss"] for epoch in epochs])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.thorough
def test_the_search_goes_downhill_and_resumes(recipe_of: Make, run: Path) -> None:
    space = {
        "train.learning_rate": {"low": 1e-4, "high": 0.3, "log": True},
        "train.momentum": {"low": 0.5, "high": 0.95},
    }
    train = {"epochs": 4, "learning_rate": 0.001, "monitor": "loss", "optimizer": "sgd"}
    for number in (2, 4):
        settings = {"strategy": "hypergradient", "space": space, "trials": number}
        found = search(recipe_of(settings, train=train), run)
    table = pl.read_parquet(run / "search/trials.parquet")
    assert table["train.learning_rate"][0] == pytest.approx(0.001)
    rates = table["train.learning_rate"].to_list()
    assert rates == sorted(rates)
    assert table["score"][3] < table["score"][0] - 0.01
    assert found["best"]["score"] == table["score"].min()


def test_after_a_failure_it_goes_back(recipe_of: Make, run: Path) -> None:
    space = {"train.learning_rate": {"low": 1e-3, "high": 1e30, "log": True}}
    train = {"epochs": 1, "learning_rate": 1e25, "optimizer": "sgd", "monitor": "loss"}
    settings = {"strategy": "hypergradient", "space": space, "trials": 6}
    found = search(recipe_of(settings, train=train), run)
    states = pl.read_parquet(run / "search/trials.parquet")["state"].to_list()
    assert states[0] == "failed"
    assert found["trials"]["complete"] >= 1


@pytest.mark.parametrize(
    ("search_settings", "train", "said"),
    [
        ({"space": {"train.dropout": {"low": 0.0, "high": 0.5}}}, {}, "no gradient by train.drop"),
        ({}, {"average": 0.9}, "train.average"),
        ({}, {"precision": "bfloat16"}, "train.precision"),
        ({"workers": 2}, {}, "search.workers"),
        ({"space": {"train.weight_decay": {"low": 0.0, "high": 0.5}}}, {}, "above 0"),
        ({"stopping": "hyperband"}, {}, "search.stopping"),
    ],
)
def test_what_it_cannot_do_is_refused(
    recipe_of: Make, search_settings: dict[str, Any], train: dict[str, Any], said: str
) -> None:
    recipe = recipe_of({"strategy": "hypergradient", **search_settings}, train=train)
    with pytest.raises(RecipeError, match=said):
        check_strategy(open_space(recipe))
