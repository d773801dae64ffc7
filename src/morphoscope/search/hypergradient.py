"""The gradient of the validation loss by settings of the optimizer, carried along the training.

Forward-mode hypergradients of Franceschi et al. 2017 (arXiv:1703.01785, section 3.2): a step of the
optimizer is a map s' = F(s, λ) of its state s (weights and moments), so that the derivative
Z = ds/dλ follows the training as Z' = (∂F/∂s) Z + ∂F/∂λ, with one Hessian-vector product a step and
setting, and the hypergradient at any time is ∇E(w) · Z, E the validation loss. It is exact, but for
the statistics of batch norms: E takes them from its own batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from morphoscope.errors import RecipeError
from morphoscope.search.space import Space
from morphoscope.train.balance import split_batches
from morphoscope.train.loop import Method, Pause, validate
from morphoscope.train.losses import weighted_cross_entropy
from morphoscope.train.plan import Plan
from morphoscope.train.state import State

__all__ = ["PREFIX", "SETTINGS", "check_hypergradient", "hypergradient_method"]

SETTINGS = ("learning_rate", "weight_decay", "momentum", "label_smoothing")
PREFIX = "hypergradient."
BETA2, EPSILON = 0.999, 1e-8
Rule = Callable[..., tuple[Tensor, ...]]
MOMENTS = {"sgd": ("momentum_buffer",), "adamw": ("exp_avg", "exp_avg_sq")}


def check_hypergradient(space: Space) -> None:
    """Refuse what no gradient is known for.

    Raises
    ------
    RecipeError
        The space has another setting than these, or the recipe goes another way than one training
        after the other, from random weights, in float32, without an average.
    """
    recipe = space.recipe
    if recipe.task != "classes":
        raise RecipeError(
            "hypergradient knows the loss of classes only, and the recipe measures inclinations",
            do="take another search.strategy",
        )
    known = [f"train.{name}" for name in SETTINGS]
    other = [key for key in space.spans if key not in known]
    if other:
        raise RecipeError(
            f"hypergradient knows no gradient by {', '.join(other)}", expected=", ".join(known)
        )
    for key, span in space.spans.items():
        if span.step is not None or (key == "train.weight_decay" and not span.low):
            raise RecipeError(
                f"hypergradient and search.space of {key} with step {span.step}, low {span.low}",
                expected="no step, and a weight decay above 0",
            )
    train = recipe.train
    wanted = {
        "train.optimizer": (train.optimizer, ("sgd", "adamw")),
        "train.average": (train.average, (0.0,)),
        "train.weights": (train.weights, ("",)),
        "train.precision": (train.precision, ("auto", "float32")),
        "search.workers": (recipe.search.workers, (1,)),
    }
    for key, (value, allowed) in wanted.items():
        if value not in allowed:
            raise RecipeError(
                f"hypergradient and {key} = {value!r}",
                expected=" or ".join(repr(one) for one in allowed),
                do="set it so, or take another search.strategy",
            )


def hypergradient_method(names: tuple[str, ...]) -> Method:
    """Steps that carry the derivatives by these settings along, and scores with hypergradients.

    The derivatives stand in the optimizer's state, so that a checkpoint holds them; scores of an
    epoch have ``hypergradient.<name>`` beside the validation's own.
    """

    def step(plan: Plan, state: State, images: Tensor, labels: Tensor) -> Tensor:
        return _step(plan, state, images, labels, names)

    def score(plan: Plan, state: State, pause: Pause) -> dict[str, float]:
        return validate(plan, state, pause) | _hypergradients(plan, state, names)

    return Method(step, score)


def _step(
    plan: Plan, state: State, images: Tensor, labels: Tensor, names: tuple[str, ...]
) -> Tensor:
    """One step of the optimizer, by its own formula, and of the derivatives of its state."""
    parameters = [p for p in state.network.parameters() if p.requires_grad]
    logits = state.network(images)
    smoothing = plan.settings.label_smoothing
    loss = weighted_cross_entropy(logits, labels, plan.lesson.loss_weights, smoothing)
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    turned = {}
    for name in names:
        tangents = [_tangent(state, p, name, "weight") for p in parameters]
        along = torch.stack([(g * z).sum() for g, z in zip(gradients, tangents, strict=True)]).sum()
        by_setting = 0.0 * loss
        if name == "label_smoothing":
            # The loss is linear in it.
            full, none = (
                weighted_cross_entropy(logits, labels, plan.lesson.loss_weights, share)
                for share in (1.0, 0.0)
            )
            by_setting = full - none
        turned[name] = torch.autograd.grad(along + by_setting, parameters, retain_graph=True)
    with torch.no_grad():
        for index, parameter in enumerate(parameters):
            changes = {name: turned[name][index] for name in names}
            _update(plan, state, parameter, gradients[index].detach(), changes)
    return loss.detach()


def _update(
    plan: Plan, state: State, parameter: nn.Parameter, gradient: Tensor, turned: dict[str, Tensor]
) -> None:
    settings, own = plan.settings, state.optimizer.state[parameter]
    group = _group(state, parameter)
    moments = MOMENTS[settings.optimizer]
    t = float(own.get("step", torch.tensor(0.0))) + 1
    rule: Rule = _sgd if settings.optimizer == "sgd" else partial(_adamw, t)
    place = parameter.device
    rates = torch.tensor([group["lr"], group["weight_decay"], settings.momentum], device=place)
    before = [parameter.detach(), *(own.get(name, torch.zeros_like(parameter)) for name in moments)]
    after: tuple[Tensor, ...] = rule(*before, gradient, *rates)
    for name, change in turned.items():
        # By how much this setting moves the rate, the decay and the momentum of this group.
        by = torch.zeros(3, device=place)
        if name == "learning_rate":
            by[0] = group["lr"] / settings.learning_rate
        elif name == "weight_decay":
            by[1] = group["weight_decay"] / settings.weight_decay
        elif name == "momentum":
            by[2] = 1.0
        tangents = [_tangent(state, parameter, name, part) for part in ("weight", *moments)]
        after, moved = _derive(rule, (*before, gradient, *rates), (*tangents, change, *by))
        for part, tangent in zip(("weight", *moments), moved, strict=True):
            own[_key(name, part)] = tangent.detach()
    parameter.copy_(after[0])
    own |= {name: tensor.detach() for name, tensor in zip(moments, after[1:], strict=True)}
    own["step"] = torch.tensor(t)


def _derive(rule: Rule, at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """The rule's result, and by how much it moves when what it takes moves along."""
    with warnings.catch_warnings():
        # At its first use torch compiles its rules of derivation in a way that it warns of itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.func.jvp(rule, at, along)  # type: ignore[return-value]


