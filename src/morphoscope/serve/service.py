"""What a running server is: models, store, archives, counters, and the work on one request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from morphoscope import __version__
from morphoscope.errors import MorphoscopeError, RequestError
from morphoscope.serve.archives import Archives, Cutout
from morphoscope.serve.asking import Asker, Options
from morphoscope.serve.columns import flat
from morphoscope.serve.desks import open_campaigns
from morphoscope.serve.intake import HERE, Incoming, Placement, picture, receive
from morphoscope.serve.jobs import Runner
from morphoscope.serve.limits import Limiter
from morphoscope.serve.metrics import Metrics
from morphoscope.serve.settings import ServeSettings
from morphoscope.serve.shelf import Loaded, Shelf
from morphoscope.serve.store import Store

__all__ = ["Image", "Service", "cutout_facts"]

LOG = logging.getLogger("morphoscope.serve")
SURVEYS = (
    {"key": "auto", "title": "the best there is"},
    {"key": "legacy", "title": "Legacy Surveys"},
    {"key": "sdss", "title": "SDSS"},
    {"key": "hips", "title": "DSS2 (HiPS)"},
)
# Tries to sign in from one address: a class behind one, but nobody who guesses.
SIGN_INS_PER_S, SIGN_INS = 0.5, 60
FORGET_EVERY_S = 3600.0
# Uploads under work at once for each that a thread can decode: more would only fill the disk.
DECODERS = max(2, os.cpu_count() or 2)


class Image:
    """An image that came in, until it is answered.

    Parameters
    ----------
    incoming
        File and header.
    facts
        ``name``, ``source`` and where on the sky it is, as far as known.
    """

    def __init__(self, incoming: Incoming, facts: dict[str, Any]) -> None:
        self.path = incoming.path
        told = asdict(incoming)
        told.pop("path")
        unknown = dict.fromkeys(("ra", "dec", "pixel_scale", "north_up"))
        self.facts: dict[str, Any] = told | {"name": "", "source": "upload"} | unknown | facts


class Service:
    """Everything that the routes use.

    Parameters
    ----------
    settings
        Of the server.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = Store(settings.storage, settings.database_url)
        self.shelf = Shelf(
            settings.models,
            threads=settings.threads,
            precision=settings.precision,
            batch=settings.batch,
            waiting=settings.waiting,
            seen=self.metrics.batched,
        )
        self.limiter = Limiter(settings.rate_per_s, settings.burst)
        self.doors = Limiter(SIGN_INS_PER_S, SIGN_INS, "tries to sign in")
        self.threads = ThreadPoolExecutor(DECODERS, "images")
        self.asker = Asker(self.threads)
        self.archives = Archives(settings.archives, settings.storage)
        self.runner = Runner(self.store, self.row)
        self.campaigns = open_campaigns(settings.campaigns)
        self.ready = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the models, work in the background, and end well."""
        await asyncio.to_thread(self.shelf.open)
        tasks = [
            asyncio.create_task(work()) for work in (self._watch, self._forget, self.runner.run)
        ]
        self.ready = True
        try:
            yield
        finally:
            self.ready = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.archives.aclose()
            await asyncio.to_thread(self.shelf.close)
            self.threads.shutdown(wait=False, cancel_futures=True)
            self.store.close()
            for counter in self.campaigns.values():
                counter.desk.close()

    async def _watch(self) -> None:
        """Take new bundles in and old ones out."""
        while True:
            await asyncio.sleep(self.settings.watch_s)
            try:
                for _ in await asyncio.to_thread(self.shelf.look):
                    self.metrics.swaps.inc()
            except Exception:
                LOG.exception("the models could not be looked at")

    async def _forget(self) -> None:
        """Remove what was kept long enough."""
        while True:
            try:
                if self.settings.keep_days:
                    await asyncio.to_thread(self.store.forget, self.settings.keep_days)
            except Exception:
                LOG.exception("what is old could not be removed")
            await asyncio.sleep(FORGET_EVERY_S)

    @contextlib.asynccontextmanager
    async def image(self, data: bytes, facts: dict[str, Any]) -> AsyncIterator[Image]:
        """An image on disk for as long as it is asked about.

        Raises
        ------
        ImageError
            It is none, or too large.
        """
        arriving = asyncio.ensure_future(
            self.asker.run(lambda: receive(data, self.store.incoming, self.settings.pixels))
        )
        try:
            incoming = await asyncio.shield(arriving)
        except asyncio.CancelledError:
            # The thread goes on and writes the file for nobody.
            arriving.add_done_callback(_discard)
            raise
        try:
            yield Image(incoming, facts)
        finally:
            incoming.path.unlink(missing_ok=True)

    async def answer(self, image: Image, options: Options, *, keep: bool) -> dict[str, Any]:
        """Ask about an image; what alarms is kept for people in any case."""
        models = self.shelf.chosen(options.models)
        answer = await self.asker.ask(image.path, models, options)
        answer = {"id": None, "image": image.facts, **answer}
        self._count(answer, models)
        if keep or answer["alarm"]:
            await asyncio.to_thread(self.store.keep, answer, image.path)
        for alarm in answer["alarm"] or ():
            self.metrics.alarms.labels(alarm["kind"]).inc()
            LOG.warning(
                "the models disagree",
                extra={"kind": alarm["kind"], "models": alarm["models"], "result": answer["id"]},
            )
        return answer

    def _count(self, answer: dict[str, Any], models: list[Loaded]) -> None:
        for said in answer["answers"]:
            self.metrics.answers.labels(said["model"], said["flag"] or "none").inc()

    async def cutout(self, where: dict[str, Any]) -> Cutout:
        """Image of a position, a name or an address.

        Parameters
        ----------
        where
            ``url``; or ``ra``, ``dec`` or ``name``, with ``size_arcmin`` and ``survey``.

        Raises
        ------
        ServiceError
            The archive, or the resolver of names, has none or is away.
        RequestError
            None of them is given.
        """
        size, survey = where["size_arcmin"], where["survey"]
        if where["url"]:
            return await self.archives.fetch_url(where["url"])
        if where["name"]:
            found = await self.archives.resolve_name(where["name"])
            return await self.archives.fetch_cutout(found.ra, found.dec, size, survey)
        if where["ra"] is None or where["dec"] is None:
            raise RequestError(
                "nothing says where the galaxy is", expected="ra and dec, or name, or url"
            )
        return await self.archives.fetch_cutout(where["ra"], where["dec"], size, survey)

    async def row(self, row: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        """Columns of one row of a job."""
        where = {"size_arcmin": asked["size_arcmin"], "survey": asked["survey"]}
        # A position before a name before an address, where a row has several.
        here = row["ra"] is not None and row["dec"] is not None
        where |= {key: row[key] if here else None for key in ("ra", "dec")}
        where["name"] = None if here else row["name"]
        where["url"] = None if here or row["name"] else row["url"]
        cutout = await self.cutout(where)
        async with self.image(cutout.content, cutout_facts(cutout)) as image:
            options = Options(models=tuple(asked["models"]))
            return flat(await self.answer(image, options, keep=False))

    async def picture(self, image: Image) -> bytes:
        """JPEG of an image as it came."""
        return await self.asker.run(lambda: picture(image.path, HERE))

    async def shown(self, id_: str) -> bytes:
        """JPEG of the image of a kept answer, placed as it was."""
        answer = await asyncio.to_thread(self.store.result, id_)
        path = self.store.image(answer["image"]["sha256"])
        place = Placement(**answer["placement"])
        return await self.asker.run(lambda: picture(path, place))

    @property
    def waiting(self) -> int:
        """Images that wait for an answer."""
        return sum(model.batcher.waiting for model in self.shelf.models.values())

    def models(self) -> list[dict[str, Any]]:
        """The models, with their cards."""
        return [_card(model) for model in self.shelf.models.values()]

    def result(self, id_: str) -> dict[str, Any]:
        """A kept answer; KeyError where there is none."""
        return _or_key_error(self.store.result, id_)

    def job(self, id_: str) -> dict[str, Any]:
        """A job; KeyError where there is none."""
        return self.told(_or_key_error(self.store.job, id_))

    async def jobs(self, owner: str | None) -> list[dict[str, Any]]:
        """Jobs of one owner, or of all."""
        return [self.told(job) for job in await asyncio.to_thread(self.store.jobs_of, owner)]

    def alarms(self, state: str = "open") -> list[dict[str, Any]]:
        """Queue of alarms."""
        return self.store.alarms(state)

    def told(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as the API has it."""
        rate = self.runner.rate(job["id"])
        here = f"/api/v1/jobs/{job['id']}"
        return {
            **{key: job[key] for key in ("id", "created", "state", "n", "done", "failed")},
            "rows_per_s": None if rate is None else round(rate, 2),
            "seconds_left": None if not rate else round((job["n"] - job["done"]) / rate, 1),
            "models": job["asked"]["models"],
            "message": job["message"],
            "links": {"self": here, "result": f"{here}/result", "page": f"/jobs/{job['id']}"},
        }

    def surveys(self) -> list[dict[str, str]]:
        """Where cutouts come from."""
        return [dict(one) for one in SURVEYS]

    def needs_token(self) -> bool:
        """Whether jobs and alarms need one."""
        return bool(self.settings.tokens)

    def version(self) -> str:
        """Of the package."""
        return __version__

    def limits(self) -> dict[str, int]:
        """What a request may have."""
        names = ("upload_bytes", "pixels", "table_rows", "batch_files")
        return {name: int(getattr(self.settings, name)) for name in names}


