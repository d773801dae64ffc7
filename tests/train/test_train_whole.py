"""Norms, dropout and losses of a batch in parts are those of the whole batch."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from morphoscope.networks import build
from morphoscope.networks.heads import Head
from morphoscope.train.labels import Lesson
from morphoscope.train.whole import WholeBatch

IMAGES = 11


def parts(number: int, size: int) -> list[slice]:
    return [slice(r * number // size, (r + 1) * number // size) for r in range(size)]


class Together:
    """Processes as threads: sums through a list that all wait for."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier = size, threading.Barrier(size)
        self.box: list[Tensor] = [torch.empty(0)] * size

    def of_all(self, rank: int, tensor: Tensor) -> Tensor:
        self.barrier.wait(60)
        self.box[rank] = tensor.clone()
        self.barrier.wait(60)
        return torch.stack(self.box)

    def add(self, rank: int, tensor: Tensor) -> None:
        tensor.copy_(self.of_all(rank, tensor).sum(0))

    def run(self, work: Callable[[int], None]) -> None:
        failed: list[BaseException] = []

        def guarded(rank: int) -> None:
            try:
                work(rank)
            except BaseException as error:
                failed.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=guarded, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]


def gradients(network: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def buffers(network: nn.Module) -> Tensor:
    return torch.cat([b.flatten().double() for b in network.buffers()])


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet10", 2), ("efficientnet_lite0", 2), ("densenet121", 2), ("d4resnet10", 3)],
)
def test_a_batch_in_parts_has_the_gradients_of_the_whole(name: str, size: int) -> None:
    def make() -> nn.Module:
        torch.manual_seed(3)
        network = build(name, classes=3, channels=3, width=0.25, size=32).double().train()
        return network.to(memory_format=torch.channels_last)

    whole, shared = make(), [make() for _ in range(size)]
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, 3, 32, 32, dtype=torch.float64, generator=generator)
    labels = torch.randint(3, (IMAGES,), generator=generator)
    cross_entropy(whole(images), labels).backward()
    together, cut = Together(size), parts(IMAGES, size)

    def work(rank: int) -> None:
        def add(tensor: Tensor) -> None:
            together.add(rank, tensor)

        def of_all(tensor: Tensor) -> Tensor:
            return together.of_all(rank, tensor)

        with WholeBatch(add, of_all, cut[rank], IMAGES):
            outputs = shared[rank](images[cut[rank]])
        own = labels[cut[rank]]
        (cross_entropy(outputs, own) * len(own) / IMAGES).backward()

    together.run(work)
    expected = gradients(whole)
    found = sum((gradients(one) for one in shared), torch.zeros(()))
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()
    for one in shared:
        torch.testing.assert_close(buffers(one), buffers(whole), rtol=1e-9, atol=1e-12)


def test_norms_of_each_part_alone_would_be_others() -> None:
    """What the test above would not notice if it compared nothing."""
    norm, images = nn.BatchNorm2d(2).double(), torch.randn(IMAGES, 2, 4, 4, dtype=torch.float64)
    whole = norm(images)
    apart = torch.cat([norm(images[part]) for part in parts(IMAGES, 2)])
    assert (whole - apart).abs().max() > 1e-3


def test_dropout_drops_what_one_process_would_have_dropped() -> None:
    network = nn.Sequential(nn.Dropout(0.3), nn.ReLU(), nn.Dropout(0.6)).train()
    values = torch.randn(IMAGES, 40, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(9)
    expected = network(values)
    found = []
    for part in parts(IMAGES, 3):
        torch.manual_seed(9)
        with WholeBatch(lambda t: None, torch.clone, part, IMAGES):
            found.append(network(values[part]))
    assert torch.equal(torch.cat(found), expected)
    assert 0 < (expected == 0).float().mean() < 1


@pytest.mark.parametrize("angle", ["", "normal", "quantiles"])
def test_losses_of_parts_add_up(angle: str) -> None:
    head = Head(3, angle)
    lesson = Lesson(head, torch.tensor([0.5, 1.0, 3.0]), 0.05, 4.0)
    generator = torch.Generator().manual_seed(4)
    outputs = torch.randn(IMAGES, head.outputs, generator=generator)
    labels = torch.randint(3, (IMAGES,), generator=generator)
    if angle:
        # Inclinations are known in the first part mostly and in the last one not at all.
        degrees = torch.rand(IMAGES, generator=generator) * 90
        degrees[[1, *range(5, IMAGES)]] = float("nan")
        labels = torch.stack([labels.float(), degrees], 1)
    whole = lesson.loss(outputs, labels, slice(IMAGES))
    shared = [lesson.loss(outputs[part], labels, part) for part in parts(IMAGES, 3)]
    torch.testing.assert_close(torch.stack(shared).sum(), whole)
