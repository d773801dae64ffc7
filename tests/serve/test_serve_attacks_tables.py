"""What a table or an address may be that means no good."""

from __future__ import annotations

import gzip
import io
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve.archives.archive_server import ArchiveServer, Turn
from serve.attacks import BODY, MB, Target, refused
from serve.servers import API, wait_for


def _parquet(rows: int, *, packed: str = "zstd") -> bytes:
    """Rows that are all the same take no room."""
    written = io.BytesIO()
    schema = pa.schema([("ra", pa.float64()), ("dec", pa.float64())])
    group = pa.table({"ra": [1.0] * MB, "dec": [2.0] * MB}, schema)
    with pq.ParquetWriter(written, schema, compression=packed) as writer:
        for _ in range(rows // MB):
            writer.write_table(group, row_group_size=MB)
    return written.getvalue()


def _wide_parquet() -> bytes:
    """A thousand rows, each a name of a megabyte; one copy of it is stored."""
    written = io.BytesIO()
    names = pa.DictionaryArray.from_arrays([0] * 1000, ["M" * MB])
    pq.write_table(pa.table({"name": names.cast(pa.string())}), written, compression="zstd")
    return written.getvalue()


def _lying_parquet() -> bytes:
    """The end of the file says another number of rows."""
    data = _parquet(MB)
    return data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :]


def _fits_table(rows: int, width: int = 16) -> bytes:
    cards = {
        "XTENSION": "'BINTABLE'",
        "BITPIX": 8,
        "NAXIS": 2,
        "NAXIS1": width,
        "NAXIS2": rows,
        "PCOUNT": 0,
        "GCOUNT": 1,
        "TFIELDS": 2,
        "TTYPE1": "'ra'",
        "TFORM1": "'D'",
        "TTYPE2": "'dec'",
        "TFORM2": "'D'",
    }
    first = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0, "EXTEND": "T"}
    return b"".join(_cards(one) for one in (first, cards)) + bytes(2880)


