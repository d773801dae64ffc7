"""The evaluate stage of a model that measures inclinations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.acquire.more import OWN
from morphoscope.catalog import atomic_path, read_catalogue, write_catalogue
from morphoscope.engine import Engine
from morphoscope.evaluate import calibration
from morphoscope.evaluate.angles import wording
from morphoscope.evaluate.angles.assess import Galaxies, assess_angles
from morphoscope.evaluate.angles.ellipse import Ellipse, fit_ellipse, measure_ratios
from morphoscope.evaluate.angles.illustrate import Shown, examples_of, illustrate
from morphoscope.evaluate.angles.reading import guess, known_discs, load_measuring
from morphoscope.evaluate.angles.rejection import answers_of, find_threshold, judge_rejection
from morphoscope.evaluate.angles.report import AngleEvidence, render_angles
from morphoscope.evaluate.angles.sample import Measured, draw, score_errors
from morphoscope.evaluate.assess import Answers, Resampling
from morphoscope.evaluate.learning import read_curves
from morphoscope.evaluate.reading import labelled_rows, read_history
from morphoscope.familiarity import judge_store
from morphoscope.inclination import apply_intervals, fit_intervals
from morphoscope.prepare import Store, open_store
from morphoscope.provenance import read_record
from morphoscope.recipe import Recipe

if TYPE_CHECKING:
    from morphoscope.networks.model import Model

__all__ = ["COVERAGES", "evaluate_angles"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
STAGES = ("acquire", "clean", "split", "prepare", "train")
SPLITS = ("validation", "test")
COVERAGES = (0.68, 0.90)


@dataclass(frozen=True)
class Part:
    """Images of one split and the raw answers about them.

    Attributes
    ----------
    rows
        In the store, shape ``(n,)``.
    known
        Which are discs of known inclination, shape ``(n,)``.
    logs
        Logarithms of the class probabilities, shape ``(n, k)``.
    value, below, above
        Inclination and half-widths (deg), shape ``(n,)``.
    """

    rows: Integers
    known: Mask
    logs: Floats
    value: Floats
    below: Floats
    above: Floats


@dataclass(frozen=True)
class Settled:
    """What was chosen on validation.

    Attributes
    ----------
    temperature
        Of the class probabilities.
    threshold
        Least probability of the first class that is not turned away.
    intervals
        As from `fit_intervals`.
    ellipse
        The formula; ``None`` where nothing could be measured.
    """

    temperature: float
    threshold: float
    intervals: dict[str, Any]
    ellipse: Ellipse | None

    def probabilities(self, part: Part) -> Floats:
        """Calibrated, shape ``(n, k)``."""
        return calibration.apply_temperature(part.logs, self.temperature)

    def bounds(self, part: Part) -> list[Floats]:
        """Lower and upper bound (deg) of each interval, narrow first, each ``(n,)``."""
        said = part.value, part.below, part.above
        return [b for one in COVERAGES for b in apply_intervals(self.intervals, *said, one)]

    def measured(self, part: Part, store: Store) -> Measured:
        """Truth and answers of the discs of known inclination."""
        truth = store.inclinations[part.rows]
        columns = (truth, np.clip(part.value, 0, 90), *self.bounds(part))
        return Measured(*(column[part.known] for column in columns))


def evaluate_angles(
    recipe: Recipe, *, run: Path, out: Path, engine: Engine | None = None
) -> dict[str, Any]:
    """Score a model of inclinations on the test split and write the report.

    Temperature, intervals, the threshold of rejection and the thickness in the ellipse formula are
    fitted on validation; the test split is read here and nowhere else.

    Parameters
    ----------
    recipe
        The experiment.
    run
        Run folder with the folders ``prepare`` and ``train``; the records of all earlier stages
        are shown where they are there.
    out
        Folder for ``metrics.json``, ``predictions.parquet``, ``calibration.json``, ``report.html``.
    engine
        Where the ellipses are measured; ``None``: here.

    Returns
    -------
    dict
        ``n_test`` (discs of known inclination), ``mae``, ``rms``, ``bias`` and ``coverage_68`` of
        them and ``mae_formula`` (``None`` where nothing was measured) with intervals, ``headline``
        in words, ``report``.

    Raises
    ------
    StageError
        There is no trained model, or too few discs have a known inclination.
    SplitError
        No image of the validation or of the test split has a class.
    CheckpointError
        The model answers other classes than the store holds, or no inclinations.
    """
    store = open_store(run / "prepare", recipe.prepare)
    rows = {split: labelled_rows(store, split) for split in SPLITS}
    known = {split: known_discs(store, rows[split], split) for split in SPLITS}
    constant = guess(store)
    model = load_measuring(run / "train" / "model", store)
    parts = _answer(model, store, rows, known, recipe)
    ratios = {split: _ratios(store, parts[split], engine) for split in SPLITS}
    settled = _settle(recipe, store, parts["validation"], ratios["validation"])
    resampling = Resampling(recipe.evaluate.bootstrap, recipe.evaluate.confidence, recipe.seed)
    test = parts["test"]
    probabilities = settled.probabilities(test)
    measured = settled.measured(test, store)
    rejected = probabilities[:, 0] < settled.threshold
    galaxies = Galaxies(
        measured,
        store.catalogue[test.rows[test.known]],
        ratios["test"],
        ~rejected[test.known],
        _units(store, test.rows[test.known]),
    )
    draws = draw(len(measured), galaxies.units, resampling)
    metrics = assess_angles(galaxies, draws, settled.ellipse, constant, resampling)
    metrics |= _of_classes(recipe, store, test, probabilities, settled, resampling)
    metrics |= _of_validation(store, parts["validation"], settled, resampling)
    of_all = {"train": labelled_rows(store, "train"), **rows}
    familiar, metrics["familiar"] = judge_store(store, of_all, seed=recipe.seed)
    records = {stage: read_record(run / stage) for stage in STAGES}
    history = read_history(run)
    trained = records["train"].summary if records["train"] else {}
    metrics["training"] = read_curves(history, trained)
    shown = Shown(store, test.rows, probabilities, rejected, measured, test.known)
    _write(out, store, parts, settled, familiar, metrics)
    evidence = AngleEvidence(
        recipe=recipe,
        run=run,
        metrics=metrics,
        records=records,
        metadata=read_catalogue(run / "prepare" / "catalogue.parquet").metadata,
        history=history,
        measured=measured,
        galleries=illustrate(shown, recipe.evaluate.gallery),
        examples=examples_of(store),
    )
    with atomic_path(out / "report.html") as path:
        path.write_text(render_angles(evidence), encoding="utf-8")
    return _summary(metrics)


def _answer(
    model: Model,
    store: Store,
    rows: dict[str, Integers],
    known: dict[str, Mask],
    recipe: Recipe,
) -> dict[str, Part]:
    from morphoscope.evaluate.answers import answer, device_of, threads

    with threads(recipe.train):
        both = np.concatenate([rows[split] for split in SPLITS])
        found = answer(model, store.images, both, device_of(recipe.train))
    k = len(store.classes)
    return {
        split: Part(rows[split], known[split], part[:, :k], *part[:, k:].T)
        for split, part in zip(SPLITS, np.split(found, [len(rows[SPLITS[0]])]), strict=True)
    }


def _ratios(store: Store, part: Part, engine: Engine | None) -> pl.DataFrame:
    """Axial ratios of the discs of known inclination of one split."""
    files = store.catalogue["file_loc"][part.rows[part.known]].to_list()
    return measure_ratios(files, engine)


def _settle(recipe: Recipe, store: Store, part: Part, ratios: pl.DataFrame) -> Settled:
    """Everything that is chosen on validation."""
    truth, labels = store.inclinations[part.rows], store.labels[part.rows]
    temperature = 1.0
    if recipe.evaluate.calibrate:
        temperature = calibration.fit_temperature(part.logs, labels)
    known = part.known
    discs = labels == 0
    probability = calibration.apply_temperature(part.logs, temperature)[discs, 0]
    origins = _origins(recipe, store, part.rows[discs])
    return Settled(
        temperature,
        find_threshold(probability, origins=origins),
        fit_intervals(
            part.value[known], part.below[known], part.above[known], truth[known], COVERAGES
        ),
        fit_ellipse(ratios, truth[known]),
    )


def _of_classes(
    recipe: Recipe,
    store: Store,
    test: Part,
    probabilities: Floats,
    settled: Settled,
    resampling: Resampling,
) -> dict[str, Any]:
    truth = store.labels[test.rows]
    draws = draw(len(truth), _units(store, test.rows), resampling)
    counts = np.bincount(truth, minlength=len(store.classes)).tolist()
    return {
        "classes": store.classes,
        "n_images": len(truth),
        "images": dict(zip(store.classes, counts, strict=True)),
        "temperature": settled.temperature,
        "reject": judge_rejection(
            probabilities,
            truth,
            store.classes,
            settled.threshold,
            draws,
            _origins(recipe, store, test.rows),
        ),
    }


def _origins(recipe: Recipe, store: Store, rows: Integers) -> list[str] | None:
    """Where each image is from, where images of several folders were put together."""
    if "origin" not in store.catalogue.columns:
        return None
    own = recipe.acquire.source
    return store.catalogue["origin"].replace(OWN, own)[rows].to_list()


def _of_validation(
    store: Store, part: Part, settled: Settled, resampling: Resampling
) -> dict[str, Any]:
    """Errors on validation, where no coverage can be checked: the intervals were made there."""
    measured = settled.measured(part, store)
    draws = draw(len(measured), _units(store, part.rows[part.known]), resampling)
    return {
        "n_validation": len(measured),
        "validation": score_errors(measured.truth, measured.value, draws),
        "intervals": settled.intervals,
    }


def _units(store: Store, rows: Integers) -> NDArray[Any] | None:
    """Groups of rows, where one of them holds several."""
    if "group" not in store.catalogue.columns:
        return None
    groups = store.catalogue["group"].to_numpy()[rows]
    return Answers(np.empty((len(rows), 0)), store.labels[rows], groups).units


def _write(
    out: Path,
    store: Store,
    parts: dict[str, Part],
    settled: Settled,
    familiar: dict[str, Any] | None,
    metrics: dict[str, Any],
) -> None:
    values: dict[str, Any] = {
        "temperature": settled.temperature,
        "intervals": settled.intervals,
        "reject": settled.threshold,
    }
    if familiar is not None:
        values["familiar"] = familiar
    for name, content in (("calibration.json", values), ("metrics.json", metrics)):
        with atomic_path(out / name) as path:
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))
    frames = [_predictions(store, part, split, settled) for split, part in parts.items()]
    metadata = {"classes": store.classes, "task": "inclination"}
    write_catalogue(out / "predictions.parquet", pl.concat(frames), metadata)


def _predictions(store: Store, part: Part, split: str, settled: Settled) -> pl.DataFrame:
    names = np.array(store.classes, dtype=object)
    probabilities = settled.probabilities(part)
    truth = pl.Series("inclination_true", store.inclinations[part.rows]).fill_nan(None)
    bounds = ("inclination_low", "inclination_high", "inclination_low_90", "inclination_high_90")
    return (
        store.catalogue[part.rows]
        .select("id_str", "file_loc")
        .with_columns(
            pl.lit(split).alias("split"),
            pl.Series("label", names[store.labels[part.rows]].tolist(), pl.String),
            pl.Series("class", names[probabilities.argmax(1)].tolist(), pl.String),
            *(pl.Series(f"p_{name}", probabilities[:, i]) for i, name in enumerate(store.classes)),
            truth,
            pl.Series("inclination", np.clip(part.value, 0, 90)),
            *(pl.Series(n, b) for n, b in zip(bounds, settled.bounds(part), strict=True)),
            pl.Series("reject", _reasons(store.classes, probabilities, settled), pl.String),
        )
    )


def _reasons(classes: list[str], probabilities: Floats, settled: Settled) -> list[str | None]:
    """Likeliest other class of what is turned away; nothing of what is kept."""
    rejected = probabilities[:, 0] < settled.threshold
    answers = answers_of(probabilities, rejected).tolist()
    return [classes[answer] if answer else None for answer in answers]


def _summary(metrics: dict[str, Any]) -> dict[str, Any]:
    formula = metrics["others"]["all"].get("formula")
    return {
        "n_test": metrics["n_test"],
        **{name: metrics["scores"][name] for name in ("mae", "rms", "bias", "coverage_68")},
        "mae_formula": formula["other"]["mae"] if formula else None,
        "headline": " ".join(wording.headline(metrics)),
        "report": "report.html",
    }
