"""What a server keeps: answers, jobs and alarms in tables, images and results in one folder.

Everything is kept for a stated number of days, then removed with its files.
"""

from __future__ import annotations

import datetime
import secrets
import shutil
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from morphoscope.errors import UnknownError

__all__ = ["Store", "new_id", "now"]

# Letters of an id that nobody guesses: 75 bits.
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
ID_LENGTH = 15
NAMES = sa.MetaData()
RESULTS = sa.Table(
    "results",
    NAMES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("created", sa.DateTime, nullable=False, index=True),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("answer", sa.JSON, nullable=False),
)
JOBS = sa.Table(
    "jobs",
    NAMES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("created", sa.DateTime, nullable=False, index=True),
    sa.Column("owner", sa.String(200), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("asked", sa.JSON, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("ended", sa.DateTime),
)
ALARMS = sa.Table(
    "alarms",
    NAMES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("created", sa.DateTime, nullable=False, index=True),
    sa.Column("state", sa.String(8), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("result", sa.String(32), nullable=False, index=True),
)
STATES = ("open", "seen")
LISTED = 200


def new_id() -> str:
    """Name that nobody guesses."""
    return "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))


def now() -> datetime.datetime:
    """Time in UTC, without a zone: not all databases keep one."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Store:
    """Tables and files of a server.

    Parameters
    ----------
    folder
        The one folder that is written to.
    url
        SQLAlchemy URL of the tables.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"
        self.images = folder / "images"
        self.jobs = folder / "jobs"
        for place in (self.incoming, self.images, self.jobs):
            place.mkdir(parents=True, exist_ok=True)
        # What a killed server was reading is of no use to the next.
        for left in self.incoming.iterdir():
            _remove(left)
        # An image that is kept again must not be removed at the same time.
        self._files = threading.Lock()
        self.engine = sa.create_engine(url)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
        NAMES.create_all(self.engine)

    def close(self) -> None:
        """Let the database go."""
        self.engine.dispose()

    def keep(self, answer: dict[str, Any], image: Path) -> str:
        """Keep an answer and its image, and an entry in the queue for every alarm; its id.

        Parameters
        ----------
        answer
            As in the API; its ``id`` is set.
        image
            File that is copied.
        """
        answer["id"] = new_id()
        digest = answer["image"]["sha256"]
        with self._files:
            kept = self.image(digest)
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                partial = kept.with_name(f"{kept.name}.{new_id()}")
                shutil.copyfile(image, partial)
                partial.replace(kept)
            self._put_down(answer, digest)
        return str(answer["id"])

    def _put_down(self, answer: dict[str, Any], digest: str) -> None:
        created = now()
        with self.engine.begin() as link:
            link.execute(
                RESULTS.insert().values(
                    id=answer["id"], created=created, sha256=digest, answer=answer
                )
            )
            for alarm in answer["alarm"] or ():
                link.execute(
                    ALARMS.insert().values(
                        id=new_id(),
                        created=created,
                        state="open",
                        kind=alarm["kind"],
                        text=alarm["text"],
                        result=answer["id"],
                    )
                )

    def image(self, sha256: str) -> Path:
        """Where the image of a digest is kept."""
        return self.images / sha256[:2] / sha256

    def result(self, id_: str) -> dict[str, Any]:
        """A kept answer.

        Raises
        ------
        UnknownError
            There is none, or no more.
        """
        with self.engine.connect() as link:
            found = link.execute(sa.select(RESULTS.c.answer).where(RESULTS.c.id == id_)).scalar()
        if found is None:
            raise UnknownError(
                f"there is no answer {id_!r}", do="answers are kept for a while only: ask again"
            )
        return dict(found)

    def alarms(self, state: str = "open") -> list[dict[str, Any]]:
        """Queue of one state, the newest first."""
        query = sa.select(ALARMS).where(ALARMS.c.state == state)
        query = query.order_by(ALARMS.c.created.desc()).limit(LISTED)
        with self.engine.connect() as link:
            return [_plain(row._mapping) for row in link.execute(query)]

    def settle(self, id_: str, state: str) -> dict[str, Any]:
        """Set the state of an alarm.

        Raises
        ------
        UnknownError
            There is no such alarm.
        """
        with self.engine.begin() as link:
            link.execute(ALARMS.update().where(ALARMS.c.id == id_).values(state=state))
            row = link.execute(sa.select(ALARMS).where(ALARMS.c.id == id_)).first()
        if row is None:
            raise UnknownError(f"there is no alarm {id_!r}", do="see /api/v1/alarms")
        return _plain(row._mapping)

    def new_job(self, id_: str, owner: str, n: int, asked: dict[str, Any]) -> None:
        """Put a job down as waiting."""
        with self.engine.begin() as link:
            link.execute(
                JOBS.insert().values(
                    id=id_,
                    created=now(),
                    owner=owner,
                    state="waiting",
                    n=n,
                    done=0,
                    failed=0,
                    asked=asked,
                    message="",
                )
            )

    def job(self, id_: str) -> dict[str, Any]:
        """A job.

        Raises
        ------
        UnknownError
            There is none, or no more.
        """
        with self.engine.connect() as link:
            row = link.execute(sa.select(JOBS).where(JOBS.c.id == id_)).first()
        if row is None:
            raise UnknownError(f"there is no job {id_!r}", do="see /api/v1/jobs")
        return _plain(row._mapping)

    def jobs_of(self, owner: str | None) -> list[dict[str, Any]]:
        """Jobs of one owner, or of all; the newest first."""
        query = sa.select(JOBS).order_by(JOBS.c.created.desc()).limit(LISTED)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        with self.engine.connect() as link:
            return [_plain(row._mapping) for row in link.execute(query)]

    def next_job(self) -> str | None:
        """The job to work on: one that was begun, before one that waits."""
        query = sa.select(JOBS.c.id).where(JOBS.c.state.in_(("running", "waiting")))
        query = query.order_by(JOBS.c.state, JOBS.c.created).limit(1)
        with self.engine.connect() as link:
            found = link.execute(query).scalar()
        return None if found is None else str(found)

    def change_job(self, id_: str, *, unless: str = "", **values: Any) -> bool:
        """Set values of a job, unless it is in a state; whether it was done."""
        query = JOBS.update().where(JOBS.c.id == id_).values(**values)
        if unless:
            query = query.where(JOBS.c.state != unless)
        with self.engine.begin() as link:
            return bool(link.execute(query).rowcount)

    def forget(self, keep_days: float) -> int:
        """Remove what is older, with its files; how many answers and jobs.

        A job counts from its end. Images of answers that are kept stay.
        """
        before = now() - datetime.timedelta(days=keep_days)
        with self._files:
            old = RESULTS.c.created < before
            digests = sa.select(RESULTS.c.sha256).where(old)
            still = sa.select(RESULTS.c.sha256).where(~old)
            aged = sa.func.coalesce(JOBS.c.ended, JOBS.c.created) < before
            aged &= JOBS.c.state.not_in(("waiting", "running"))
            with self.engine.begin() as link:
                images = link.execute(sa.except_(digests, still)).scalars().all()
                removed = link.execute(RESULTS.delete().where(old)).rowcount
                link.execute(ALARMS.delete().where(ALARMS.c.created < before))
                jobs = link.execute(sa.select(JOBS.c.id).where(aged)).scalars().all()
                link.execute(JOBS.delete().where(aged))
            for digest in images:
                self.image(digest).unlink(missing_ok=True)
        for job in jobs:
            shutil.rmtree(self.jobs / job, ignore_errors=True)
        self._sweep(before)
        return removed + len(jobs)

    def _sweep(self, before: datetime.datetime) -> None:
        """Remove folders of jobs that a kill kept from being put down."""
        with self.engine.connect() as link:
            known = set(link.execute(sa.select(JOBS.c.id)).scalars())
        limit = before.replace(tzinfo=datetime.UTC).timestamp()
        for folder in self.jobs.iterdir():
            if folder.name not in known and folder.stat().st_mtime < limit:
                _remove(folder)

    def counted(self) -> dict[str, int]:
        """How many alarms are open and jobs are under way."""
        alarms = sa.select(sa.func.count()).where(ALARMS.c.state == "open")
        jobs = sa.select(sa.func.count()).where(JOBS.c.state.in_(("waiting", "running")))
        with self.engine.connect() as link:
            return {
                "alarms_open": int(link.execute(alarms).scalar() or 0),
                "jobs_waiting": int(link.execute(jobs).scalar() or 0),
            }


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _prepare_sqlite(connection: Any, record: object) -> None:
    # Readers and a writer at once; a commit survives a kill of the process.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _plain(row: Any) -> dict[str, Any]:
    """Row as JSON holds it."""
    return {
        key: value.isoformat(timespec="seconds") + "Z"
        if isinstance(value, datetime.datetime)
        else value
        for key, value in row.items()
    }
