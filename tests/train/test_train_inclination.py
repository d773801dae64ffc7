"""Learning inclinations: the losses find known distributions, the network learns drawn discs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from morphoscope.catalog import write_catalogue
from morphoscope.errors import RecipeError, TrainingError
from morphoscope.evaluate.answers import answer
from morphoscope.networks import load_model
from morphoscope.networks.heads import Head
from morphoscope.prepare import open_store
from morphoscope.prepare.store import write_description
from morphoscope.recipe import AugmentSettings, BalanceSettings, PrepareSettings, TrainSettings
from morphoscope.train import train
from morphoscope.train.losses import angle_loss

SIZE = 32
CLASSES = ["disc", "not_galaxy"]


def write_discs(folder: Path, n: int, splits: list[str], *, unknown: int = 0) -> Path:
    """Discs of known inclination, and every fifth image noise only."""
    random = np.random.default_rng(4)
    angles = random.uniform(0, 90, n)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    images = np.zeros((n, 3, SIZE, SIZE), np.uint8)
    for index, angle in enumerate(angles):
        turn = random.uniform(0, np.pi)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        ratio = np.hypot(np.cos(np.deg2rad(angle)), 0.12)
        light = 220 * np.exp(-np.hypot(along, across / ratio) / 5) * (index % 5 != 4)
        images[index] = np.clip(light + random.normal(12, 3, (3, SIZE, SIZE)), 0, 255)
    disc = np.arange(n) % 5 != 4
    known = np.where(disc & (np.arange(n) >= unknown), angles, np.nan)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    frame = pl.DataFrame(
        {
            "id_str": [str(i) for i in range(n)],
            "file_loc": [f"{i}.png" for i in range(n)],
            "class": [CLASSES[0] if one else CLASSES[1] for one in disc],
            "inclination": pl.Series(known).fill_nan(None),
            "split": splits,
        }
    )
    write_catalogue(
        folder / "catalogue.parquet", frame, {"classes": CLASSES, "task": "inclination"}
    )
    write_description(
        folder,
        "complete",
        shape=list(images.shape),
        sha256="0" * 64,
        preparation=PrepareSettings(size=SIZE).model_dump(),
    )
    return folder


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = ["train"] * 400 + ["validation"] * 100 + ["test"] * 100
    return write_discs(tmp_path_factory.mktemp("discs") / "prepare", 600, splits)


def run(store: Path, out: Path, **settings: Any) -> dict[str, Any]:
    values = {"network": "resnet10", "width": 0.25, "epochs": 2, "batch_size": 32, "threads": 1}
    chosen = TrainSettings(**{**values, "monitor": "mae", **settings})
    augment = AugmentSettings(brightness=0.1)
    return train(chosen, augment, BalanceSettings(), store=store, seed=5, out=out)


def fitted(angle: str, truth: torch.Tensor) -> tuple[float, float, float]:
    """What a head learns that sees nothing but the truth of all images."""
    head = Head(1, angle)  # type: ignore[arg-type]
    outputs = torch.zeros(head.outputs, requires_grad=True)
    optimizer = torch.optim.Adam([outputs], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        angle_loss(outputs.expand(len(truth), -1), truth, head).backward()
        optimizer.step()
    value, below, above = head.read(outputs.detach()[None])[0, 1:].tolist()
    return value, below, above


def test_the_normal_head_finds_mean_and_spread() -> None:
    truth = 52 + 6 * torch.randn(4_000, generator=torch.Generator().manual_seed(1))
    value, below, above = fitted("normal", truth)
    assert value == pytest.approx(52, abs=0.3)
    assert below == above == pytest.approx(6, rel=0.05)


def test_the_quantile_head_finds_skewed_quantiles() -> None:
    truth = 20 + 8 * torch.empty(4_000).exponential_(generator=torch.Generator().manual_seed(1))
    low, middle, high = np.quantile(truth.numpy(), [0.1587, 0.5, 0.8413])
    value, below, above = fitted("quantiles", truth)
    assert value == pytest.approx(middle, abs=0.5)
    assert value - below == pytest.approx(low, abs=0.6)
    assert value + above == pytest.approx(high, abs=1.0)


@pytest.mark.parametrize("angle", ["normal", "quantiles"])
def test_galaxies_without_inclination_do_not_count(angle: str) -> None:
    head = Head(2, angle)  # type: ignore[arg-type]
    outputs = torch.randn(6, head.outputs, generator=torch.Generator().manual_seed(1))
    truth = torch.tensor([10.0, float("nan"), 50, float("nan"), 80, 33])
    known = truth.isfinite()
    torch.testing.assert_close(
        angle_loss(outputs, truth, head), angle_loss(outputs[known], truth[known], head)
    )
    nothing = angle_loss(outputs.requires_grad_(), torch.full((6,), float("nan")), head)
    nothing.backward()
    assert nothing.item() == 0
    assert not outputs.grad.any()  # type: ignore[union-attr]


def test_learns_the_inclination_of_drawn_discs(discs: Path, tmp_path: Path) -> None:
    run(discs, tmp_path, epochs=14, learning_rate=4e-3, angle="normal")
    store, model = open_store(discs), load_model(tmp_path / "model")
    rows = store.rows("test")
    said = answer(model, store.images, rows, torch.device("cpu"))
    truth = store.inclinations[rows]
    known = np.isfinite(truth)
    error = np.abs(said[known, 2] - truth[known])
    guess = np.abs(np.median(truth[known]) - truth[known])
    assert error.mean() < 0.45 * guess.mean()
    # Noise without a galaxy is rejected.
    assert (said[:, :2].argmax(1) == store.labels[rows]).mean() > 0.9
    (history,) = json.loads((tmp_path / "history.json").read_text())
    best = min(epoch["validation_mae"] for epoch in history)
    assert best == history[model_epoch(tmp_path) - 1]["validation_mae"]


def model_epoch(folder: Path) -> int:
    from safetensors import safe_open

    with safe_open(folder / "members/0/checkpoint.safetensors", "pt") as file:
        return int(json.loads(file.metadata()["morphoscope"])["position"]["best_epoch"])


WORK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_train_inclination import run
run(Path(sys.argv[2]), Path(sys.argv[3]), epochs=3, checkpoint_s=0.0)
"""


@pytest.mark.thorough
def test_killed_and_resumed_equals_uninterrupted(discs: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(discs, whole, epochs=3)
    words = [sys.executable, "-c", WORK, str(Path(__file__).parent), str(discs), str(cut)]
    place = cut / "members/0/checkpoint.safetensors"
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not place.exists() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (cut / "model").exists()
    run(discs, cut, epochs=3)
    name = "model/weights.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_the_error_is_no_score_of_classes(store: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="measures no inclinations"):
        run(store, tmp_path)


def test_without_any_inclination_to_learn_from(tmp_path: Path) -> None:
    splits = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
    folder = write_discs(tmp_path / "prepare", 40, splits, unknown=20)
    with pytest.raises(TrainingError, match="no galaxy of the train split has an inclination"):
        run(folder, tmp_path / "out")
