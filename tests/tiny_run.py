"""A run folder as the stages leave it, of tiny images and a network that has learnt nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import polars as pl

from morphoscope.catalog import write_catalogue
from morphoscope.engine import open_engine
from morphoscope.prepare import prepare, prepare_file
from morphoscope.prepare.pixels import channel_count
from morphoscope.recipe import EngineSettings, Recipe

if TYPE_CHECKING:
    from morphoscope.networks import Model

CLASSES = ["edge_on", "smooth and round", "spiral"]
N = 60


def tiny_recipe(**sections: object) -> Recipe:
    values: dict[str, object] = {
        "name": "tiny",
        "description": "A test of the way, not of the sky.",
        "prepare": {"size": 32, "crop_fraction": 0.8},
        "train": {"network": "resnet10", "width": 0.125, "orientations": 8, "members": 1},
        "evaluate": {"bootstrap": 100, "gallery": 0, "explain": 0},
        "export": {"licence": "CC0-1.0"},
    }
    return Recipe.model_validate({**values, **sections})


def draw_images(folder: Path, n: int, *, seed: int = 0, side: int = 48) -> list[Path]:
    """Blobs of different shape, colour and noise, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    files = []
    for index in range(n):
        angle, ratio = random.uniform(0, np.pi), random.uniform(0.1, 1)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        light = np.exp(-np.hypot(along, across / ratio) / random.uniform(3, 12))
        image = 200 * light[..., None] * random.uniform(0.4, 1, 3)
        image += random.normal(20, 9, image.shape)
        files.append(folder / f"galaxy-{index:03d}.png")
        cv2.imwrite(str(files[-1]), np.clip(image, 0, 255).astype(np.uint8))
    return files


def make_run(folder: Path, recipe: Recipe) -> Path:
    """What prepare, train and evaluate leave in a run folder."""
    import torch

    from morphoscope.evaluate import evaluate
    from morphoscope.networks import save_model

    files = draw_images(folder / "images", N)
    images = np.stack([prepare_file(str(file), recipe.prepare) for file in files])
    model = random_model(recipe, images)
    labels = model(torch.from_numpy(images)).argmax(1).tolist()
    labels[::5] = [(label + 1) % 3 for label in labels[::5]]
    frame = pl.DataFrame(
        {
            "id_str": [file.stem for file in files],
            "file_loc": [str(file) for file in files],
            "class": [CLASSES[label] for label in labels],
            "split": [("train", "train", "validation", "test")[i % 4] for i in range(N)],
            "group": range(N),
        }
    )
    about = {"classes": CLASSES, "source": "drawn", "licence": "CC0-1.0", "citation": "Nobody 2026"}
    catalogue = folder / "split/catalogue.parquet"
    write_catalogue(catalogue, frame, about)
    with open_engine(EngineSettings(kind="inline")) as engine:
        prepare(recipe.prepare, catalogue=catalogue, out=folder / "prepare", engine=engine)
    save_model(model, folder / "train/model")
    evaluate(recipe, run=folder, out=folder / "evaluate")
    return folder


def described(**values: object) -> dict[str, object]:
    """The description of a model of one kind of network, from values in any order."""
    kinds = {"activation": "paper", "stem": "auto", "shrink": 1, "dropout": 0.0, "members": 1}
    names = {"network", "width", "mean", "std", "weights", *kinds}
    group = {**kinds, **{key: value for key, value in values.items() if key in names}}
    return {**{k: v for k, v in values.items() if k not in names}, "groups": [group]}


def random_model(recipe: Recipe, images: np.ndarray) -> Model:
    """A model with random weights whose answers to these images differ."""
    import torch

    from morphoscope.networks import Model

    channels = channel_count(recipe.prepare)
    description = {
        "network": recipe.train.network,
        "width": recipe.train.width,
        "dropout": 0.1,
        "classes": CLASSES,
        "channels": channels,
        "size": recipe.prepare.size,
        "orientations": recipe.train.orientations,
        "members": recipe.train.members,
        "mean": [30.0, 31.0, 32.0][:channels],
        "std": [25.0, 26.0, 27.0][:channels],
        "handed": [[0, 2]],
        "preparation": recipe.prepare.model_dump(),
    }
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        model = Model(described(**description)).eval()
        for member in model.members:
            # Fresh layers hardly answer: residuals and the last layer start near zero.
            for parameter in member.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
            last = [layer for layer in member.modules() if isinstance(layer, torch.nn.Linear)][-1]
            logits = member(model.normalise(torch.from_numpy(images)))
            last.weight *= 2 / logits.std(0)[:, None]
            last.bias[:] = 2 * (last.bias - logits.mean(0)) / logits.std(0)
    return model
