"""What stays the same through a training: settings, images, device, weights of the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoscope.augment import handed_pairs
from morphoscope.errors import RecipeError, TrainingError
from morphoscope.networks.continued import Continued
from morphoscope.networks.heads import Head
from morphoscope.networks.model import shrunk
from morphoscope.networks.pretrained import Weights, open_weights
from morphoscope.prepare import Store
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train.balance import class_weights, images_per_epoch, split_batches
from morphoscope.train.checks import device_of, refuse_labels_broken
from morphoscope.train.labels import Lesson
from morphoscope.train.ring import ALONE, Ring

__all__ = ["Plan", "draw_seed", "make_plan", "require_parts"]

SAMPLE = 2048
# What decides where and how long, not what comes out.
WITHOUT_EFFECT = {"device", "threads", "checkpoint_s", "processes"}
WITHOUT_EFFECT |= {"members", "orientations", "others"}
# What counts by its content.
FILES = {"weights"}
# What matters to inclinations alone.
OF_ANGLES = {"angle", "angle_weight"}


@dataclass(frozen=True)
class Plan:
    """A training, ready to begin.

    Attributes
    ----------
    train, validation
        Rows of the store.
    start
        The weights to begin with; ``None``: random ones.
    mean, std
        Grey levels of the training images, or those that `start` expects, one a channel.
    swap
        For every class its class after a mirror ``(classes,)``.
    wanted
        Draws of each class in an epoch ``(classes,)``.
    lesson
        What is taught: the labels and their loss.
    resident
        All images on the device, where they fit; else ``None``.
    identity
        What a checkpoint must agree with to be of this training.
    ring
        The processes that share each batch.
    """

    settings: TrainSettings
    augment: AugmentSettings
    store: Store
    seed: int
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    start: Weights | Continued | None
    mean: Tensor
    std: Tensor
    handed: list[tuple[int, int]]
    swap: Tensor
    wanted: NDArray[np.int64]
    lesson: Lesson
    device: torch.device
    precision: Literal["float32", "bfloat16"]
    resident: Tensor | None
    identity: Mapping[str, Any]
    ring: Ring = ALONE

    def gather(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Images ``(n, channel, y, x)`` and labels of some rows, on the device."""
        labels = self.lesson.labels(self.store, rows).to(self.device, non_blocking=True)
        if self.resident is not None:
            return self.resident[torch.from_numpy(rows).to(self.device)], labels
        images = torch.from_numpy(self.store.gather(rows))
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        return images, labels

    def normalise(self, images: Tensor) -> Tensor:
        """Grey levels 0–255 to what the network sees, as the model does when it answers."""
        images = images.float().sub(self.mean[:, None, None]).div_(self.std[:, None, None])
        images = shrunk(images, self.settings.shrink)
        return images.contiguous(memory_format=torch.channels_last)


