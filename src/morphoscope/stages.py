"""The stages in order: what each reads, what it depends on, and how it is called."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import polars as pl

from morphoscope.engine import Engine
from morphoscope.engine.inline import InlineEngine
from morphoscope.engine.work import exclusive
from morphoscope.errors import StageError
from morphoscope.provenance import (
    content_digest,
    files_digest,
    settings_digest,
    with_digests,
)
from morphoscope.recipe import Recipe

__all__ = ["STAGES", "Job", "Stage"]


@dataclass(frozen=True)
class Job:
    """One recipe, its run folder and the engine that works for it.

    ``memory`` is a folder in memory for prepared images, absent where they are to be files.
    ``places`` names the folders of stages that lie elsewhere than in ``run/<stage>``, as those of
    a variant of the recipe that shares the rest with it. ``former`` is the last whole result of
    the stage at work, if it was made of the same inputs by the same code with other settings.
    """

    recipe: Recipe
    run: Path
    engine: Engine | None = None
    memory: Path | None = None
    places: Mapping[str, Path] = field(default_factory=dict)
    former: Path | None = None

    @property
    def data(self) -> Path | None:
        """Path of the data, if the recipe or ``--data`` names one."""
        return Path(self.recipe.acquire.data).expanduser() if self.recipe.acquire.data else None

    @cached_property
    def data_digest(self) -> str:
        """Digest of the content of the data; of what is expected where it is downloaded."""
        settings = self.recipe.acquire
        drawn = settings.source == "simulated"
        if drawn and not settings.more:
            return "none"
        from morphoscope.acquire import inputs, inputs_of_more

        files = [] if drawn else inputs(settings, self.data)
        found = content_digest([*files, *inputs_of_more(settings, self.data)])
        expected = [item.sha256 for item in settings.downloads]
        return settings_digest({"found": found, "expected": expected})

    @cached_property
    def images_digest(self) -> str:
        """Digest of the content of the image files that ``acquire`` listed outside of the run."""
        try:
            column = pl.read_parquet(self.catalogue("acquire"), columns=["file_loc"])["file_loc"]
        except (OSError, pl.exceptions.PolarsError):
            return "none"
        files = set(column.drop_nulls().str.split("::").list.first().to_list())
        own = f"{self.run.absolute()}{os.sep}"
        return files_digest(file for file in files if not file.startswith(own))

    def folder(self, stage: str) -> Path:
        """Folder of a stage."""
        return self.places.get(stage, self.run / stage)

    def catalogue(self, stage: str) -> Path:
        """Catalogue that a stage wrote."""
        return self.folder(stage) / "catalogue.parquet"

    def working_engine(self) -> Engine:
        """Return the engine; a job that only asks has none."""
        if self.engine is None:
            raise StageError("this job was opened without an engine")
        return self.engine


@dataclass(frozen=True)
class Stage:
    """One stage of the way.

    Attributes
    ----------
    name
        Its verb; also its folder, recipe section and command.
    needs
        Stages whose outputs it reads.
    modules
        Modules of this package whose code decides its result.
    settings
        The part of the recipe that it depends on, as JSON values.
    work
        Does the work and returns the summary.
    reads
        ``data``: what the recipe names; ``images``: the files that the catalogue points to.
    keeps
        Files that stay when the folder is cleared.
    check
        Refuses settings that cannot be met, before the first stage begins.
    """

    name: str
    needs: tuple[str, ...]
    modules: tuple[str, ...]
    settings: Callable[[Recipe], dict[str, Any]]
    work: Callable[[Job], dict[str, Any]]
    reads: Literal["", "data", "images"] = ""
    keeps: tuple[str, ...] = ()
    check: Callable[[Recipe], None] | None = None


def _sections(*names: str, seed: bool = False) -> Callable[[Recipe], dict[str, Any]]:
    def settings(recipe: Recipe) -> dict[str, Any]:
        values = recipe.model_dump(include=set(names))
        return {**values, "seed": recipe.seed} if seed else values

    return settings


def _acquire_settings(recipe: Recipe) -> dict[str, Any]:
    if recipe.acquire.source == "simulated":
        more = [one.model_dump() for one in recipe.acquire.more]
        drawn = {"source": "simulated", **_sections("simulate", seed=True)(recipe)}
        return {**drawn, "more": more} if more else drawn
    return _sections("acquire")(recipe)


def _split_settings(recipe: Recipe) -> dict[str, Any]:
    values = _sections("split", seed=True)(recipe)
    given = values["split"].pop("given")
    # By content: the same table in another place is the same split.
    return {**values, "given": content_digest([Path(given)]) if given else ""}


def _train_settings(recipe: Recipe) -> dict[str, Any]:
    values = _sections("train", "augment", "balance", seed=True)(recipe)
    # Who shares the work changes no result, and what two processes began one goes on with.
    del values["train"]["processes"]
    return with_digests(values)


def _acquire(job: Job) -> dict[str, Any]:
    out, engine = job.folder("acquire"), job.working_engine()
    if job.recipe.acquire.source == "simulated":
        from morphoscope.simulate import simulate

        summary = simulate(job.recipe.simulate, seed=job.recipe.seed, out=out, engine=engine)
    else:
        from morphoscope.acquire import acquire

        summary = acquire(job.recipe.acquire, data=job.data, out=out, engine=engine)
    from morphoscope.acquire import add_more

    return add_more(job.recipe.acquire, summary, data=job.data, out=out, engine=engine)


def _clean(job: Job) -> dict[str, Any]:
    from morphoscope.clean import clean

    return clean(
        job.recipe.clean,
        catalogue=job.catalogue("acquire"),
        out=job.folder("clean"),
        engine=job.working_engine(),
    )


def _split(job: Job) -> dict[str, Any]:
    from morphoscope.split import split

    return split(
        job.recipe.split,
        catalogue=job.catalogue("clean"),
        seed=job.recipe.seed,
        out=job.folder("split"),
    )


def _prepare(job: Job) -> dict[str, Any]:
    from morphoscope.prepare import prepare

    return prepare(
        job.recipe.prepare,
        catalogue=job.catalogue("split"),
        out=job.folder("prepare"),
        engine=job.working_engine(),
        memory=job.memory,
    )


def _in_one_piece(
    work: Callable[[Job], dict[str, Any]], together: Callable[[Recipe], int] = lambda _: 1
) -> Callable[[Job], dict[str, Any]]:
    """Do a stage that does not fan out here, or on one worker of a cluster.

    ``together`` says how many workers must be there, for the one to ask the others.
    """

    def done(job: Job) -> dict[str, Any]:
        engine = job.working_engine()
        if not engine.clustered:
            return work(job)
        alone = InlineEngine()
        former = None if job.former is None else job.former.absolute()
        there = replace(job, run=job.run.absolute(), engine=alone, former=former)
        ((_, summary),) = engine.map(
            functools.partial(_alone, work), [there], together=together(job.recipe)
        )
        return summary

    return done


def _alone(work: Callable[[Job], dict[str, Any]], job: Job) -> dict[str, Any]:
    """Do a stage on a worker, when no other one does it any more."""
    with exclusive(job.run / ".worker.lock"):
        return work(job)


def _workers_of_training(recipe: Recipe) -> int:
    """Among how many workers the processes of a training are shared."""
    own = recipe.engine.stages.get("train")
    if not recipe.engine.clustered or own is None or not own.workers:
        return 1
    return min(own.workers, recipe.train.processes)


def _train(job: Job) -> dict[str, Any]:
    from morphoscope.train import train
    from morphoscope.train.on_workers import WorkerLauncher

    recipe = job.recipe
    workers = _workers_of_training(recipe)
    # Idle workers would take some per cent of the cores.
    job.working_engine().rest()
    return train(
        recipe.train,
        recipe.augment,
        recipe.balance,
        store=job.folder("prepare"),
        seed=recipe.seed,
        out=job.folder("train"),
        former=job.former,
        launcher=WorkerLauncher(workers) if workers > 1 else None,
    )


def _check_train(recipe: Recipe) -> None:
    from morphoscope.prepare.pixels import channel_count
    from morphoscope.train.checks import check_settings

    check_settings(
        recipe.train,
        recipe.augment,
        recipe.balance,
        classes=[rule.name for rule in recipe.clean.classes],
        channels=channel_count(recipe.prepare),
        size=recipe.prepare.size,
    )


def _evaluate(job: Job) -> dict[str, Any]:
    if job.recipe.task == "inclination":
        from morphoscope.evaluate.angles import evaluate_angles

        return evaluate_angles(
            job.recipe, run=job.run, out=job.folder("evaluate"), engine=job.working_engine()
        )
    from morphoscope.evaluate import evaluate

    return evaluate(job.recipe, run=job.run, out=job.folder("evaluate"))


def _export(job: Job) -> dict[str, Any]:
    from morphoscope.bundle import export

    return export(job.recipe, run=job.run, out=job.folder("export"))


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "acquire",
            (),
            ("acquire", "simulate"),
            _acquire_settings,
            _acquire,
            reads="data",
            keeps=("downloads",),
        ),
        Stage("clean", ("acquire",), ("clean",), _sections("clean"), _clean, reads="images"),
        Stage(
            "split",
            ("clean",),
            ("split",),
            _split_settings,
            _split,
            keeps=("assignments.parquet",),
        ),
        Stage("prepare", ("split",), ("prepare",), _sections("prepare"), _prepare, reads="images"),
        Stage(
            "train",
            ("prepare",),
            ("train",),
            _train_settings,
            _in_one_piece(_train, _workers_of_training),
            check=_check_train,
        ),
        Stage(
            "evaluate",
            ("clean", "split", "prepare", "train"),
            ("evaluate",),
            _sections("name", "description", "evaluate", seed=True),
            _in_one_piece(_evaluate),
        ),
        Stage(
            "export",
            ("prepare", "train", "evaluate"),
            ("bundle",),
            _sections("name", "description", "export", seed=True),
            _in_one_piece(_export),
        ),
    )
}
