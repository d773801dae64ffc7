"""What a recipe reads from outside, as files that a job can be given, and the recipe that says so.

Folders are packed; single files are taken from where they lie, and downloads from their address.
In the recipe of a workflow every path is one below the run folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.acquire import inputs, inputs_of_more
from morphoscope.acquire.archive import is_archive
from morphoscope.acquire.listing import absolute
from morphoscope.acquire.table import is_table, read_labels
from morphoscope.errors import SourceError
from morphoscope.provenance import file_digest, weights_digest
from morphoscope.recipe import AcquireSettings, Recipe, changed
from morphoscope.stages import STAGES, Job
from morphoscope.workflow.archive import INPUTS, files_below
from morphoscope.workflow.needs import needs_of

__all__ = ["Gathered", "Given", "Packed", "gather"]

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Given:
    """A file that is taken as it is.

    Attributes
    ----------
    name
        Its name among the files of a job.
    source
        Path or address.
    sha256
        Of its content.
    place
        Where it lies in the run folder.
    stages
        Stages that read it.
    """

    name: str
    source: str
    sha256: str
    place: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Packed:
    """Files that are packed into one archive: their names in the run folder, and where they lie."""

    name: str
    files: list[tuple[str, Path]]
    stages: tuple[str, ...]


@dataclass
class Gathered:
    """What a workflow is given from outside, and its recipe."""

    recipe: Recipe
    given: list[Given] = field(default_factory=list)
    packed: list[Packed] = field(default_factory=list)

    def take(self, path: Path, place: str, role: str, stages: tuple[str, ...]) -> str:
        """Take a file or a folder along; its path in the run folder."""
        whole = f"{place}/{path.name}"
        if path.is_file() and PLAIN.fullmatch(path.name):
            name = f"{role}-{path.name}"
            found = Given(name, str(path.absolute()), file_digest(path), whole, stages)
            self.given.append(found)
        elif path.exists():
            files = files_below(path, path) if path.is_dir() else [("", path)]
            named = [(f"{whole}/{name}".rstrip("/"), file) for name, file in files]
            self.packed.append(Packed(f"{role}.tar", named, stages))
        else:
            raise SourceError(f"there is no {path}", do="check the path", path=str(path))
        return whole


def gather(recipe: Recipe) -> Gathered:
    """Find what the stages read from outside of the run folder.

    Raises
    ------
    SourceError
        Something is absent, or a table names images elsewhere than where they are taken from.
    """
    found = Gathered(recipe)
    changes: dict[str, Any] = {
        # Of a search and a comparison a run knows nothing; they may name files.
        "search": {},
        "compare": {},
        "engine": _engine(recipe),
    }
    if _reads_data(recipe.acquire):
        changes["acquire.data"] = _take_data(found, recipe)
    if recipe.split.given:
        place = found.take(Path(recipe.split.given), f"{INPUTS}/given", "given", ("split",))
        changes["split.given"] = place
    changes |= _take_weights(found, recipe)
    found.recipe = changed(recipe, changes)
    return found


def _engine(recipe: Recipe) -> dict[str, Any]:
    """A job works on its own cores, whatever cluster the recipe names."""
    if recipe.engine.kind == "inline":
        return {"kind": "inline"}
    own = {stage: {"workers": needs_of(stage, recipe).cores} for stage in STAGES}
    # To divide is no work for many.
    del own["split"]
    return {"kind": "local", "stages": own}


def _reads_data(settings: AcquireSettings) -> bool:
    return settings.source != "simulated" or bool(settings.more and settings.data)


def _take_weights(found: Gathered, recipe: Recipe) -> dict[str, Any]:
    def taken(settings: Mapping[str, Any], number: int) -> str:
        weights = str(settings.get("weights", ""))
        if weights_digest(weights) == weights:
            return weights
        role = f"weights-{number}"
        return found.take(Path(weights), f"{INPUTS}/{role}", role, ("train",))

    settings = recipe.train.model_dump()
    others = [
        {**one, "weights": taken(one, number)} if "weights" in one else one
        for number, one in enumerate(settings["others"], 1)
    ]
    return {"train.weights": taken(settings, 0), "train.others": others}


def _take_data(found: Gathered, recipe: Recipe) -> str:
    """Take the data along; their path in the run folder."""
    settings, data, home = recipe.acquire, Job(recipe, Path()).data, f"{INPUTS}/data"
    stages = _readers(recipe, data)
    if data is None:
        if not settings.downloads:
            raise SourceError(
                f"the source {settings.source!r} has no data",
                do="name them with --data PATH or in acquire.data",
            )
        _take_downloads(found, settings, None, home, stages)
        alone = len(settings.downloads) == 1
        return f"{home}/{settings.downloads[0].name}" if alone else home
    if not data.exists() and not settings.downloads:
        raise SourceError(f"there is no {data}", do="check the path", path=str(data))
    paths = [*inputs(settings, data), *inputs_of_more(settings, data)]
    if data.is_file() and paths == [data] and data.name not in _fetched(settings):
        return found.take(data, home, "data", stages)
    base = data.parent if data.is_file() or data.name in _fetched(settings) else data
    _require_within(settings, data, paths)
    files = [pair for path in paths for pair in _files_of(path, base)]
    place = f"{home}/{base.name or 'all'}"
    named = [(f"{place}/{name}", file) for name, file in dict(files).items()]
    if named:
        found.packed.append(Packed("data.tar", named, stages))
    _take_downloads(found, settings, base, place, stages)
    return place if base == data else f"{place}/{data.name}"


def _fetched(settings: AcquireSettings) -> set[str]:
    return {item.name for item in settings.downloads}


def _readers(recipe: Recipe, data: Path | None) -> tuple[str, ...]:
    """Stages that read the data: those that look at images too, where these stay in the data."""
    if data is not None and is_archive(data) and not recipe.acquire.more:
        return ("acquire",)
    measured = ("evaluate",) if recipe.task == "inclination" else ()
    return ("acquire", "clean", "prepare", *measured)


def _take_downloads(
    found: Gathered,
    settings: AcquireSettings,
    folder: Path | None,
    place: str,
    stages: tuple[str, ...],
) -> None:
    for item in settings.downloads:
        there = folder / item.name if folder else None
        whole = there is not None and there.is_file() and file_digest(there) == item.sha256
        source = str(there.absolute()) if there is not None and whole else item.url
        name = re.sub(r"[^A-Za-z0-9._-]", "_", item.name)
        given = Given(f"data-{name}", source, item.sha256, f"{place}/{item.name}", stages)
        found.given.append(given)


def _files_of(path: Path, base: Path) -> list[tuple[str, Path]]:
    try:
        path.relative_to(base)
    except ValueError:
        raise SourceError(
            f"{path} does not lie in {base}",
            expected="a table and images within the folder of the data",
            do="put them there, or name the folder that holds both with --data",
        ) from None
    return files_below(path, base) if path.is_dir() else [(path.relative_to(base).as_posix(), path)]


def _require_within(settings: AcquireSettings, data: Path, paths: list[Path]) -> None:
    """Refuse a table whose images would not be taken along."""
    places = [absolute(path) for path in paths]
    for table, folder, column in _tables(settings, data):
        frame = read_labels(table, "") if table.exists() else None
        if frame is None or column not in frame.columns:
            # The stage itself tells of that better.
            continue
        for name in frame[column].cast(pl.String).drop_nulls().unique().to_list():
            given = Path(name.strip().replace("\\", "/"))
            file = absolute(folder / given)
            inside = any(file.is_relative_to(place) for place in places)
            if given.is_absolute() or not inside:
                raise SourceError(
                    f"{table.name} names the image {name}",
                    expected=f"a path relative to {folder} and within it, as that is taken along",
                    do="put the images there and name them so",
                    path=str(file),
                )


def _tables(settings: AcquireSettings, data: Path) -> Iterator[tuple[Path, Path, str]]:
    """Tables that name images, the folder that these lie in, and the column."""
    if settings.source == "table" and not is_archive(data):
        table, folder = (data, data.parent) if is_table(data) else (data / settings.table, data)
        yield table, folder / settings.images, settings.file_column
    for one in settings.more:
        folder = data / (one.folder or one.name)
        if one.source == "table" and folder.is_dir():
            yield folder / one.table, folder, one.file_column
