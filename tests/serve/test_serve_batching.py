"""Images of many people are asked about together, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from morphoscope.errors import OverloadError
from morphoscope.serve import batching
from morphoscope.serve.batching import Batcher

BAD = 13


class Slow:
    """Model that takes its time, doubles what it sees, and cannot bear the number 13."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds, self.batches = seconds, []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.begun.set()
        self.go.wait(10)
        time.sleep(self.seconds)
        self.batches.append(images[:, 0].tolist())
        if (images == BAD).any():
            raise ValueError("an image that the model cannot bear")
        return np.asarray(2 * images, np.float32)


@pytest.fixture
def slow() -> Slow:
    return Slow()


def run(batcher: Batcher, work: Callable[[], Any]) -> Any:
    """Run a coroutine, then close the batcher."""

    async def whole() -> Any:
        try:
            return await work()
        finally:
            await asyncio.to_thread(batcher.close)

    return asyncio.run(whole())


def image(number: int) -> np.ndarray:
    return np.array([number], np.float32)


async def busy(batcher: Batcher, slow: Slow) -> asyncio.Task[Any]:
    """Keep the model at work on one image until `go` is set, so that others must wait."""
    slow.go.clear()
    first = asyncio.create_task(batcher.ask(image(0)))
    assert await asyncio.to_thread(slow.begun.wait, 10)
    return first


def test_what_waits_is_asked_together_and_each_gets_its_own(slow) -> None:
    sizes = []
    batcher = Batcher(slow, batch=16, waiting=100, seen=lambda n, seconds: sizes.append(n))

    async def work() -> list[np.ndarray]:
        return await asyncio.gather(*(batcher.ask(image(i + 100)) for i in range(40)))

    rows = run(batcher, work)
    assert [float(row[0]) for row in rows] == [2.0 * (i + 100) for i in range(40)]
    assert max(map(len, slow.batches)) > 1
    assert max(map(len, slow.batches)) <= 16
    assert len(slow.batches) <= 4
    assert sizes == [len(batch) for batch in slow.batches]


def test_first_come_first_served(slow) -> None:
    batcher = Batcher(slow, batch=4, waiting=100)

    async def work() -> None:
        first = await busy(batcher, slow)
        rest = [asyncio.create_task(batcher.ask(image(i))) for i in range(1, 12)]
        await asyncio.sleep(0.01)
        slow.go.set()
        await asyncio.gather(first, *rest)

    run(batcher, work)
    assert [number for batch in slow.batches for number in batch] == list(range(12))


def test_an_error_reaches_only_its_own_image(slow) -> None:
    batcher = Batcher(slow, batch=8, waiting=100)

    async def work() -> list[Any]:
        first = await busy(batcher, slow)
        rest = [asyncio.create_task(batcher.ask(image(i))) for i in (1, BAD, 3)]
        await asyncio.sleep(0.01)
        slow.go.set()
        found = await asyncio.gather(first, *rest, return_exceptions=True)
        return [*found, await batcher.ask(image(5))]

    found = run(batcher, work)
    assert [float(row[0]) for row in (found[0], found[1], found[3], found[4])] == [0, 2, 6, 10]
    assert isinstance(found[2], ValueError)


def test_images_of_another_shape_and_answers_too_few_do_no_harm_to_others() -> None:
    batcher = Batcher(lambda images: images[: max(1, len(images) - 1)], batch=8, waiting=9)

    async def work() -> list[Any]:
        odd = [image(1), np.zeros(3, np.float32), image(2), image(4)]
        return await asyncio.gather(*map(batcher.ask, odd), return_exceptions=True)

    assert [len(row) for row in run(batcher, work)] == [1, 3, 1, 1]


def test_a_full_queue_sends_away(slow) -> None:
    batcher = Batcher(slow, batch=1, waiting=3)

    async def work() -> None:
        first = await busy(batcher, slow)
        rest = [asyncio.create_task(batcher.ask(image(i))) for i in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadError, match="3 images are waiting") as refused:
            await batcher.ask(image(9))
        assert "3" in refused.value.expected
        slow.go.set()
        await asyncio.gather(first, *rest)
        assert (await batcher.ask(image(9)))[0] == 18

    run(batcher, work)


def test_nobody_computes_for_who_has_gone(slow) -> None:
    # One a batch and more than Python's frames: it must not go down one frame for each.
    batcher = Batcher(slow, batch=1, waiting=3000)
    slow.seconds = 0

    async def work() -> None:
        first = await busy(batcher, slow)
        gone = [asyncio.create_task(batcher.ask(image(7))) for _ in range(2500)]
        stays = asyncio.create_task(batcher.ask(image(8)))
        await asyncio.sleep(0.05)
        for one in gone:
            one.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        slow.go.set()
        assert (await stays)[0] == 16
        await first

    run(batcher, work)
    assert slow.batches == [[0], [8]]


def test_a_retired_one_answers_who_took_it_before_then_ends(slow, monkeypatch) -> None:
    monkeypatch.setattr(batching, "LINGER_S", 0.2)
    batcher = Batcher(slow, batch=4, waiting=10)

    async def work() -> None:
        first = await busy(batcher, slow)
        batcher.retire()
        late = asyncio.create_task(batcher.ask(image(2)))
        slow.go.set()
        assert (await first)[0] == 0
        assert (await late)[0] == 4
        assert (await batcher.ask(image(3)))[0] == 6
        await asyncio.sleep(0.5)
        with pytest.raises(OverloadError):
            await batcher.ask(image(4))

    run(batcher, work)


def test_closing_answers_what_waits_and_takes_no_more(slow) -> None:
    batcher = Batcher(slow, batch=2, waiting=10)

    async def work() -> None:
        first = await busy(batcher, slow)
        rest = [asyncio.create_task(batcher.ask(image(i))) for i in range(1, 6)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadError):
            await batcher.ask(image(9))
        slow.go.set()
        rows = await asyncio.gather(first, *rest)
        assert [row[0] for row in rows] == [0, 2, 4, 6, 8, 10]
        await closing

    run(batcher, work)


def test_a_loop_that_has_ended_does_not_end_the_model(slow) -> None:
    batcher = Batcher(slow, batch=2, waiting=10)

    async def leave() -> None:
        await busy(batcher, slow)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_cancelled(leave))
    slow.go.set()

    async def again() -> Any:
        return await batcher.ask(image(6))

    assert run(batcher, again)[0] == 12


async def _cancelled(work: Callable[[], Any]) -> None:
    await work()
    raise asyncio.CancelledError
