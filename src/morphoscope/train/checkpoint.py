"""A checkpoint: all tensors and the JSON beside them, in one file, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from morphoscope.errors import CheckpointError
from morphoscope.networks.tensors import write_tensors

__all__ = ["read_checkpoint", "write_checkpoint"]

KEY = "morphoscope"
AGAIN = "remove it and train again from the start"


def write_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], *, identity: Mapping[str, Any], **values: Any
) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    path
        The file, safetensors; the JSON values stand in its metadata.
    tensors
        All tensors of the training's state.
    identity
        What the training is: network, classes, seed, settings.
    **values
        JSON values of the state.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = {"identity": identity, "sha256": _digest(plain), **values}
    write_tensors(path, plain, metadata={KEY: json.dumps(about)})


def read_checkpoint(
    path: Path, *, identity: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint's tensors and JSON values.

    Raises
    ------
    CheckpointError
        The file is damaged, or is of another network, other classes, seed, images or settings.
    """
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the checkpoint {path} is damaged ({error})", do=AGAIN) from error
    if values.get("sha256") != _digest(tensors):
        raise CheckpointError(f"the checkpoint {path} is damaged (its bytes changed)", do=AGAIN)
    _compare(path, values.pop("identity"), json.loads(json.dumps(identity)))
    return tensors, values


def _compare(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name in [*expected, *found]:
        if found.get(name) != expected.get(name):
            raise CheckpointError(
                f"{path} is a checkpoint of another training: its {name} is {found.get(name)!r}",
                expected=repr(expected.get(name)),
                do="remove it, or train into another folder",
                differs=name,
            )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
