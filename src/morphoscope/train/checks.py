"""What can be refused before an image is prepared: settings that no training could meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from morphoscope.augment import looks_handed, refused
from morphoscope.errors import RecipeError, TrainingError
from morphoscope.networks.pretrained import open_weights
from morphoscope.networks.registry import build_as, find
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train.balance import images_per_epoch

__all__ = ["check_settings", "device_of", "refuse_labels_broken"]


def check_settings(
    settings: TrainSettings,
    augment: AugmentSettings,
    balance: BalanceSettings,
    *,
    classes: Sequence[str],
    channels: int,
    size: int,
) -> None:
    """Find settings that cannot be met, without an image.

    Parameters
    ----------
    settings, augment, balance
        The recipe's sections.
    classes
        Names of the classes; none where they are not known yet.
    channels, size
        Channels and side (pixels) of the images.

    Raises
    ------
    RecipeError
        There is no such network, the images are too small for it, an augmentation would break a
        label, ``balance`` names an unknown class, the settings do not go with ``train.weights``,
        or a batch has fewer images than there are processes.
    WeightsError
        The weights to begin with are absent, damaged, or of another network.
    MissingDependencyError
        The package of the network or of its weights is not installed.
    TrainingError
        The device is not there.
    """
    device_of(settings)
    if classes:
        images_per_epoch(np.ones(len(classes), np.int64), balance, classes)
    for group in settings.groups:
        _check_parts(group)
        _check_network(group, augment, classes, channels, size)


def _check_parts(settings: TrainSettings) -> None:
    if settings.batch_size < settings.processes:
        raise RecipeError(
            f"train.processes is {settings.processes} and train.batch_size {settings.batch_size}",
            expected="an image of each batch for each process",
            do="lower train.processes or raise train.batch_size",
        )


def _check_network(
    settings: TrainSettings,
    augment: AugmentSettings,
    classes: Sequence[str],
    channels: int,
    size: int,
) -> None:
    find(settings.network)
    # Pairs of classes that nobody knows yet cannot be looked up.
    if classes or not augment.handed:
        refuse_labels_broken(settings, augment, classes)
    start = open_weights(settings, classes)
    # The meta device has shapes and no numbers; weights are tried on a network that has them.
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if start else "meta"):
        number = max(2, len(classes))
        network = build_as(settings, classes=number, channels=channels, size=size)
    if start:
        start.fill(network)


def device_of(settings: TrainSettings) -> torch.device:
    """Where to train.

    Raises
    ------
    TrainingError
        A GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise TrainingError(
            "train.device is 'cuda' and torch finds no CUDA device here",
            do="set train.device to 'auto' or 'cpu', or install torch for CUDA",
        )
    return torch.device("cuda" if available and settings.device != "cpu" else "cpu")


def refuse_labels_broken(
    settings: TrainSettings, augment: AugmentSettings, classes: Sequence[str]
) -> None:
    """Refuse an augmentation, orientation or network under which a label would not be true.

    Raises
    ------
    RecipeError
        There is one.
    """
    refused(augment, classes, orientations=settings.orientations)
    handed = {name for pair in augment.handed for name in pair}
    handed |= {name for name in classes if looks_handed(name)}
    if not find(settings.network).mirror_blind:
        return
    if handed or "handedness" in augment.label_depends_on:
        why = f"cannot tell {', '.join(sorted(handed))}" if handed else "is blind to handedness"
        raise RecipeError(
            f"{settings.network} answers a galaxy and its mirror image alike, and so {why}",
            do=f"set train.network to {settings.network.replace('d4', 'c4')!r}, which knows turns "
            "and no mirrors, or to a plain network",
            property="handedness",
        )
