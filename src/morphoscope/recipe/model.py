"""Settings of the model: augment, balance, train, evaluate, export."""

from __future__ import annotations

import difflib
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from morphoscope.recipe.section import FolderName, Section

__all__ = [
    "IMAGENET",
    "AugmentSettings",
    "BalanceSettings",
    "EvaluateSettings",
    "ExportSettings",
    "LabelProperty",
    "TrainSettings",
]

# The word for packaged weights in ``train.weights``.
IMAGENET = "imagenet"
# What the networks of a model have in common.
SHARED = frozenset({"others", "orientations", "device", "threads", "checkpoint_s", "processes"})
LabelProperty = Literal[
    "handedness", "position_angle", "angular_size", "brightness", "position", "signal_to_noise"
]


class AugmentSettings(Section):
    """Random changes of training images that keep the label."""

    rotate: Literal[True, False, "half"] = Field(
        True,
        description="Rotate by any angle; `half`: by 0° or 180° only, for galaxies that "
        "`prepare.view` has levelled.",
    )
    mirror: bool = Field(True, description="Mirror half of the images; handed classes swap.")
    zoom: list[float] = Field([0.9, 1.1], description="Range of isotropic zoom; empty: off.")
    shift: float = Field(0.04, description="Largest shift as a share of the side.", ge=0, lt=0.5)
    noise: float = Field(0.0, description="Largest added noise (share of full range).", ge=0, le=1)
    brightness: float = Field(0.1, description="Largest relative change of brightness.", ge=0, lt=1)
    label_depends_on: list[LabelProperty] = Field(
        [],
        description="Properties that the label depends on; an augmentation that changes one "
        "is refused.",
    )
    handed: list[list[str]] = Field([], description="Pairs of classes that a mirror swaps.")


class BalanceSettings(Section):
    """What is done about rare classes."""

    method: Literal["none", "weighted_loss", "sampling", "target"] = Field(
        "none", description="Nothing, weighted loss, balanced sampling, or target counts."
    )
    power: float = Field(
        0.5, description="0: as found, 1: all classes alike (weighted_loss, sampling).", ge=0, le=1
    )
    target: dict[str, int] = Field({}, description="Images an epoch per named class (target).")


