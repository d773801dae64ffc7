"""The model that answers: one or more networks, their normalisation, and the orientations.

A galaxy has no preferred orientation on the sky, so that the mean over the dihedral images of a
cutout is the better answer, and one that does not change when the cutout is turned
(Dieleman, Willett & Dambre 2015, MNRAS 450, 1441).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from morphoscope.catalog import atomic_path
from morphoscope.errors import CheckpointError
from morphoscope.networks.registry import build

__all__ = ["Model", "load_model", "save_model"]

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
# What the description must hold to build the model again.
NEEDED = (
    *("network", "width", "dropout", "classes", "channels", "size", "orientations"),
    *("members", "mean", "std", "handed", "preparation"),
)


class Model(nn.Module):
    """Images in, logarithms of class probabilities out.

    Parameters
    ----------
    description
        JSON values: ``network``, ``width``, ``dropout``, ``activation``, ``stem``, ``classes``
        (names), ``channels``, ``size`` (pixels), ``orientations`` (1, 4 or 8), ``members`` (number
        of networks), ``mean`` and ``std`` (grey levels, one a channel), ``handed`` (pairs of class
        indices that a mirror swaps) and ``preparation``. Without ``activation`` and ``stem``, as in
        models older than these settings, they are ``paper`` and ``auto``.
    """

    mean: Tensor
    std: Tensor
    swap: Tensor

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__()
        description = {"activation": "paper", "stem": "auto", **description}
        self.description = description
        self.classes: list[str] = list(description["classes"])
        self.orientations: int = description["orientations"]
        self.register_buffer("mean", torch.tensor(description["mean"], dtype=torch.float32))
        self.register_buffer("std", torch.tensor(description["std"], dtype=torch.float32))
        swap = swapped_classes(len(self.classes), description["handed"])
        self.register_buffer("swap", swap, persistent=False)
        self.members = nn.ModuleList(
            build(
                description["network"],
                classes=len(self.classes),
                channels=description["channels"],
                width=description["width"],
                dropout=description["dropout"],
                size=description["size"],
                activation=description["activation"],
                stem=description["stem"],
            )
            for _ in range(description["members"])
        )
        self.description["parameters"] = sum(p.numel() for p in self.members[0].parameters())

    def normalise(self, images: Tensor) -> Tensor:
        """Grey levels 0–255, any type, ``(n, channel, y, x)`` to zero mean and unit spread."""
        return (images.float() - self.mean[:, None, None]) / self.std[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """Logarithm of the mean probability over members and orientations ``(n, classes)``.

        All orientations go through a network as one batch, so that memory grows with
        ``orientations`` × n.
        """
        views = orientations(self.normalise(images), self.orientations)
        batch = torch.cat(views)
        answers = []
        for member in self.members:
            log_probabilities = member(batch).float().log_softmax(1)
            upright = log_probabilities.unflatten(0, (len(views), -1))
            if self.orientations == 8:
                upright = torch.cat([upright[:4], upright[4:][:, :, self.swap]])
            answers.append(upright)
        together = torch.cat(answers)
        return together.logsumexp(0) - math.log(together.shape[0])


def swapped_classes(classes: int, pairs: Sequence[Sequence[int]]) -> Tensor:
    """The class index after a mirror, for every class ``(classes,)``."""
    swap = torch.arange(classes)
    for first, second in pairs:
        swap[first], swap[second] = second, first
    return swap


def orientations(images: Tensor, number: int) -> list[Tensor]:
    """The first ``number`` of the eight dihedral images: four quarter turns, then mirrored."""
    if number == 1:
        return [images]
    starts = [images] if number == 4 else [images, images.flip(3)]
    return [torch.rot90(start, turns, (2, 3)) for start in starts for turns in range(4)]


def save_model(model: Model, folder: Path) -> None:
    """Write ``weights.safetensors`` and ``model.json``."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as path:
        save_file(tensors, path)
    with atomic_path(folder / DESCRIPTION) as path:
        path.write_text(json.dumps(model.description, indent=1, ensure_ascii=False))


def load_model(folder: Path) -> Model:
    """Read a model that `save_model` wrote, ready to answer (``eval`` mode, on the CPU).

    Raises
    ------
    CheckpointError
        The folder holds no model, or a damaged one.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        missing = [key for key in NEEDED if key not in description]
        if missing:
            raise CheckpointError(f"{folder / DESCRIPTION} has no {', '.join(missing)}")
        model = Model(description)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no model ({error})", do="train first") from error
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"the model in {folder} is damaged ({error})", do="train again or copy it anew"
        ) from error
    return model.eval()
