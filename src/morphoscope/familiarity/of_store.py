"""The density of a store's training images, and the share of its test images that it flags."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.familiarity.descriptors import describe
from morphoscope.familiarity.fitting import FLAGGED, distances, fit_familiarity
from morphoscope.prepare import Store

__all__ = ["MOST_ROWS", "judge_store"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# Of each split.
MOST_ROWS = 20_000
AT_ONCE = 256


def judge_store(
    store: Store, rows: dict[str, Integers], *, seed: int
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Fit on the training split, calibrate on validation, and count what is flagged of the test.

    Parameters
    ----------
    store
        Prepared images.
    rows
        Rows of ``train``, ``validation`` and ``test``; of more than 20,000, so many are drawn.
    seed
        Decides the draws.

    Returns
    -------
    tuple
        The density as from `fit_familiarity`, ``None`` where validation has too few images; and
        what is said of it: ``share`` asked for, ``n_train``, ``n_validation``, ``n_test``,
        ``limit`` and ``flagged`` (number of test images), these two ``None`` without a density.
    """
    chosen = {
        split: _drawn(part, np.random.default_rng([seed, place]))
        for place, (split, part) in enumerate(sorted(rows.items()))
    }
    described = {split: _describe(store, part) for split, part in chosen.items()}
    origins = None
    if "origin" in store.catalogue.columns:
        named = store.catalogue["origin"].fill_null("")
        origins = named.to_numpy()[chosen["validation"]].astype(str)
    found = fit_familiarity(described["train"], described["validation"], origins=origins, seed=seed)
    told: dict[str, Any] = {"share": FLAGGED, "limit": None, "flagged": None}
    told |= {f"n_{split}": len(part) for split, part in chosen.items()}
    if found is not None:
        apart = distances(described["test"], found)
        told |= {"limit": found["limit"], "flagged": int((apart > found["limit"]).sum())}
    return found, told


def _drawn(rows: Integers, generator: np.random.Generator) -> Integers:
    if len(rows) <= MOST_ROWS:
        return rows
    return np.sort(generator.choice(rows, MOST_ROWS, replace=False))


def _describe(store: Store, rows: Integers) -> Floats:
    """Descriptors of some rows, a few images in memory at a time."""
    starts = range(0, len(rows), AT_ONCE)
    return np.concatenate([describe(store.gather(rows[i : i + AT_ONCE])) for i in starts])
