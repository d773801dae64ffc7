"""The study of a search: which one it is, its trials, and taking it up again."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from morphoscope.catalog import atomic_path
from morphoscope.errors import StudyError
from morphoscope.progress import say
from morphoscope.provenance import weights_digest
from morphoscope.recipe import Recipe, TrainSettings
from morphoscope.search.space import KEPT, Space
from morphoscope.search.strategies import make_pruner, make_sampler, stopping_of
from morphoscope.source_code import code_digest
from morphoscope.train.scores import LOWER_IS_BETTER

__all__ = [
    "add_trials",
    "join_study",
    "longest",
    "lower_is_better",
    "notice_code",
    "open_study",
    "settle_images",
]

MINIMIZE, MAXIMIZE = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
IDENTITY, OWNER = "identity", "owner"
WEIGHTS = "train.weights"


def lower_is_better(settings: TrainSettings) -> bool:
    """Whether the score that is watched is a loss."""
    return settings.monitor in LOWER_IS_BETTER


def longest(space: Space) -> int:
    """Most epochs that any trial may have."""
    span = space.spans.get("train.epochs")
    if span is None:
        return space.recipe.train.epochs
    highest: list[Any] = [*span.choices] or [span.high]
    return int(max(highest))


def open_study(space: Space, folder: Path, storage: BaseStorage) -> Study:
    """Begin the study of a search, or take it up.

    Parameters
    ----------
    space
        What is searched.
    folder
        Folder of the search.
    storage
        Where the trials are.

    Raises
    ------
    StudyError
        The storage holds a study of this name with another space or other settings, or one that
        belongs to another run folder.
    """
    recipe = space.recipe
    _require_own(recipe, folder, storage)
    directions = [MINIMIZE if lower_is_better(recipe.train) else MAXIMIZE]
    if recipe.search.strategy == "nsga2":
        directions.append(MINIMIZE)
    try:
        study = optuna.load_study(study_name=recipe.name, storage=storage)
    except KeyError:
        study = optuna.create_study(study_name=recipe.name, storage=storage, directions=directions)
    owner, identity = _owner(folder), _identity(recipe)
    found = study.user_attrs
    if found.get(OWNER, owner) != owner:
        raise StudyError(
            f"the study {recipe.name!r} of that database belongs to another run folder "
            f"({found.get('folder')})",
            do="use that folder, or give the recipe another name",
        )
    if IDENTITY in found:
        _require_same(found[IDENTITY], identity, folder)
        return study
    study.set_user_attr(OWNER, owner)
    study.set_user_attr("folder", str(folder.absolute()))
    study.set_user_attr(IDENTITY, identity)
    return study


def settle_images(study: Study, images: str, folder: Path) -> None:
    """Keep the digest of the images that the trials train on.

    Raises
    ------
    StudyError
        Its trials trained on others.
    """
    found = study.user_attrs.get("images", images)
    _require_same({"images": found}, {"images": images}, folder)
    if "images" not in study.user_attrs:
        study.set_user_attr("images", images)


def notice_code(study: Study) -> None:
    """Keep the digest of the code that trains, and warn where trials were trained by another."""
    code = code_digest(["train"])
    if "code" not in study.user_attrs:
        study.set_user_attr("code", code)
    elif study.user_attrs["code"] != code:
        say(
            "WARNING: the trials so far were trained by other code than that of now, and their "
            "scores may differ from what it would give; to begin anew, name another --out",
            style="bold red",
        )


def join_study(space: Space, storage: BaseStorage, number: int) -> Study:
    """The study, for the process that runs one trial."""
    return optuna.load_study(
        study_name=space.recipe.name,
        storage=storage,
        sampler=make_sampler(space, number),
        pruner=make_pruner(space.recipe.search, longest(space)),
    )


def add_trials(space: Space, study: Study) -> list[FrozenTrial]:
    """Have as many trials as asked for, and return those that are not finished.

    A trial has its number before it begins, so that what is cut off can be told from what is not
    begun; of a grid it has its values too.
    """
    settings = space.recipe.search
    there = study.get_trials(deepcopy=False)
    grid = space.grid() if settings.strategy == "grid" else []
    np.random.default_rng(space.recipe.seed).shuffle(grid)
    wanted = len(grid) if grid else settings.trials
    for number in range(len(there), wanted):
        if grid:
            study.enqueue_trial(grid[number])
        else:
            study.add_trial(create_trial(state=TrialState.WAITING))
    # What was begun is done even where fewer are asked for than before.
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.RUNNING
        or (trial.state == TrialState.WAITING and trial.number < wanted)
    ]


def _owner(folder: Path) -> str:
    """A word of this run folder's own, so that two folders never share a database's study."""
    path = folder / OWNER
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(uuid.uuid4().hex)
    return path.read_text()


def _require_own(recipe: Recipe, folder: Path, storage: BaseStorage) -> None:
    """Refuse a folder whose journal holds another study; a database may hold many."""
    names = optuna.get_all_study_names(storage)
    if recipe.search.storage or not names or recipe.name in names:
        return
    raise StudyError(
        f"the trials of {folder} are of another search: their recipe is {names[0]!r}",
        expected=repr(recipe.name),
        do="name another --out, or remove that folder",
    )


def _identity(recipe: Recipe) -> dict[str, Any]:
    """All that decides what trial number n is, in JSON's types."""
    search = recipe.search
    sections = recipe.model_dump(include={"train", "augment", "balance", "prepare"})
    settings = {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
        if f"{section}.{key}" not in KEPT.keys() - {"train.monitor"}
        # Hypergradients begin at the recipe's own values.
        and (f"{section}.{key}" not in search.space or search.strategy == "hypergradient")
    }
    spans = {k: s.model_dump(exclude_defaults=True) for k, s in search.space.items()}
    if WEIGHTS in settings:
        settings[WEIGHTS] = weights_digest(settings[WEIGHTS])
    if WEIGHTS in spans:
        spans[WEIGHTS]["choices"] = [weights_digest(one) for one in spans[WEIGHTS]["choices"]]
    identity = {
        "search.strategy": search.strategy,
        "search.space": spans,
        "search.stopping": stopping_of(search),
        "search.startup": search.startup,
        "seed": recipe.seed,
        **settings,
    }
    loaded: dict[str, Any] = json.loads(json.dumps(identity))
    return loaded


def _require_same(found: dict[str, Any], expected: dict[str, Any], folder: Path) -> None:
    # A setting that only one side knows came with another version of this program.
    for name in [one for one in expected if one in found]:
        if found[name] != expected[name]:
            raise StudyError(
                f"the trials of {folder} are of another search: their {name} is "
                f"{json.dumps(found[name])}",
                expected=json.dumps(expected[name]),
                do="search with the former settings, name another --out, or remove that folder",
                differs=name,
            )
