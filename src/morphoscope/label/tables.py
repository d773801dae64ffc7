"""The tables of a campaign: people, their sessions and links, galaxies, votes."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from morphoscope.errors import CampaignError

__all__ = [
    "FACTS",
    "HANDED",
    "LINKS",
    "NAMES",
    "PEOPLE",
    "SESSIONS",
    "SUBJECTS",
    "VOTES",
    "Database",
    "now",
]

NAMES = sa.MetaData()
# What PostgreSQL's writers wait for, each for its turn.
WRITERS = 7_003_117
# Facts about the campaign itself: its name, its task, the key of its pseudonyms.
FACTS = sa.Table(
    "label_facts",
    NAMES,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)
PEOPLE = sa.Table(
    "label_people",
    NAMES,
    sa.Column("id", sa.String(32), primary_key=True),
    # Absent for those who came without a name; one name whatever its capitals.
    sa.Column("name", sa.String(100)),
    sa.Column("folded", sa.String(300), unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.String(200)),
    sa.Column("since", sa.DateTime, nullable=False),
)
SESSIONS = sa.Table(
    "label_sessions",
    NAMES,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(32), nullable=False, index=True),
    sa.Column("until", sa.DateTime, nullable=False),
)
LINKS = sa.Table(
    "label_links",
    NAMES,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    # Whom it signs in; absent until it is used for the first time.
    sa.Column("person", sa.String(32), index=True),
    sa.Column("name", sa.String(100)),
    sa.Column("until", sa.DateTime, nullable=False),
)
SUBJECTS = sa.Table(
    "label_subjects",
    NAMES,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("drawn", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("votes", sa.Integer, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("gold", sa.JSON(none_as_null=True)),
    sa.Index("label_subjects_in_order", "state", "position"),
)
VOTES = sa.Table(
    "label_votes",
    NAMES,
    # Made by the browser, so that a vote sent twice is one.
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(32), nullable=False, index=True),
    sa.Column("subject", sa.String(200), nullable=False, index=True),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Column("made", sa.String(40)),
    sa.Column("received", sa.DateTime, nullable=False, index=True),
    sa.Column("rejects", sa.Boolean, nullable=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False),
    # Of an expert about a galaxy on which the others did not agree.
    sa.Column("settles", sa.Boolean, nullable=False),
    # The verdict for which the same expert gave this vote up.
    sa.Column("given_up_for", sa.String(64), index=True),
)
sa.Index(
    "label_votes_once",
    VOTES.c.person,
    VOTES.c.subject,
    unique=True,
    sqlite_where=~VOTES.c.withdrawn,
    postgresql_where=~VOTES.c.withdrawn,
)
# Who has a galaxy before them at the moment.
HANDED = sa.Table(
    "label_handed",
    NAMES,
    sa.Column("person", sa.String(32), primary_key=True),
    sa.Column("subject", sa.String(200), primary_key=True, index=True),
    sa.Column("why", sa.String(8), nullable=False),
    sa.Column("until", sa.DateTime, nullable=False),
)


def now() -> datetime.datetime:
    """Time in UTC, without a zone: not all databases keep one."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Database:
    """Where a campaign's tables are.

    Parameters
    ----------
    url
        SQLAlchemy URL: SQLite or PostgreSQL.

    Raises
    ------
    CampaignError
        It is no URL, of a database that is not known, or out of reach.
    """

    def __init__(self, url: str) -> None:
        try:
            # What people wrote belongs into no log.
            self.engine = sa.create_engine(url, hide_parameters=True)
        except (sa.exc.ArgumentError, ImportError, ValueError) as error:
            raise CampaignError(
                f"the database cannot be used: {error}",
                expected="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME",
            ) from error
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        self._writer = self.engine.execution_options(writes=True)

    def create(self) -> None:
        """Make the tables that are not there yet."""
        with self.writing() as link:
            NAMES.create_all(link)

    @property
    def exists(self) -> bool:
        """Whether the tables are there."""
        with self._told():
            return bool(sa.inspect(self.engine).has_table(SUBJECTS.name))

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """All or nothing, and one writer at a time, so that what was read still holds."""
        with self._told(), self._writer.connect() as link, link.begin():
            if self.engine.dialect.name == "postgresql":
                link.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITERS)))
            yield link

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One view of all tables, in which nothing changes."""
        with self._told(), self.engine.connect() as link:
            if self.engine.dialect.name != "sqlite":
                link = link.execution_options(isolation_level="REPEATABLE READ")
            with link.begin():
                yield link

    def close(self) -> None:
        """Let the database go."""
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in our words what a database refuses; what breaks a rule of the tables is a fault."""
        try:
            yield
        except sa.exc.DataError as error:
            raise CampaignError(
                "a text holds a character that the database cannot keep",
                status=422,
                code="bad_text",
            ) from error
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
            raise
        except sa.exc.DatabaseError as error:
            raise CampaignError(
                f"the database {self.engine.url.render_as_string()} does not answer: {error.orig}",
                do="start it, or mend `database` in the campaign's file",
                # Of no other status browsers know that a vote can come later.
                status=503,
                code="database",
            ) from error


def _prepare_sqlite(connection: Any, record: object) -> None:
    # Transactions begin where we say; readers beside a writer; a commit survives a loss of power.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(link: sa.Connection) -> None:
    writes = link.get_execution_options().get("writes")
    link.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
