"""The members of a model, trained one after the other; in each of several processes alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from morphoscope.prepare import open_store
from morphoscope.prepare.store import read_description
from morphoscope.progress import say
from morphoscope.recipe import AugmentSettings, BalanceSettings, TrainSettings
from morphoscope.train.interrupt import Interrupt
from morphoscope.train.loop import Method, Watch, train_member
from morphoscope.train.plan import Plan, make_plan
from morphoscope.train.ring import ALONE, Ring
from morphoscope.train.state import State, adopt

__all__ = ["Task", "device_name", "train_members"]


class Task(BaseModel):
    """What is to be trained, from what and where to; see `morphoscope.train.train`."""

    model_config = ConfigDict(frozen=True)

    settings: TrainSettings
    augment: AugmentSettings
    balance: BalanceSettings
    store: Path
    seed: int
    out: Path
    former: Path | None = None


def train_members(
    task: Task,
    interrupt: Interrupt,
    *,
    watch: Watch | None = None,
    method: Method | None = None,
    ring: Ring = ALONE,
) -> list[tuple[Plan, list[State]]]:
    """Train every member to its end, and give for each kind of network its plan and states."""
    images = open_store(task.store)
    digest = (read_description(task.store) or {}).get("sha256", "")
    kinds: list[tuple[Plan, list[State]]] = []
    for group in task.settings.groups:
        plan = make_plan(
            group,
            task.augment,
            task.balance,
            store=images,
            images_sha256=digest,
            seed=task.seed,
            ring=ring,
        )
        say(f"training {group.network} on {device_name(plan)}, {plan.precision}")
        first = sum(len(states) for _, states in kinds)
        trained = []
        for member in range(first, first + group.members):
            path = _place(task.out, member)
            if task.former and ring.rank == 0:
                adopt(plan, member, _place(task.former, member), path)
            trained.append(train_member(plan, member, path, interrupt, watch, method))
        # The next kind has the memory of a GPU for itself.
        kinds.append((replace(plan, resident=None), trained))
    return kinds


def device_name(plan: Plan) -> str:
    """Where a training runs, in words; ``2 × …`` of two processes."""
    threads = torch.get_num_threads()
    name = f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    if plan.device.type == "cuda":
        name = torch.cuda.get_device_name(plan.device)
    processes = plan.settings.processes
    return f"{processes} × {name}" if processes > 1 else name


def _place(out: Path, member: int) -> Path:
    return out / f"members/{member}/checkpoint.safetensors"
