"""Write a trained and evaluated model as a bundle, and check that it answers as it did."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morphoscope.bundle.card import card
from morphoscope.bundle.distribution import answers_of_test, distribution_of_answers
from morphoscope.bundle.graph import calibrated, write_graph
from morphoscope.bundle.opening import FORMAT, GRAPH, MANIFEST, WEIGHTS, content_id, open_bundle
from morphoscope.catalog import atomic_path, read_catalogue
from morphoscope.errors import BundleError, MissingDependencyError, RecipeError, StageError
from morphoscope.prepare import Store, open_store
from morphoscope.provenance import file_digest, read_record, versions
from morphoscope.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LARGEST_DIFFERENCE", "export"]

LARGEST_DIFFERENCE = 1e-4
COMPARED_IMAGES = 128
DEGREES = 100.0
LIBRARIES = ("torch", "onnx", "onnxscript", "safetensors")
# What is taken over from ``metrics.json``.
SCORES = {
    "classes": ("n_test", "interval", "baseline", "scores", "per_class", "confused"),
    "inclination": (
        *("n_test", "interval", "headline", "headline_rule", "scores", "thirds", "formula"),
        *("others", "reject"),
    ),
}
STAGES = ("acquire", "clean", "split", "prepare", "train", "evaluate")


def export(recipe: Recipe, *, run: Path, out: Path) -> dict[str, Any]:
    """Write the model of a run as a bundle ``out/<name>/``, whole or not at all.

    Parameters
    ----------
    recipe
        The experiment.
    run
        Run folder with the stages prepare, train and evaluate.
    out
        Folder of this stage.

    Returns
    -------
    dict
        ``bundle`` (name), ``id``, ``bytes`` and ``largest_difference``: how far a probability of
        the bundle lies at most from that of the trained model, over validation images.

    Raises
    ------
    RecipeError
        The images had noise added, which is for experiments.
    StageError
        Evaluate has not run.
    MissingDependencyError
        A library of the extra ``train`` is not installed.
    BundleError
        The bundle does not answer as the trained model.
    """
    _require_libraries()
    _require_real_images(recipe)
    from morphoscope.networks import load_model

    name = recipe.export.name or recipe.name
    metrics = _read_json(run / "evaluate" / "metrics.json")
    calibration = _read_json(run / "evaluate" / "calibration.json")
    store = open_store(run / "prepare", recipe.prepare)
    trained = load_model(run / "train" / "model")
    model = calibrated(trained, float(calibration["temperature"]), len(trained.classes))
    out.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(out)
    with atomic_path(out / name) as folder:
        folder.mkdir()
        pixel = str(store.images.dtype)
        write_graph(model, store.images.shape[1:], folder / GRAPH, folder / WEIGHTS, pixel=pixel)
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "name": name,
            "task": recipe.task,
            "classes": store.classes,
            "preparation": store.settings.model_dump(),
            "calibration": calibration,
            "scores": _scores(metrics, recipe.task),
            **_answers(run, recipe.task, store.classes),
            "files": {file: file_digest(folder / file) for file in (GRAPH, WEIGHTS)},
            "provenance": _provenance(recipe, run, store),
        }
        manifest["id"] = content_id(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
        (folder / "card.md").write_text(card(manifest))
        difference = _compare(folder, model, store)
        if (out / name).exists():
            shutil.rmtree(out / name)
    return {
        "bundle": name,
        "id": manifest["id"],
        "bytes": sum(file.stat().st_size for file in (out / name).iterdir()),
        "largest_difference": difference,
    }


def _require_libraries() -> None:
    absent = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingDependencyError(
            f"export needs {', '.join(absent)}", do="pip install 'morphoscope[train]'"
        )


def _require_real_images(recipe: Recipe) -> None:
    """Images of people who use a model get no noise, so that it would answer what it never saw."""
    if recipe.prepare.add_noise:
        raise RecipeError(
            f"the model was trained on images with noise added (prepare.add_noise = "
            f"{recipe.prepare.add_noise:g})",
            expected="a model of images as they are",
            do="train with prepare.add_noise = 0; to learn from noisier images, set augment.noise",
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise StageError(
            f"{path} cannot be read ({error})", do=f"run {path.parent.name} first"
        ) from error


def _remove_leftovers(out: Path) -> None:
    for folder in out.glob(".*.partial"):
        shutil.rmtree(folder, ignore_errors=True)


def _scores(metrics: dict[str, Any], task: str) -> dict[str, Any]:
    return {"split": "test", **{key: metrics[key] for key in SCORES[task]}}


def _answers(run: Path, task: str, classes: list[str]) -> dict[str, Any]:
    """How the answers on the test images are distributed, if they were written down."""
    answers = answers_of_test(run / "evaluate" / "predictions.parquet")
    if answers is None:
        return {}
    return {"answers": distribution_of_answers(answers, task, classes)}


def _provenance(recipe: Recipe, run: Path, store: Store) -> dict[str, Any]:
    about = read_catalogue(run / "prepare" / "catalogue.parquet").metadata
    counts = {split: _counts(store, split) for split in ("train", "validation", "test")}
    records = {stage: read_record(run / stage) for stage in STAGES}
    prepared = records["prepare"]
    # Where the files lay and how many cores worked is this machine's affair.
    settings = recipe.model_dump(exclude={"engine": True, "acquire": {"data"}})
    settings["split"]["given"] = Path(recipe.split.given).name
    for kind in (settings["train"], *settings["train"]["others"]):
        if "weights" in kind:
            kind["weights"] = Path(kind["weights"]).name
    return {
        "recipe": settings,
        "seed": recipe.seed,
        "versions": versions(),
        "fingerprints": {
            stage: {"settings": r.fingerprint.settings, "code": r.fingerprint.code}
            for stage, r in records.items()
            if r is not None
        },
        "data": {
            "source": about.get("source", recipe.acquire.source),
            "licence": about.get("licence", recipe.acquire.licence),
            "citation": about.get("citation", recipe.acquire.citation),
            "counts": counts,
            "sizes": prepared.summary.get("sizes", {}) if prepared else {},
        },
        **_origin(run),
    }


def _origin(run: Path) -> dict[str, Any]:
    """Model and labels that a retrained one comes from."""
    path = run / "retrained.json"
    return {"retrained": _read_json(path)} if path.exists() else {}


def _counts(store: Store, split: str) -> dict[str, int]:
    labels = store.labels[store.rows(split)]
    counts = np.bincount(labels[labels >= 0], minlength=len(store.classes))
    return dict(zip(store.classes, counts.tolist(), strict=True))


def _compare(folder: Path, model: nn.Module, store: Store) -> float:
    """Largest difference of a probability, or of 100°, between the bundle and the trained model."""
    import torch

    images = store.gather(store.rows("validation")[:COMPARED_IMAGES])
    with torch.inference_mode():
        expected = np.concatenate(
            [model(torch.from_numpy(images[i : i + 32])) for i in range(0, len(images), 32)]
        )
    apart = np.abs(open_bundle(folder).predict(images) - expected)
    apart[:, len(store.classes) :] /= DEGREES
    difference = float(apart.max())
    if not difference <= LARGEST_DIFFERENCE:
        raise BundleError(
            f"a probability of the bundle differs by {difference:.2g} from the trained model's",
            expected=f"at most {LARGEST_DIFFERENCE:g}",
            do="look at the network: an operation of it is not the same in ONNX",
            difference=difference,
        )
    return difference
