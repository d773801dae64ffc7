"""Run folders of drawn discs of known inclination, with a network that measures most of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import torch

from morphoscope.catalog import write_catalogue
from morphoscope.inclination import axial_ratio
from morphoscope.networks.model import Model, save_model
from morphoscope.prepare.store import write_description
from morphoscope.recipe import EvaluateSettings, PrepareSettings, Recipe, TrainSettings
from tiny_run import described

SIZE = 48
Q0 = 0.15
CLASSES = ["disc", "not_disc", "not_galaxy"]
SHARES = {"train": 0.3, "validation": 0.35, "test": 0.35}
EVALUATE = EvaluateSettings(bootstrap=100, gallery=4)


def tilted_recipe(evaluate: EvaluateSettings = EVALUATE) -> Recipe:
    return Recipe(
        name="tilts",
        prepare=PrepareSettings(size=SIZE),
        train=TrainSettings(network="resnet18", threads=1),
        evaluate=evaluate,
    )


def draw_disc(
    inclination: float, radius: float, rng: np.random.Generator, side: int = SIZE
) -> np.ndarray:
    """Exponential disc with a half-light radius (pixels), any position angle and noise, RGB."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    turn, ratio = rng.uniform(0, np.pi), float(axial_ratio(inclination, Q0))
    along = x * np.cos(turn) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    light = np.exp(-1.68 * np.hypot(along, across / ratio) / radius)
    grey = 25 + 200 * cv2.GaussianBlur(light, (0, 0), 1.0) + rng.normal(0, 5, light.shape)
    return np.repeat(np.clip(grey, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def draw_other(kind: int, rng: np.random.Generator) -> np.ndarray:
    """A round and concentrated galaxy without a disc, or a star's trail."""
    if kind == 1:
        return draw_disc(0.0, rng.uniform(2, 3.5), rng)
    image = np.full((SIZE, SIZE), 25.0) + rng.normal(0, 5, (SIZE, SIZE))
    image[:, SIZE // 2 + rng.integers(-4, 4)] = 220
    return np.repeat(np.clip(image, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def write_run(run: Path, *, n: int = 400, classes: list[str] = CLASSES, unknown: int = 10) -> Path:
    """Write what clean, split, prepare and train leave behind, and the image files."""
    rng = np.random.default_rng(7)
    labels = np.where(rng.random(n) < 0.75, 0, rng.integers(0, len(classes), n))
    tilt, radius = rng.uniform(0, 90, n), rng.uniform(3, 12, n)
    pictures = np.stack(
        [
            draw_disc(tilt[i], radius[i], rng) if not labels[i] else draw_other(int(labels[i]), rng)
            for i in range(n)
        ]
    )
    (run / "images").mkdir(parents=True)
    files = [str(run / "images" / f"g{i:04}.png") for i in range(n)]
    for file, picture in zip(files, pictures, strict=True):
        cv2.imwrite(file, picture)
    known = np.where(labels == 0, tilt, np.nan)
    known[rng.choice(n, unknown, replace=False)] = np.nan
    split = rng.choice(list(SHARES), p=list(SHARES.values()), size=n)
    frame = pl.DataFrame(
        {
            "id_str": [f"g{i:04}" for i in range(n)],
            "file_loc": files,
            "class": [classes[label] for label in labels],
            "inclination": pl.Series(known).fill_nan(None),
            "half_light_radius_pixels": radius,
            "signal_to_noise": rng.uniform(5, 50, n),
            "split": split.tolist(),
            "group": np.arange(n),
        }
    )
    images = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    store = run / "prepare"
    store.mkdir()
    np.save(store / "images.npy", images)
    metadata = {"classes": classes, "task": "inclination", "source": "drawn <discs>"}
    write_catalogue(store / "catalogue.parquet", frame, metadata)
    settings = tilted_recipe().prepare.model_dump()
    write_description(store, "complete", shape=list(images.shape), preparation=settings)
    save_model(fitted_model(images, labels, known, classes), run / "train" / "model")
    (run / "train" / "history.json").write_text(json.dumps([curve()]))
    return run


def curve() -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "train_loss": 1 / epoch,
            "validation_loss": 1 / epoch + 0.1,
            "validation_accuracy": 1 - 0.5 / epoch,
            "validation_macro_f1": 1 - 0.6 / epoch,
            "validation_mae": 5 + 9 / epoch,
            "learning_rate": 1e-3,
            "seconds": 1.0,
        }
        for epoch in range(1, 5)
    ]


def fitted_model(
    images: np.ndarray, labels: np.ndarray, known: np.ndarray, classes: list[str]
) -> Model:
    """A network of random features whose last layer is fitted by least squares."""
    torch.manual_seed(1)
    values = described(
        network="resnet18",
        width=0.125,
        dropout=0.0,
        classes=classes,
        channels=3,
        size=SIZE,
        orientations=1,
        members=1,
        mean=[60.0] * 3,
        std=[50.0] * 3,
        handed=[],
        preparation=tilted_recipe().prepare.model_dump(),
    )
    values["groups"][0]["angle"] = "normal"
    model = Model(values).eval()
    network = model.members[0]
    with torch.no_grad():
        features = network.features(model.normalise(torch.from_numpy(images))).mean((2, 3))
        design = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        disc = torch.from_numpy(np.isfinite(known))
        logits = solved(design, 4 * torch.eye(len(classes))[torch.from_numpy(labels)])
        angle = solved(design[disc], torch.from_numpy(known[disc] / 45 - 1).float()[:, None])
        spread = torch.zeros(len(logits), 1)
        # softplus(-2) × 45 deg is a half-width of 5.7 deg.
        spread[-1] = -2.0
        solution = torch.cat([logits, angle, spread], dim=1)
        network.head[2][1].weight.copy_(solution[:-1].T)
        network.head[2][1].bias.copy_(solution[-1])
    return model


def solved(design: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.linalg.lstsq(design, target, driver="gelsd").solution
