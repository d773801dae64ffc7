"""Batch norms and dropout of a batch whose images are shared out among processes.

The norms take mean and spread over the images of all, and hand the gradient back through them
(Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1 and section 3), which torch's own
``SyncBatchNorm`` does on GPUs only. Dropout draws for the whole batch and each process takes its
part: it drops what one process would have dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm, dropout
from torch.overrides import TorchFunctionMode

__all__ = ["WholeBatch"]

Add = Callable[[Tensor], None]
OfAll = Callable[[Tensor], Tensor]


class WholeBatch(TorchFunctionMode):
    """Context in which a network sees its part of a batch as a part.

    It stands between the layers and torch's functions, so that the network, its weights' names and
    its checkpoints are those of one process.

    Parameters
    ----------
    add
        Adds up a tensor over all processes, in place.
    of_all
        Tensors of all processes ``(processes, …)``.
    part
        Which images of the batch these are.
    number
        Images of the whole batch.
    """

    def __init__(self, add: Add, of_all: OfAll, part: slice, number: int) -> None:
        super().__init__()
        self.add, self.of_all, self.part, self.number = add, of_all, part, number

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is batch_norm:
            return self._norm(*args, **(kwargs or {}))
        if func is dropout:
            return self._drop(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        if weight is None or bias is None:
            weight, bias = torch.ones(x.shape[1]).to(x), torch.zeros(x.shape[1]).to(x)
        out: Tensor
        out, mean, variance, count = _Norm.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, eps, self.add, self.of_all
        )
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean), momentum)
                running_var.lerp_((variance * (count / (count - 1))).to(running_var), momentum)
        return out

    def _drop(
        self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return x
        kept = dropout(x.new_ones((self.number, *x.shape[1:])), p)
        return x * kept[self.part]


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, add: Add, of_all: OfAll
    ) -> tuple[Tensor, ...]:
        mean, variance, count = _statistics(x, eps, of_all)
        near, spread = mean.to(weight), variance.to(weight)
        ctx.save_for_backward(x, weight, near, spread)
        ctx.eps, ctx.add, ctx.count = eps, add, count
        out = torch.batch_norm(x, weight, bias, near, spread, False, 0.0, eps, True)
        ctx.mark_non_differentiable(mean, variance, count)
        return out, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        scale = (variance + ctx.eps).rsqrt()
        # As if mean and spread were fixed; the gradient through them follows.
        along, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            out, x, weight, mean, variance, mean, scale, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([by_weight, by_bias]).double()
        ctx.add(sums)
        through_spread, through_mean = (sums / ctx.count).to(weight)
        slope = weight * scale.square() * through_spread
        constant = weight * scale * through_mean - slope * mean
        shape = (1, -1, *[1] * (x.ndim - 2))
        along -= torch.addcmul(constant.view(shape), x, slope.view(shape))
        return along, by_weight, by_bias, None, None, None


def _statistics(x: Tensor, eps: float, of_all: OfAll) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel over the images of all, and how many pixels those are."""
    # torch's own norm of this part, for its statistics: as fast as one pass gets on a CPU.
    _, mean, scale = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
    variance = scale.double().square().reciprocal() - eps
    pixels = torch.full((1,), x.numel() / x.shape[1], dtype=torch.float64, device=x.device)
    every = of_all(torch.cat([mean.double(), variance, pixels]))
    means, variances, counts = torch.split(every, [x.shape[1], x.shape[1], 1], 1)
    count = counts.sum()
    share = counts / count
    whole = (share * means).sum(0)
    return whole, (share * (variances + (means - whole).square())).sum(0).clamp(min=0), count
