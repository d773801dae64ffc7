"""Names of galaxies to positions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from morphoscope.errors import RequestError, ServiceError
from morphoscope.serve.archives import Archives, ArchiveSettings, NamedPlace
from morphoscope.serve.archives.guard import Reply
from morphoscope.serve.archives.names import place_of, sesame_url
from serve.archives.archive_server import ArchiveServer, Turn

Make = Callable[..., Archives]
DONE = "\n#====Done (2026-Oct-03,10:00:00z)====\n"


def resolve(archives: Archives, name: str) -> NamedPlace:
    async def ask() -> NamedPlace:
        async with archives:
            return await archives.resolve_name(name)

    return asyncio.run(ask())


def failed(archives: Archives, name: str = "M 51") -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        resolve(archives, name)
    return caught.value


def reply(text: str, status: int = 200) -> Reply:
    return Reply("https://cds.unistra.fr/x", status, "", "text/plain", "", text.encode())


def test_a_name_has_a_place(archives: Make) -> None:
    assert resolve(archives(), "M 51") == NamedPlace("M 51", "M 51", 202.469575, 47.195258)


def test_a_number_of_pgc_passes_as_a_name(server: ArchiveServer, archives: Make) -> None:
    assert resolve(archives(), "  PGC   3738 ") == NamedPlace("PGC 3738", "NGC 342", 15.30012, 2.5)
    assert server.asked[0].path == "/sesame/-oI/SNV"
    assert server.asked[0].query == {"PGC 3738": ""}


def test_signs_in_names_arrive_and_marks_of_databases_go(archives: Make) -> None:
    assert resolve(archives(), "2MASX J0012+34").canonical == "2MASX J0012+34"


def test_an_unknown_name_is_not_a_resolver_away(server: ArchiveServer, archives: Make) -> None:
    assert failed(archives(), "Nowhere 7").code == "unknown_name"
    assert server.count("sesame") == 1


@pytest.mark.parametrize(
    "turn",
    [
        Turn("refuse", status=500),
        Turn("stall"),
        Turn("cut"),
        Turn("broken"),
        Turn("html", to="Internal error"),
        Turn("empty"),
        Turn("bytes", body=b"#! *** Nothing found ***\n"),
        Turn("bytes", body=b"# M 51\n#!S=Simbad: connection timeout\n#====Done (2026)====\n"),
    ],
    ids=lambda turn: f"{turn.kind} {turn.body[:12]!r}",
)
def test_a_resolver_away_is_asked_again_and_told(
    server: ArchiveServer, archives: Make, turn: Turn
) -> None:
    server.fail("sesame", turn, turn)
    told = failed(archives(retries=1, timeout_s=0.3))
    assert told.code == "archive_away"
    assert server.count("sesame") == 2
    assert resolve(archives(), "M 51").canonical == "M 51"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "3738",
        "12.5 -3",
        "M" * 81,
        "M 51\x00",
        "M 51; rm",
        "M 51&M 52",
        "M 51%0a",
        "M 51?x",
        "M 51#x",
        "<script>",
        "M 51\\",
        "κ And",
        '"M 51"',
    ],
)
def test_what_is_no_name_is_not_asked(server: ArchiveServer, archives: Make, name: str) -> None:
    with pytest.raises(RequestError):
        resolve(archives(), name)
    assert server.asked == []


def test_a_bare_number_is_told_what_is_missing(archives: Make) -> None:
    with pytest.raises(RequestError, match="PGC 3738"):
        resolve(archives(), "3738")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("%J 170.56 +59.08 = 11:22.2\n%I.0 {NGC} 3642", ("NGC 3642", 170.56, 59.08)),
        ("%J 170.575 -59.07\n%I.0 NGC 6079 =[G]", ("NGC 6079", 170.575, -59.07)),
        ("%J 360.0 0.0", ("NGC 1", 0.0, 0.0)),
        ("%J.E [6 4 90]\n%J 1.5 2.5\n%J 3.5 4.5", ("NGC 1", 1.5, 2.5)),
    ],
)
def test_answers_of_each_database_are_read(text: str, place: tuple[str, float, float]) -> None:
    assert place_of(reply(text + DONE), "NGC 1") == NamedPlace("NGC 1", *place)


@pytest.mark.parametrize("text", ["%J 400 1", "%J 1 91", "%J 1.2.3 4", "%J . ."])
def test_a_place_that_is_none_is_not_believed(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        place_of(reply(text + DONE), "NGC 1")
    assert caught.value.code == "archive_away"


def test_a_refusal_is_no_unknown_name() -> None:
    with pytest.raises(ServiceError) as caught:
        place_of(reply("#! *** Nothing found ***" + DONE, 403), "NGC 1")
    assert caught.value.code == "archive_away"


def test_the_real_address() -> None:
    url = sesame_url("2MASX J0012+34", ArchiveSettings())
    assert url == "https://cds.unistra.fr/cgi-bin/nph-sesame/-oI/SNV?2MASX%20J0012%2B34"
