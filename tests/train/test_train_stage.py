"""Training learns, keeps what it should, and stops with a clear word."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphoscope.errors import RecipeError, StoreError, TrainingError
from morphoscope.networks import load_model
from morphoscope.prepare import open_store
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train import train

PLAIN = AugmentSettings(rotate=False, mirror=False, zoom=[], shift=0.0, brightness=0.0)


def run(
    store: Path, out: Path, augment: AugmentSettings = PLAIN, **settings: Any
) -> dict[str, Any]:
    values = {
        "network": "resnet10",
        "width": 0.125,
        "epochs": 2,
        "batch_size": 16,
        "threads": 1,
        **settings,
    }
    balance = values.pop("balance", BalanceSettings())
    return train(TrainSettings(**values), augment, balance, store=store, seed=5, out=out)


def test_first_loss_is_that_of_a_guess(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path, epochs=1, learning_rate=1e-12, precision="float32")
    (history,) = json.loads((tmp_path / "history.json").read_text())
    assert history[0]["train_loss"] == pytest.approx(math.log(3), abs=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_overfits_32_images(
    make_store: Callable[..., Path], tmp_path: Path, precision: str
) -> None:
    labels = [0, 1, 2, 1] * 8
    # The same 32 images twice: what is learnt by heart is asked back.
    folder = make_store(labels * 2, ["train"] * 32 + ["validation"] * 32)
    images = np.load(folder / "images.npy")
    images[32:] = images[:32]
    np.save(folder / "images.npy", images)
    summary = run(folder, tmp_path, epochs=25, learning_rate=5e-3, precision=precision, patience=0)
    (history,) = json.loads((tmp_path / "history.json").read_text())
    assert history[-1]["validation_accuracy"] == 1.0
    assert history[-1]["train_loss"] < 0.1
    assert summary["precision"] == precision
    # Also after a validation the norms go on taking in batches, two an epoch.
    counts = load_model(tmp_path / "model").state_dict()[
        "members.0.features.stem.1.num_batches_tracked"
    ]
    assert counts == 2 * summary["members"][0]["best_epoch"] > 2


def test_summary_history_and_model_agree(store: Path, tmp_path: Path) -> None:
    summary = run(
        store,
        tmp_path,
        AugmentSettings(),
        epochs=3,
        members=2,
        average=0.9,
        orientations=4,
        monitor="loss",
        precision="float32",
    )
    histories = json.loads((tmp_path / "history.json").read_text())
    assert [len(history) for history in histories] == [3, 3]
    for member, history in zip(summary["members"], histories, strict=True):
        best = min(history, key=lambda epoch: epoch["validation_loss"])
        assert member["best_epoch"] == best["epoch"]
        assert member["validation_loss"] == best["validation_loss"]
        assert member["stopped"] == "epochs"
    assert histories[0][-1]["learning_rate"] < histories[0][0]["learning_rate"]
    assert 0 < summary["data_path_share"] < 1
    assert torch.cuda.is_available() or summary["device"] == "cpu (1 thread)"
    assert [a["name"] for a in summary["augmentations"]] == [
        "rotate", "mirror", "zoom", "shift", "brightness"
    ]  # fmt: skip
    model = load_model(tmp_path / "model")
    assert summary["networks"][0]["parameters"] == sum(
        p.numel() for p in model.members[0].parameters()
    )
    # The weights are those of the best epoch: they give its validation loss again.
    opened = open_store(store)
    rows = opened.rows("validation")
    images = model.normalise(torch.from_numpy(opened.gather(rows)))
    with torch.inference_mode():
        logits = model.members[0](images)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(opened.labels[rows]))
    assert loss.item() == pytest.approx(summary["members"][0]["validation_loss"], rel=1e-5)
    assert not all(
        torch.equal(a, b)
        for a, b in zip(model.members[0].parameters(), model.members[1].parameters(), strict=True)
    )


def test_the_test_split_has_no_say(make_store: Callable[..., Path], tmp_path: Path) -> None:
    splits = ["train"] * 18 + ["validation"] * 6 + ["test"] * 6
    weights = []
    for seed in (1, 2):
        folder = make_store([0, 1, 2] * 10, splits, test_seed=seed)
        run(folder, tmp_path / str(seed), AugmentSettings())
        weights.append((tmp_path / str(seed) / "model/weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_stops_early_and_keeps_the_best(store: Path, tmp_path: Path) -> None:
    # The rate is too small to change an answer, so that no epoch is better than the first.
    summary = run(
        store, tmp_path, epochs=9, patience=2, learning_rate=1e-12, monitor="accuracy", warmup=0.0
    )
    (member,) = summary["members"]
    assert member["stopped"] == "patience"
    assert (member["best_epoch"], member["epochs"]) == (1, 3)


def test_a_loss_that_is_no_number_stops_with_its_steps(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="found between steps 1 and 3") as caught:
        run(store, tmp_path, optimizer="sgd", learning_rate=1e36, warmup=0.0, precision="float32")
    assert caught.value.data["epoch"] == 1
    assert caught.value.data["step"] in (2, 3)


def test_balance_is_reported(store: Path, tmp_path: Path) -> None:
    balance = BalanceSettings(method="target", target={"edge_on": 30})
    summary = run(store, tmp_path, epochs=1, balance=balance)
    assert summary["balance"] == {
        "method": "target",
        "loss_weights": {"round": 1.0, "oval": 1.0, "edge_on": 1.0},
        "images_per_epoch": {"round": 24, "oval": 16, "edge_on": 30},
    }


def test_a_handful_of_images_trains(make_store: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_store([0, 1, 2, 0, 1], ["train"] * 3 + ["validation"] * 2)
    summary = run(folder, tmp_path, batch_size=1)
    assert summary["members"][0]["epochs"] == 2


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"network": "resnet81"}, RecipeError, "did you mean 'resnet18'"),
        ({"device": "cuda"}, TrainingError, "no CUDA device"),
        ({"balance": BalanceSettings(method="target", target={"ovel": 9})}, RecipeError, "'oval'"),
    ],
)
def test_settings_that_cannot_be_met(
    store: Path, tmp_path: Path, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    if settings.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(error, match=message):
        run(store, tmp_path, **settings)


def test_a_class_without_training_images(make_store: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_store([0, 1, 0, 1, 2, 0], ["train"] * 4 + ["validation"] * 2)
    with pytest.raises(TrainingError, match="'edge_on' has no image in the train split"):
        run(folder, tmp_path)


def test_no_validation_split(make_store: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_store([0, 1, 2, 0], ["train"] * 4)
    with pytest.raises(StoreError, match="no image in the split 'validation'"):
        run(folder, tmp_path)


def test_orientations_that_would_break_a_label(store: Path, tmp_path: Path) -> None:
    augment = PLAIN.model_copy(update={"label_depends_on": ["position_angle"]})
    with pytest.raises(RecipeError, match=r"train\.orientations = 4 changes the position angle"):
        run(store, tmp_path, augment, orientations=4)