def _cards(cards: dict[str, Any]) -> bytes:
    lines = [f"{key:<8}= {value!s:>20}".ljust(80) for key, value in cards.items()]
    text = "".join([*lines, "END".ljust(80)]).encode()
    return text.ljust(-(-len(text) // 2880) * 2880)


def _votable(inside: str, *, before: str = "", nrows: str = "", field: str = "") -> bytes:
    return f"""<?xml version="1.0"?>{before}<VOTABLE version="1.4"><RESOURCE><TABLE {nrows}>
<FIELD name="ra" datatype="double"/><FIELD name="dec" datatype="double"/>{field}
<DATA>{inside}</DATA></TABLE></RESOURCE></VOTABLE>""".encode()


ROW = "<TABLEDATA><TR><TD>1</TD><TD>2</TD>{}</TR></TABLEDATA>"
LAUGHS = "<!DOCTYPE x [<!ENTITY a0 '9999999999'>" + "".join(
    f"<!ENTITY a{i + 1} '{f'&a{i};' * 10}'>" for i in range(9)
)
NAME = '<FIELD name="name" datatype="char" arraysize="{}"/>'
TABLES: dict[str, tuple[str, Any]] = {
    "Parquet of 10**8 rows": (".parquet", lambda: _parquet(100 * MB)),
    "Parquet of a gigabyte of names": (".parquet", _wide_parquet),
    "Parquet that lies": (".parquet", _lying_parquet),
    "FITS of 10**15 rows": (".fits", lambda: _fits_table(10**15)),
    "FITS of 10**9 rows": (".fits", lambda: _fits_table(10**9)),
    "FITS with rows of 10**12 bytes": (".fits", lambda: _fits_table(3, 10**12)),
    "FITS of -5 rows": (".fits", lambda: _fits_table(-5)),
    "FITS, packed": (
        ".fits",
        lambda: gzip.compress(_fits_table(10**9)) + gzip.compress(bytes(10 * MB)) * 30,
    ),
    "VOTable, packed": (
        ".vot",
        lambda: gzip.compress(_votable(" ")[:-60]) + gzip.compress(b" " * 10 * MB) * 30,
    ),
    "VOTable of many laughs": (
        ".vot",
        lambda: _votable(ROW.format("<TD>&a9;</TD>"), before=LAUGHS + "]>", field=NAME.format("*")),
    ),
    "VOTable with a file in an entity": (
        ".xml",
        lambda: _votable(
            ROW.format("<TD>&x;</TD>"),
            before="<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
            field=NAME.format("*"),
        ),
    ),
    "VOTable with a definition from elsewhere": (
        ".xml",
        lambda: _votable(
            ROW.format("<TD>&y;</TD>"),
            before="<!DOCTYPE x SYSTEM 'file:///etc/passwd'>",
            field=NAME.format("*"),
        ),
    ),
    "VOTable that says 10**12 rows": (
        ".vot",
        lambda: _votable(ROW.format("")[:-13], nrows='nrows="1000000000000"'),
    ),
    "VOTable of names of 10**12 letters": (
        ".vot",
        lambda: _votable(ROW.format("<TD>x</TD>"), field=NAME.format(10**12)),
    ),
    "deep XML": (".xml", lambda: b"<VOTABLE>" + b"<RESOURCE>" * 100_000),
    "ECSV that makes objects": (
        ".ecsv",
        lambda: b"# %ECSV 1.0\n# ---\n# !!python/object/apply:os.system ['touch evil']\nra dec\n",
    ),
    "CSV of one long line": (".csv", lambda: b"ra,dec," + b"x" * (BODY - 5000)),
    "CSV of many columns": (".csv", lambda: b"ra,dec" + b",x" * 200_000 + b"\n"),
    "CSV that is no text": (".csv", lambda: b"ra,dec\n" + bytes(range(256)) * 100),
    "zip as Parquet": (".parquet", lambda: b"PK\3\4" + bytes(100)),
}


# These are read as far as they are there: what is not is neither fetched nor made up.
HARMLESS = (
    *("FITS with rows of 10**12 bytes", "FITS of -5 rows"),
    *("VOTable with a file in an entity", "VOTable with a definition from elsewhere"),
)


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_is_larger_than_it_looks(target: Target, kind: str) -> None:
    """It is read apart, with bounds; the server's own memory does not grow."""
    suffix, make = TABLES[kind]
    data = make()
    assert len(data) < BODY
    begun = time.monotonic()
    reply = target.client.post(f"{API}/jobs", files={"file": (f"table{suffix}", data)})
    assert time.monotonic() - begun < 60
    if kind in HARMLESS and reply.status_code == 202:
        job = reply.json()
        target.client.delete(job["links"]["self"])
        folder = target.storage / "jobs" / job["id"]
        rows = pl.read_parquet(folder / "rows.parquet")
        assert len(rows) < 1000
        assert "root:" not in rows.write_csv()
        wait_for(lambda: not list((target.storage / "incoming").iterdir()))
        shutil.rmtree(folder)
    else:
        assert "/tmp" not in refused(reply, (400, 413, 422))["found"]
    assert not list((target.storage / "jobs").iterdir())
    assert not Path("evil").exists()


@pytest.mark.parametrize("place", ["file:///etc/passwd", "http://{}/files/galaxy.fits"])
@pytest.mark.parametrize("kind", ["BINARY", "FITS"])
def test_a_votable_that_names_another_file(
    target: Target, sky: ArchiveServer, place: str, kind: str
) -> None:
    """Its STREAM may lie elsewhere: the reader would fetch any address, and any file."""
    sky.reset()
    stream = f'<{kind}><STREAM href="{place.format(sky.host)}"/></{kind}>'
    files = {"file": ("table.vot", _votable(stream))}
    refused(target.client.post(f"{API}/jobs", files=files), (400, 422))
    assert sky.asked == []


def test_names_in_a_table_are_not_paths(target: Target, sky: ArchiveServer) -> None:
    """Columns of files, addresses and names of a row are asked for by the same rules."""
    evil = ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/", "x" * 1999, "\0"]
    table = pl.DataFrame({"file_loc": evil, "id": ["../../x", "'; DROP TABLE jobs", "", "a", "b"]})
    files = {"file": ("../../table.csv", table.write_csv())}
    job = target.client.post(f"{API}/jobs", files=files).json()

    def ended() -> Any:
        found = target.client.get(job["links"]["self"]).json()
        return found if found["state"] == "done" else None

    assert wait_for(ended)["failed"] == 5
    rows = target.client.get(job["links"]["result"], params={"format": "csv"}).content
    found = pl.read_csv(io.BytesIO(rows))
    assert set(found["flag"]) == {"host_not_allowed"}
    shutil.rmtree(target.storage / "jobs" / job["id"])


FORBIDDEN = (
    *("http://127.0.0.1/", "http://localhost/", "http://0/", "http://0.0.0.0/", "http://[::1]/"),
    *("http://2130706433/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/"),
    *("http://127.1/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
    *("http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://100.64.0.1/"),
    *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[fe80::1]/"),
    *("http://metadata.google.internal/", "http://224.0.0.1/", "http://255.255.255.255/"),
    *("http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://127。0。0。1/"),
    *("http://①②⑦.0.0.1/", "http://www.legacysurvey.org@127.0.0.1/", "http://a:b@{host}/files/x"),
    *("http://127.0.0.1#@{host}/files/x", "http://127.0.0.1\\@{host}/", "http://{host}@127.0.0.1/"),
    *("http://www.legacysurvey.org.evil.example/", "http://www.legacysurvey.org:22/"),
    *("file:///etc/passwd", "ftp://{host}/x", "gopher://{host}/x", "data:image/png;base64,AA"),
    *("jar:http://{host}!/", "//{host}/files/x", "{host}/files/x", "javascript:alert(1)", "http:"),
    *("http://", "http:///x", "HTTP://LOCALHOST/", "http://{host}:80/files/x", "https://{host}/x"),
    *("http://{host}\t/files", "http://{host}/ /x", "http://x" + "a" * 1900, "http://[", "\x00"),
)


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_address_that_leads_inside(target: Target, sky: ArchiveServer, url: str) -> None:
    """Only hosts that are listed are asked, however the address is written."""
    sky.reset()
    for route in ("predict", "measure", "cutout"):
        query = {"url": url.replace("{host}", sky.host)}
        begun = time.monotonic()
        refused(target.client.get(f"{API}/{route}", params=query), (400, 403, 422, 502, 504))
        assert time.monotonic() - begun < 3
    assert sky.asked == []


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/",
        "http://localhost:{port}/files/x.jpg",
        "file:///etc/passwd",
        "//10.0.0.1/",
    ],
)
def test_a_redirect_that_leads_inside(target: Target, sky: ArchiveServer, to: str) -> None:
    """Each hop is checked as the first address is."""
    sky.reset()
    sky.fail("files", Turn("redirect", 302, to=to.replace("{port}", str(sky.port))))
    url = sky.file_url(f"{abs(hash(to))}.jpg")
    refused(target.client.get(f"{API}/predict", params={"url": url}), (400, 403, 502))
    assert len(sky.asked) == 1


TURNS = ["bomb", "endless", "announced", "html", "junk", "empty"]


@pytest.mark.parametrize("turn", TURNS)
def test_an_archive_that_means_no_good(target: Target, sky: ArchiveServer, turn: str) -> None:
    """An answer without end, or packed, or of something else."""
    sky.reset()
    sky.fail("files", *[Turn(turn)] * 5)
    reply = target.client.get(f"{API}/predict", params={"url": sky.file_url(f"{turn}.jpg")})
    refused(reply, (413, 415, 502, 504))