def _discard(arriving: asyncio.Future[Incoming]) -> None:
    """Remove what arrived after whoever waited for it had gone."""
    if not arriving.cancelled() and arriving.exception() is None:
        arriving.result().path.unlink(missing_ok=True)


def cutout_facts(cutout: Cutout) -> dict[str, Any]:
    """What is known of an image from an archive."""
    return {
        "source": cutout.source,
        **{key: getattr(cutout, key) for key in ("ra", "dec", "pixel_scale", "north_up")},
    }


def _or_key_error(find: Any, id_: str) -> dict[str, Any]:
    try:
        return dict(find(id_))
    except MorphoscopeError as error:
        raise KeyError(id_) from error


def _card(model: Loaded) -> dict[str, Any]:
    manifest = model.bundle.manifest
    recipe = manifest["provenance"]["recipe"]
    return {
        "name": model.name,
        "id": model.bundle.id,
        "task": model.bundle.task,
        "classes": model.bundle.classes,
        "description": recipe["export"]["description"] or recipe["description"],
        "loaded": model.loaded,
        "image_size": model.bundle.preparation.size,
        "scores": _scores(manifest["scores"]["scores"]),
        "card": model.card,
    }


def _scores(scores: dict[str, Any]) -> list[dict[str, Any]]:
    keys = ("value", "low", "high", "n")
    return [
        {"name": name, **{key: one[key] for key in keys}}
        for name, one in scores.items()
        if isinstance(one, dict) and all(one.get(key) is not None for key in keys)
    ]
