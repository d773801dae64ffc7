"""The verb: look at new images, ask, compare, judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.catalog import atomic_path
from morphoscope.engine import Engine
from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.binomial import exact_interval
from morphoscope.evaluate.bootstrap import Interval
from morphoscope.fitness.agreement import agreement, promised
from morphoscope.fitness.asking import Asked, ask, catalogue_of
from morphoscope.fitness.drift import drift_of_answers, drift_of_inputs
from morphoscope.fitness.labelled import Labels, match_labels, read_labels
from morphoscope.fitness.needed import labels_for_mean, labels_for_share, rounded
from morphoscope.fitness.verdict import FIT, judge

__all__ = ["PRECISION", "SAMPLE", "fitness"]

# The half-width of a share is then at most 2.2 points, and the images take a minute or two.
SAMPLE = 2000
# Half-width of the interval that labels are asked for: points of accuracy, or deg.
PRECISION = {"classes": 0.02, "inclination": 1.0}
BOOTSTRAP = 2000


def fitness(
    bundle: str | Path,
    images: str | Path,
    *,
    engine: Engine,
    labels: Path | None = None,
    column: str = "",
    labels_id: str = "",
    means: Mapping[str, str] | None = None,
    precision: float = 0.0,
    sample: int = SAMPLE,
    seed: int = 0,
    id_column: str = "",
    file_column: str = "",
    out: Path | None = None,
) -> dict[str, Any]:
    """Judge whether a model is fit for the images of a new survey.

    Parameters
    ----------
    bundle
        Folder of a model, or name of a shipped one.
    images
        As for `morphoscope.predict.predict`. Of a catalogue that this very model predicted all
        rows count, and only what the images look like is found from a sample.
    engine
        Where images are read and classified.
    labels
        Table of labels of some of the images, which chance should have chosen; None: there are
        none.
    column, labels_id
        Columns of labels (deg for a model of inclinations) and of names or files in that table;
        the latter empty: the one that fits.
    means
        Class of the model by a label that has another word for it.
    precision
        Half-width of the interval that is wanted of the score: a share, or deg; 0: 0.02 or 1°.
    sample
        Number of images that are looked at; 0: all.
    seed
        Decides which, and the samples of the intervals.
    id_column, file_column
        Columns of a table of images; empty: found by their usual names.
    out
        JSON file to write; None: none.

    Returns
    -------
    dict
        ``verdict``, ``fit``, ``labels_asked``, ``reasons``; and what they follow from:
        ``n_images``, ``n_looked_at``, ``unanswered``, ``flags``, ``inputs``, ``answers``,
        ``agreement``, ``labels_needed``, ``precision``.

    Raises
    ------
    BundleError, SourceError, CatalogueError
        The model, the images or the table cannot be used.
    LabelError
        No label is a class of the model.
    """
    opened = open_bundle(bundle)
    given = None
    if labels is not None:
        given = read_labels(
            labels, opened, column=column, id_column=labels_id, means=dict(means or {})
        )
    asked = ask(
        opened,
        images,
        sample=sample,
        wanted=given.names if given else (),
        engine=engine,
        seed=seed,
        id_column=id_column,
        file_column=file_column,
    )
    found = _found(opened, images, asked, given, labels, seed)
    wanted = precision or PRECISION[opened.task]
    found |= {"precision": wanted, "labels_needed": _needed(opened, found, wanted)}
    verdict = judge(found)
    told = {
        "verdict": verdict.word,
        "fit": verdict.word == FIT,
        "labels_asked": verdict.labels,
        "reasons": [*verdict.reasons, *_cautions(asked, given)],
        **found,
    }
    if out is not None:
        with atomic_path(out) as path:
            path.write_text(json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False))
    return told


def _found(
    bundle: Bundle,
    images: str | Path,
    asked: Asked,
    given: Labels | None,
    labels: Path | None,
    seed: int,
) -> dict[str, Any]:
    """Every number that the verdict follows from."""
    confidence = float(bundle.manifest["scores"]["interval"]["confidence"])
    whole = catalogue_of(bundle, images)
    frame = asked.drawn if whole is None else whole
    answers = frame.filter(pl.col("flag").is_null())
    matched = None
    if given is not None and labels is not None:
        answered = asked.frame.filter(pl.col("flag").is_null())
        matched = match_labels(answered, given, labels)
    return {
        "model": bundle.id,
        "model_name": bundle.name,
        "task": bundle.task,
        "n_images": asked.n_images,
        "n_looked_at": frame.height,
        "unanswered": _counted(frame.height - answers.height, frame.height, confidence),
        "flags": dict(frame["flag"].drop_nulls().value_counts(sort=True).iter_rows()),
        "inputs": drift_of_inputs(bundle, asked, answers, confidence) if len(answers) else None,
        "answers": drift_of_answers(bundle, answers, confidence, seed),
        "agreement": None
        if matched is None
        else agreement(bundle, matched, Resampling(BOOTSTRAP, confidence, seed)),
        "confidence": confidence,
    }


def _counted(found: int, n: int, confidence: float) -> dict[str, Any]:
    return Interval(found / n, *exact_interval(found, n, confidence), n).as_dict()


def _needed(bundle: Bundle, found: Mapping[str, Any], precision: float) -> int:
    """Labels beyond those there that the precision takes; as many again, where it is reached."""
    there = found["agreement"]["n"] if found["agreement"] else 0
    confidence = found["confidence"]
    if bundle.task == "inclination":
        needed = labels_for_mean(_spread(bundle, found), precision, confidence)
    else:
        needed = labels_for_share(_accuracy(bundle, found), precision, confidence)
    return rounded(needed - there if needed > there else there)


def _accuracy(bundle: Bundle, found: Mapping[str, Any]) -> float:
    """Accuracy to expect: of the labels, drawn to one half by four more, or as promised."""
    if found["agreement"]:
        new = found["agreement"]["scores"]["accuracy"]["new"]
        return float((new["value"] * new["n"] + 2) / (new["n"] + 4))
    return float(bundle.manifest["scores"]["scores"]["accuracy"]["value"])


def _spread(bundle: Bundle, found: Mapping[str, Any]) -> float:
    """Spread of the absolute errors to expect (deg): of the labels, or as that of the test."""
    if found["agreement"] and found["agreement"]["n"] > 1:
        return float(found["agreement"]["spread"])
    mae = promised(bundle.manifest["scores"]["scores"], "mae")
    # The interval is some two standard errors wide on either side.
    return (mae.high - mae.low) / 4 * mae.n**0.5 if mae else 1.0


def _cautions(asked: Asked, given: Labels | None) -> list[str]:
    """What a person should know of the numbers."""
    told = []
    if given is not None and given.others:
        named = ", ".join(f"{name!r} ({n:,})" for name, n in list(given.others.items())[:6])
        told.append(
            f"{sum(given.others.values()):,} labels are none of its classes and were left out: "
            f"{named}."
        )
    if asked.drawn.height < asked.n_images:
        told.append(f"Looked at: {asked.drawn.height:,} of {asked.n_images:,} images, by chance.")
    return told
