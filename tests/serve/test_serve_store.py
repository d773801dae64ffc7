"""What is kept is kept for its time, whole, and goes with its files."""

from __future__ import annotations

import asyncio
import datetime
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from morphoscope.errors import UnknownError
from morphoscope.serve.intake import receive
from morphoscope.serve.service import Service
from morphoscope.serve.settings import ServeSettings
from morphoscope.serve.store import JOBS, RESULTS, Store, now
from morphoscope.serve.tables import write_rows
from serve.servers import galaxy

ROWS = pl.DataFrame({"ra": [1.0], "dec": [2.0]})


def _answer(sha256: str) -> dict[str, Any]:
    return {"image": {"sha256": sha256}, "alarm": [{"kind": "kinds_disagree", "text": "look"}]}


def age(store: Store, table: sa.Table, days: float, *ids: str) -> None:
    then = now() - datetime.timedelta(days=days)
    values = {"created": then} | ({"ended": then} if "ended" in table.c else {})
    with store.engine.begin() as link:
        link.execute(table.update().where(table.c.id.in_(ids)).values(**values))


def test_what_is_old_goes_and_shared_images_stay(tmp_path) -> None:
    store = Store(tmp_path, f"sqlite:///{tmp_path}/t.sqlite")
    image = tmp_path / "image"
    image.write_bytes(galaxy())
    shared, alone = "a" * 64, "b" * 64
    old = [store.keep(_answer(digest), image) for digest in (shared, alone)]
    young = store.keep(_answer(shared), image)
    age(store, RESULTS, 40, *old)
    for name in ("ended", "young", "running"):
        write_rows(ROWS, store.jobs / name)
        store.new_job(name, "me", 1, {})
        store.change_job(name, state="running" if name == "running" else "done", ended=now())
    age(store, JOBS, 40, "ended", "running")
    # A job of a million rows may take longer than answers are kept.
    age(store, JOBS, 40, "young")
    store.change_job("young", ended=now())
    write_rows(ROWS, store.jobs / "never-put-down")
    os.utime(store.jobs / "never-put-down", (0, 0))
    assert store.forget(30) == 3
    assert store.image(shared).exists()
    assert not store.image(alone).exists()
    assert store.result(young)["image"]["sha256"] == shared
    for gone in old:
        with pytest.raises(UnknownError):
            store.result(gone)
    assert sorted(path.name for path in store.jobs.iterdir()) == ["running", "young"]
    assert len(store.alarms()) == 3
    assert store.forget(30) == 0
    store.close()


def test_more_is_old_than_a_query_can_name(tmp_path) -> None:
    store = Store(tmp_path, f"sqlite:///{tmp_path}/t.sqlite")
    few = 10

    @sa.event.listens_for(store.engine, "checkout")
    def limit(connection: Any, *_: object) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, few)

    for i in range(3 * few):
        with store.engine.begin() as link:
            link.execute(
                RESULTS.insert().values(id=str(i), created=now(), sha256=f"{i:064d}", answer={})
            )
    assert store.forget(-1) == 3 * few
    store.close()


def test_an_answer_that_is_kept_while_others_go_keeps_its_image(tmp_path) -> None:
    store = Store(tmp_path, f"sqlite:///{tmp_path}/t.sqlite")
    image = tmp_path / "image"
    image.write_bytes(galaxy())
    end, lost = threading.Event(), []

    def forget() -> None:
        while not end.is_set():
            store.forget(0)

    thread = threading.Thread(target=forget)
    thread.start()
    for _ in range(150):
        future = _answer("c" * 64)
        id_ = store.keep(future, image)
        with store._files, store.engine.connect() as link:
            kept = link.execute(sa.select(RESULTS.c.id).where(RESULTS.c.id == id_)).scalar()
            if kept and not store.image("c" * 64).exists():
                lost.append(id_)
    end.set()
    thread.join()
    assert lost == []
    store.close()


def test_an_image_whose_asker_goes_away_leaves_no_file(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(ServeSettings(models=[tiny_model], storage=tmp_path, threads=1))
    begun, go_on = threading.Event(), threading.Event()

    def slow(*of: Any) -> Any:
        begun.set()
        assert go_on.wait(10)
        return receive(*of)

    monkeypatch.setattr("morphoscope.serve.service.receive", slow)

    async def ask_and_go() -> None:
        async def ask() -> None:
            async with service.image(galaxy(), {}):
                pass

        task = asyncio.create_task(ask())
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        go_on.set()
        await asyncio.to_thread(service.threads.shutdown)

    asyncio.run(ask_and_go())
    service.store.close()
    assert begun.is_set()
    assert not list(service.store.incoming.iterdir())
