"""What the processes of one training tell each other: a part of each batch is each one's own.

Sums are over all of them and come out the same in each, bit for bit, so that all decide alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from morphoscope.errors import EngineError
from morphoscope.train.whole import WholeBatch

if TYPE_CHECKING:
    from morphoscope.train.meeting import Place

__all__ = ["ALONE", "Alone", "Joined", "Ring"]


class Ring(Protocol):
    """The processes of a training, seen from one of them."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0; the first alone reads and writes files."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def part(self, number: int) -> slice:
        """Which images of a batch are this one's."""

    def whole_batch(self, number: int) -> AbstractContextManager[object]:
        """Context in which norms and dropout see a batch of so many images as one."""

    def add(self, tensor: Tensor) -> None:
        """Add up a tensor over all, in place."""

    def add_gradients(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Add up the gradients, in place, and the loss."""

    def from_first(self, tensor: Tensor) -> None:
        """Take over the first one's tensor, in place."""

    def values_of_first(self, values: Any) -> Any:
        """JSON values of the first one."""

    def agree(self, save: bool, signal: int) -> tuple[bool, int]:
        """Whether to save, as the first says, and the signal to leave that any one heard, or 0."""

    def saved(self, where: Sequence[int]) -> None:
        """Tell who watches how far the checkpoint is."""


@dataclass(frozen=True)
class Alone:
    """One process, which has nobody to tell."""

    rank = 0
    size = 1

    def part(self, number: int) -> slice:
        return slice(number)

    def whole_batch(self, number: int) -> AbstractContextManager[object]:
        return nullcontext()

    def add(self, tensor: Tensor) -> None:
        pass

    def add_gradients(self, network: nn.Module, loss: Tensor) -> Tensor:
        return loss

    def from_first(self, tensor: Tensor) -> None:
        pass

    def values_of_first(self, values: Any) -> Any:
        return values

    def agree(self, save: bool, signal: int) -> tuple[bool, int]:
        return save, signal

    def saved(self, where: Sequence[int]) -> None:
        pass


ALONE = Alone()


@dataclass(frozen=True)
class Joined:
    """One of several processes, once torch.distributed has joined them."""

    place: Place
    rank: int
    size: int

    def part(self, number: int) -> slice:
        return slice(self.rank * number // self.size, (self.rank + 1) * number // self.size)

    def whole_batch(self, number: int) -> AbstractContextManager[object]:
        return WholeBatch(self.add, self._of_all, self.part(number), number)

    def add(self, tensor: Tensor) -> None:
        with self._others():
            dist.all_reduce(tensor)

    def add_gradients(self, network: nn.Module, loss: Tensor) -> Tensor:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        # One message: its layout, hence the order of the sums, is the same at every step.
        message = torch.cat([*(gradient.flatten() for gradient in gradients), loss.reshape(1)])
        self.add(message)
        sizes = [*(gradient.numel() for gradient in gradients), 1]
        *sums, total = torch.split(message, sizes)
        for gradient, part in zip(gradients, sums, strict=True):
            gradient.copy_(part.view(gradient.shape))
        return total.squeeze(0)

    def from_first(self, tensor: Tensor) -> None:
        with self._others():
            dist.broadcast(tensor, 0)

    def values_of_first(self, values: Any) -> Any:
        text = bytearray(json.dumps(values).encode())
        length = torch.tensor(len(text))
        self.from_first(length)
        content = bytearray(int(length))
        content[: len(text)] = text[: len(content)]
        self.from_first(torch.frombuffer(content, dtype=torch.uint8))
        return json.loads(content)

    def agree(self, save: bool, signal: int) -> tuple[bool, int]:
        first = self.rank == 0
        with self._others():
            asked = self.place.asked_to_leave() if first and not signal else 0
            # On the CPU also where the images are on a GPU, which need not be waited for so.
            votes = torch.tensor([save and first, signal or asked], dtype=torch.int64)
            dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes[0]), int(votes[1])

    def saved(self, where: Sequence[int]) -> None:
        with self._others():
            self.place.tell_saved(where)

    def _of_all(self, tensor: Tensor) -> Tensor:
        """The tensors of all, in order ``(size, …)``."""
        every = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._others():
            dist.all_gather(every, tensor)
        return torch.stack(every)

    @contextmanager
    def _others(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, EngineError):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise EngineError(
                f"process {self.rank + 1} of {self.size} of a training lost the others ({reason})",
                do="run the same command again; it goes on from the last checkpoint",
                rank=self.rank,
            ) from error
