"""Tables are answered row by row, none is lost, and a kill of the server costs one part at most."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from morphoscope.catalog import read_table, write_table
from morphoscope.errors import OverloadError
from morphoscope.serve.archives import ArchiveSettings
from morphoscope.serve.jobs import PART, Runner, result
from morphoscope.serve.settings import ServeSettings, Token
from morphoscope.serve.store import Store
from morphoscope.serve.tables import write_rows
from serve.archives.archive_server import ArchiveServer, Turn
from serve.servers import API, ServerProcess, ServerThread, wait_for, write_bundle

SUFFIXES = {"csv": ".csv", "parquet": ".parquet", "fits": ".fits", "votable": ".vot"}
ENDED = ("done", "cancelled", "failed")


@pytest.fixture(scope="module")
def working(
    sky: ArchiveServer, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    """A server that asks the archives each time."""
    settings = ServeSettings(
        models=[tiny_model],
        storage=tmp_path_factory.mktemp("storage"),
        threads=1,
        archives=ArchiveSettings(**sky.settings(cache_days=0, retries=1, pixels=64)),
    )
    with ServerThread(settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _right_again(sky: ArchiveServer) -> None:
    sky.reset()


def send(client: httpx.Client, table: pl.DataFrame, suffix: str = ".csv", **query: Any) -> Any:
    return client.post(f"{API}/jobs", files={"file": as_file(table, suffix)}, params=query)


def as_file(table: pl.DataFrame, suffix: str) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        write_table(path, table, {})
        return path.name, path.read_bytes()


def ended(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    def state() -> dict[str, Any] | None:
        found = client.get(job["links"]["self"]).json()
        return found if found["state"] in ENDED else None

    return dict(wait_for(state))


def table_of(client: httpx.Client, job: dict[str, Any], kind: str = "parquet") -> pl.DataFrame:
    reply = client.get(job["links"]["result"], params={"format": kind})
    assert reply.status_code == 200, reply.text
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"result{SUFFIXES[kind]}"
        path.write_bytes(reply.content)
        return read_table(path, text=("id",))


def positions(n: int, start: float = 10.0) -> pl.DataFrame:
    ra = [start + 0.01 * i for i in range(n)]
    return pl.DataFrame({"id": [f"g{i:04d}" for i in range(n)], "ra": ra, "dec": [5.0] * n})


PLACES = {
    "positions": pl.DataFrame({"objID": ["007", "8"], "RA": [150.0, 151.0], "Dec": [2.0, 3.0]}),
    "names": pl.DataFrame({"id": ["a", "b"], "Name": ["M 51", "PGC 3738"]}),
}
KINDS = [(suffix, "positions") for suffix in (".csv", ".parquet", ".fits", ".vot", ".ecsv")]


@pytest.mark.parametrize(("suffix", "places"), [*KINDS, (".csv", "names"), (".csv", "urls")])
def test_any_table_of_any_kind_of_place(working, sky, suffix, places) -> None:
    url = sky.file_url("galaxy.jpg")
    table = PLACES.get(places, pl.DataFrame({"id": ["a", "b"], "url": [url, url]}))
    job = send(working.client, table, suffix)
    assert job.status_code == 202, job.text
    assert job.json()["n"] == 2
    last = ended(working.client, job.json())
    assert (last["state"], last["done"], last["failed"]) == ("done", 2, 0)
    rows = table_of(working.client, last)
    assert rows["id"].to_list() == table[table.columns[0]].to_list()
    assert rows["class"].to_list() == ["elliptical", "elliptical"]
    assert rows["tiny_p_elliptical"].to_list() == pytest.approx([0.7, 0.7])
    source = {"positions": "legacy", "names": "legacy", "urls": "url"}[places]
    assert rows["survey"].to_list() == [source, source]
    assert rows["flag"].null_count() == 2


def test_all_models_and_the_shape(server, sky) -> None:
    job = send(server.client, positions(3)).json()
    rows = table_of(server.client, ended(server.client, job))
    assert rows["inclination_low"].is_between(0, 90).all()
    assert rows["axial_ratio"].is_between(0, 1).all()
    assert {"galaxy_zoo_1_class", "inclination_reject"} <= set(rows.columns)


def test_only_the_models_and_the_survey_that_are_named(working, sky) -> None:
    job = send(working.client, positions(2), models="tiny", survey="sdss", size_arcmin=1).json()
    assert job["models"] == ["tiny"]
    rows = table_of(working.client, ended(working.client, job))
    assert rows["survey"].to_list() == ["sdss", "sdss"]
    assert rows["pixel_scale"].to_list() == pytest.approx([60 / 64] * 2)
    reply = send(working.client, positions(2), models="nosuch")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown")


def test_bad_rows_have_a_word_and_stay(working, sky) -> None:
    table = pl.DataFrame(
        {
            "id": ["good", "nowhere", "unknown", "private", "far", "half", "blank"],
            "ra": [150.0, None, None, None, 999.0, 150.0, None],
            "dec": [2.0, None, None, None, 2.0, None, None],
            "name": [None, None, "Nosuch 77", None, None, None, None],
            "url": [None, None, None, "http://10.0.0.1/x.jpg", None, None, sky.file_url("b.jpg")],
        }
    )
    sky.fail("files", Turn("empty"), Turn("empty"))
    last = ended(working.client, send(working.client, table).json())
    assert (last["state"], last["done"], last["failed"]) == ("done", 7, 6)
    rows = table_of(working.client, last)
    found = dict(zip(rows["id"], rows["flag"], strict=True))
    assert found["good"] is None
    assert found["unknown"] == "unknown_name"
    assert found["private"] == "host_not_allowed"
    assert all(found[name] for name in ("nowhere", "far", "half", "blank"))
    told = rows.filter(pl.col("flag").is_not_null())["message"]
    assert told.str.len_chars().min() > 10


@pytest.mark.parametrize("bad", [0, 3, 1], ids=["none bad", "all bad", "one bad"])
def test_four_formats_hold_the_same(working, sky, bad) -> None:
    table = positions(3).with_columns(
        dec=pl.Series([99.0] * bad + [5.0] * (3 - bad)), id=pl.Series(["α β", '"q", 1', "=1+1"])
    )
    last = ended(working.client, send(working.client, table).json())
    assert last["failed"] == bad
    tables = {kind: table_of(working.client, last, kind) for kind in SUFFIXES}
    assert len({tuple(one.columns) for one in tables.values()}) == 1
    right = tables["parquet"]
    assert right["id"].to_list() == table["id"].to_list()
    for kind in ("csv", "votable", "fits"):
        for name in right.columns:
            number = right[name].dtype.is_numeric()
            one, other = (plain(f[name], kind, number=number) for f in (right, tables[kind]))
            assert one == pytest.approx(other, nan_ok=True), (kind, name)


def plain(column: pl.Series, kind: str, *, number: bool) -> list[Any]:
    """Values as the poorest format has them: no difference between none, NaN and no text."""
    if number:
        return [float("nan") if value in (None, "") else float(value) for value in column]
    texts = ["" if value is None else str(value) for value in column]
    # FITS is ASCII.
    ascii_ = [text.encode("ascii", "backslashreplace").decode() for text in texts]
    return ascii_ if kind == "fits" else texts


def test_one_result_for_many_who_ask_at_once(working, sky) -> None:
    last = ended(working.client, send(working.client, positions(60)).json())

    def ask(_: int) -> bytes:
        reply = working.client.get(last["links"]["result"], params={"format": "fits"})
        assert reply.status_code == 200, reply.text
        return reply.content

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1


def test_progress_rate_and_cancel(working, sky) -> None:
    n = 10 * PART
    job = send(working.client, positions(n)).json()
    assert (job["state"], job["done"], job["n"]) in {("waiting", 0, n), ("running", 0, n)}

    def begun() -> Any:
        found = working.client.get(job["links"]["self"]).json()
        return found if found["done"] >= PART else None

    found = wait_for(begun)
    assert found["state"] == "running"
    assert found["rows_per_s"] > 0
    left = (n - found["done"]) / found["rows_per_s"]
    assert found["seconds_left"] == pytest.approx(left, rel=0.05, abs=0.2)
    early = working.client.get(job["links"]["result"])
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_done")
    reply = working.client.delete(job["links"]["self"])
    assert reply.json()["state"] == "cancelled"
    time.sleep(0.2)
    asked = sky.count("legacy")
    time.sleep(0.3)
    # Nothing is asked for any more, not even the rest of the part.
    assert sky.count("legacy") == asked
    last = working.client.get(job["links"]["self"]).json()
    assert last["state"] == "cancelled"
    assert 0 < last["done"] < n
    rows = table_of(working.client, last)
    assert len(rows) == last["done"]
    assert rows["id"].to_list() == [f"g{i:04d}" for i in range(len(rows))]
    assert working.client.delete(job["links"]["self"]).json()["state"] == "cancelled"
    # And the next job is taken up.
    assert ended(working.client, send(working.client, positions(2)).json())["state"] == "done"


def test_a_job_that_waits_can_be_cancelled(working, sky) -> None:
    first = send(working.client, positions(4 * PART)).json()
    second = send(working.client, positions(4)).json()
    assert working.client.delete(second["links"]["self"]).json()["state"] == "cancelled"
    reply = working.client.get(second["links"]["result"])
    assert reply.status_code == 409
    assert "again" in reply.json()["error"]["do"]
    working.client.delete(first["links"]["self"])
    third = ended(working.client, send(working.client, positions(1)).json())
    assert third["state"] == "done"
    assert working.client.get(second["links"]["self"]).json()["done"] == 0


def toml_of(values: dict[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "[archives]\n" + "\n".join(lines)


def test_a_killed_server_loses_no_row_and_asks_none_twice_but_of_one_part(
    sky, tiny_model, tmp_path
) -> None:
    n = 5 * PART + 7
    # A slow answer is waited for: asked anew, it would count twice.
    archives = sky.settings(cache_days=0, pixels=64, timeout_s=60.0)
    settings = f'models = ["{tiny_model}"]\n{toml_of(archives)}'
    with ServerProcess(tmp_path, settings) as process:
        job = send(process.client, positions(n), survey="legacy").json()

        def far_enough() -> bool:
            return process.client.get(job["links"]["self"]).json()["done"] >= 2 * PART

        wait_for(far_enough)
        os.kill(process.pid, signal.SIGKILL)
        process.end()
        # An upload that was under way.
        (process.storage / "incoming/left").write_bytes(b"x")
        process.start()
        last = ended(process.client, job)
        assert (last["state"], last["done"], last["failed"]) == ("done", n, 0)
        rows = table_of(process.client, job)
    assert rows["id"].to_list() == [f"g{i:04d}" for i in range(n)]
    assert rows["flag"].null_count() == n
    asked = Counter(one.query["ra"] for one in sky.asked)
    assert len(asked) == n
    assert sum(count - 1 for count in asked.values()) <= PART
    assert max(asked.values()) <= 2
    assert not list((process.storage / "incoming").iterdir())


def test_a_server_that_is_ended_takes_up_its_job_again(sky, tiny_model, tmp_path) -> None:
    settings = ServeSettings(
        models=[tiny_model],
        storage=tmp_path,
        archives=ArchiveSettings(**sky.settings(cache_days=0, pixels=64)),
    )
    n = 6 * PART
    with ServerThread(settings) as first:
        job = send(first.client, positions(n)).json()
        wait_for(lambda: first.client.get(job["links"]["self"]).json()["done"] >= PART)
    with ServerThread(settings) as second:
        last = ended(second.client, job)
        assert (last["state"], last["done"]) == ("done", n)
        assert len(table_of(second.client, last)) == n


def test_a_busy_server_makes_a_job_wait_and_lose_nothing(tmp_path) -> None:
    store = Store(tmp_path, f"sqlite:///{tmp_path}/t.sqlite")
    rows = positions(PART + 5).with_columns(name=pl.lit(None, pl.String), url=pl.lit(None))
    tries: Counter[str] = Counter()

    async def work(row: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        tries[row["id"]] += 1
        if row["id"] in ("g0003", "g0051") and tries[row["id"]] < 3:
            raise OverloadError("too many wait")
        if row["id"] == "g0004":
            raise ZeroDivisionError("an error that nobody thought of")
        return {"class": "spiral"}

    async def whole() -> None:
        runner = Runner(store, work)
        task = asyncio.create_task(runner.run())
        while store.job("job")["state"] not in ENDED:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    write_rows(rows, store.jobs / "job")
    store.new_job("job", "me", len(rows), {"models": []})
    asyncio.run(asyncio.wait_for(whole(), 30))
    assert (store.job("job")["state"], store.job("job")["failed"]) == ("done", 1)
    found = read_table(result(store.jobs / "job", "csv", {}))
    assert (found["class"] == "spiral").sum() == len(rows) - 1
    assert found.filter(pl.col("flag") == "failed")["id"].to_list() == ["g0004"]
    assert tries["g0003"] == tries["g0051"] == 3
    store.close()


TOKENS = {"ann": "ann's token", "bob": "bob's token"}


def test_whose_a_job_is(make_client, sky) -> None:
    tokens = [
        Token(name=name, sha256=sha256(token.encode()).hexdigest())
        for name, token in TOKENS.items()
    ]
    client = make_client(tokens=tokens)
    ann, bob = ({"Authorization": f"Bearer {token}"} for token in TOKENS.values())
    files = {"file": as_file(positions(40), ".csv")}
    job = client.post(f"{API}/jobs", files=files, headers=ann).json()
    for headers, status in ((bob, 403), ({}, 401), ({"Authorization": "Bearer x"}, 401)):
        assert client.delete(job["links"]["self"], headers=headers).status_code == status
    assert client.get(f"{API}/jobs", headers=bob).json() == {"jobs": []}
    assert [one["id"] for one in client.get(f"{API}/jobs", headers=ann).json()["jobs"]] == [
        job["id"]
    ]
    assert client.delete(job["links"]["self"], headers=ann).json()["state"] in ENDED


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("t.csv", b"a,b\n1,2\n", "bad_request"),
        ("t.csv", b"ra,dec\n", "bad_table"),
        ("t.csv", b"", "bad_table"),
        ("t.parquet", b"PAR1 not one", "bad_table"),
        ("t.fits", b"SIMPLE  = not one", "bad_table"),
        ("t.xml", b"<VOTABLE>", "bad_table"),
        ("t.txt", b"ra,dec\n1,2\n", "bad_request"),
        ("t", b"ra,dec\n1,2\n", "bad_request"),
    ],
)
def test_tables_that_cannot_be_asked_about(working, name, data, code) -> None:
    reply = working.client.post(f"{API}/jobs", files={"file": (name, data)})
    assert reply.status_code in (400, 422)
    problem = reply.json()["error"]
    assert problem["code"] == code
    assert str(working.service.settings.storage) not in reply.text
    # Cutouts of the jobs before this one may still be under way.
    wait_for(lambda: not list(working.service.store.incoming.iterdir()))


def test_a_table_of_too_many_rows(make_client) -> None:
    client = make_client(table_rows=10)
    for suffix in (".csv", ".parquet"):
        reply = client.post(f"{API}/jobs", files={"file": as_file(positions(11), suffix)})
        assert reply.status_code == 400
        assert "11 rows" in reply.json()["error"]["found"]
    assert not list(client.app.state.service.store.jobs.iterdir())


def test_results_are_for_programs_as_they_are(working, sky) -> None:
    # A formula stays what it is: values are the person's own, and CSV here is for programs. It is
    # never shown by a browser.
    table = pl.DataFrame(
        {"id": ["=cmd|' /C calc'!A0", "@x"], "ra": [150.0, 150.0], "dec": [2.0] * 2}
    )
    last = ended(working.client, send(working.client, table).json())
    reply = working.client.get(last["links"]["result"], params={"format": "csv"})
    assert reply.headers["content-disposition"].startswith("attachment")
    assert reply.headers["x-content-type-options"] == "nosniff"
    found = pl.read_csv(io.BytesIO(reply.content))
    assert found["id"].to_list() == table["id"].to_list()


def test_columns_of_a_model_of_any_name(make_client, tmp_path, sky) -> None:
    write_bundle(tmp_path / "odd" / "größe 1")
    client = make_client(models=[tmp_path / "odd"])
    last = ended(client, send(client, positions(1)).json())
    for kind in SUFFIXES:
        assert any(name.endswith("p_spiral") for name in table_of(client, last, kind).columns)
