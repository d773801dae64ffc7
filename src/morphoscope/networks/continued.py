"""A whole model to go on with: each network begins where one of its networks ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from morphoscope.errors import WeightsError
from morphoscope.networks.timm_names import FAMILIES
from morphoscope.provenance import file_digest
from morphoscope.recipe import TrainSettings

__all__ = ["DESCRIPTION", "Continued", "open_continued"]

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
# What must be alike for the weights of one network to be those of another.
ALIKE = ("network", "width", "activation", "stem", "shrink")
BODY = "features."


@dataclass(frozen=True)
class Continued:
    """A model that was trained here, as the beginning of another training.

    Attributes
    ----------
    place
        Its folder: ``train/model`` of a run.
    sha256
        Digest of its weights.
    tensors
        By their names in the model.
    group
        The kind of its networks that is gone on with, as the model describes it.
    index
        Which kind that is.
    """

    place: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    group: Mapping[str, Any]
    index: int

    @property
    def origin(self) -> dict[str, str]:
        """What a model says of the weights that it began with; JSON values."""
        return {"name": self.place.name, "sha256": self.sha256}

    @property
    def last(self) -> tuple[str, ...]:
        """Parts of ``features`` that are the last stage, where they are known."""
        family = FAMILIES.get(self.group["network"])
        return family.last if family else ()

    def grey_levels(self, channels: int) -> tuple[Tensor, Tensor]:
        """Mean and spread of the images that the networks learnt from, one a channel."""
        mean, std = (self.tensors[name][self.index] for name in ("mean", "std"))
        if len(mean) != channels:
            raise WeightsError(
                f"the model {self.place} takes images of {len(mean)} channels",
                expected=f"{channels}, as the recipe prepares",
                do="leave prepare.channels and prepare.bands as they were",
            )
        return mean, std

    @torch.no_grad()
    def fill(self, network: nn.Module, member: int | None = None) -> None:
        """Copy the weights of one of the networks; without a number the body of the first alone.

        Raises
        ------
        WeightsError
            There is no such network, or it has another shape.
        """
        prefix = f"members.{member or 0}."
        own = {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }
        if member is None:
            own = {name: tensor for name, tensor in own.items() if name.startswith(BODY)}
            own = {**network.state_dict(), **own}
        try:
            network.load_state_dict(own)
        except RuntimeError as error:
            told = str(error).strip().splitlines()[-1].strip()
            raise WeightsError(
                f"network {member or 0} of {self.place} does not fit the recipe's ({told})",
                expected="as many networks, of the same kinds, as the model has",
                do="leave train.network, train.members and train.others as they were",
            ) from error


def open_continued(folder: Path, settings: TrainSettings, classes: Sequence[str]) -> Continued:
    """Open a model to go on with.

    Parameters
    ----------
    folder
        ``train/model`` of a run.
    settings
        Of the networks that begin with it.
    classes
        Those that will be taught; empty: not known yet.

    Raises
    ------
    WeightsError
        There is no model, it is damaged, answers other classes, or has no such networks.
    """
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
        tensors = load_file(folder / WEIGHTS)
        groups = list(described["groups"])
        known = list(described["classes"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsError(
            f"{folder} holds no whole model ({error})",
            expected="the folder train/model of a run",
            do="name it as train.weights, or a file of weights",
        ) from error
    if classes and known != list(classes):
        raise WeightsError(
            f"the model {folder} answers {', '.join(known)}",
            expected=f"{', '.join(classes)}, in this order",
            do="name its file of weights as train.weights: the head then begins anew",
        )
    for index, group in enumerate(groups):
        if all(group[key] == getattr(settings, key) for key in ALIKE) and _same_angle(
            group, settings
        ):
            return Continued(folder, file_digest(folder / WEIGHTS), tensors, group, index)
    raise WeightsError(
        f"the model {folder} has no {settings.network} of these settings",
        expected="; ".join(", ".join(f"{key} {group[key]}" for key in ALIKE) for group in groups),
        do="leave train.network, width, activation, stem, shrink and angle as they were",
    )


def _same_angle(group: Mapping[str, Any], settings: TrainSettings) -> bool:
    """A model of classes alone has no kind of angle, whatever the recipe says."""
    return group.get("angle", "") in ("", settings.angle)
