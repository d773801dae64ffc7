"""One job: a stage in a folder of its own, from files that were brought to files that go."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from morphoscope.errors import ArchiveError, RecipeError, SourceError, StageError
from morphoscope.pipeline import opened, run_if_needed
from morphoscope.progress import say
from morphoscope.provenance import (
    RECORD,
    StageRecord,
    file_digest,
    read_record,
    settings_digest,
)
from morphoscope.recipe import Recipe
from morphoscope.source_code import code_digest
from morphoscope.stages import STAGES
from morphoscope.workflow.archive import files_below, pack, unpack_checked
from morphoscope.workflow.keeping import kept, restore
from morphoscope.workflow.portable import make_local, make_portable

__all__ = ["run_step"]


def run_step(
    stage: str,
    recipe_file: Path,
    *,
    archives: Sequence[Path],
    files: Mapping[str, Path],
    out: Path,
    checkpoint: Path | None = None,
) -> StageRecord:
    """Run one stage from archives of the stages before it.

    The stage works in ``<stage>.work`` in the working directory, which is removed when its archive
    is written; one that a killed job left there is gone on with.

    Parameters
    ----------
    stage
        Name of the stage.
    recipe_file
        Recipe as JSON; its paths are relative to the run folder.
    archives
        Archives of stages and of inputs.
    files
        Place in the run folder → file that is to be found there.
    out
        Archive to write.
    checkpoint
        Archive to go on from, if it is there, and that follows the stage while it runs.

    Returns
    -------
    StageRecord
        The record in the archive.

    Raises
    ------
    RecipeError
        The recipe is unreadable.
    SourceError
        A file is absent.
    ArchiveError
        An archive is damaged, changed, unsafe, or of another recipe or run.
    StageError
        A stage before it is not among the archives, or was made by another version.
    """
    recipe = _read_recipe(recipe_file)
    digest = file_digest(recipe_file)
    run = Path(f"{stage}.work").absolute()
    archives = [path.absolute() for path in archives]
    out, checkpoint = out.absolute(), checkpoint.absolute() if checkpoint else None
    _clear(run, stage)
    for archive in archives:
        unpack_checked(archive, run, recipe=digest)
    _place(files, run)
    _require_needs(stage, run)
    for name in STAGES:
        if name != stage and (run / name).is_dir():
            make_local(run / name, run)
    with contextlib.ExitStack() as stack:
        if checkpoint:
            restore(checkpoint, run, stage, recipe=digest)
            stack.enter_context(kept(run / stage, checkpoint, run=run, recipe=digest))
        # Paths in the recipe are relative to the run folder: the same settings everywhere.
        stack.enter_context(contextlib.chdir(run))
        with opened(recipe, Path(), alone=True) as job:
            run_if_needed(STAGES[stage], job)
    record = make_portable(run / stage, run)
    pack(out, _members(run, stage), holds=stage, recipe=digest)
    shutil.rmtree(run)
    say(f"{stage}: packed into {out.name} ({out.stat().st_size:,} bytes)")
    return record


def _read_recipe(path: Path) -> Recipe:
    try:
        return Recipe.model_validate_json(path.read_text())
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{path} is not a readable recipe ({error})",
            expected="the recipe.json that export-workflow wrote",
            do="check that it is among the files of the job",
        ) from error


def _clear(run: Path, stage: str) -> None:
    """Keep nothing of an earlier job but a stage that it was cut off in."""
    run.mkdir(exist_ok=True)
    record = read_record(run / stage)
    keep = record is not None and record.state == "running"
    for entry in list(run.iterdir()):
        if keep and entry.name == stage:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _place(files: Mapping[str, Path], run: Path) -> None:
    for place, file in files.items():
        parts = PurePosixPath(place).parts
        if not parts or PurePosixPath(place).is_absolute() or ".." in parts:
            raise SourceError(
                f"the place {place!r} of {file} is not within the run folder",
                expected="a path as inputs/data/galaxies.h5",
            )
        if not file.is_file():
            raise SourceError(f"there is no file {file}", do="check that it was staged in")
        target = run / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise ArchiveError(f"an archive holds {place} too", do=f"leave {file} out")
        target.symlink_to(file.absolute())


def _require_needs(stage: str, run: Path) -> None:
    """Refuse what a run would do again: other code, or inputs that are not those of this run."""
    for need in STAGES[stage].needs:
        if read_record(run / need) is None:
            raise StageError(
                f"{stage} needs {need}, which none of its archives tells of",
                do=f"give it the archive of {need}, or one of a stage after it",
            )
    for name, one in STAGES.items():
        record = read_record(run / name)
        if record is None or name == stage:
            continue
        if record.fingerprint.code != code_digest(one.modules):
            raise StageError(
                f"{name} was made by another version of morphoscope",
                expected="one version for all jobs of a workflow",
                do="install the same one on every machine, or use a container, and run it again",
            )
        for need in one.needs:
            earlier = read_record(run / need)
            told = record.fingerprint.inputs.get(need)
            if earlier is not None and told != settings_digest(earlier.outputs):
                raise StageError(
                    f"{name} was not made from the {need} that is here",
                    expected="archives of one run of the workflow",
                    do=f"run {name} again",
                )


def _members(run: Path, stage: str) -> list[tuple[str, Path]]:
    """Files of the stage, and the records of those before it, which reports tell of."""
    members = files_below(run / stage, run)
    for name in STAGES:
        if name == stage:
            break
        if read_record(run / name):
            members.append((f"{name}/{RECORD}", run / name / RECORD))
    return members
