"""What the stages before left: the rows to answer for, and the model that answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import CheckpointError, SplitError, StageError
from morphoscope.prepare import Store

if TYPE_CHECKING:
    from morphoscope.networks.model import Model

__all__ = ["labelled_rows", "load_answering", "read_history"]

Integers = NDArray[np.int64]


def labelled_rows(store: Store, split: str) -> Integers:
    """Rows of a split that have a class.

    Raises
    ------
    SplitError
        There is none.
    """
    rows = store.rows(split)
    rows = rows[store.labels[rows] >= 0]
    if not len(rows):
        raise SplitError(
            f"no image of the {split} split has a class",
            expected="at least one",
            do=f"look at clean.classes, raise split.{split} and run again",
            split=split,
        )
    return rows


def load_answering(folder: Path, store: Store) -> Model:
    """Model of a run, ready to answer.

    Raises
    ------
    StageError
        There is none.
    CheckpointError
        It answers other classes than the store holds.
    """
    if not (folder / "model.json").exists():
        raise StageError(f"there is no trained model in {folder}", do="run `morphoscope train`")
    from morphoscope.networks.model import load_model

    model = load_model(folder)
    if model.classes != store.classes:
        raise CheckpointError(
            f"the model in {folder} answers {', '.join(model.classes)}",
            expected=f"the store's classes {', '.join(store.classes)}",
            do="train again",
        )
    return model.eval()


def read_history(run: Path) -> list[list[dict[str, Any]]]:
    """Learning curves of each member; nothing where there are none."""
    try:
        history: list[list[dict[str, Any]]] = json.loads((run / "train/history.json").read_text())
    except FileNotFoundError:
        return []
    return history
