"""What changes through the training of one member, and how it is kept and taken up again."""

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from morphoscope.catalog import atomic_path, discard
from morphoscope.errors import CheckpointError, TrainingError
from morphoscope.networks.registry import build_as
from morphoscope.progress import say
from morphoscope.train.checkpoint import read_checkpoint, write_checkpoint
from morphoscope.train.optimize import make_optimizer
from morphoscope.train.plan import Plan, draw_seed
from morphoscope.train.ring import Ring
from morphoscope.train.tuning import freeze

__all__ = ["Position", "State", "adopt", "open_state", "save_state"]


@dataclass
class Position:
    """Where a training stands; JSON values.

    ``epoch`` and ``step`` count from 0 and are those that come next. ``stopped`` says why the
    training ended, and is empty while it goes on. ``seconds`` is that of the epoch so far.
    """

    precision: str
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: float | None = None
    stopped: str = ""
    data_s: float = 0.0
    step_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class State:
    """The network of one member in training."""

    member: int
    path: Path
    identity: dict[str, Any]
    network: nn.Module
    optimizer: Optimizer
    average: nn.Module | None
    at: Position
    best: dict[str, Tensor] = field(default_factory=dict)
    pending: list[Tensor] = field(default_factory=list)

    @property
    def answering(self) -> nn.Module:
        """The network that is validated: the averaged one, if there is one."""
        return self.average or self.network

    def settle_losses(self) -> None:
        """Add up the losses that are still on the device.

        Raises
        ------
        TrainingError
            One of them is not a finite number.
        """
        losses = torch.stack(self.pending).tolist() if self.pending else []
        first = self.at.step - len(losses) + 1
        for step, loss in enumerate(losses, first):
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {step} of epoch {self.at.epoch + 1}, member "
                    f"{self.member + 1} (found between steps {first} and {self.at.step})",
                    expected="a finite loss",
                    do="lower train.learning_rate, lengthen train.warmup, or set train.precision "
                    "to 'float32'",
                    epoch=self.at.epoch + 1,
                    steps=(first, self.at.step),
                    step=step,
                )
            self.at.loss_sum += loss
        self.pending.clear()


def open_state(plan: Plan, member: int, path: Path) -> State:
    """Begin a member's training, or take it up where its checkpoint was written.

    Raises
    ------
    CheckpointError
        The checkpoint is damaged or of another training.
    """
    state = _begin(plan, member, path)
    if plan.ring.rank == 0:
        for leftover in path.parent.glob(f".{path.name}.*.partial"):
            discard(leftover)
        if path.exists():
            _restore(state)
    if plan.ring.size > 1:
        _take_over(plan.ring, state)
    return state


def adopt(plan: Plan, member: int, former: Path, path: Path) -> None:
    """Copy the checkpoint `former` of an earlier training to `path` if it is of this member."""
    if path.exists() or not former.exists():
        return
    try:
        read_checkpoint(former, identity=_identity(plan, member))
    except CheckpointError:
        return
    with atomic_path(path) as temporary:
        shutil.copyfile(former, temporary)
    say(f"member {member + 1} is taken from the former training")


def _identity(plan: Plan, member: int) -> dict[str, Any]:
    return {**plan.identity, "member": member}


def _begin(plan: Plan, member: int, path: Path) -> State:
    torch.manual_seed(draw_seed(plan.seed, member))
    network = build_as(
        plan.settings,
        classes=plan.lesson.head.outputs,
        channels=plan.store.images.shape[1],
        size=plan.store.images.shape[-1],
    )
    if plan.start is not None:
        plan.start.fill(network, member)
        freeze(network, plan.settings, plan.start.last)
    # Channels innermost: 1.04–1.3 times the images/s on the CPU in both precisions (one thread of
    # an AVX-512 EPYC, resnet18, resnet50 and alexnet at 64 and 128 pixels).
    network = network.to(plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return State(
        member=member,
        path=path,
        identity=_identity(plan, member),
        network=network,
        optimizer=make_optimizer(network, plan.settings),
        average=copy.deepcopy(network).requires_grad_(False) if plan.settings.average else None,
        at=Position(plan.precision),
    )


def save_state(state: State) -> None:
    """Write the checkpoint; of a training that ended only the best weights are kept."""
    state.settle_losses()
    tensors = _named("best", state.best)
    if not state.at.stopped:
        tensors |= _learnt(state)
    write_checkpoint(state.path, tensors, identity=state.identity, position=asdict(state.at))


def _learnt(state: State) -> dict[str, Tensor]:
    tensors = _named("network", state.network.state_dict())
    if state.average is not None:
        tensors |= _named("average", state.average.state_dict())
    for index, parameter in enumerate(state.network.parameters()):
        tensors |= _named(f"optimizer/{index}", state.optimizer.state[parameter])
    return tensors


def _learn(state: State, tensors: dict[str, Tensor]) -> None:
    state.network.load_state_dict(_under(tensors, "network"))
    if state.average is not None:
        state.average.load_state_dict(_under(tensors, "average"))
    for index, parameter in enumerate(state.network.parameters()):
        for name, tensor in _under(tensors, f"optimizer/{index}").items():
            state.optimizer.state[parameter][name] = _laid_out_as(parameter, tensor)


def _take_over(ring: Ring, state: State) -> None:
    """Let every process begin where the first does, which alone reads the checkpoint.

    Raises
    ------
    TrainingError
        This one has other images, settings or weights to begin with.
    """
    tensors = {name: t.cpu().contiguous() for name, t in _learnt(state).items()}
    forms = {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()}
    first = ring.values_of_first(
        {"identity": state.identity, "position": asdict(state.at), "forms": forms}
    )
    for name, value in json.loads(json.dumps(state.identity)).items():
        if first["identity"].get(name) != value:
            raise TrainingError(
                f"process {ring.rank + 1} of {ring.size} has another {name}: {value!r}",
                expected=f"that of the first, {first['identity'].get(name)!r}",
                do="let all read the same images and weights",
                differs=name,
            )
    state.at = Position(**first["position"])
    if state.at.stopped:
        return
    for name, (kind, shape) in first["forms"].items():
        if ring.rank:
            tensors[name] = torch.empty(shape, dtype=getattr(torch, kind.removeprefix("torch.")))
        ring.from_first(tensors[name])
    if ring.rank:
        _learn(state, tensors)


def _restore(state: State) -> None:
    tensors, values = read_checkpoint(state.path, identity=state.identity)
    try:
        state.at = Position(**values["position"])
        device = next(state.network.parameters()).device
        state.best = {name: t.to(device) for name, t in _under(tensors, "best").items()}
        if not state.at.stopped:
            _learn(state, tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint {state.path} does not fit this version ({error})",
            do="remove it and train again from the start",
        ) from error


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    # Fused optimizers walk parameter and moments alike in memory: the strides must agree.
    if tensor.shape != parameter.shape:
        return tensor.to(parameter.device)
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor)


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items() if tensor is not None}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {k.removeprefix(start): tensor for k, tensor in tensors.items() if k.startswith(start)}
