"""The verb: train every variant with every seed, ask each once, compare, and say what follows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from morphoscope.comparison.answering import Questions, answers_of, questions_of
from morphoscope.comparison.concluding import conclude_from
from morphoscope.comparison.entry import Entry
from morphoscope.comparison.folds import draw_folds, fold_stores
from morphoscope.comparison.trainings import (
    Training,
    train_or_tell,
    training_of,
    try_training,
)
from morphoscope.comparison.variants import base_recipe, variant_recipes
from morphoscope.errors import MorphoscopeError, RecipeError, TrainingError
from morphoscope.pipeline import opened, prepared, run_if_needed
from morphoscope.progress import progress, say
from morphoscope.provenance import settings_digest
from morphoscope.recipe import Recipe
from morphoscope.stages import STAGES, Job

__all__ = ["compare_variants"]


def compare_variants(recipe: Recipe, run: Path) -> dict[str, Any]:
    """Compare the variants of a recipe.

    Trains what is not trained yet below ``run/compare/trainings`` and writes ``compare.json``,
    ``predictions.parquet`` and ``report.html`` into ``run/compare``. Called again after it was
    killed, it goes on where it was.

    Parameters
    ----------
    recipe
        The experiment, with a section ``compare``.
    run
        Run folder; made when absent.

    Returns
    -------
    dict
        The content of ``compare.json``, see ``docs/compare.md``.

    Raises
    ------
    RecipeError
        A variant names a setting that does not exist or is not its to change, or there are fewer
        than two; nothing was trained.
    TrainingError
        Fewer than two variants could be trained.
    """
    _require_classes(recipe)
    base = base_recipe(recipe)
    entries = [Entry(name, own) for name, own in variant_recipes(base).items()]
    out = run / "compare"
    failed: dict[str, str] = {}
    with opened(base, run) as job:
        # What all variants share: an error here is no variant's.
        for name in ("acquire", "clean", "split"):
            run_if_needed(STAGES[name], job)
        _prepare(job, entries, failed, out)
        _require_class(base.compare.of_class, entries[0].asked)
        _check(entries, failed)
        _require_two(entries, failed)
        trained = _train_everywhere(job, entries, base.compare.seeds, out / "trainings")
        _train(entries, failed, base.compare.seeds, out / "trainings", trained)
        _require_two(entries, failed)
        return conclude_from(base, entries, failed, out)


def _require_classes(recipe: Recipe) -> None:
    if recipe.task != "classes":
        raise RecipeError(
            "compare knows classes only, and the recipe measures inclinations",
            expected="a recipe without clean.inclination",
            do="train each variant with `morphoscope run` and another --out",
        )


def _prepare(job: Job, entries: list[Entry], failed: dict[str, str], out: Path) -> None:
    """Give every variant its images, and drop those that cannot have them."""
    stores: dict[str, list[Path]] = {}
    for entry in list(entries):
        digest = settings_digest(entry.recipe.prepare.model_dump())[:12]
        with _Sparing(entry, entries, failed):
            if digest not in stores:
                stores[digest] = _stores(job, entry.recipe, out / "folds", digest)
            entry.stores = stores[digest]
            entry.asked = [questions_of(store) for store in entry.stores]
    _require_same_images(entries, failed)
    _require_two(entries, failed)


def _stores(job: Job, recipe: Recipe, out: Path, digest: str) -> list[Path]:
    """Prepare a variant's images; one store, or one a fold."""
    own = prepared(job, recipe)
    if not recipe.compare.folds:
        return [own.folder("prepare")]
    return fold_stores(own.folder("prepare"), draw_folds(own, out), out / digest)


class _Sparing:
    """Context: an error takes its variant out of the comparison, and is told, and ends nothing."""

    def __init__(self, entry: Entry, entries: list[Entry], failed: dict[str, str]) -> None:
        self.entry, self.entries, self.failed = entry, entries, failed

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, MorphoscopeError) or isinstance(error, RecipeError):
            return False
        say(f"compare: {self.entry.name} is left out: {error}", style="bold red")
        self.failed[self.entry.name] = str(error)
        self.entries.remove(self.entry)
        return True


def _require_same_images(entries: list[Entry], failed: dict[str, str]) -> None:
    """Keep the variants whose images most have; of as many, those of the first variant."""
    ids = {entry.name: [one.ids for one in entry.asked] for entry in entries}
    same = [[other for other in ids if ids[other] == ids[name]] for name in ids]
    kept = max(same, key=len, default=[])
    for entry in [one for one in entries if one.name not in kept]:
        with _Sparing(entry, entries, failed):
            own, other = _first_that_differ(ids[entry.name], ids[kept[0]])
            raise TrainingError(
                f"{len(own):,} images of a split could be prepared for {entry.name}, and "
                f"{len(other):,} for {kept[0]}; not the same, as {_only(own, other)}",
                expected="the same ones",
                do="look at rejects.parquet of both stores",
            )