def make_plan(
    settings: TrainSettings,
    augment: AugmentSettings,
    balance: BalanceSettings,
    *,
    store: Store,
    images_sha256: str,
    seed: int,
    ring: Ring = ALONE,
) -> Plan:
    """Check the settings against the store and settle all that they leave open.

    Raises
    ------
    RecipeError
        An augmentation would break a label, ``balance`` names an unknown class, or the settings do
        not go with ``train.weights``.
    WeightsError
        The weights to begin with are absent or damaged.
    TrainingError
        A class has no training image, or the settings cannot be met on this machine.
    """
    refuse_labels_broken(settings, augment, store.classes)
    train, validation = (_labelled(store, split) for split in ("train", "validation"))
    _require_inclinations(settings, store, train=train, validation=validation)
    counts = _counts(store, train)
    handed = handed_pairs(augment, store.classes)
    swap = torch.arange(len(store.classes))
    for first, second in handed if augment.mirror else ():
        swap[first], swap[second] = second, first
    # A mirror shares a pair's images out evenly between the two.
    seen = np.maximum(1, (counts + counts[swap.numpy()]) // 2)
    device = device_of(settings)
    start = open_weights(settings, store.classes)
    channels = store.images.shape[1]
    lesson = Lesson(
        head=Head(len(store.classes), settings.angle if store.measures else ""),
        loss_weights=torch.from_numpy(class_weights(seen, balance)).float().to(device),
        label_smoothing=settings.label_smoothing,
        angle_weight=settings.angle_weight,
    )
    mean, std = start.grey_levels(channels) if start else _grey_levels(store, train)
    return Plan(
        settings=settings,
        augment=augment,
        store=store,
        seed=seed,
        train=train,
        validation=validation,
        start=start,
        mean=mean.to(device),
        std=std.to(device),
        handed=handed,
        swap=swap.to(device),
        wanted=images_per_epoch(counts, balance, store.classes),
        lesson=lesson,
        device=device,
        precision=_precision(settings, device),
        resident=_resident(store, device),
        identity={
            "network": settings.network,
            "classes": store.classes,
            "channels": channels,
            "size": store.images.shape[-1],
            "seed": seed,
            "weights": start.sha256 if start else "",
            "images": images_sha256,
            "rows": _digest(train, validation, *_taught(store, train, validation)),
            **_flat("train", settings.model_dump(exclude=_without_effect(store))),
            **_flat("augment", augment.model_dump()),
            **_flat("balance", balance.model_dump()),
        },
        ring=ring,
    )


def draw_seed(*numbers: int) -> int:
    """A seed that the numbers fully decide, below 2**63."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _taught(store: Store, *splits: NDArray[np.int64]) -> list[NDArray[Any]]:
    labels: list[NDArray[Any]] = [store.labels[rows] for rows in splits]
    return labels + [store.inclinations[rows] for rows in splits] if store.measures else labels


def _without_effect(store: Store) -> set[str]:
    return WITHOUT_EFFECT | FILES | (set() if store.measures else OF_ANGLES)


def _require_inclinations(
    settings: TrainSettings, store: Store, **splits: NDArray[np.int64]
) -> None:
    if settings.monitor == "mae" and not store.measures:
        raise RecipeError(
            "train.monitor is 'mae' and the recipe measures no inclinations",
            expected="'loss', 'accuracy' or 'macro_f1'",
            do="set it so, or name the column of the inclinations in clean.inclination",
        )
    for split, rows in splits.items():
        if store.measures and not np.isfinite(store.inclinations[rows]).any():
            raise TrainingError(
                f"no galaxy of the {split} split has an inclination",
                do="give more galaxies an inclination, or another split.seed",
                split=split,
            )


def require_parts(settings: TrainSettings, balance: BalanceSettings, store: Store) -> None:
    """Refuse batches with fewer images than there are processes.

    Raises
    ------
    RecipeError
        An epoch has one.
    TrainingError
        A class has no training image.
    """
    counts = _counts(store, _labelled(store, "train"))
    images = int(images_per_epoch(counts, balance, store.classes).sum())
    smallest = split_batches(np.arange(images), settings.batch_size)[-1].size
    if smallest < settings.processes:
        raise RecipeError(
            f"train.processes is {settings.processes} and an epoch of {images} images has batches "
            f"of {smallest}",
            expected="an image of each batch for each process",
            do="lower train.processes or raise train.batch_size",
        )


def _labelled(store: Store, split: str) -> NDArray[np.int64]:
    rows = store.rows(split)
    return rows[store.labels[rows] >= 0]


def _counts(store: Store, train: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.bincount(store.labels[train], minlength=len(store.classes))
    empty = [name for name, count in zip(store.classes, counts, strict=True) if not count]
    if empty or len(counts) < 2:
        raise TrainingError(
            f"the class {empty[0]!r} has no image in the train split"
            if empty
            else f"there is only the class {store.classes}",
            expected="at least two classes with images in the train split",
            do="give the class more images, or leave it out of clean.classes",
            classes=empty,
        )
    return counts


def _precision(settings: TrainSettings, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Decide by what the processor has; only there is bfloat16 the faster."""
    if settings.precision != "auto":
        return settings.precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if fast else "float32"


def _grey_levels(store: Store, train: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Mean and spread of each channel over training images taken at even steps."""
    step = -(-train.size // SAMPLE)
    images = store.gather(train[::step])
    mean = images.mean((0, 2, 3), dtype=np.float64)
    std = images.std((0, 2, 3), dtype=np.float64)
    return torch.from_numpy(mean).float(), torch.from_numpy(np.maximum(std, 1.0)).float()


def _resident(store: Store, device: torch.device) -> Tensor | None:
    if device.type != "cuda" or store.images.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return None
    pixel = torch.from_numpy(np.empty(0, store.images.dtype)).dtype
    images = torch.empty(store.images.shape, dtype=pixel, device=device)
    for start in range(0, len(images), SAMPLE):
        rows = np.arange(start, min(start + SAMPLE, len(images)))
        images[start : start + SAMPLE] = torch.from_numpy(store.gather(rows)).to(device)
    return images


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    return digest.hexdigest()


def _flat(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for key, value in values.items()}
