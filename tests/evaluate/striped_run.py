"""Run folders of small striped galaxies, with a network that tells most of them apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import torch

from morphoscope.catalog import write_catalogue
from morphoscope.networks.model import Model, save_model
from morphoscope.prepare.store import write_description
from morphoscope.provenance import Fingerprint, StageRecord, write_record
from morphoscope.recipe import EvaluateSettings, PrepareSettings, Recipe, TrainSettings
from tiny_run import described

SIZE = 32
SHARES = {"train": 0.4, "validation": 0.3, "test": 0.3}
EVALUATE = EvaluateSettings(bootstrap=100, gallery=4, explain=2)


def small_recipe(evaluate: EvaluateSettings = EVALUATE, **train) -> Recipe:
    return Recipe(
        name="stripes",
        prepare=PrepareSettings(size=SIZE),
        train=TrainSettings(network="resnet18", threads=1, **train),
        evaluate=evaluate,
    )


def striped(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images with as many dark bands as their label, and noise."""
    phase = np.linspace(0, np.pi, SIZE)[:, None]
    bands = np.cos(phase * labels[:, None, None]) * 60 + 120
    noise = rng.normal(0, 45, size=(len(labels), 3, SIZE, SIZE))
    return np.clip(bands[:, None] + noise, 0, 255).astype(np.uint8)


def write_run(run: Path, classes: list[str], *, n: int = 200, orientations: int = 1) -> Path:
    """Write what clean, split, prepare and train leave behind."""
    rng = np.random.default_rng(7)
    labels = rng.integers(len(classes), size=n)
    images = striped(labels, rng)
    split = rng.choice(list(SHARES), p=list(SHARES.values()), size=n)
    frame = pl.DataFrame(
        {
            "id_str": [f"g{i:04}" for i in range(n)],
            "file_loc": [f"images/g{i:04}.png" for i in range(n)],
            "class": [classes[label] for label in labels],
            "axial_ratio": rng.random(n),
            "split": split.tolist(),
            "group": np.arange(n),
        }
    )
    store = run / "prepare"
    store.mkdir(parents=True)
    np.save(store / "images.npy", images)
    write_catalogue(
        store / "catalogue.parquet", frame, {"classes": classes, "source": "stripes & <bands>"}
    )
    settings = small_recipe().prepare.model_dump()
    write_description(store, "complete", shape=list(images.shape), preparation=settings)
    save_model(fitted_model(images, labels, classes, orientations), run / "train" / "model")
    curve = [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1 / epoch + 0.1,
            "validation_accuracy": 1 - 0.5 / epoch,
            "validation_macro_f1": 1 - 0.6 / epoch,
            "learning_rate": 1e-3,
            "seconds": 1.0,
        }
        for epoch in range(1, 5)
    ]
    (run / "train" / "history.json").write_text(json.dumps([curve, curve]))
    return run


def fitted_model(
    images: np.ndarray, labels: np.ndarray, classes: list[str], orientations: int
) -> Model:
    """A network of random features whose last layer is fitted by least squares."""
    torch.manual_seed(1)
    model = Model(
        described(
            network="resnet18",
            width=0.125,
            dropout=0.0,
            classes=classes,
            channels=3,
            size=SIZE,
            orientations=orientations,
            members=1,
            mean=[120.0] * 3,
            std=[60.0] * 3,
            handed=[],
            preparation=small_recipe().prepare.model_dump(),
        )
    ).eval()
    network = model.members[0]
    with torch.no_grad():
        features = network.features(model.normalise(torch.from_numpy(images))).mean((2, 3))
        design = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        target = 4 * torch.eye(len(classes))[torch.from_numpy(labels)]
        solution = torch.linalg.lstsq(design, target, driver="gelsd").solution
        network.head[2][1].weight.copy_(solution[:-1].T)
        network.head[2][1].bias.copy_(solution[-1])
    return model


def write_records(run: Path, classes: list[str], warning: str) -> None:
    """Write the records that the pipeline keeps of the stages before."""
    counts = {split: dict.fromkeys(classes, 20) for split in SHARES}
    summaries = {
        "acquire": {"source": "folder", "n": 220, "rejects": {"label without image": 3}},
        "clean": {
            "n": 200,
            "classes": {name: {"n": 20, "expect": 21} for name in classes},
            "rejects": {"truncated": 13, "label without image": 3},
            "warnings": [warning],
        },
        "split": {"kind": "holdout", "counts": counts, "groups": 190, "largest_group": 4},
        "prepare": {"n": 200, "sizes": {"97×101": 200}, "rejects": {}},
        "train": {
            "networks": [
                {"network": "resnet18", "members": 2, "parameters": 175_434, "weights": None}
            ],
            "members": [
                {
                    "network": "resnet18",
                    "best_epoch": 3,
                    "epochs": 4,
                    "validation_loss": 0.4,
                    "validation_accuracy": 0.9,
                    "validation_macro_f1": 0.8,
                }
            ]
            * 2,
            "balance": {"method": "sampling", "loss_weights": {}, "images_per_epoch": {}},
            "augmentations": [{"name": "rotate", "text": "by any angle", "keeps": "handedness"}],
            "device": "cpu",
            "precision": "float32",
            "seconds": 65.0,
        },
    }
    for stage, summary in summaries.items():
        (run / stage).mkdir(exist_ok=True)
        fingerprint = Fingerprint("a" * 64, {}, "b" * 64)
        write_record(run / stage, StageRecord(stage, "done", fingerprint, "now", summary=summary))
