"""Rare classes: weights in the loss, balanced sampling, or target counts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import RecipeError
from morphoscope.recipe import BalanceSettings

__all__ = ["class_weights", "epoch_order", "images_per_epoch", "split_batches"]


def class_weights(counts: NDArray[np.int64], settings: BalanceSettings) -> NDArray[np.float64]:
    """Weight of each class in the loss.

    With ``weighted_loss`` proportional to n**(-power), so that the mean over the training images
    is one; else one.

    Parameters
    ----------
    counts
        Training images of each class ``(classes,)``.
    settings
        The section ``balance``.

    Examples
    --------
    >>> settings = BalanceSettings(method="weighted_loss", power=1.0)
    >>> class_weights(np.array([30, 10]), settings)
    array([0.66666667, 2.        ])
    """
    if settings.method != "weighted_loss":
        return np.ones(len(counts))
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -settings.power, 0.0)
    normalised: NDArray[np.float64] = weights * (counts.sum() / (weights * counts).sum())
    return normalised


def images_per_epoch(
    counts: NDArray[np.int64], settings: BalanceSettings, classes: Sequence[str]
) -> NDArray[np.int64]:
    """Draws of each class in an epoch ``(classes,)``.

    With ``sampling`` the epoch keeps its length and class shares are proportional to
    n**(1 - power); with ``target`` the named classes get their number; else all as found.

    Raises
    ------
    RecipeError
        ``balance.target`` names no class, or one that is not there, or asks for less than one.
    """
    if settings.method == "sampling":
        shares = np.where(counts > 0, np.maximum(counts, 1.0) ** (1 - settings.power), 0.0)
        return _whole(shares / shares.sum() * counts.sum())
    wanted = counts.copy()
    if settings.method == "target":
        if not settings.target:
            raise RecipeError(
                "balance.method is 'target' and balance.target is empty",
                expected="images an epoch for at least one class",
            )
        for name, number in settings.target.items():
            wanted[_class_index(name, classes)] = _at_least_one(name, number)
    return wanted


def _class_index(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return list(classes).index(name)
    near = difflib.get_close_matches(name, classes, n=1, cutoff=0.5)
    raise RecipeError(
        f"balance.target names {name!r}, which is no class",
        expected=f"one of {', '.join(classes)}",
        do=f"did you mean {near[0]!r}?" if near else "mend or remove it",
    )


def _at_least_one(name: str, number: int) -> int:
    if number < 1:
        raise RecipeError(f"balance.target.{name} is {number}", expected="at least 1")
    return number


def _whole(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers of the same sum, the largest remainders rounded up."""
    whole = np.floor(shares).astype(np.int64)
    missing = round(float(shares.sum())) - int(whole.sum())
    whole[np.argsort(whole - shares, kind="stable")[:missing]] += 1
    return whole


def epoch_order(
    labels: NDArray[np.int64], wanted: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of the images of one epoch, in random order.

    A class that is drawn more often than it has images takes each of them equally often, or once
    more; one that is drawn less often takes a random choice, a new one every epoch.

    Parameters
    ----------
    labels
        Class of every training image ``(n,)``.
    wanted
        Draws of each class ``(classes,)``, from `images_per_epoch`.
    generator
        Source of the draws.

    Returns
    -------
    ndarray
        Positions in ``labels`` ``(sum of wanted,)``.
    """
    chosen = []
    for index, number in enumerate(wanted.tolist()):
        positions = np.flatnonzero(labels == index)
        if positions.size:
            whole, part = divmod(number, positions.size)
            some = generator.permutation(positions)[:part]
            chosen.append(np.concatenate([np.repeat(positions, whole), some]))
    return generator.permutation(np.concatenate(chosen))


def split_batches(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Cut an epoch into batches of nearly equal size, at most ``batch_size``.

    No image is left out and no batch is a small rest, whose norms would be poor ones. A batch has
    at least two images, also where ``batch_size`` is one: norms need them.
    """
    number = max(1, min(-(-order.size // batch_size), order.size // 2))
    return np.array_split(order, number)
