"""The evaluate stage: answers on validation and test, scores, calibration and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import atomic_path, read_catalogue, write_catalogue
from morphoscope.evaluate import calibration, conformal
from morphoscope.evaluate.assess import Answers, Resampling, assess
from morphoscope.evaluate.learning import read_curves
from morphoscope.evaluate.measures import measure_costs
from morphoscope.evaluate.merging import merge_classes, of_these_classes, score_merged
from morphoscope.evaluate.reading import labelled_rows, load_answering, read_history
from morphoscope.evaluate.report import Evidence, render
from morphoscope.evaluate.shapes import AXIAL_RATIO, MEASURED
from morphoscope.evaluate.weakness import picture_properties, weak_spots
from morphoscope.familiarity import judge_store
from morphoscope.prepare import Store, open_store
from morphoscope.provenance import StageRecord, read_record
from morphoscope.recipe import Recipe

if TYPE_CHECKING:
    from morphoscope.networks.model import Model

__all__ = ["evaluate"]

STAGES = ("acquire", "clean", "split", "prepare", "train")
SPLITS = ("validation", "test")


def evaluate(recipe: Recipe, *, run: Path, out: Path) -> dict[str, Any]:
    """Score the trained model on the test split and write the report.

    The temperature is fitted on validation, and how the training images look on those; the test
    split is read here and nowhere else.

    Parameters
    ----------
    recipe
        The experiment.
    run
        Run folder with the folders ``prepare`` and ``train``; the records of all earlier stages
        are shown where they are there.
    out
        Folder for ``metrics.json``, ``predictions.parquet``, ``calibration.json``, ``report.html``.

    Returns
    -------
    dict
        ``n_test``, ``accuracy``, ``macro_f1`` and ``ece`` with intervals, ``report``.

    Raises
    ------
    StageError
        There is no trained model in the run folder.
    SplitError
        No image of the validation or of the test split has a class.
    CheckpointError
        The model answers other classes than the store holds.
    RecipeError
        ``evaluate.merge`` does not fit the classes.
    """
    store = open_store(run / "prepare", recipe.prepare)
    merge_classes(store.classes, of_these_classes(store.classes, recipe.evaluate.merge))
    rows = {split: labelled_rows(store, split) for split in SPLITS}
    model = load_answering(run / "train" / "model", store)
    records = {stage: read_record(run / stage) for stage in STAGES}
    logs = _answers(model, store, rows, recipe)
    truth = {split: store.labels[rows[split]] for split in SPLITS}
    temperature = 1.0
    if recipe.evaluate.calibrate:
        temperature = calibration.fit_temperature(logs["validation"], truth["validation"])
    answers = {
        split: Answers(logs[split], truth[split], _groups(store, rows[split])) for split in SPLITS
    }
    probabilities = {
        split: calibration.apply_temperature(logs[split], temperature) for split in SPLITS
    }
    metrics = _judged(recipe, store.classes, answers, probabilities, temperature)
    history = read_history(run)
    metrics["training"] = read_curves(history, _summary(records["train"]))
    right = probabilities["test"].argmax(1) == truth["test"]
    properties = _properties(store, rows["test"])
    metrics["weak_spots"] = weak_spots(properties, right, recipe.evaluate.confidence)
    shown = model, store, rows["test"], probabilities["test"]
    sets = {
        "coverage": recipe.evaluate.coverage,
        "threshold": metrics["sets"]["overall"]["threshold"]["value"],
    }
    fitted: dict[str, Any] = {"temperature": temperature, "sets": sets}
    of_all = {"train": labelled_rows(store, "train"), **rows}
    familiar, metrics["familiar"] = judge_store(store, of_all, seed=recipe.seed)
    if familiar is not None:
        fitted["familiar"] = familiar
    _write_json(out / "calibration.json", fitted)
    _write_predictions(out / "predictions.parquet", store, rows, probabilities)
    _write_json(out / "metrics.json", metrics)
    evidence = Evidence(
        recipe=recipe,
        run=run,
        metrics=metrics,
        records=records,
        metadata=read_catalogue(run / "prepare" / "catalogue.parquet").metadata,
        history=history,
        top=probabilities["test"].max(1),
        right=right,
        pictures=_illustrate(*shown, recipe, properties, metrics["weak_spots"]["found"]),
    )
    with atomic_path(out / "report.html") as path:
        path.write_text(render(evidence), encoding="utf-8")
    scores = metrics["scores"]
    return {
        "n_test": metrics["n_test"],
        **{name: scores[name] for name in ("accuracy", "macro_f1", "ece")},
        "report": "report.html",
    }


def _judged(
    recipe: Recipe,
    classes: list[str],
    answers: dict[str, Answers],
    probabilities: dict[str, NDArray[np.float64]],
    temperature: float,
) -> dict[str, Any]:
    """What ``metrics.json`` says of the answers alone."""
    settings, test = recipe.evaluate, answers["test"]
    resampling = Resampling(settings.bootstrap, settings.confidence, recipe.seed)
    metrics = assess(test, answers["validation"], classes, temperature, resampling)
    metrics["costs"] = measure_costs(probabilities["test"], test.truth)
    metrics["sets"] = conformal.check_sets(
        (probabilities["validation"], answers["validation"].truth),
        (probabilities["test"], test.truth),
        classes,
        coverage=settings.coverage,
        confidence=settings.confidence,
    )
    merge = of_these_classes(classes, settings.merge)
    metrics["not_merged"] = [name for name in settings.merge if name not in merge]
    if merge:
        merged = score_merged(probabilities["test"], test, classes, merge, resampling)
        metrics["merged"] = merged
    return metrics


def _answers(
    model: Model, store: Store, rows: dict[str, NDArray[np.int64]], recipe: Recipe
) -> dict[str, NDArray[np.float64]]:
    from morphoscope.evaluate.answers import answer, device_of, threads

    device = device_of(recipe.train)
    with threads(recipe.train):
        both = answer(model, store.images, np.concatenate([rows[s] for s in SPLITS]), device)
    parts = np.split(both, [len(rows[SPLITS[0]])])
    return dict(zip(SPLITS, parts, strict=True))


def _illustrate(
    model: Model,
    store: Store,
    rows: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    recipe: Recipe,
    properties: pl.DataFrame,
    spots: list[dict[str, Any]],
) -> dict[str, Any]:
    from morphoscope.evaluate.answers import threads
    from morphoscope.evaluate.illustrate import Shown, illustrate, illustrate_spots

    shown = Shown(store, rows, probabilities)
    with threads(recipe.train):
        pictures = illustrate(model, shown, recipe.evaluate)
    pictures["spots"] = illustrate_spots(
        shown, properties, spots if recipe.evaluate.gallery else []
    )
    return pictures


def _groups(store: Store, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    if "group" not in store.catalogue.columns:
        return None
    return store.catalogue["group"].to_numpy()[rows]


def _properties(store: Store, rows: NDArray[np.int64]) -> pl.DataFrame:
    properties = picture_properties(store.images, rows)
    if store.settings.view == "galaxy":
        # All are scaled to one size, and sky and neighbours with them.
        properties = properties.drop(set(MEASURED) - {AXIAL_RATIO})
    return store.catalogue[rows].hstack(properties)


def _summary(record: StageRecord | None) -> dict[str, Any]:
    return record.summary if record else {}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False))


def _write_predictions(
    path: Path,
    store: Store,
    rows: dict[str, NDArray[np.int64]],
    probabilities: dict[str, NDArray[np.float64]],
) -> None:
    chosen = np.concatenate([rows[split] for split in SPLITS])
    values = np.concatenate([probabilities[split] for split in SPLITS])
    names = np.array(store.classes, dtype=object)
    frame = store.catalogue[chosen].select("id_str", "file_loc", "split")
    frame = frame.with_columns(
        pl.Series("label", names[store.labels[chosen]].tolist(), pl.String),
        pl.Series("class", names[values.argmax(1)].tolist(), pl.String),
        *(pl.Series(f"p_{name}", values[:, i]) for i, name in enumerate(store.classes)),
    )
    write_catalogue(path, frame, {"classes": store.classes})
