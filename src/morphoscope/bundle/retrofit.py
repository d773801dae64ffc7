"""Give a bundle from before there were densities the one of its training images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.bundle.card import card
from morphoscope.bundle.opening import MANIFEST, Bundle, content_id, open_bundle
from morphoscope.catalog import atomic_path
from morphoscope.errors import BundleError
from morphoscope.familiarity import judge_store
from morphoscope.prepare import Store, open_store

__all__ = ["add_familiarity"]

SPLITS = ("train", "validation", "test")


def add_familiarity(bundle: str | Path, prepared: Path, out: Path) -> dict[str, Any]:
    """Copy a bundle and add what tells images that are unlike its training images.

    Graph and weights stay as they are; the id changes, as what it answers does.

    Parameters
    ----------
    bundle
        Folder of a model, or name of a shipped one.
    prepared
        Folder of the image store that it was trained on: prepared by its recipe, with its split.
    out
        Folder of the copy; it must not exist.

    Returns
    -------
    dict
        ``id`` of the copy, and what `morphoscope.familiarity.judge_store` says of it.

    Raises
    ------
    BundleError
        The store holds other images than the model was trained on, or too few for a limit; or
        ``out`` exists.
    StoreError
        There is no such store, or it was prepared in another way.
    """
    opened = open_bundle(bundle)
    store = open_store(prepared, opened.preparation)
    if out.exists():
        raise BundleError(f"{out} exists", do="name a new folder")
    _require_same_images(opened, store)
    rows = {split: _labelled(store, split) for split in SPLITS}
    seed = int(opened.manifest["provenance"]["seed"])
    found, told = judge_store(store, rows, seed=seed)
    if found is None:
        raise BundleError(
            f"{told['n_validation']} validation images are too few for a limit",
            expected="at least 99",
        )
    manifest = dict(opened.manifest)
    manifest["calibration"] = {**manifest["calibration"], "familiar": found}
    manifest["id"] = content_id(manifest)
    with atomic_path(out) as folder:
        shutil.copytree(opened.folder, folder)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
        (folder / "card.md").write_text(card(manifest))
    return {"id": manifest["id"], **told}


def _labelled(store: Store, split: str) -> NDArray[np.int64]:
    rows = store.rows(split)
    return rows[store.labels[rows] >= 0]


def _require_same_images(bundle: Bundle, store: Store) -> None:
    """Of other counts, the split is another: what it was trained on would be tested."""
    expected = bundle.manifest["provenance"]["data"]["counts"]
    found = {split: _counts(store, split) for split in SPLITS}
    if found != expected:
        raise BundleError(
            f"{store.folder} holds {found}",
            expected=f"{expected}, what {bundle.name} was trained on",
            do="prepare the images by the recipe of the model",
        )


def _counts(store: Store, split: str) -> dict[str, int]:
    counts = np.bincount(store.labels[_labelled(store, split)], minlength=len(store.classes))
    return dict(zip(store.classes, counts.tolist(), strict=True))
