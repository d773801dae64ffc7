"""The models that a server holds: loaded at start, watched, swapped without a dropped request."""

from __future__ import annotations

import datetime
import functools
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.bundle import Bundle, Precision, open_bundle, shipped_bundles
from morphoscope.engine import cores
from morphoscope.errors import BundleError, UnknownError
from morphoscope.serve.batching import Batcher

__all__ = ["Loaded", "Shelf"]

LOG = logging.getLogger("morphoscope.serve")
MANIFEST = "model.json"
CARD = "card.md"
FILES = (MANIFEST, "model.onnx", "weights.safetensors", CARD)
# Columns that a model of inclinations adds to its classes.
ANGLES = 3
# Commas join names in a request, slashes part addresses.
NOT_IN_A_NAME = ",/\\"
# Inode, time of change and size of each file.
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Attributes
    ----------
    name
        That of its folder.
    bundle
        The model.
    batcher
        Where it is asked.
    card
        Its card, Markdown.
    loaded
        When, ISO 8601, UTC.
    """

    name: str
    bundle: Bundle
    batcher: Batcher
    card: str
    loaded: str


@dataclass
class Shelf:
    """Models by name.

    A request takes the models it asks once, at its beginning: a swap changes what the next one
    takes. The one that went answers what it was asked before it is let go.

    Attributes
    ----------
    folders
        Bundles, or folders of bundles; empty: those that come with the package.
    threads, precision, batch, waiting
        As in the settings.
    seen
        Called with a model's name, the size and the seconds of each of its batches.
    refused
        What was found wrong with a bundle, by its folder.
    """

    folders: Sequence[Path]
    threads: int = 0
    precision: Precision = "f32"
    batch: int = 64
    waiting: int = 256
    seen: Callable[[str, int, float], None] = lambda name, n, seconds: None
    refused: dict[str, str] = field(default_factory=dict)
    models: dict[str, Loaded] = field(default_factory=dict)
    _stamps: dict[str, Stamp] = field(default_factory=dict)
    _places_of: dict[str, Path] = field(default_factory=dict)
    _missed: set[str] = field(default_factory=set)

    def open(self) -> None:
        """Load all models.

        Raises
        ------
        BundleError
            There is none, or none that can be used.
        """
        self.look()
        if not self.models:
            told = "; ".join(self.refused.values()) or f"no bundle in {self._places()}"
            raise BundleError(
                f"there is no model to serve: {told}",
                expected="folders that `morphoscope export` wrote",
            )

    def look(self) -> list[str]:
        """Load what is new or changed and drop what is gone; names of the models that changed.

        A bundle that cannot be used is told in the log and in `refused`, and the former stays.
        """
        found = self._bundles()
        self._places_of |= found
        changed = [name for name, folder in found.items() if self._renew(name, folder)]
        gone = self._gone(found)
        for name in gone:
            LOG.info("model removed", extra={"model": name})
            del self._places_of[name]
            self._stamps.pop(name, None)
            self._tell(name, None)
            self._replace(name, None)
        return changed + gone

    def _gone(self, found: dict[str, Path]) -> list[str]:
        """Names whose folders are away for the second time: whoever swaps folders needs a moment.

        Of a folder that has lost its manifest only, the model stays until there is a whole one.
        """
        missing = self._places_of.keys() - found.keys()
        emptied = {name for name in missing if self._places_of[name].is_dir()}
        for name in emptied:
            # Whatever comes next is looked at, also what was there before.
            self._stamps.pop(name, None)
            self._tell(name, f"{self._places_of[name]} lacks {MANIFEST}")
        gone = (missing - emptied) & self._missed
        self._missed = missing - emptied - gone
        return sorted(gone)

    def chosen(self, names: Sequence[str]) -> list[Loaded]:
        """Models by name, in the order of the shelf; all where none is named.

        Raises
        ------
        UnknownError
            There is no such model.
        """
        models = self.models
        for name in names:
            if name not in models:
                raise UnknownError(
                    f"there is no model {name!r}",
                    expected=f"one of {', '.join(models)}",
                    do="see /api/v1/models",
                )
        return [model for name, model in models.items() if not names or name in names]

    def close(self) -> None:
        """Let all models go, when they have answered what waits."""
        models, self.models = self.models, {}
        for loaded in models.values():
            loaded.batcher.close()

    def _places(self) -> str:
        return ", ".join(map(str, self.folders)) or "the package"

    def _bundles(self) -> dict[str, Path]:
        if not self.folders:
            return shipped_bundles()
        found: dict[str, Path] = {}
        for place in self.folders:
            one = place / MANIFEST
            folders = [place] if one.is_file() else [p.parent for p in place.glob(f"*/{MANIFEST}")]
            shipped = shipped_bundles()
            if not place.exists() and str(place) in shipped:
                folders = [shipped[str(place)]]
            # A folder that is being written has a name with a dot before it.
            named = [p for p in sorted(folders) if not p.name.startswith((".", "_"))]
            found |= {folder.absolute().name: folder for folder in named}
        return found

    def _renew(self, name: str, folder: Path) -> bool:
        stamp = _stamp(folder)
        if stamp is None or self._stamps.get(name) == stamp:
            return False
        # Also of one that is refused: it is looked at again when it has changed.
        self._stamps[name] = stamp
        try:
            loaded = self._load(name, folder)
        except Exception as error:
            # Whatever a folder holds, the other models go on.
            self._tell(name, str(error) or type(error).__name__)
            return False
        self._tell(name, None)
        LOG.info("model loaded", extra={"model": name, "model_id": loaded.bundle.id})
        self._replace(name, loaded)
        return True

    def _tell(self, name: str, wrong: str | None) -> None:
        """Say what is wrong with a bundle, or that nothing is any more."""
        # Names of files are any bytes; what is told is text.
        name = _as_text(name)
        wrong = None if wrong is None else _as_text(wrong)
        if wrong is not None and self.refused.get(name) != wrong:
            LOG.error("bundle refused", extra={"model": name, "found": wrong})
        others = {key: value for key, value in self.refused.items() if key != name}
        self.refused = others | ({name: wrong} if wrong is not None else {})

    def _load(self, name: str, folder: Path) -> Loaded:
        """Open, verify, and ask once, so that the first person does not wait."""
        if not name.isprintable() or set(name) & set(NOT_IN_A_NAME):
            raise BundleError(
                f"the folder's name {name!r} cannot be asked for",
                expected="letters that can be printed, and no comma, slash or backslash",
                do="rename the folder",
            )
        bundle, card = self._opened(folder)
        batcher = Batcher(
            functools.partial(_answer, bundle),
            batch=self.batch,
            waiting=self.waiting,
            workers=self._workers,
            seen=lambda n, seconds: self.seen(name, n, seconds),
        )
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return Loaded(name, bundle, batcher, card, now)

    @property
    def _workers(self) -> int:
        return self.threads or cores()

    def _opened(self, folder: Path) -> tuple[Bundle, str]:
        """Bundle and card, from a copy that nobody writes to.

        A model's weights stay on disk and are read as they are needed: where a new file were copied
        over them, a model under work would get half of each, and a shorter file end the process.
        """
        with tempfile.TemporaryDirectory(prefix="bundle-") as place:
            copy = Path(place) / folder.absolute().name
            copy.mkdir()
            for file in FILES:
                if (folder / file).is_file():
                    shutil.copyfile(folder / file, copy / file)
            try:
                bundle = open_bundle(
                    copy, threads=1, precision=self.precision, at_once=self._workers
                )
                _ask_once(bundle)
            except BundleError as error:
                raise BundleError(str(error).replace(str(copy), str(folder))) from error
            except Exception as error:
                found = f"{folder} does not answer as its {MANIFEST} says ({error})"
                raise BundleError(found) from error
            card = copy / CARD
            text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        return bundle, text

    def _replace(self, name: str, loaded: Loaded | None) -> None:
        former = self.models.get(name)
        others = {key: value for key, value in self.models.items() if key != name}
        self.models = dict(sorted({**others, **({name: loaded} if loaded else {})}.items()))
        if former:
            former.batcher.retire()


def _as_text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _ask_once(bundle: Bundle) -> None:
    """Raise ``BundleError`` where a bundle's answer, or what it tells of itself, is not whole."""
    recipe = bundle.manifest.get("provenance", {}).get("recipe", {})
    parts = (recipe.get("export"), bundle.manifest.get("scores", {}).get("scores"))
    if not all(isinstance(part, dict) for part in parts):
        raise BundleError(f"{bundle.folder} tells nothing of its recipe or its scores")
    kind = np.dtype(bundle.preparation.depth)
    answer = bundle.predict(np.zeros((1, *bundle.shape), kind))
    columns = len(bundle.classes) + (ANGLES if bundle.task == "inclination" else 0)
    if answer.shape != (1, columns) or not np.isfinite(answer).all():
        raise BundleError(
            f"{bundle.folder} answers with {answer.shape[1:]} numbers",
            expected=f"{columns}, all finite",
        )


def _answer(bundle: Bundle, images: NDArray[Any]) -> NDArray[np.float32]:
    """What a model says, and in a last column how unlike its training images each image is."""
    found = bundle.familiarity(images)
    distances = np.full(len(images), np.nan) if found is None else found[0]
    return np.column_stack([bundle.predict(images), distances]).astype(np.float32)


def _stamp(folder: Path) -> Stamp | None:
    """What changes when a bundle is put in place of another, file by file or at once."""
    found = []
    for name in FILES:
        try:
            one = (folder / name).stat()
        except OSError:
            continue
        found.append((one.st_ino, one.st_mtime_ns, one.st_size))
    return tuple(found) or None
