"""From the answers of all trainings to tables, pictures and words."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import atomic_path
from morphoscope.comparison.answering import SPLITS, Questions
from morphoscope.comparison.entry import Entry
from morphoscope.engine import cores
from morphoscope.evaluate import calibration
from morphoscope.evaluate.assess import Answers, Resampling
from morphoscope.evaluate.claims import conclude
from morphoscope.evaluate.compare import compare
from morphoscope.evaluate.compare_report import render_comparison
from morphoscope.evaluate.marking import Candidate, Exam
from morphoscope.prepare import open_store
from morphoscope.progress import say
from morphoscope.provenance import settings_digest, versions
from morphoscope.recipe import Recipe

__all__ = ["conclude_from"]

Floats = NDArray[np.float64]
LOOKED_AT = 256


def conclude_from(
    recipe: Recipe, entries: list[Entry], failed: Mapping[str, str], out: Path
) -> dict[str, Any]:
    """Compare what was answered, and write ``compare.json``, ``predictions.parquet``, the report.

    Parameters
    ----------
    recipe
        The recipe that the variants change.
    entries
        The variants, with all their answers.
    failed
        Variants that were left out, and why.
    out
        Folder to write into.
    """
    calibrated = {entry.name: _calibrated(entry, recipe) for entry in entries}
    settings = recipe.evaluate
    results = compare(
        _exam(entries[0].asked, recipe.compare.of_class),
        [_candidate(entry, *calibrated[entry.name]) for entry in entries],
        score=recipe.compare.score,
        planned=recipe.compare.planned,
        resampling=Resampling(settings.bootstrap, settings.confidence, recipe.seed),
    )
    results["failed"] = dict(failed)
    results["conclusion"] = conclude(results)
    for one, entry, cost in zip(results["variants"], entries, _costs(entries, out), strict=True):
        one["settings"] = recipe.compare.changes_of(entry.name)
        one["temperatures"] = calibrated[entry.name][2]
        one["cost"] = {**cost, **_training_cost(entry)}
        one["folders"] = [str(t.folder.relative_to(out)) for fold in entry.trainings for t in fold]
    results["versions"] = versions()
    _write_predictions(out / "predictions.parquet", entries, calibrated)
    with atomic_path(out / "compare.json") as path:
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False))
    with atomic_path(out / "report.html") as path:
        path.write_text(render_comparison(recipe, results), encoding="utf-8")
    return results


def _calibrated(entry: Entry, recipe: Recipe) -> tuple[Floats, Floats, list[list[float]]]:
    """Probabilities of validation and test ``(seeds, n, k)``, and the temperatures."""
    probabilities: dict[str, list[Floats]] = {split: [] for split in SPLITS}
    temperatures = []
    for answers in entry.answers:
        fitted = [
            calibration.fit_temperature(logs["validation"], asked.truth["validation"])
            if recipe.evaluate.calibrate
            else 1.0
            for logs, asked in zip(answers, entry.asked, strict=True)
        ]
        for split in SPLITS:
            parts = [
                calibration.apply_temperature(logs[split], temperature)
                for logs, temperature in zip(answers, fitted, strict=True)
            ]
            probabilities[split].append(np.concatenate(parts))
        temperatures.append(fitted)
    return np.stack(probabilities["validation"]), np.stack(probabilities["test"]), temperatures


def _candidate(
    entry: Entry, validation: Floats, test: Floats, temperatures: list[list[float]]
) -> Candidate:
    trainings = tuple(str(folds[0].folder) for folds in entry.trainings)
    return Candidate(entry.name, trainings, test, validation)


def _exam(asked: list[Questions], of_class: str) -> Exam:
    truth = np.concatenate([one.truth["test"] for one in asked])
    groups = [found for one in asked if (found := one.groups["test"]) is not None]
    together = np.concatenate(groups) if groups else None
    return Exam(
        classes=asked[0].classes,
        truth=truth,
        groups=Answers(np.zeros((len(truth), 1)), truth, together).units,
        fold=_folds(asked, "test"),
        validation_truth=np.concatenate([one.truth["validation"] for one in asked]),
        validation_fold=_folds(asked, "validation"),
        of_class=of_class,
    )


def _folds(asked: list[Questions], split: str) -> NDArray[np.int64] | None:
    if len(asked) == 1:
        return None
    return np.repeat(np.arange(len(asked)), [len(one.ids[split]) for one in asked])


def _costs(entries: list[Entry], out: Path) -> list[dict[str, Any]]:
    """What each variant costs when it answers; measured once for the same models."""
    answering = [entry.recipe.train.orientations for entry in entries]
    outputs = [entry.records[0][0].outputs for entry in entries]
    threads = entries[0].recipe.train.threads or cores()
    where = [platform.node(), threads, _devices(entries)]
    identity = settings_digest({"models": outputs, "answering": answering, "where": where})
    path = out / "costs.json"
    try:
        kept = json.loads(path.read_text())
        if kept["identity"] == identity:
            return list(kept["costs"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    say("compare: what an answer costs")
    costs = _measured(entries)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"identity": identity, "costs": costs}, indent=1))
    return costs


def _measured(entries: list[Entry]) -> list[dict[str, Any]]:
    """Costs of answering, on validation images."""
    from morphoscope.evaluate.answers import threads
    from morphoscope.evaluate.cost import Answering, answer_costs

    models, images = {}, {}
    for entry in entries:
        folder = entry.trainings[0][0].folder / "model"
        models[entry.name] = Answering(folder, entry.recipe.train.orientations)
        rows = entry.asked[0].rows["validation"][:LOOKED_AT]
        images[entry.name] = open_store(entry.stores[0]).gather(rows)
    with threads(entries[0].recipe.train):
        found = answer_costs(models, images, _devices(entries))
    return [found[entry.name] for entry in entries]


def _devices(entries: list[Entry]) -> list[str]:
    import torch

    cuda = torch.cuda.is_available() and entries[0].recipe.train.device != "cpu"
    return ["cpu", "cuda"] if cuda else ["cpu"]


def _training_cost(entry: Entry) -> dict[str, Any]:
    """Time of an epoch of one network; the median over epochs, members, seeds and folds."""
    seconds = []
    for folds in entry.trainings:
        for training in folds:
            for member in json.loads((training.folder / "history.json").read_text()):
                seconds += [epoch["seconds"] for epoch in member]
    summary = entry.records[0][0].summary
    members = [m for folds in entry.records for one in folds for m in one.summary["members"]]
    return {
        "epoch_s": round(statistics.median(seconds), 3),
        "epochs": statistics.median(member["epochs"] for member in members),
        "training_s": round(sum(member["seconds"] for member in members), 1),
        "device": summary["device"],
        "precision": summary["precision"],
    }


def _write_predictions(
    path: Path, entries: list[Entry], calibrated: Mapping[str, tuple[Floats, Floats, Any]]
) -> None:
    """One row for every image, variant and seed."""
    asked = entries[0].asked
    classes = asked[0].classes
    names = np.array(classes, dtype=object)
    frames = []
    for index, split in enumerate(SPLITS):
        ids = [name for one in asked for name in one.ids[split]]
        truth = np.concatenate([one.truth[split] for one in asked])
        fold = _folds(asked, split)
        for entry in entries:
            for seed, values in enumerate(calibrated[entry.name][index], 1):
                columns = {
                    "id_str": ids,
                    "variant": entry.name,
                    "seed": seed,
                    "split": split,
                    **({} if fold is None else {"fold": fold}),
                    "label": names[truth].tolist(),
                    "class": names[values.argmax(1)].tolist(),
                    **{f"p_{name}": values[:, i] for i, name in enumerate(classes)},
                }
                frames.append(pl.DataFrame(columns))
    with atomic_path(path) as temporary:
        pl.concat(frames).write_parquet(temporary)