def _sgd(
    w: Tensor, m: Tensor, g: Tensor, rate: Tensor, decay: Tensor, momentum: Tensor
) -> tuple[Tensor, ...]:
    """Stochastic gradient descent with Nesterov's momentum, as torch steps."""
    g = g + decay * w
    m = momentum * m + g
    return w - rate * (g + momentum * m), m


def _adamw(
    t: float,
    w: Tensor,
    m: Tensor,
    v: Tensor,
    g: Tensor,
    rate: Tensor,
    decay: Tensor,
    momentum: Tensor,
) -> tuple[Tensor, ...]:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2), as torch steps; ``t`` counts from 1."""
    m = momentum * m + (1 - momentum) * g
    v = BETA2 * v + (1 - BETA2) * g * g
    larger = v / (1 - BETA2**t)
    # The root has no derivative at 0, where the moment that it divides is 0 too.
    root = torch.where(larger > 0, torch.where(larger > 0, larger, 1.0).sqrt(), 0.0)
    change = m / (1 - momentum**t) / (root + EPSILON)
    return w - rate * decay * w - rate * change, m, v


def _hypergradients(plan: Plan, state: State, names: tuple[str, ...]) -> dict[str, float]:
    """Derivative of the validation loss by each setting, where the training stands."""
    parameters = [p for p in state.network.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    with _own_statistics(state.network), torch.enable_grad():
        for rows in split_batches(plan.validation, plan.settings.batch_size):
            images, labels = plan.gather(rows)
            loss = cross_entropy(state.network(plan.normalise(images)), labels, reduction="sum")
            for place, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
                place += gradient / plan.validation.size
    return {
        f"{PREFIX}{name}": float(
            torch.stack(
                [
                    (gradient * _tangent(state, parameter, name, "weight")).sum()
                    for parameter, gradient in zip(parameters, total, strict=True)
                ]
            ).sum()
        )
        for name in names
    }


@contextmanager
def _own_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms take the statistics of the batch and keep theirs; nothing drops out."""
    network.eval()
    norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, number in kept:
            norm.eval()
            norm.momentum, norm.num_batches_tracked = momentum, number


def _tangent(state: State, parameter: nn.Parameter, name: str, part: str) -> Tensor:
    found: Tensor | None = state.optimizer.state[parameter].get(_key(name, part))
    return torch.zeros_like(parameter) if found is None else found


def _key(name: str, part: str) -> str:
    return f"tangent/{name}/{part}"


def _group(state: State, parameter: nn.Parameter) -> dict[str, float]:
    for group in state.optimizer.param_groups:
        if any(parameter is one for one in group["params"]):
            return group
    raise KeyError("the parameter is in no group")
