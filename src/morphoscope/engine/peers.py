"""Other workers of the same cluster, asked directly and not through its queue of tasks.

A task may take hours; what one worker wants to read from the memory of another must not wait for
it. Such a call runs beside the tasks, in the process of the worker that is asked, and its answer
goes from worker to worker. A process that leads a cluster asks through the scheduler.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

__all__ = ["ask", "others"]

ANSWER_S = 300.0


def others() -> list[str]:
    """Addresses of the other workers, in random order; none where there is no cluster."""
    from distributed import get_client, get_worker

    try:
        client = get_client()
    except ValueError:
        return []
    try:
        own = get_worker().address
    except ValueError:
        own = ""
    try:
        found = [at for at in client.scheduler_info(n_workers=-1)["workers"] if at != own]
    # The scheduler is gone, or the client is closed.
    except Exception:
        return []
    random.shuffle(found)
    return found


def ask(address: str, function: Callable[..., Any], *words: Any) -> Any:
    """Run a quick function in the process of another worker; its answer.

    Raises
    ------
    OSError
        The worker does not answer, or the function fails there.
    """
    from distributed import get_client, get_worker

    try:
        try:
            worker = get_worker()
        except ValueError:
            return get_client().run(function, *words, workers=[address])[address]
        there = _there(worker, address, function, words)
        future = asyncio.run_coroutine_threadsafe(there, worker.loop.asyncio_loop)
        return future.result(ANSWER_S)
    # Whatever it was: the worker may be gone, of others, or run other code.
    except Exception as error:
        raise OSError(f"the worker {address} does not answer ({error})") from error


async def _there(worker: Any, address: str, function: Any, words: tuple[Any, ...]) -> Any:
    from distributed.protocol.pickle import dumps

    answer = await worker.rpc(address).run(function=dumps(function), args=dumps(words))
    if answer["status"] != "OK":
        raise OSError(answer.get("exception_text", "the worker failed"))
    return answer["result"]
