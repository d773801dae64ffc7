"""The verb: prepare the images, run the trials, write what was found."""

from __future__ import annotations

import os
import shlex
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
from optuna.study import Study
from optuna.trial import FrozenTrial

from morphoscope.catalog import atomic_path
from morphoscope.engine import Engine, cores, open_engine
from morphoscope.errors import RecipeError, StudyError
from morphoscope.pipeline import opened, prepared
from morphoscope.progress import progress, say
from morphoscope.provenance import read_record, settings_digest
from morphoscope.recipe import Recipe, SearchSettings, changed
from morphoscope.recipe.written import write_recipe
from morphoscope.search.report import write_report
from morphoscope.search.space import Space, open_space
from morphoscope.search.storage import open_storage
from morphoscope.search.strategies import check_strategy
from morphoscope.search.study import (
    add_trials,
    lower_is_better,
    notice_code,
    open_study,
    settle_images,
)
from morphoscope.search.table import STATES, best_trial, pareto_front, trial_table, write_table
from morphoscope.search.trial import EXACT, Task, run_trial, store_key
from morphoscope.stages import STAGES, Job

__all__ = ["search"]

# Settings of which one decides whether others can be met.
CHECKED = (
    *("train.network", "train.width", "train.activation", "train.stem", "train.weights"),
    *("train.tuned", "train.shrink", "augment.", "balance.", "prepare.size", "prepare.channels"),
)


def search(recipe: Recipe, run: Path) -> dict[str, Any]:
    """Search the settings of a recipe by trials on its validation split.

    Runs acquire to prepare as needed, then trials until there are as many as asked for, and writes
    ``trials.parquet``, ``trials.csv``, ``best.toml`` and ``report.html`` into ``run/search``.
    Called again after it was stopped or killed, it takes up the trials that were cut off from
    their checkpoints, then does the rest.

    Parameters
    ----------
    recipe
        The experiment; its section ``search`` says what is chosen and how.
    run
        Run folder; made when absent.

    Returns
    -------
    dict
        ``trials`` (number of each state), ``best`` (row of the trial table), ``recipe`` (path of
        ``best.toml``), ``report`` (path), and for nsga2 ``front`` (numbers of the trials that no
        other beats in score without costing more).

    Raises
    ------
    RecipeError
        The space or the strategy is not valid.
    StudyError
        The trials are of another search, their storage is out of reach, or all have failed.
    """
    space = open_space(recipe)
    check_strategy(space)
    _require_workers(recipe)
    _check_fixed(space)
    with opened(recipe, run) as job:
        folder = run / "search"
        with open_storage(folder, recipe.search.storage) as storage:
            study = open_study(space, folder, storage)
            stores, images = _prepare(space, job)
            settle_images(study, images, folder)
            left = add_trials(space, study)
            if left:
                notice_code(study)
            try:
                _run_trials(space, study, left, job, stores)
            finally:
                table = trial_table(space, study)
                write_table(table, folder)
            return _conclude(space, study, table, folder)


def _require_workers(recipe: Recipe) -> None:
    if recipe.search.workers > 1 and recipe.engine.kind == "inline":
        raise RecipeError(
            f"search.workers is {recipe.search.workers} and engine.kind is inline, one process",
            do="set engine.kind to local",
        )


def _check_fixed(space: Space) -> None:
    """Refuse at once what no trial could meet, where no trial may choose it."""
    check = STAGES["train"].check
    if check and not any(key.startswith(CHECKED) for key in space.spans):
        check(space.recipe)


def _prepare(space: Space, job: Job) -> tuple[dict[str, Path], str]:
    """Image stores by the preparations that trials may choose, and the digest of all."""
    stores, digests = {}, []
    for variant in space.preparations():
        folder = prepared(job, variant).folder("prepare")
        stores[store_key(variant.prepare)] = folder
        record = read_record(folder)
        digests.append(record.outputs if record else {})
    if not job.working_engine().clustered:
        # Its workers would share the cores with the trials.
        job.working_engine().rest()
    return stores, settings_digest({"stores": digests})


