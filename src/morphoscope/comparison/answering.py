"""What trained models answer on validation and test; kept, so that the test split is asked once."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.catalog import atomic_path
from morphoscope.comparison.trainings import Training, code_of
from morphoscope.errors import SplitError
from morphoscope.prepare import open_store
from morphoscope.provenance import StageRecord, settings_digest

__all__ = ["SPLITS", "Questions", "answers_of", "questions_of"]

SPLITS = ("validation", "test")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Questions:
    """The validation and test images of one split or fold, by split.

    Attributes
    ----------
    classes
        Names of the classes.
    rows
        Rows of the store.
    ids
        ``id_str`` of each row.
    truth
        True class of each row.
    groups
        Group of each row; ``None`` where the catalogue has none.
    """

    classes: list[str]
    rows: dict[str, NDArray[np.int64]]
    ids: dict[str, list[str]]
    truth: dict[str, NDArray[np.int64]]
    groups: dict[str, NDArray[Any] | None]


def questions_of(store: Path) -> Questions:
    """Read which images of a store are asked.

    Raises
    ------
    SplitError
        No image of a split has a class.
    """
    opened = open_store(store)
    rows = {split: opened.rows(split) for split in SPLITS}
    rows = {split: found[opened.labels[found] >= 0] for split, found in rows.items()}
    for split, found in rows.items():
        if not len(found):
            raise SplitError(
                f"no image of the {split} split has a class",
                expected="at least one",
                do=f"look at clean.classes, or raise split.{split}",
            )
    names = opened.catalogue["id_str"]
    group = opened.catalogue["group"].to_numpy() if "group" in opened.catalogue.columns else None
    return Questions(
        classes=opened.classes,
        rows=rows,
        ids={split: names[found].to_list() for split, found in rows.items()},
        truth={split: opened.labels[found] for split, found in rows.items()},
        groups={split: None if group is None else group[rows[split]] for split in SPLITS},
    )


def answers_of(training: Training, record: StageRecord, asked: Questions) -> dict[str, Floats]:
    """Logarithms of the mean probabilities ``(n, k)`` by split, from the file if it is there.

    Parameters
    ----------
    training, record
        A finished training; its recipe says how many orientations are averaged.
    asked
        The images.
    """
    orientations = training.recipe.train.orientations
    path = training.folder / f"answers-{orientations}.npz"
    identity = settings_digest(
        {
            "outputs": record.outputs,
            "inputs": training.fingerprint.inputs,
            "code": code_of("evaluate.answers"),
        }
    )
    kept = _kept(path, identity)
    if kept is not None:
        return kept
    found = _ask(training, asked)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, identity=np.array(identity), validation=found[0], test=found[1])
    return dict(zip(SPLITS, found, strict=True))


def _kept(path: Path, identity: str) -> dict[str, Floats] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["identity"]) == identity:
                return {split: file[split] for split in SPLITS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return None


def _ask(training: Training, asked: Questions) -> list[Floats]:
    from morphoscope.evaluate.answers import answer, device_of, threads
    from morphoscope.networks import load_model

    model = load_model(training.folder / "model")
    # The weights may be those of a variant that answers with other orientations.
    model.orientations = training.recipe.train.orientations
    rows = np.concatenate([asked.rows[split] for split in SPLITS])
    images = open_store(training.store).images
    with threads(training.recipe.train):
        both = answer(model, images, rows, device_of(training.recipe.train))
    return np.split(both, [len(asked.rows["validation"])])
