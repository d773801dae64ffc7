"""Trainings of a comparison: each done once, found again after a kill, shared where it is the same.

A training lies in ``trainings/<network>-<digest of what decides it>/<seed>``, with k folds in
``…-<k>-folds/<seed>/<fold>``, so that variants which only answer differently, as with other
orientations, share it.
"""

from __future__ import annotations

import datetime
import json
import shutil
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from morphoscope.engine.work import blames_worker, exclusive
from morphoscope.errors import MorphoscopeError, TrainingError
from morphoscope.prepare.store import CATALOGUE, read_description
from morphoscope.progress import say
from morphoscope.provenance import (
    Fingerprint,
    StageRecord,
    content_digest,
    file_digest,
    read_record,
    settings_digest,
    versions,
    with_digests,
    write_record,
)
from morphoscope.recipe import Recipe
from morphoscope.source_code import code_digest

__all__ = [
    "Training",
    "code_of",
    "train_once",
    "train_or_tell",
    "training_of",
    "try_training",
]

OUTPUTS = ("model", "history.json")


@dataclass(frozen=True)
class Training:
    """One training of a variant.

    Attributes
    ----------
    recipe
        That of the variant.
    store
        Folder of the images and of the split.
    seed
        Number of the training, from 1.
    fold
        Fold that is the test split; ``None`` with one split.
    folder
        Where it lies.
    fingerprint
        What decides its result.
    """

    recipe: Recipe
    store: Path
    seed: int
    fold: int | None
    folder: Path
    fingerprint: Fingerprint

    @property
    def drawn_seed(self) -> int:
        """Seed of its draws, decided by the recipe's seed, the number and the fold."""
        numbers = [self.recipe.seed, self.seed, *([] if self.fold is None else [self.fold])]
        return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def training_of(recipe: Recipe, store: Path, seed: int, fold: int | None, out: Path) -> Training:
    """Say where a training lies and what decides it."""
    decisive = _decisive(recipe)
    inputs = {
        "images": str((read_description(store) or {}).get("sha256", "")),
        "catalogue": file_digest(store / CATALOGUE),
    }
    digest = settings_digest({**decisive, "prepare": recipe.prepare.model_dump()})[:8]
    name = f"{recipe.train.network}-{digest}"
    folder = out / name / str(seed)
    if fold is not None:
        folder = out / f"{name}-{recipe.compare.folds}-folds" / str(seed) / str(fold)
    return Training(
        recipe=recipe,
        store=store,
        seed=seed,
        fold=fold,
        folder=folder,
        fingerprint=Fingerprint(
            settings=settings_digest({**decisive, "number": seed, "fold": fold}),
            inputs=inputs,
            code=code_of("train"),
        ),
    )


def _decisive(recipe: Recipe) -> dict[str, Any]:
    """Settings that decide the weights."""
    from morphoscope.train.plan import WITHOUT_EFFECT

    values = recipe.model_dump(include={"seed", "augment", "balance", "train"})
    for name in WITHOUT_EFFECT - {"members", "others"}:
        del values["train"][name]
    # By content: the same file in another place makes the same training.
    return with_digests(values)


@cache
def code_of(module: str) -> str:
    """Digest of the code of a module, found once: many trainings ask for it."""
    return code_digest([module])


def train_once(training: Training) -> StageRecord:
    """Train, or go on where it was cut off, or take what is there.

    Raises
    ------
    MorphoscopeError
        It cannot be trained; see `morphoscope.train.train`.
    """
    from morphoscope.train import train

    folder, fingerprint = training.folder, training.fingerprint
    record = read_record(folder)
    if record is not None and record.fingerprint == fingerprint:
        if record.state == "done" and record.outputs == _outputs(folder):
            return record
    elif folder.exists():
        why = record.fingerprint.differences(fingerprint) if record else ["it has no record"]
        say(f"compare: {folder.name} of {folder.parent.name} is trained anew: {', '.join(why)}")
        shutil.rmtree(folder)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    begun = StageRecord("train", "running", fingerprint, started, versions=versions())
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, begun)
    clock = time.monotonic()
    recipe = training.recipe
    summary = train(
        recipe.train,
        recipe.augment,
        recipe.balance,
        store=training.store,
        seed=training.drawn_seed,
        out=folder,
    )
    done = replace(
        begun,
        state="done",
        seconds=round(time.monotonic() - clock, 3),
        outputs=_outputs(folder),
        summary=json.loads(json.dumps(summary)),
    )
    write_record(folder, done)
    return done


def train_or_tell(training: Training) -> StageRecord:
    """Train; what ends a training in whatever way is an error that says so.

    Raises
    ------
    MorphoscopeError
        As `train_once`, and where memory or a number runs out.
    """
    try:
        return train_once(training)
    except MorphoscopeError:
        raise
    # What torch raises where memory or a number runs out is the variant's affair.
    except (ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise TrainingError(
            f"the training broke off ({reason})",
            do="lower train.batch_size if memory ran out",
        ) from error


def try_training(training: Training) -> MorphoscopeError | None:
    """Train on a worker, alone in the folder; what went wrong."""
    with exclusive(training.folder.with_name(f".{training.folder.name}.lock")):
        try:
            train_or_tell(training)
        except MorphoscopeError as error:
            if blames_worker(error):
                raise
            return error
    return None


def _outputs(folder: Path) -> dict[str, str]:
    return {name: content_digest([folder / name]) for name in OUTPUTS}
