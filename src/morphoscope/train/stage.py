"""The verb: train every member, then write the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from morphoscope.augment import describe
from morphoscope.catalog import atomic_path
from morphoscope.errors import RecipeError
from morphoscope.networks import Model, save_model
from morphoscope.progress import hushed
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train.interrupt import Interrupt
from morphoscope.train.launch import Launcher, LocalLauncher, launch, threads_each
from morphoscope.train.loop import Method, Watch
from morphoscope.train.members import Task, device_name, train_members
from morphoscope.train.memory import keep_memory
from morphoscope.train.plan import Plan
from morphoscope.train.state import State

__all__ = ["train"]


def train(
    settings: TrainSettings,
    augment: AugmentSettings,
    balance: BalanceSettings,
    *,
    store: Path,
    seed: int,
    out: Path,
    former: Path | None = None,
    watch: Watch | None = None,
    method: Method | None = None,
    launcher: Launcher | None = None,
) -> dict[str, Any]:
    """Train the networks of a model, one after the other.

    Writes ``members/<i>/checkpoint.safetensors``, ``history.json`` and ``model/`` below `out`.
    Called again after it was killed, it goes on from the last checkpoint and, on the same CPU with
    the same number of threads, ends with the same weights, bit for bit.

    Parameters
    ----------
    settings, augment, balance
        The recipe's sections.
    store
        Folder of the image store.
    seed
        Seed of every draw.
    out
        Folder to write into.
    former
        Folder of an earlier training. Its networks that these settings would train again, the same
        in all, are taken from there.
    watch
        Called with a member's history as it was found and after every epoch; what it raises ends
        the training, which can be taken up again.
    method
        Other steps and scores than those of the loop.
    launcher
        Where the processes run if ``train.processes`` is more than one; ``None``: on this machine.

    Returns
    -------
    dict
        ``networks`` (for each kind ``network``, ``members``, ``parameters`` of one member,
        ``weights``: ``name`` and ``sha256`` of those that it began with, or ``None``), ``members``
        (``network``, ``best_epoch``, ``epochs``,
        ``stopped``, ``seconds``, validation scores of the best epoch), ``balance``,
        ``augmentations``, ``device``, ``precision``, ``seconds``, ``data_path_share`` (share of
        the time that gathering and augmenting took).

    Raises
    ------
    RecipeError
        An augmentation would break a label, a network or class is unknown, the settings do not go
        with ``train.weights``, or several processes are asked for where only one can be.
    WeightsError
        The weights to begin with are absent, damaged, or of another network.
    MissingDependencyError
        The package of the weights is not installed.
    StoreError
        The store is absent, damaged, or has no train or validation split.
    TrainingError
        The loss is not a number, a class has no training image, or of several processes some were
        lost again and again.
    CheckpointError
        A checkpoint is damaged or of another training.
    """
    task = Task(
        settings=settings,
        augment=augment,
        balance=balance,
        store=store.absolute(),
        seed=seed,
        out=out.absolute(),
        former=former.absolute() if former else None,
    )
    keep_memory()
    threads = threads_each(settings.threads, settings.processes)
    with torch.random.fork_rng(devices=[]), _threads(threads), Interrupt() as interrupt:
        if settings.processes > 1:
            _refuse_alone(settings, watch, method)
            launch(task, launcher or LocalLauncher(), interrupt)
            # All members have ended; what follows finds them so.
            with hushed():
                kinds = train_members(task, interrupt)
        else:
            kinds = train_members(task, interrupt, watch=watch, method=method)
        device = device_name(kinds[-1][0])
    model = _assemble(kinds)
    states = [state for _, trained in kinds for state in trained]
    save_model(model, out / "model")
    with atomic_path(out / "history.json") as path:
        path.write_text(json.dumps([state.at.history for state in states], indent=1))
    members = [_member_summary(state) for state in states]
    return {
        "networks": [
            {key: group[key] for key in ("network", "members", "parameters", "weights")}
            for group in model.groups
        ],
        "members": members,
        "balance": _balance_summary(kinds[0][0], balance),
        "augmentations": describe(augment, kinds[0][0].store.classes),
        "device": device,
        "precision": states[0].at.precision,
        "seconds": round(sum(member["seconds"] for member in members), 1),
        "data_path_share": _data_path_share(states),
    }


def _refuse_alone(settings: TrainSettings, watch: Watch | None, method: Method | None) -> None:
    """Refuse what is for one process: somebody who watches it, or other steps."""
    if watch or method:
        raise RecipeError(
            f"train.processes is {settings.processes} in a search, whose trials are trained by "
            "one process each",
            do="set train.processes to 1; search.workers trains several at once",
        )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _assemble(kinds: list[tuple[Plan, list[State]]]) -> Model:
    plan = kinds[0][0]
    model = Model(
        {
            "classes": plan.store.classes,
            "channels": plan.store.images.shape[1],
            "size": plan.store.images.shape[-1],
            "orientations": plan.settings.orientations,
            "handed": [list(pair) for pair in plan.handed],
            "preparation": plan.store.settings.model_dump(),
            "groups": [_group(plan, len(states)) for plan, states in kinds],
        }
    )
    states = [state for _, trained in kinds for state in trained]
    for member, state in zip(model.members, states, strict=True):
        member.load_state_dict(state.best)
    return model.eval()


def _group(plan: Plan, members: int) -> dict[str, Any]:
    settings = plan.settings
    return {
        "network": settings.network,
        "width": settings.width,
        "dropout": settings.dropout,
        "activation": settings.activation,
        "stem": settings.stem,
        "shrink": settings.shrink,
        "weights": plan.start.origin if plan.start else None,
        "members": members,
        **({"angle": plan.lesson.head.angle} if plan.lesson.head.angle else {}),
        "mean": plan.mean.tolist(),
        "std": plan.std.tolist(),
    }


def _member_summary(state: State) -> dict[str, Any]:
    history = state.at.history
    best = history[state.at.best_epoch - 1]
    return {
        "network": state.identity["network"],
        "best_epoch": state.at.best_epoch,
        "epochs": len(history),
        "stopped": state.at.stopped,
        "seconds": round(sum(epoch["seconds"] for epoch in history), 1),
        **{name: value for name, value in best.items() if name.startswith("validation_")},
    }


def _balance_summary(plan: Plan, balance: BalanceSettings) -> dict[str, Any]:
    names = plan.store.classes
    return {
        "method": balance.method,
        "loss_weights": dict(zip(names, plan.lesson.loss_weights.tolist(), strict=True)),
        "images_per_epoch": dict(zip(names, plan.wanted.tolist(), strict=True)),
    }


def _data_path_share(states: list[State]) -> float:
    steps_s = sum(state.at.step_s for state in states)
    return round(sum(state.at.data_s for state in states) / steps_s, 4) if steps_s else 0.0
