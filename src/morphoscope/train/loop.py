"""The training of one member, to be read top to bottom.

Every draw is decided by the seed, the member, the epoch and the step, so that a training that was
killed and taken up again ends as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoscope.augment import augment
from morphoscope.errors import TrainingError
from morphoscope.progress import progress, say
from morphoscope.train.balance import epoch_order, split_batches
from morphoscope.train.interrupt import Interrupt
from morphoscope.train.labels import classes_of, with_classes
from morphoscope.train.optimize import learning_rate, update_average
from morphoscope.train.plan import Plan, draw_seed
from morphoscope.train.scores import LOWER_IS_BETTER
from morphoscope.train.state import State, open_state, save_state
from morphoscope.train.tuning import train_mode

__all__ = ["Method", "Watch", "draw_batch", "take_step", "train_member", "validate"]

SETTLE_EVERY = 16
Watch = Callable[[list[dict[str, float]]], None]
Pause = Callable[[], None]


@dataclass(frozen=True)
class Method:
    """How a batch changes the weights, and what is scored after an epoch."""

    step: Callable[[Plan, State, Tensor, Tensor], Tensor]
    score: Callable[[Plan, State, Pause], dict[str, float]]


def train_member(
    plan: Plan,
    member: int,
    path: Path,
    interrupt: Interrupt,
    watch: Watch | None = None,
    method: Method | None = None,
) -> State:
    """Train one member, from its checkpoint if there is one, until it stops.

    ``watch`` is given the history as it was found and after every epoch, when the checkpoint is
    written; what it raises ends the training. ``method`` stands for `take_step` and `validate`.
    """
    method = method or Method(take_step, validate)
    state = open_state(plan, member, path)
    pause = _Pause(plan, state, interrupt)
    if watch:
        watch(state.at.history)
    while not state.at.stopped:
        train_epoch(plan, state, pause, method.step)
        scores = method.score(plan, state, pause)
        close_epoch(plan, state, scores)
        save(plan, state)
        if watch:
            watch(state.at.history)
    return state


def train_epoch(
    plan: Plan, state: State, pause: Pause, take: Callable[[Plan, State, Tensor, Tensor], Tensor]
) -> None:
    """Go through one epoch, from the step where the state stands."""
    settings, at = plan.settings, state.at
    generator = np.random.default_rng([plan.seed, state.member, at.epoch])
    order = epoch_order(plan.store.labels[plan.train], plan.wanted, generator)
    batches = split_batches(plan.train[order], settings.batch_size)
    done = sum(rows.size for rows in batches[: at.step])
    train_mode(state.network)

    with progress(f"epoch {at.epoch + 1}", order.size, done=done) as advance:
        for step in range(at.step, len(batches)):
            began = _now(plan, step)
            seed = draw_seed(plan.seed, state.member, at.epoch, step)
            images, labels = draw_batch(plan, batches[step], seed)
            ready = _now(plan, step)

            overall = at.epoch * len(batches) + step
            for group in state.optimizer.param_groups:
                rate = learning_rate(overall, settings.epochs * len(batches), settings)
                group["lr"] = rate * group["factor"]
            torch.manual_seed(seed)
            loss = take(plan, state, images, labels)
            if state.average is not None:
                update_average(state.average, state.network, settings.average, overall)

            at.step = step + 1
            state.pending.append(loss)
            if at.step % SETTLE_EVERY == 0 or at.step == len(batches):
                state.settle_losses()
            ended = _now(plan, step)
            at.data_s += ready - began
            at.step_s += ended - began
            advance(batches[step].size)
            pause()


def draw_batch(plan: Plan, rows: NDArray[np.int64], seed: int) -> tuple[Tensor, Tensor]:
    """Images of a batch, augmented and normalised ``(n, channel, y, x)``, and their labels.

    One of several processes gets its part of the images, and all labels. All augment all images,
    for an image's draws are those that it has in its batch.
    """
    images, labels = plan.gather(rows)
    generator = torch.Generator().manual_seed(seed)
    images, classes = augment(
        images, classes_of(labels), plan.augment, generator=generator, swap=plan.swap
    )
    return plan.normalise(images[plan.ring.part(len(rows))]), with_classes(labels, classes)


def take_step(plan: Plan, state: State, images: Tensor, labels: Tensor) -> Tensor:
    """Change the weights by one batch; its loss, still on the device."""
    with autocast(plan, state), plan.ring.whole_batch(len(labels)):
        outputs = state.network(images)
    loss = plan.lesson.loss(outputs, labels, plan.ring.part(len(labels)))
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    loss = plan.ring.add_gradients(state.network, loss.detach())
    state.optimizer.step()
    return loss


def autocast(plan: Plan, state: State) -> torch.autocast:
    """The arithmetic that this training began with, also where it was taken up elsewhere."""
    enabled = state.at.precision == "bfloat16"
    return torch.autocast(plan.device.type, torch.bfloat16, enabled=enabled)


@torch.inference_mode()
def validate(plan: Plan, state: State, pause: Callable[[], None]) -> dict[str, float]:
    """Loss, accuracy, macro-F1 and error of the angles, of the validation images as they are."""
    network, ring = state.answering.eval(), plan.ring
    batches = split_batches(np.arange(plan.validation.size), plan.settings.batch_size)
    outputs = torch.zeros(plan.validation.size, plan.lesson.head.outputs)
    for turn in range(0, len(batches), ring.size):
        # Several processes take turns by whole batches.
        for batch in batches[turn + ring.rank : turn + ring.rank + 1]:
            images, _ = plan.gather(plan.validation[batch])
            with autocast(plan, state):
                outputs[batch] = network(plan.normalise(images)).float().cpu()
        pause()
    ring.add(outputs)
    scores = plan.lesson.score(outputs, plan.lesson.labels(plan.store, plan.validation))
    agreed: dict[str, float] = ring.values_of_first(scores)
    return agreed


def close_epoch(plan: Plan, state: State, scores: dict[str, float]) -> None:
    """Write the epoch into the history, keep its weights if they are the best, decide to stop."""
    settings, at = plan.settings, state.at
    if not np.isfinite(scores["validation_loss"]):
        raise TrainingError(
            f"the validation loss is {scores['validation_loss']} after epoch {at.epoch + 1}",
            expected="a finite loss",
            do="lower train.learning_rate",
        )
    # Not as the optimizer has it, which knows none if it was taken up after the last step.
    last = (at.epoch + 1) * at.step - 1
    rate = learning_rate(last, settings.epochs * at.step, settings)
    sign = -1 if settings.monitor in LOWER_IS_BETTER else 1
    score = sign * scores[f"validation_{settings.monitor}"]
    better = at.best_score is None or score > at.best_score
    if better:
        at.best_score, at.best_epoch = score, at.epoch + 1
        state.best = {name: t.clone() for name, t in state.answering.state_dict().items()}
    at.history.append(
        {
            "epoch": at.epoch + 1,
            "train_loss": at.loss_sum / at.step,
            **scores,
            "learning_rate": rate,
            "seconds": round(at.seconds, 3),
        }
    )
    _tell(plan, state, better)
    at.epoch, at.step, at.loss_sum, at.seconds = at.epoch + 1, 0, 0.0, 0.0
    if at.epoch == settings.epochs:
        at.stopped = "epochs"
    elif settings.patience and at.epoch - at.best_epoch >= settings.patience:
        at.stopped = "patience"


def _tell(plan: Plan, state: State, better: bool) -> None:
    last = state.at.history[-1]
    member = f"member {state.member + 1} " if plan.settings.members > 1 else ""
    say(
        f"{member}epoch {last['epoch']:.0f}/{plan.settings.epochs}: "
        f"loss {last['train_loss']:.4f}; validation loss {last['validation_loss']:.4f}, "
        f"accuracy {last['validation_accuracy']:.4f}, {_error_told(last)}"
        f"macro-F1 {last['validation_macro_f1']:.4f}{' (best)' if better else ''}; "
        f"{last['seconds']:.1f} s"
    )


def _error_told(epoch: dict[str, float]) -> str:
    return f"error {epoch['validation_mae']:.2f}°, " if "validation_mae" in epoch else ""


def save(plan: Plan, state: State) -> None:
    """Write the checkpoint; the first of several processes does."""
    if plan.ring.rank == 0:
        save_state(state)
        plan.ring.saved((state.member, state.at.epoch, state.at.step))


class _Pause:
    """Called where the state is whole: keeps the time, saves when due, leaves when asked to."""

    def __init__(self, plan: Plan, state: State, interrupt: Interrupt) -> None:
        self.plan, self.state, self.interrupt = plan, state, interrupt
        self.last = self.saved = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        self.state.at.seconds += now - self.last
        due = now - self.saved >= self.plan.settings.checkpoint_s
        due, signal = self.plan.ring.agree(due, self.interrupt.heard())
        if due or signal:
            save(self.plan, self.state)
            self.saved = time.monotonic()
        if signal:
            say(f"stopped; the same command goes on from {self.state.path}")
            self.interrupt.received = signal
            self.interrupt.leave()
        self.last = time.monotonic()


def _now(plan: Plan, step: int) -> float:
    """The time; on a GPU, which must be waited for, only at every eighth step and else 0."""
    if plan.device.type == "cuda":
        if step % 8 != 3:
            return 0.0
        torch.cuda.synchronize()
    return time.perf_counter()
