"""Open a bundle and ask it: ONNX Runtime only, every file checked, nothing executed from it."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from morphoscope.bundle.engines import Compute, Precision, open_graph
from morphoscope.errors import BundleError
from morphoscope.familiarity import familiarity, known_version
from morphoscope.inclination import apply_intervals
from morphoscope.prepare.pixels import channel_count, pixel_type
from morphoscope.provenance import file_digest, settings_digest
from morphoscope.recipe import PrepareSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FORMAT", "GRAPH", "MANIFEST", "WEIGHTS", "Bundle", "content_id", "open_bundle"]
__all__ += ["shipped_bundles"]

FORMAT = 1
MANIFEST = "model.json"
GRAPH = "model.onnx"
WEIGHTS = "weights.safetensors"
# Larger batches gain nothing on a CPU: the shipped model takes 0.5 GB with 16, 0.8 GB with 32.
BATCH = 16
# Columns that a model of inclinations adds: inclination, half-widths below and above.
ANGLES = 3


@dataclass(frozen=True)
class Bundle:
    """A model that answers.

    Attributes
    ----------
    folder
        Where it lies.
    manifest
        What ``model.json`` holds: classes, preparation, calibration, scores, provenance.
    preparation
        How an image becomes the array that the model takes.
    threads
        CPU threads of one answer; 0: all cores.
    precision
        Of what is computed, see `morphoscope.bundle.engines.open_graph`.
    at_once
        Threads that may ask at the same time without waiting for each other.
    """

    folder: Path
    manifest: dict[str, Any]
    preparation: PrepareSettings
    threads: int = 0
    precision: Precision = "f32"
    at_once: int = 1

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.manifest["name"])

    @property
    def id(self) -> str:
        """Short digest of everything that decides the answers."""
        return str(self.manifest["id"])

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the probabilities."""
        return list(self.manifest["classes"])

    @property
    def sets(self) -> dict[str, float] | None:
        """``coverage`` and ``threshold`` of prediction sets; None for models without them."""
        found: dict[str, float] | None = self.manifest.get("calibration", {}).get("sets")
        return found

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(channel, y, x)`` of a prepared image."""
        size = self.preparation.size
        return (channel_count(self.preparation), size, size)

    @cached_property
    def _compute(self) -> Compute:
        return open_graph(self.folder / GRAPH, self.threads, self.precision, self.at_once)

    @property
    def task(self) -> str:
        """What the model answers with: ``classes``, or ``inclination`` beside them."""
        return str(self.manifest["task"])

    def intervals(
        self, answers: NDArray[np.float32], coverage: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends of the intervals (deg) of inclinations that `predict` gave.

        Parameters
        ----------
        answers
            As from `predict`, ``(n, class + 3)``.
        coverage
            One of those that the model was calibrated for, as 0.68.

        Returns
        -------
        tuple
            Lower and upper ends ``(n,)``.
        """
        value, below, above = answers[:, len(self.classes) :].astype(np.float64).T
        found = self.manifest["calibration"]["intervals"]
        return apply_intervals(found, value, below, above, coverage)

    @property
    def familiar(self) -> dict[str, Any] | None:
        """How the training images look; None for models without it, or of another version."""
        found: dict[str, Any] | None = self.manifest.get("calibration", {}).get("familiar")
        return found if found and known_version(found) else None

    def familiarity(self, images: NDArray[Any]) -> tuple[NDArray[np.float64], float] | None:
        """How unlike the training images each image is.

        Parameters
        ----------
        images
            As for `predict`.

        Returns
        -------
        tuple or None
            Distances ``(n,)``, about 1 for a usual image, and the limit beyond which an image
            counts as unlike those of training; None where `familiar` is.

        Raises
        ------
        BundleError
            The images have another shape or type than the model takes.
        """
        self._require_prepared(images)
        return None if self.familiar is None else familiarity(images, self.familiar)

    def predict(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Calibrated probabilities of prepared images, and their inclinations.

        Parameters
        ----------
        images
            Shape ``(n, channel, y, x)``, as ``morphoscope.prepare.prepare_pixels`` makes them.

        Returns
        -------
        numpy.ndarray
            Shape ``(n, class)``; rows sum to one. A model of inclinations gives three columns
            more: inclination (deg) and its half-widths below and above, not yet calibrated, see
            `intervals`.

        Raises
        ------
        BundleError
            The images have another shape or type than the model takes.
        """
        self._require_prepared(images)
        columns = len(self.classes) + (ANGLES if self.task == "inclination" else 0)
        answers = [np.empty((0, columns), np.float32)]
        for start in range(0, len(images), BATCH):
            answers.append(self._compute(images[start : start + BATCH]))
        return np.concatenate(answers)

    def _require_prepared(self, images: NDArray[Any]) -> None:
        expected = pixel_type(self.preparation)
        if images.ndim != 4 or images.shape[1:] != self.shape or images.dtype != expected:
            raise BundleError(
                f"images are {images.dtype} of shape {images.shape}",
                expected=f"{expected} of shape (n, {', '.join(map(str, self.shape))})",
                do="prepare them with the bundle's own preparation",
            )


def open_bundle(
    path_or_name: str | Path,
    *,
    threads: int = 0,
    precision: Precision = "f32",
    at_once: int = 1,
) -> Bundle:
    """Open a bundle by its folder, or a shipped one by its name.

    Parameters
    ----------
    path_or_name
        Folder that holds ``model.json``, or one of ``shipped_bundles()``.
    threads
        CPU threads of one answer; 0: all cores.
    precision
        ``f32``; ``bf16`` is faster where OpenVINO is installed and the CPU has instructions for it.
    at_once
        Threads that may ask at the same time without waiting for each other.

    Raises
    ------
    BundleError
        There is no such bundle, it is damaged, or this version cannot read it.
    """
    folder = _find(path_or_name)
    manifest = _read_manifest(folder / MANIFEST)
    for name, digest in manifest["files"].items():
        _verify(folder, name, digest)
    try:
        preparation = PrepareSettings.model_validate(manifest["preparation"])
    except ValidationError as error:
        raise BundleError(
            f"{folder} asks for a preparation that this version does not know",
            do="install the version of Morphoscope that made it, or a newer one",
        ) from error
    return Bundle(folder, manifest, preparation, threads, precision, at_once)


def shipped_bundles() -> dict[str, Path]:
    """Folders of the models that come with this package, by name."""
    place = Path(str(importlib.resources.files("morphoscope"))) / "bundles"
    return {path.parent.name: path.parent for path in sorted(place.glob(f"*/{MANIFEST}"))}


def content_id(manifest: dict[str, Any]) -> str:
    """Short digest of a manifest, and so of the files whose digests it holds."""
    return settings_digest({key: manifest[key] for key in manifest if key != "id"})[:12]


def _find(path_or_name: str | Path) -> Path:
    folder = Path(path_or_name).expanduser()
    if (folder / MANIFEST).is_file():
        return folder
    shipped = shipped_bundles()
    if str(path_or_name) in shipped:
        return shipped[str(path_or_name)]
    names = ", ".join(shipped) or "none"
    found = "holds no model.json" if folder.is_dir() else "is neither a folder nor a shipped model"
    raise BundleError(
        f"{path_or_name} {found}",
        expected=f"a folder written by `morphoscope export`, or a shipped model ({names})",
        names=list(shipped),
    )


def _read_manifest(path: Path) -> dict[str, Any]:
    again = "copy or export the bundle again"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        number = manifest["format"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} is damaged ({error})", do=again) from error
    if number != FORMAT:
        raise BundleError(
            f"{path} has format {number!r}",
            expected=f"format {FORMAT}",
            do="install a newer Morphoscope",
        )
    if manifest.get("id") != content_id(manifest):
        raise BundleError(f"{path} was changed after it was written", do=again)
    return dict(manifest)


def _verify(folder: Path, name: str, digest: str) -> None:
    if Path(name).name != name:
        raise BundleError(f"{folder} names a file outside of itself ({name})")
    file = folder / name
    if not file.is_file():
        raise BundleError(f"{folder} lacks {name}", do="copy or export the bundle again")
    if file_digest(file) != digest:
        raise BundleError(
            f"{file} is damaged: its SHA-256 is not that of {MANIFEST}",
            do="copy or export the bundle again",
        )