def _first_that_differ(
    one: list[dict[str, list[str]]], other: list[dict[str, list[str]]]
) -> tuple[list[str], list[str]]:
    pairs = [(a[split], b[split]) for a, b in zip(one, other, strict=True) for split in a]
    return next(pair for pair in pairs if pair[0] != pair[1])


def _only(own: list[str], other: list[str]) -> str:
    return min(set(own) ^ set(other), default=own[0])


def _require_class(name: str, asked: list[Questions]) -> None:
    """The class that claims are about must be there, and in the test images of each fold."""
    classes = asked[0].classes
    if name and name not in classes:
        near = get_close_matches(name, classes, 1)
        raise RecipeError(
            f"compare.of_class is {name!r}",
            expected=f"one of {', '.join(classes)}",
            do=f"did you mean {near[0]!r}?" if near else "name a class of the images",
        )
    without = [k for k, one in enumerate(asked) if name not in _tested_classes(one)]
    if name and without:
        where = f"those of fold {without[0]}" if len(asked) > 1 else "the test images"
        raise RecipeError(
            f"none of {where} is {name}, the class that compare.of_class names",
            expected="at least one",
            do="take fewer folds, or another score" if len(asked) > 1 else "take another split",
        )


def _tested_classes(asked: Questions) -> set[str]:
    return {asked.classes[index] for index in asked.truth["test"]}


def _check(entries: list[Entry], failed: dict[str, str]) -> None:
    """Find settings that cannot be met before hours are spent on those that can.

    Settings that are wrong end the comparison; weights or a package that are not there are the
    variant's affair.
    """
    from morphoscope.prepare import open_store
    from morphoscope.train.checks import check_settings

    for entry in list(entries):
        store = open_store(entry.stores[0])
        try:
            with _Sparing(entry, entries, failed):
                check_settings(
                    entry.recipe.train,
                    entry.recipe.augment,
                    entry.recipe.balance,
                    classes=store.classes,
                    channels=store.images.shape[1],
                    size=store.images.shape[-1],
                )
        except RecipeError as error:
            raise RecipeError(
                f"variant {entry.name!r}: {error.found}", expected=error.expected, do=error.do
            ) from error


def _train_everywhere(
    job: Job, entries: list[Entry], seeds: int, out: Path
) -> dict[Path, MorphoscopeError]:
    """On a cluster, do all trainings, each on a worker; what went wrong with them, by folder."""
    engine = job.working_engine()
    if not engine.clustered:
        # Idle workers would take some per cent of the cores.
        engine.rest()
        return {}
    engine.turn_to("compare")
    pairs = itertools.product(range(1, seeds + 1), entries)
    found = [one for seed, entry in pairs for one in _trainings(entry, seed, out)]
    several = list({one.folder: one for one in found}.values())
    failed: dict[Path, MorphoscopeError] = {}
    with progress("trainings", len(several)) as advance:
        for index, error in engine.map(try_training, several):
            if error is not None:
                failed[several[index].folder] = error
            advance(1)
    return failed


def _train(
    entries: list[Entry],
    failed: dict[str, str],
    seeds: int,
    out: Path,
    known: Mapping[Path, MorphoscopeError],
) -> None:
    """Train and ask; seed by seed, so that all variants have as many when it is cut off."""
    for seed in range(1, seeds + 1):
        for entry in list(entries):
            say(f"compare: {entry.name}, training {seed} of {seeds}", style="bold")
            with _Sparing(entry, entries, failed):
                _train_one(entry, seed, out, known)


def _trainings(entry: Entry, seed: int, out: Path) -> list[Training]:
    several = len(entry.stores) > 1
    return [
        training_of(entry.recipe, store.absolute(), seed, fold if several else None, out.absolute())
        for fold, store in enumerate(entry.stores)
    ]


def _train_one(entry: Entry, seed: int, out: Path, known: Mapping[Path, MorphoscopeError]) -> None:
    trainings = _trainings(entry, seed, out)
    for training in trainings:
        if training.folder in known:
            raise known[training.folder]
    records = [train_or_tell(training) for training in trainings]
    asked = zip(trainings, records, entry.asked, strict=True)
    entry.answers.append([answers_of(*one) for one in asked])
    entry.trainings.append(trainings)
    entry.records.append(records)


def _require_two(entries: list[Entry], failed: Mapping[str, str]) -> None:
    if len(entries) < 2:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise TrainingError(
            f"{len(entries)} of {len(entries) + len(failed)} variants could be trained ({reasons})",
            expected="two to compare",
            do="mend the others; what is trained is kept",
        )
