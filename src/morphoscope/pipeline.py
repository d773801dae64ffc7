"""Which stages have to run, and running them.

A run folder holds one folder a stage, each with the stage's record. A stage is skipped only if its
settings, the content of its inputs and the code it runs are those of its record, and its outputs
are still as it left them. A stage that was cut off with the same fingerprint goes on where it was.
With another one its folder is cleared first: a whole result is put aside until the new one is
whole, and comes back if what was asked for cannot be done at all. Of one that differs in its
settings alone a stage may take what those settings do not change.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from morphoscope.catalog import atomic_path
from morphoscope.engine import open_engine
from morphoscope.errors import (
    CatalogueError,
    LabelError,
    MissingDependencyError,
    MorphoscopeError,
    RecipeError,
    SourceError,
    SplitError,
    StageError,
    TrainingError,
    WeightsError,
)
from morphoscope.prepare.again import make_again
from morphoscope.prepare.in_memory import give_back
from morphoscope.progress import say
from morphoscope.provenance import (
    Fingerprint,
    StageRecord,
    read_record,
    settings_digest,
    versions,
    write_record,
)
from morphoscope.recipe import Recipe, named_paths
from morphoscope.source_code import code_digest
from morphoscope.stage_folders import clear, move, outputs, require_own
from morphoscope.stages import STAGES, Job, Stage

__all__ = [
    "StageStatus",
    "opened",
    "prepared",
    "read_run",
    "run_if_needed",
    "run_stage",
    "run_stages",
    "status",
]

RECIPE = "recipe.json"
# Errors that say that a stage cannot do what was asked, and not that it failed on the way.
IMPOSSIBLE = (
    RecipeError,
    SourceError,
    CatalogueError,
    LabelError,
    SplitError,
    TrainingError,
    WeightsError,
    MissingDependencyError,
)


@dataclass(frozen=True)
class StageStatus:
    """Whether a stage is up to date, and why not."""

    stage: str
    state: str
    why: str
    record: StageRecord | None


def run_stages(
    recipe: Recipe, run: Path, *, force: bool = False, first: str | None = None
) -> dict[str, StageRecord]:
    """Run every stage that is not up to date, in order.

    Parameters
    ----------
    recipe
        The experiment.
    run
        Run folder; made when absent.
    force
        Run every stage again.
    first
        Run this stage and all after it again.

    Raises
    ------
    StageError
        Another process works in the run folder.
    MorphoscopeError
        Settings cannot be met, which is said before the first stage begins; or a stage failed.
    """
    records = {}
    again = force
    with opened(recipe, run) as job:
        for stage in STAGES.values():
            if stage.check and _status(stage, job).state != "up to date":
                stage.check(recipe)
        for stage in STAGES.values():
            again = again or stage.name == first
            records[stage.name] = run_if_needed(stage, job, force=again)
    return records


def run_stage(recipe: Recipe, run: Path, name: str, *, force: bool = False) -> StageRecord:
    """Run one stage alone; the stages that it needs must be up to date."""
    stage = STAGES[name]
    with opened(recipe, run, alone=True) as job:
        for earlier in STAGES.values():
            if earlier.name == name:
                break
            found = _status(earlier, job)
            if found.state != "up to date":
                raise StageError(
                    f"{name} needs {earlier.name}, which is {found.state} ({found.why})",
                    do=f"run `morphoscope {earlier.name}` first, or `morphoscope run`",
                )
        return run_if_needed(stage, job, force=force)


def status(recipe: Recipe, run: Path) -> list[StageStatus]:
    """Say of every stage whether it is up to date, and why not."""
    found: list[StageStatus] = []
    job = Job(recipe, run)
    stale: str | None = None
    for stage in STAGES.values():
        one = _status(stage, job)
        if stale and one.state == "up to date":
            one = replace(one, state="waiting", why=f"{stale} comes before and is not up to date")
        elif one.state != "up to date":
            stale = stale or stage.name
        found.append(one)
    return found


def read_run(run: Path) -> Recipe:
    """Read the recipe of a run folder.

    Raises
    ------
    StageError
        The folder is not a run folder.
    """
    try:
        return Recipe.model_validate_json((run / RECIPE).read_text())
    except (OSError, ValueError) as error:
        raise StageError(
            f"{run} holds no readable {RECIPE}",
            expected="a run folder, as runs/simulated",
            do="name the folder that `morphoscope run` printed",
        ) from error


@contextmanager
def opened(recipe: Recipe, run: Path, *, alone: bool = False) -> Iterator[Job]:
    """Open a run folder, for this process alone, with the engine of the recipe.

    Parameters
    ----------
    recipe
        The experiment.
    run
        Run folder; made when absent.
    alone
        Whether one stage alone is to run: what it makes then lies in files, whatever the recipe
        says of hand-over in memory.
    """
    data = Job(recipe, run).data
    _require_apart(run, data)
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / ".lock").open("w")
    except OSError as error:
        raise StageError(f"{run} cannot be written ({error})", do="name another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StageError(
                f"another process works in {run}", do="wait for it, or name another --out"
            ) from error
        with atomic_path(run / RECIPE) as path:
            path.write_text(recipe.model_dump_json(indent=1))
        watched = [run / RECIPE, *([data] if data is not None else [])]
        seen = named_paths(recipe)
        with open_engine(recipe.engine, folder=run, watched=watched, seen=seen) as engine:
            in_memory = recipe.engine.hand_over == "memory" and not alone
            memory = Path(recipe.engine.memory_folder) if in_memory else None
            try:
                yield Job(recipe, run, engine, memory)
            finally:
                for store in (run / "prepare", *run.glob("stores/*")):
                    give_back(store)


def prepared(job: Job, variant: Recipe) -> Job:
    """Prepare the images of a variant of a job's recipe, in its run folder.

    Galaxies, classes and splits are those of the job; where ``prepare`` differs the images lie in
    ``stores/<digest of the settings>``.

    Raises
    ------
    RecipeError
        The variant has other galaxies, classes or splits.
    """
    for section in ("acquire", "simulate", "clean", "split", "seed"):
        if getattr(variant, section) != getattr(job.recipe, section):
            raise RecipeError(
                f"the variant has another {section}",
                expected="the same galaxies, classes and splits",
                do="leave that section alone, or use a recipe of its own",
            )
    places = {}
    if variant.prepare != job.recipe.prepare:
        digest = settings_digest(variant.prepare.model_dump())[:12]
        places["prepare"] = job.run / "stores" / digest
    own = replace(job, recipe=variant, places=places)
    for name in ("acquire", "clean", "split", "prepare"):
        run_if_needed(STAGES[name], own)
    return own


def _require_apart(run: Path, data: Path | None) -> None:
    """The data must not change by what a run writes."""
    if data is not None and run.resolve().is_relative_to(data.resolve()):
        raise StageError(
            f"the run folder {run} lies in the data folder {data}",
            do="name an --out that is elsewhere",
        )


def run_if_needed(stage: Stage, job: Job, *, force: bool = False) -> StageRecord:
    """Run a stage of an open run if it is not up to date; its record."""
    folder = job.folder(stage.name)
    former = folder.with_name(f".{folder.name}.former")
    if not former.exists():
        require_own(folder, stage.keeps)
    fingerprint = _fingerprint(stage, job)
    if not force and _is_whole(former, fingerprint):
        _bring_back(former, folder, stage.keeps)
    found = _status(stage, job)
    # What was asked for anew and cut off is still asked for anew.
    cut = found.record if found.state == "cut off" else None
    anew = force or (cut is not None and bool(cut.summary.get("anew")))
    if found.state == "up to date" and found.record is not None and not force:
        say(f"{stage.name}: up to date", style="dim")
        return found.record
    say(f"{stage.name}: {'asked for again' if force else found.why}", style="bold")
    if force or found.state != "cut off":
        if found.record is not None and found.record.state == "done":
            # One without its record is this very result, half moved when a kill came.
            if read_record(former) is not None:
                shutil.rmtree(former, ignore_errors=True)
            move(folder, former, stage.keeps)
        clear(folder, stage.keeps)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    begun = StageRecord(
        stage.name, "running", fingerprint, started, summary={"anew": anew}, versions=versions()
    )
    write_record(folder, begun)
    clock = time.monotonic()
    _turn(job, stage)
    try:
        summary = stage.work(replace(job, former=None if anew else _usable(former, fingerprint)))
    except IMPOSSIBLE:
        if former.exists():
            _bring_back(former, folder, stage.keeps)
        raise
    for warning in summary.get("warnings", ()):
        say(f"WARNING: {warning}", style="bold red")
    done = replace(
        begun,
        state="done",
        seconds=round(time.monotonic() - clock, 3),
        outputs=outputs(folder),
        summary=json.loads(json.dumps(summary)),
    )
    write_record(folder, done)
    shutil.rmtree(former, ignore_errors=True)
    say(f"{stage.name}: done in {done.seconds:,.1f} s")
    return done


def _turn(job: Job, stage: Stage) -> None:
    """Have the engine work for a stage, and a training find its images in memory."""
    if job.engine is None:
        # Nothing fans out.
        return
    if stage.name == "train":
        make_again(job.folder("prepare"), job.engine)
    job.engine.turn_to(stage.name)


def _is_whole(former: Path, fingerprint: Fingerprint) -> bool:
    record = read_record(former)
    return (
        record is not None
        and record.fingerprint == fingerprint
        and record.outputs == outputs(former)
    )


def _usable(former: Path, fingerprint: Fingerprint) -> Path | None:
    """Return the former result if only settings were others when it was made."""
    record = read_record(former)
    if record is None or replace(record.fingerprint, settings=fingerprint.settings) != fingerprint:
        return None
    return former


def _bring_back(former: Path, folder: Path, keeps: tuple[str, ...]) -> None:
    clear(folder, keeps)
    move(former, folder)
    former.rmdir()


def _status(stage: Stage, job: Job) -> StageStatus:
    folder = job.folder(stage.name)
    record = read_record(folder)
    if record is None:
        return StageStatus(stage.name, "not run", "it has not run", None)
    try:
        differences = record.fingerprint.differences(_fingerprint(stage, job))
    except MorphoscopeError as error:
        return StageStatus(stage.name, "out of date", str(error), record)
    if differences:
        return StageStatus(stage.name, "out of date", ", ".join(differences), record)
    if record.state != "done":
        return StageStatus(stage.name, "cut off", "it was cut off and can go on", record)
    if record.outputs != outputs(folder):
        return StageStatus(stage.name, "out of date", "its outputs were changed or lost", record)
    return StageStatus(stage.name, "up to date", "", record)


def _fingerprint(stage: Stage, job: Job) -> Fingerprint:
    inputs = {}
    for need in stage.needs:
        record = read_record(job.folder(need))
        inputs[need] = settings_digest(record.outputs if record else {})
    if stage.reads:
        inputs["data"] = job.data_digest if stage.reads == "data" else job.images_digest
    return Fingerprint(
        settings=settings_digest(stage.settings(job.recipe)),
        inputs=inputs,
        code=code_digest(stage.modules),
    )
