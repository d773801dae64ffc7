"""The model that answers: networks of one or more kinds, their inputs, and the orientations.

A galaxy has no preferred orientation on the sky, so that the mean over the dihedral images of a
cutout is the better answer, and one that does not change when the cutout is turned
(Dieleman, Willett & Dambre 2015, MNRAS 450, 1441).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from morphoscope.catalog import atomic_path, discard
from morphoscope.errors import CheckpointError
from morphoscope.networks.heads import Head
from morphoscope.networks.registry import build
from morphoscope.networks.tensors import write_tensors

__all__ = ["Model", "load_model", "save_model", "shrunk"]

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
# What the description must hold to build the model again, and each of its groups.
NEEDED = ("groups", "classes", "channels", "size", "orientations", "handed", "preparation")
OF_GROUP = ("network", "width", "dropout", "activation", "stem", "shrink", "members", "mean", "std")


class Model(nn.Module):
    """Images in, logarithms of class probabilities out, and inclinations if it measures them.

    Parameters
    ----------
    description
        JSON values: ``classes`` (names), ``channels``, ``size`` (pixels), ``orientations`` (1, 4 or
        8), ``handed`` (pairs of class indices that a mirror swaps), ``preparation`` and ``groups``:
        for each kind of network ``network``, ``width``, ``dropout``, ``activation``, ``stem``,
        ``shrink`` (pixels of a side that become one), ``members`` (number of networks), ``mean``
        and ``std`` (grey levels, one a channel). A model that measures inclinations has ``angle``
        in each group, see `Head`.
    """

    mean: Tensor
    std: Tensor
    swap: Tensor

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__()
        self.description = {**description, "groups": [dict(g) for g in description["groups"]]}
        self.groups: list[dict[str, Any]] = self.description["groups"]
        self.classes: list[str] = list(description["classes"])
        self.orientations: int = description["orientations"]
        for name in ("mean", "std"):
            levels = torch.tensor([group[name] for group in self.groups], dtype=torch.float32)
            self.register_buffer(name, levels)
        self.head = Head(len(self.classes), self.groups[0].get("angle", ""))
        swap = swapped_classes(self.head.answers, description["handed"])
        self.register_buffer("swap", swap, persistent=False)
        self.members = nn.ModuleList(
            self._network(group) for group in self.groups for _ in range(group["members"])
        )
        for index, group in enumerate(self.groups):
            first = self.members_of(index)[0]
            group["parameters"] = sum(p.numel() for p in first.parameters())

    def _network(self, group: Mapping[str, Any]) -> nn.Module:
        return build(
            group["network"],
            classes=Head(len(self.classes), group.get("angle", "")).outputs,
            channels=self.description["channels"],
            width=group["width"],
            dropout=group["dropout"],
            size=self.description["size"] // group["shrink"],
            activation=group["activation"],
            stem=group["stem"],
        )

    def members_of(self, group: int) -> list[nn.Module]:
        """The networks of one kind."""
        first = sum(one["members"] for one in self.groups[:group])
        return list(self.members)[first : first + self.groups[group]["members"]]

    def normalise(self, images: Tensor, group: int = 0) -> Tensor:
        """What the networks of a group see of grey levels 0–255, any type ``(n, channel, y, x)``.

        Zero mean and unit spread, and the means over squares of ``shrink`` pixels.
        """
        levels = self.mean[group][:, None, None], self.std[group][:, None, None]
        return shrunk((images.float() - levels[0]) / levels[1], self.groups[group]["shrink"])

    def forward(self, images: Tensor) -> Tensor:
        """Logarithm of the mean probability over members and orientations ``(n, classes)``.

        Of a model that measures inclinations also the inclination and its half-widths below and
        above (deg): ``(n, classes + 3)``.

        All orientations go through a network as one batch, so that memory grows with
        ``orientations`` × n.
        """
        answers = []
        for index in range(len(self.groups)):
            views = orientations(self.normalise(images, index), self.orientations)
            batch = torch.cat(views)
            head = Head(len(self.classes), self.groups[index].get("angle", ""))
            for member in self.members_of(index):
                answered = head.read(member(batch))
                upright = answered.reshape(len(views), -1, head.answers)
                if self.orientations == 8:
                    upright = torch.cat([upright[:4], upright[4:][:, :, self.swap]])
                answers.append(upright)
        return self.head.average(torch.cat(answers))


def shrunk(images: Tensor, pixels: int) -> Tensor:
    """Means over squares of so many pixels ``(n, channel, y / pixels, x / pixels)``."""
    return avg_pool2d(images, pixels) if pixels > 1 else images


def swapped_classes(answers: int, pairs: Sequence[Sequence[int]]) -> Tensor:
    """The class index after a mirror, for every class; other answers stay ``(answers,)``."""
    swap = torch.arange(answers)
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
    for leftover in folder.glob(f".{WEIGHTS}.*.partial"):
        discard(leftover)
    write_tensors(folder / WEIGHTS, tensors)
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
        for group in description.get("groups", ()):
            missing += [f"groups.{key}" for key in OF_GROUP if key not in group]
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