class TrainSettings(Section):
    """The network and how it is trained."""

    network: str = Field("resnet18", description="Name of the network.")
    width: float = Field(1.0, description="Width of the network relative to its paper.", gt=0)
    activation: Literal["paper", "relu", "leaky_relu", "silu", "gelu"] = Field(
        "paper", description="Activation between the layers; `paper`: that of the network's paper."
    )
    stem: Literal["auto", "paper", "small"] = Field(
        "auto",
        description="First layers: as in the paper, with finer strides for small images, or by "
        "the size of the images.",
    )
    weights: str = Field(
        "",
        description="Weights to begin with: `imagenet`, as a package brings them for the "
        "EfficientNets, or a safetensors file of a timm encoder or of the model of another run "
        "(`train/model/weights.safetensors`); empty: random ones. The folder `train/model` of a "
        "run: each network goes on from one of that model, with its head. A path in the "
        "recipe is relative to the recipe, one after `--set` to the working directory.",
    )
    tuned: Literal["all", "last", "head"] = Field(
        "all",
        description="What is trained of a network that begins with weights: all, the last stage "
        "and the head, or the head alone.",
    )
    body_rate: float = Field(
        1.0, description="Learning rate of the body relative to that of the head.", gt=0
    )
    dropout: float = Field(0.0, description="Dropout before the last layer.", ge=0, lt=1)
    epochs: int = Field(20, description="Most epochs.", ge=1)
    batch_size: int = Field(64, description="Images a step.", ge=1)
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimizer.")
    learning_rate: float = Field(1e-3, description="Highest learning rate.", gt=0)
    momentum: float = Field(0.9, description="Momentum (sgd) or beta1 (adamw).", ge=0, lt=1)
    weight_decay: float = Field(0.05, description="Weight decay, not on norms and biases.", ge=0)
    schedule: Literal["cosine", "constant", "step"] = Field("cosine", description="Schedule.")
    warmup: float = Field(0.05, description="Share of the steps that warm up.", ge=0, lt=1)
    label_smoothing: float = Field(0.0, description="Label smoothing.", ge=0, lt=1)
    average: float = Field(
        0.0, description="Decay of the running average of the weights; 0: off.", ge=0, lt=1
    )
    patience: int = Field(0, description="Epochs without a better validation score; 0: off.", ge=0)
    monitor: Literal["loss", "accuracy", "macro_f1", "mae"] = Field(
        "macro_f1",
        description="Validation score that picks the best epoch; `mae` is the mean absolute error "
        "of the inclinations.",
    )
    angle: Literal["normal", "quantiles"] = Field(
        "normal",
        description="How a network says an inclination: as mean and spread, or as quantiles.",
    )
    angle_weight: float = Field(
        4.0, description="Weight of the inclinations in the loss relative to the classes.", gt=0
    )
    shrink: Literal[1, 2, 3, 4] = Field(
        1, description="The network sees means over so many pixels: a side of 144 as one of 72."
    )
    members: int = Field(1, description="Networks trained with seeds of their own.", ge=1, le=16)
    others: list[dict[str, Any]] = Field(
        [],
        description="Networks of other kinds that the model averages, too: for each what differs "
        "from this section.",
    )
    orientations: Literal[1, 4, 8] = Field(
        1,
        description="Orientations averaged when the model answers: 4 by quarter turns, 8 with "
        "mirrors.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Arithmetic.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")
    threads: int = Field(0, description="CPU threads; 0: all cores.", ge=0)
    processes: int = Field(
        1,
        description="Processes that share each batch: on the CPU's cores, or a GPU each.",
        ge=1,
    )
    checkpoint_s: float = Field(60.0, description="Seconds between checkpoints.", ge=0)

    @model_validator(mode="after")
    def _others_are_sections(self) -> Self:
        for number, other in enumerate(self.others):
            for key in other:
                _require_own(number, key)
            try:
                self._other(other)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                said = f"others[{number}].{place} is {first['input']!r}: {first['msg']}"
                raise ValueError(said) from None
        return self

    @property
    def groups(self) -> tuple[TrainSettings, ...]:
        """One section for each kind of network; that of the recipe first, without the others."""
        own = self.model_copy(update={"others": []})
        return (own, *(self._other(other) for other in self.others))

    def _other(self, changes: dict[str, Any]) -> TrainSettings:
        return TrainSettings.model_validate({**self.model_dump(exclude={"others"}), **changes})


def _require_own(number: int, key: str) -> None:
    """Refuse what is no setting, or one that all networks of a model share."""
    if key in SHARED:
        raise ValueError(f"others[{number}] sets {key}, which is the same for all networks")
    if key not in TrainSettings.model_fields:
        near = difflib.get_close_matches(key, TrainSettings.model_fields, n=1, cutoff=0.5)
        did = f", did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"others[{number}] sets {key!r}, which is no setting of train{did}")


class EvaluateSettings(Section):
    """Scores, calibration and pictures."""

    bootstrap: int = Field(2000, description="Bootstrap samples for intervals.", ge=100)
    confidence: float = Field(0.95, description="Confidence of the intervals.", gt=0.5, lt=1)
    gallery: int = Field(12, description="Images in each gallery.", ge=0, le=100)
    explain: int = Field(
        6, description="Images explained with Grad-CAM (classes only).", ge=0, le=50
    )
    calibrate: bool = Field(True, description="Fit a temperature on validation.")
    coverage: float = Field(
        0.9,
        description="Share of the prediction sets that should hold the true class (classes only).",
        gt=0,
        lt=1,
    )
    merge: dict[str, list[str]] = Field(
        {},
        description="Classes counted as one in a second table of scores, by their new name "
        "(classes only).",
    )


class ExportSettings(Section):
    """The servable model."""

    name: FolderName = Field(
        "",
        description="Name of the bundle; empty: the recipe's name.",
        pattern=r"^([A-Za-z0-9][\w.-]*)?$",
    )
    description: str = Field("", description="One paragraph for the model card.")
    licence: str = Field("", description="Licence of the model.")
