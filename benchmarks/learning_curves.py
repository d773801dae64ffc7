"""Scores against the number of labels: intervals over seeds and galaxies, and labels saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLES", "Curves", "draw", "scored", "until"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Draws of seeds and galaxies.
SAMPLES = 1000


@dataclass(frozen=True)
class Curves:
    """Scores of all campaigns on one split.

    Attributes
    ----------
    names, given
        The orders, and the number of labels at each step.
    scores
        Macro-F1, accuracy and F1 of each class, ``(2 + classes, orders, seeds, steps)``.
    drawn
        Means over drawn seeds, of drawn galaxies: ``(2 + classes, draws, orders, steps)``.
    """

    names: list[str]
    given: Integers
    scores: Floats
    drawn: Floats

    def gain(self, score: int, name: str) -> str:
        """Mean over the steps of the difference to random order, and its interval."""
        own, chance = self.names.index(name), self.names.index("random")
        means = self.scores[score].mean((1, 2))
        drawn = self.drawn[score].mean(2)
        low, high = np.quantile(drawn[:, own] - drawn[:, chance], [0.025, 0.975])
        wins = self.scores[score].mean(2)
        won = int((wins[own] > wins[chance]).sum())
        total = wins.shape[1]
        gain = means[own] - means[chance]
        return f"{means[own]:.4f} {gain:+.4f} ({low:+.4f} to {high:+.4f}), {won} of {total} seeds"

    def needed(self, score: int, name: str, value: float) -> tuple[str, str]:
        """Labels until the mean curve reaches a value, and random order's in units of them."""
        columns = [self.names.index(one) for one in (name, "random")]
        mean = self.scores[score].mean(1)
        own, chance = (until(self.given, mean[column], value) for column in columns)
        drawn = np.array(
            [
                [until(self.given, one[column], value) for column in columns]
                for one in self.drawn[score]
            ]
        )
        # Where neither arrives, nothing is known of the ratio.
        usable = drawn[np.isfinite(drawn).any(1)]
        ratio = chance / own if np.isfinite([own, chance]).any() else np.nan
        return (
            f"{own:,.0f} ({_bounds(drawn[:, 0], ',.0f')})",
            f"{ratio:.2f} ({_bounds(usable[:, 1] / usable[:, 0], '.2f')})",
        )


def _bounds(drawn: Floats, format_: str) -> str:
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return f"{low:{format_}} to {high:{format_}}"


def until(given: Integers, curve: Floats, value: float) -> float:
    """Labels at which the nearest curve that never falls reaches a value; infinity: not yet."""
    from scipy.optimize import isotonic_regression

    rising = isotonic_regression(curve).x
    reached = np.flatnonzero(rising >= value)
    if not reached.size:
        return float("inf")
    step = int(reached[0])
    if step == 0:
        return float(given[0])
    share = (value - rising[step - 1]) / (rising[step] - rising[step - 1])
    return float(given[step - 1] + share * (given[step] - given[step - 1]))


def scored(confusion: NDArray[Any]) -> Floats:
    """Macro-F1, accuracy and the F1 of each class, first axis, of confusion matrices."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    both = confusion.sum(-1) + confusion.sum(-2)
    f1 = 2 * right / np.maximum(both, 1)
    accuracy = right.sum(-1) / confusion.sum((-2, -1))
    return np.concatenate([[f1.mean(-1), accuracy], np.moveaxis(f1, -1, 0)])


def draw(found: Curves, path: Path) -> None:
    """Draw macro-F1 and accuracy of the orders: means, and 95 % of the draws about two of them."""
    import matplotlib.pyplot as plt

    colours = {
        "random": "#888888",
        "information": "#1f6f8b",
        "disagreement": "#c0562f",
        "unlike": "#b59a3c",
        "mixed": "#7a5195",
    }
    figure, both = plt.subplots(1, 2, figsize=(9, 3.6))
    for score, (axes, word) in enumerate(zip(both, ("macro-F1", "accuracy"), strict=True)):
        for name, colour in colours.items():
            if name not in found.names:
                continue
            place = found.names.index(name)
            axes.plot(found.given, found.scores[score, place].mean(0), color=colour, label=name)
            if name in ("random", "information"):
                low, high = np.quantile(found.drawn[score, :, place], [0.025, 0.975], axis=0)
                axes.fill_between(found.given, low, high, color=colour, alpha=0.12, lw=0)
        axes.set_xlabel("labelled galaxies")
        axes.set_ylabel(f"{word} on the test split")
        axes.spines[["top", "right"]].set_visible(False)
    both[1].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)
