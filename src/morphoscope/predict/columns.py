"""What stands in the catalogue: from a model's answers to the columns of the table.

Another kind of model adds its function here and its case to `columns_of` and `counted`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from morphoscope.bundle import Bundle

__all__ = ["columns_of", "counted"]

# Between the classes of a set: names of classes have commas.
SEPARATOR = "|"
ROUNDING = 1e-6
# Intervals by what their columns end in.
INTERVALS = {"": 0.68, "_90": 0.9}


def columns_of(
    bundle: Bundle,
    answers: NDArray[np.float32],
    good: NDArray[np.bool_],
    unlike: NDArray[np.bool_] | None = None,
) -> dict[str, pa.Array]:
    """Columns between ``file_loc`` and ``flag``.

    Parameters
    ----------
    bundle
        The model.
    answers
        What ``bundle.predict`` says, shape ``(n, …)``: a row for every input, not-a-number where
        there is no answer.
    good
        Where there is an answer, shape ``(n,)``; elsewhere all columns are null.
    unlike
        Which images are unlike those of training, shape ``(n,)``; None: the model cannot tell.

    Returns
    -------
    dict
        Arrays of ``n`` by name, in the order of the table; of the same types for any answers.
    """
    of_task = _inclinations if bundle.task == "inclination" else _classes
    columns = of_task(bundle, answers, good)
    if unlike is not None:
        columns["unlike_training"] = pa.array(unlike, pa.bool_(), mask=~good)
    return columns


def counted(bundle: Bundle) -> dict[str, str]:
    """Columns whose values the summary counts, each with its word there."""
    return {"reject": "rejected"} if bundle.task == "inclination" else {"class": "classes"}


def _classes(
    bundle: Bundle, answers: NDArray[np.float32], good: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Likeliest class, the set of those that may be true, and the probabilities."""
    best = np.where(good, np.nan_to_num(answers).argmax(1), 0)
    columns: dict[str, pa.Array] = {
        "class": pa.array(np.array(bundle.classes, object)[best], pa.string(), mask=~good)
    }
    if bundle.sets:
        sets = _sets(np.nan_to_num(answers), bundle.classes, bundle.sets["threshold"])
        columns["set"] = pa.array(sets, pa.string(), mask=~good)
    for index, name in enumerate(bundle.classes):
        columns[f"p_{name}"] = pa.array(answers[:, index], pa.float32(), mask=~good)
    return columns


def _inclinations(
    bundle: Bundle, answers: NDArray[np.float32], good: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Inclination, its intervals, why it should not be used, and the class probabilities."""
    whole = np.where(good[:, None], answers, 0).astype(np.float32)
    number = len(bundle.classes)
    # Half-widths of nothing would be divided by.
    whole[~good, number:] = 1
    numbers: dict[str, NDArray[Any]] = {"inclination": whole[:, number]}
    for suffix, coverage in INTERVALS.items():
        low, high = bundle.intervals(whole, coverage)
        numbers |= {f"inclination_low{suffix}": low, f"inclination_high{suffix}": high}
    disc = whole[:, 0] >= bundle.manifest["calibration"]["reject"]
    likeliest = np.array(bundle.classes, object)[1 + whole[:, 1:number].argmax(1)]
    columns = {name: _floats(values, good) for name, values in numbers.items()}
    columns["reject"] = pa.array(likeliest, pa.string(), mask=~good | disc)
    for index, name in enumerate(bundle.classes):
        columns[f"p_{name}"] = _floats(whole[:, index], good)
    return columns


def _floats(values: NDArray[Any], good: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values.astype(np.float32), pa.float32(), mask=~good)


def _sets(probabilities: NDArray[np.float32], classes: list[str], threshold: float) -> list[str]:
    """Classes at or above the threshold, and the likeliest always: likeliest first, joined."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    # The threshold is the probability of an image; float32 must not lose it.
    sizes = np.maximum((probabilities >= threshold - ROUNDING).sum(1), 1)
    rows = zip(order, sizes, strict=True)
    return [SEPARATOR.join(classes[index] for index in row[:size]) for row, size in rows]
