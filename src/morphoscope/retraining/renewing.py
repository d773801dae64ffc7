"""The verb: learn on from a run with new labels, compare, and serve what gained."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.bundle import Bundle, open_bundle
from morphoscope.catalog import atomic_path, read_catalogue, write_catalogue
from morphoscope.errors import BundleError, RecipeError, StageError
from morphoscope.pipeline import read_run, run_stage, run_stages
from morphoscope.prepare import open_store
from morphoscope.provenance import read_record
from morphoscope.recipe import Recipe, changed
from morphoscope.retraining.labels import NewLabels, Source, read_new_labels
from morphoscope.retraining.promoting import promote
from morphoscope.retraining.together import TABLE, combine, divide, renewed
from morphoscope.retraining.versus import compare_models, deserves
from morphoscope.split import SPLITS

__all__ = ["retrain"]

# Beside the catalogue the division would count as data, which it is made from.
DATA, GIVEN = "data/catalogue.parquet", "division.csv"
TOLD, COMPARED = "retrained.json", "comparison.json"


def retrain(
    recipe: Recipe,
    labels: Source,
    *,
    run: Path,
    out: Path,
    bundle: str | Path | None = None,
    promote_to: Path | None = None,
    settled: Collection[str] = (),
) -> dict[str, Any]:
    """Train a model on with new labels, compare it with the old one, and serve it if it gained.

    Called again after it was cut off it goes on; what is up to date is not done again.

    Parameters
    ----------
    recipe
        Of the old model. Of the training the epochs and the learning rate are lowered.
    labels
        Table of new labels: names, files and classes or inclinations.
    run
        Run folder of the old model: its galaxies, splits and networks are gone on with. A bundle
        alone will not do, as its weights are folded into a graph that cannot be trained.
    out
        Run folder of the new one.
    bundle
        The old model as it is served; None: the one that the run exported.
    promote_to
        Folder of served models in which the new one takes the place of the old one on a clear
        gain; None: it is compared and not served.
    settled
        Settings of the recipe, as ``train.epochs``, that are taken as they are.

    Returns
    -------
    dict
        ``from``, ``to`` (ids), ``labels`` (``n`` by split, ``relabelled``, ``left_out``),
        ``comparison``, ``gained``, ``reasons``, ``promoted`` and ``bundle`` (folder).

    Raises
    ------
    StageError
        The old run is not whole, or is the new one.
    RecipeError
        The recipe is not that of the run.
    BundleError
        The old model is not that of the run, or another one is served.
    MorphoscopeError
        The labels cannot be used, or a stage failed.
    """
    old = _old_model(recipe, run, out, bundle)
    new = read_new_labels(labels, old.classes, recipe.task)
    made = _prepared(recipe, old, new, labels, run, out, settled)
    records = run_stages(made, out)
    place = out / "export" / records["export"].summary["bundle"]
    renewed_model = open_bundle(place)
    store = open_store(out / "prepare", made.prepare)
    found = compare_models(store, old, renewed_model, digest=new.digest, seed=recipe.seed)
    gained, reasons = deserves(found, recipe.task)
    told = {
        "from": old.id,
        "to": renewed_model.id,
        "labels": json.loads((out / TOLD).read_text())["labels"],
        "comparison": found,
        "gained": gained,
        "reasons": reasons,
        "promoted": False,
        "bundle": str(place),
    }
    if gained and promote_to is not None:
        promote(place, promote_to, instead_of=old.id)
        told["promoted"] = True
    _write_json(out / COMPARED, told)
    return told


def _old_model(recipe: Recipe, run: Path, out: Path, bundle: str | Path | None) -> Bundle:
    """The old model, if run, recipe and bundle are of one."""
    before = read_run(run)
    if out.resolve() == run.resolve():
        raise StageError(f"--out {out} is the run of the old model", do="name another --out")
    needed = ["acquire/catalogue.parquet", "split/catalogue.parquet", "train/model/model.json"]
    record = read_record(run / "export")
    absent = [name for name in needed if not (run / name).exists()]
    if absent or record is None or record.state != "done":
        raise StageError(
            f"{run} lacks {absent[0] if absent else 'export'}",
            expected="a whole run of the old model",
            do="run the recipe first",
        )
    exported = open_bundle(run / "export" / record.summary["bundle"])
    old = exported if bundle is None else open_bundle(bundle)
    if old.id != exported.id and _training(old) != _training(exported):
        raise BundleError(
            f"{old.name} ({old.id}) is not the model of {run} ({exported.id})",
            expected="the same training: galaxies that one was tested on taught the other",
            do="name the run that made it with --run",
        )
    same = recipe.prepare == before.prepare and recipe.task == old.task
    if not same or recipe.clean.classes != _without_new(before, recipe):
        raise RecipeError(
            f"the recipe {recipe.name} is not that of {run}",
            expected="the same preparation and classes",
            do="name the run of this recipe with --run",
        )
    return old


def _training(bundle: Bundle) -> tuple[Any, Any]:
    """What tells one training from another: its settings and code, and its galaxies."""
    provenance = bundle.manifest["provenance"]
    return provenance["fingerprints"].get("train"), provenance["data"]["counts"]


def _without_new(before: Recipe, recipe: Recipe) -> list[Any]:
    """Class rules of a run; of one that was itself retrained the names decide."""
    names = [rule.name for rule in before.clean.classes]
    if names == [rule.name for rule in recipe.clean.classes] or not recipe.clean.classes:
        return list(recipe.clean.classes)
    return list(before.clean.classes)


def _prepared(
    recipe: Recipe,
    old: Bundle,
    new: NewLabels,
    labels: Source,
    run: Path,
    out: Path,
    settled: Collection[str],
) -> Recipe:
    """Write what the new run reads; its recipe."""
    acquired = read_catalogue(run / "acquire" / "catalogue.parquet")
    frame = combine(acquired, new.frame, new.digest, recipe.clean.inclination)
    out.mkdir(parents=True, exist_ok=True)
    write_catalogue(out / DATA, frame, acquired.metadata)
    start = run / "train" / "model"
    first = renewed(recipe, catalogue=out / DATA, start=start, classes=old.classes, settled=settled)
    for stage in ("acquire", "clean"):
        run_stage(first, out, stage)
    cleaned = read_catalogue(out / "clean" / "catalogue.parquet").frame
    before = read_catalogue(run / "split" / "catalogue.parquet").frame.select("id_str", "split")
    splits = divide(cleaned, before, first)
    with atomic_path(out / GIVEN) as path:
        splits.write_csv(path)
    _tell(out, old, new, labels, cleaned.join(splits, on="id_str"), before)
    return changed(first, {"split.given": str((out / GIVEN).absolute())})


def _tell(
    out: Path,
    old: Bundle,
    new: NewLabels,
    labels: Source,
    frame: pl.DataFrame,
    before: pl.DataFrame,
) -> None:
    """Write what the new model's card says of where it comes from."""
    fresh = frame.filter((pl.col(TABLE) == new.digest).fill_null(False))
    counts = dict(fresh["split"].value_counts().iter_rows())
    told = {
        "from": old.id,
        "name": old.name,
        "labels": {
            "table": labels.table.name,
            "sha256": new.digest,
            "column": labels.column,
            "n": {split: counts.get(split, 0) for split in SPLITS},
            "relabelled": int(fresh["id_str"].is_in(before["id_str"].to_list()).sum()),
            "left_out": new.left_out,
        },
    }
    _write_json(out / TOLD, told)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False))
