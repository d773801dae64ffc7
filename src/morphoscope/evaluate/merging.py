"""Scores with some classes counted as one: what the distinction between them costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import RecipeError
from morphoscope.evaluate.assess import Answers, Resampling, score

__all__ = ["merge_classes", "of_these_classes", "score_merged"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LOWEST = 1e-300


def of_these_classes(classes: list[str], merge: dict[str, list[str]]) -> dict[str, list[str]]:
    """Rules that name at least one of the classes; others speak of another edition of the data."""
    return {new: names for new, names in merge.items() if not set(names).isdisjoint(classes)}


def merge_classes(classes: list[str], merge: dict[str, list[str]]) -> tuple[list[str], Integers]:
    """Names after merging, and the place of each class among them.

    Parameters
    ----------
    classes
        Names as trained.
    merge
        New names with the classes that each takes in; the first of these gives the place.

    Raises
    ------
    RecipeError
        A class is unknown or taken twice, a new name is that of a class which stays, or nothing is
        left to tell apart.

    Examples
    --------
    >>> merge_classes(["disc", "boxy", "thin"], {"edge_on": ["boxy", "thin"]})[0]
    ['disc', 'edge_on']
    """
    taken = [name for names in merge.values() for name in names]
    unknown = [name for name in taken if name not in classes]
    if unknown:
        raise RecipeError(
            f"evaluate.merge names the class {unknown[0]!r}",
            expected=f"one of {', '.join(classes)}",
            do="mend evaluate.merge",
        )
    new_name = {name: new for new, names in merge.items() for name in names}
    merged = [new_name.get(name, name) for name in classes]
    names = list(dict.fromkeys(merged))
    stays = [new for new in merge if new in classes and new not in merge[new]]
    if len(set(taken)) < len(taken) or stays or len(names) < 2:
        raise RecipeError(
            f"evaluate.merge makes {len(classes)} classes into {', '.join(names)}",
            expected="every class in one place, new names, and two classes at least",
            do="mend evaluate.merge",
        )
    return names, np.array([names.index(name) for name in merged])


def score_merged(
    probabilities: Floats,
    test: Answers,
    classes: list[str],
    merge: dict[str, list[str]],
    resampling: Resampling,
) -> dict[str, Any]:
    """Score the same answers with classes merged: their probabilities are added up.

    Parameters
    ----------
    probabilities
        Calibrated, of the test images, shape ``(n, k)``.
    test
        Truth and groups of the test images.
    classes, merge
        As for `merge_classes`.
    resampling
        How intervals are made.

    Returns
    -------
    dict
        ``classes``, ``scores`` and ``per_class`` as in ``metrics.json``.
    """
    names, place = merge_classes(classes, merge)
    added = probabilities @ np.eye(len(names))[place]
    answers = Answers(np.log(np.maximum(added, LOWEST)), place[test.truth], test.groups)
    return {"classes": names, **score(answers, names, resampling)}