def _run_trials(
    space: Space, study: Study, left: list[FrozenTrial], job: Job, stores: Mapping[str, Path]
) -> None:
    """Run the trials that are not finished, those that were cut off first."""
    folder = job.run / "search"
    everything = len(study.get_trials(deepcopy=False))
    if not left:
        say(f"search: finished, all {everything} trials are done")
        # What a kill left of a trial between its end and its clearing.
        shutil.rmtree(folder / "trials", ignore_errors=True)
        return
    settings = space.recipe.search
    session, workers = uuid.uuid4().hex, min(settings.workers, len(left))
    tasks = [
        Task(
            recipe=space.recipe,
            folder=folder.absolute(),
            stores={key: place.absolute() for key, place in stores.items()},
            number=trial.number,
            threads=space.recipe.train.threads or _threads(space.recipe, workers),
            session=session,
            leader=os.getpid(),
        )
        for trial in sorted(left, key=lambda one: (STATES[one.state] != "running", one.number))
    ]
    begun = sum(STATES[trial.state] == "running" for trial in left)
    say(
        f"search: {len(left)} of {everything} trials to do"
        f"{f', {begun} of them cut off before' if begun else ''}; {settings.strategy}, "
        f"{workers} at a time",
        style="bold",
    )
    done = everything - len(left)
    with (
        _engine_for(job, workers) as engine,
        progress("trials", everything, done=done) as advance,
    ):
        for _, ended in engine.map(run_trial, tasks):
            _tell(ended, settings)
            advance(1)


@contextmanager
def _engine_for(job: Job, workers: int) -> Iterator[Engine]:
    """Engine that runs so many trials at once: that of the job if it has other machines."""
    engine = job.working_engine()
    if engine.clustered:
        # What its workers have in memory stays there.
        engine.turn_to("search", workers)
        yield engine
        return
    settings = job.recipe.engine.at("search").model_copy(update={"workers": workers})
    with open_engine(settings, stage="search", folder=job.run) as own:
        yield own


def _threads(recipe: Recipe, workers: int) -> int:
    """CPU threads of a trial: those of its worker on a cluster, else its share of this machine."""
    if recipe.engine.clustered:
        return recipe.engine.at("search").cores or 1
    return max(1, cores() // workers)


def _tell(ended: FrozenTrial, settings: SearchSettings) -> None:
    found = ended.user_attrs
    scores, best = found.get("scores", []), found.get("best_epoch")
    said = f"score {scores[best - 1]:.4f} at epoch {best}" if best else ""
    said = found.get("reason", said)
    values = ", ".join(
        f"{key.partition('.')[2]} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in ended.params.items()
    )
    say(f"trial {ended.number} {STATES[ended.state]}: {said} ({values})")


def _conclude(space: Space, study: Study, table: pl.DataFrame, folder: Path) -> dict[str, Any]:
    recipe = space.recipe
    lowest = lower_is_better(recipe.train)
    best = best_trial(table, lowest=lowest)
    if best is None:
        _give_up(table, folder)
    # Of the trial, not of the table: a column has one type, and choices may have several.
    values = study.trials[best["number"]].params
    found = space.variant({key: values.get(key) for key in space.spans})
    with atomic_path(folder / "best.toml") as path:
        path.write_text(_best_recipe(found, best, len(table), folder))
    front = pareto_front(table, lowest=lowest) if recipe.search.strategy == "nsga2" else None
    write_report(space, study, table, best, front, folder / "report.html")
    summary = {
        "trials": dict(Counter(table["state"].to_list())),
        "best": best,
        "recipe": str(folder / "best.toml"),
        "report": str(folder / "report.html"),
    }
    return summary if front is None else {**summary, "front": front["number"].to_list()}


def _give_up(table: pl.DataFrame, folder: Path) -> NoReturn:
    reasons = Counter(table["reason"].drop_nulls().to_list())
    reason, times = reasons.most_common(1)[0] if reasons else ("none has ended", 0)
    raise StudyError(
        f"all {len(table)} trials failed, {times} of them thus: {reason}",
        do=f"mend what that says, then search into another --out; every trial is in "
        f"{folder / 'trials.csv'}",
        reasons=dict(reasons),
    )


def _best_recipe(found: Recipe, best: Mapping[str, Any], trials: int, folder: Path) -> str:
    plain = Recipe.model_fields
    if found.search.strategy == "hypergradient":
        found = changed(found, {"train.precision": EXACT})
    own = found.model_copy(
        update={
            "name": f"{found.name}-best",
            "search": plain["search"].default,
            "compare": plain["compare"].default,
        }
    )
    path = shlex.quote(str(folder / "best.toml"))
    return (
        f"# The best of {trials} trials by validation {found.train.monitor}: number "
        f"{best['number']}, {best['score']:.4f} at epoch {best['best_epoch']}.\n"
        f"# The test split had no part in it.\n#\n# Command:  morphoscope run {path}\n\n"
        f"{write_recipe(own)}"
    )
