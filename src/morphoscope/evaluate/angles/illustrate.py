"""The pictures of a report on inclinations: best and worst answers, and wrong verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.angles.rejection import answers_of
from morphoscope.evaluate.angles.sample import Measured
from morphoscope.evaluate.gallery import one_by_one
from morphoscope.evaluate.pictures import embed, to_picture

if TYPE_CHECKING:
    from morphoscope.prepare import Store

__all__ = ["Shown", "examples_of", "illustrate"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
LARGE, SMALL, MANY = 192, 112, 60
EXAMPLES = 8
AVERAGED = 200
THIRD = 30


@dataclass(frozen=True)
class Shown:
    """Test images and what the model said of them.

    Attributes
    ----------
    store
        Images and their catalogue.
    rows
        Row in the store of each test image, shape ``(n,)``.
    probabilities
        Calibrated, shape ``(n, k)``.
    rejected
        Shape ``(n,)``.
    measured
        Truth and answers of the discs of known inclination among them.
    known
        Which of the images those are, shape ``(n,)``.
    """

    store: Store
    rows: Integers
    probabilities: Floats
    rejected: Mask
    measured: Measured
    known: Mask

    @property
    def truth(self) -> Integers:
        return np.asarray(self.store.labels[self.rows])

    def card(self, position: int, side: int) -> dict[str, Any]:
        """One image with its name, true class, and why it was or was not rejected."""
        row, classes = int(self.rows[position]), self.store.classes
        at = slice(position, position + 1)
        answer = int(answers_of(self.probabilities[at], self.rejected[at])[0])
        return {
            "picture": embed(to_picture(self.store.pictures([row])[0]), side=side),
            "name": str(self.store.catalogue["id_str"][row]),
            "true": classes[int(self.truth[position])],
            "answer": classes[answer],
            "p_disc": float(self.probabilities[position, 0]),
        }

    def disc_card(self, position: int, side: int) -> dict[str, Any]:
        """The same of a disc of known inclination, with that and the answer."""
        place = int(self.known[:position].sum())
        angles = {
            name: float(getattr(self.measured, name)[place])
            for name in ("truth", "value", "low", "high")
        }
        held = bool(self.measured.held_68[place])
        return {**self.card(position, side), **angles, "held": held}


def illustrate(shown: Shown, n: int) -> dict[str, list[dict[str, Any]]]:
    """Choose ``n`` images for each gallery and make their pictures.

    Returns
    -------
    dict
        ``best`` (each third of the range in turn), ``worst``, ``lost`` (discs that were rejected,
        the surest verdict first) and ``passed`` (others that were not).
    """
    side = SMALL if 4 * n > MANY else LARGE
    position = np.flatnonzero(shown.known)
    size = np.abs(shown.measured.value - shown.measured.truth)
    ranked = np.argsort(size, kind="stable")
    thirds = np.minimum(shown.measured.truth // THIRD, 2).astype(np.int64)
    best, worst = one_by_one(ranked, thirds)[:n], ranked[::-1][:n]
    score, disc = shown.probabilities[:, 0], shown.truth == 0
    by_score = np.argsort(score, kind="stable")
    lost = by_score[(disc & shown.rejected)[by_score]][:n]
    passed = by_score[::-1][(~disc & ~shown.rejected)[by_score[::-1]]][:n]
    return {
        "best": [shown.disc_card(int(one), side) for one in position[best]],
        "worst": [shown.disc_card(int(one), side) for one in position[worst]],
        "lost": [shown.card(int(one), side) for one in lost],
        "passed": [shown.card(int(one), side) for one in passed],
    }


def examples_of(store: Store) -> dict[str, dict[str, Any]]:
    """Training images of each class and their mean, as the page on the data shows them."""
    training, found = store.rows("train"), {}
    for index, name in enumerate(store.classes):
        rows = training[store.labels[training] == index]
        some = rows[np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).astype(int)]
        pictures = [embed(to_picture(one), side=SMALL) for one in store.pictures(some)]
        found[name] = {"examples": pictures, "mean": _mean_picture(store, rows)}
    return found


def _mean_picture(store: Store, rows: Integers) -> str:
    if not len(rows):
        return ""
    some = rows[np.linspace(0, len(rows) - 1, min(AVERAGED, len(rows))).astype(int)]
    mean = store.pictures(some).mean(0)
    # The mean of faint images is fainter still; its brightest pixel is set to white.
    mean = mean * (255 / max(float(mean.max()), 1.0))
    return embed(to_picture(np.rint(mean).astype(np.uint8)), side=SMALL)
