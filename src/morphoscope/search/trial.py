"""One trial, in whatever process it runs: from settings to score, and again after a kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from morphoscope.errors import CheckpointError, StoreError
from morphoscope.networks.cost import NetworkCost, network_cost
from morphoscope.prepare import open_store
from morphoscope.progress import hushed
from morphoscope.provenance import settings_digest
from morphoscope.recipe import PrepareSettings, Recipe
from morphoscope.search.hypergradient import PREFIX, hypergradient_method
from morphoscope.search.space import Space
from morphoscope.search.storage import open_storage
from morphoscope.search.study import join_study, lower_is_better
from morphoscope.train import train
from morphoscope.train.loop import Method

__all__ = ["Task", "run_trial", "store_key"]

# A process that dies takes no blame with it: after so many deaths the trial is given up.
MOST_DEATHS = 3
EXACT = "float32"
# What a choice of settings, of a network or of its package can bring about.
FAULTS_OF_SETTINGS = (
    *(ArithmeticError, AttributeError, ImportError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True)
class Task:
    """What a process needs to run a trial.

    Attributes
    ----------
    folder
        Folder of the search.
    stores
        Image stores by `store_key`.
    number
        Of the trial.
    threads
        CPU threads it may take.
    session
        Word of this call of the search, whose processes count together.
    leader
        Process that leads the search.
    """

    recipe: Recipe
    folder: Path
    stores: Mapping[str, Path]
    number: int
    threads: int
    session: str
    leader: int

    @property
    def place(self) -> Path:
        """Folder of the trial, until it ends."""
        return self.folder / "trials" / str(self.number)


def store_key(settings: PrepareSettings) -> str:
    """Name of the images that are prepared so."""
    return settings_digest(settings.model_dump())


def run_trial(task: Task) -> FrozenTrial:
    """Run a trial to its end, from where its last process left it.

    What settings bring about, as a loss that is not a number or memory that does not suffice, ends
    the trial with its reason; it does not end the search.

    Raises
    ------
    StudyError
        The storage cannot be reached.
    StoreError, CheckpointError, DiskSpaceError
        No trial could go on.
    """
    _leave_with(task.leader)
    url = task.recipe.search.storage
    with hushed(), _alone(task.place), open_storage(task.folder, url) as storage:
        space = Space(task.recipe)
        study = join_study(space, storage, task.number)
        trial = _take(study, storage, task)
        if trial is not None:
            _run(space, study, trial, task)
        ended = study.get_trials(deepcopy=False)[task.number]
    shutil.rmtree(task.place, ignore_errors=True)
    return ended


def _take(study: Study, storage: BaseStorage, task: Task) -> Trial | None:
    """The trial as its last process left it; None if there is nothing left to do."""
    found = study.get_trials(deepcopy=False)[task.number]
    if found.state.is_finished():
        return None
    if found.state == TrialState.WAITING:
        storage.set_trial_state_values(found._trial_id, TrialState.RUNNING)
    trial = Trial(study, found._trial_id)
    session, deaths = trial.user_attrs.get("begun", ("", 0))
    deaths = deaths if session == task.session else 0
    if deaths == MOST_DEATHS:
        _fail(study, trial, f"its process died {MOST_DEATHS} times before an epoch was done")
        return None
    trial.set_user_attr("begun", (task.session, deaths + 1))
    return trial


def _run(space: Space, study: Study, trial: Trial, task: Task) -> None:
    try:
        variant = space.variant(space.suggest(trial))
        store = task.stores[store_key(variant.prepare)]
        cost = _cost(variant, store)
        trial.set_user_attr("parameters", cost.parameters)
        trial.set_user_attr("multiply_adds", cost.multiply_adds)
        watch = _Watch(trial, task.session, variant)
        train(
            variant.train.model_copy(update=_own_settings(task)),
            variant.augment,
            variant.balance,
            store=store,
            seed=variant.seed,
            out=task.place,
            watch=watch,
            method=_method(space),
        )
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (StoreError, CheckpointError, OSError):
        raise
    except FAULTS_OF_SETTINGS as error:
        _fail(study, trial, str(error) or type(error).__name__)
    else:
        both = [watch.best, float(cost.multiply_adds)]
        study.tell(trial, both[: len(study.directions)])


def _own_settings(task: Task) -> dict[str, Any]:
    own: dict[str, Any] = {"members": 1, "others": [], "processes": 1, "threads": task.threads}
    # Derivatives in bfloat16 are mostly rounding.
    exact = task.recipe.search.strategy == "hypergradient"
    return {**own, "precision": EXACT} if exact else own


def _method(space: Space) -> Method | None:
    if space.recipe.search.strategy != "hypergradient":
        return None
    return hypergradient_method(tuple(key.partition(".")[2] for key in space.spans))


def _fail(study: Study, trial: Trial, reason: str) -> None:
    trial.set_user_attr("reason", reason.strip().splitlines()[0])
    study.tell(trial, state=TrialState.FAIL)


def _cost(variant: Recipe, store: Path) -> NetworkCost:
    images = open_store(store)
    return network_cost(
        variant.train.network,
        classes=len(images.classes),
        channels=images.images.shape[1],
        size=images.images.shape[-1],
        width=variant.train.width,
        stem=variant.train.stem,
    )


class _Watch:
    """Hands every epoch's score to the study, and ends what is not worth going on with."""

    def __init__(self, trial: Trial, session: str, variant: Recipe) -> None:
        self.trial, self.session = trial, session
        self.epochs = variant.train.epochs
        self.name = f"validation_{variant.train.monitor}"
        self.choose = min if lower_is_better(variant.train) else max
        self.best = 0.0

    def __call__(self, history: list[dict[str, float]]) -> None:
        if not history:
            return
        scores = [epoch[self.name] for epoch in history]
        self.best = self.choose(scores)
        self.trial.set_user_attr("scores", scores)
        self.trial.set_user_attr("best_epoch", 1 + scores.index(self.best))
        self.trial.set_user_attr("seconds", round(sum(epoch["seconds"] for epoch in history), 3))
        self.trial.set_user_attr("begun", (self.session, 0))
        slopes = {
            f"train.{name.removeprefix(PREFIX)}": slope
            for name, slope in history[-1].items()
            if name.startswith(PREFIX)
        }
        if slopes:
            self.trial.set_user_attr("hypergradients", slopes)
        if len(self.trial.study.directions) == 1:
            self._report(scores)

    def _report(self, scores: list[float]) -> None:
        known = self.trial.storage.get_trial(self.trial._trial_id).intermediate_values
        for epoch in range(len(known) + 1, len(scores) + 1):
            self.trial.report(scores[epoch - 1], epoch)
            if epoch < self.epochs and self.trial.should_prune():
                raise optuna.TrialPruned


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until no process of a former search works on the trial."""
    lock = place.with_name(f".{place.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    lock.unlink(missing_ok=True)


def _leave_with(leader: int) -> None:
    """Let this process end when the one that leads it is gone, as after a SIGKILL."""

    def watch() -> None:
        while os.getppid() == leader:
            time.sleep(0.5)
        os._exit(1)

    watching = any(thread.name == "leader" for thread in threading.enumerate())
    if os.getppid() == leader and not watching:
        threading.Thread(target=watch, name="leader", daemon=True).start()
