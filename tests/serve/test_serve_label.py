"""The label desk's API: people come in, galaxies go out, votes are counted, nothing leaks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest

from morphoscope.label.campaign import Campaign
from morphoscope.label.founding import found
from morphoscope.label.people import ROLES
from serve.servers import API, galaxy

ROOT = Path(__file__).parents[2]
MEANT = {"X-Morphoscope": "label"}
PASSWORD = "long enough"
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("galaxies")
    for index in range(6):
        (folder / f"g{index}.jpg").write_bytes(galaxy(index, 48))
    return folder


def write_campaign(folder: Path, images: Path, name: str, **changes: Any) -> Path:
    """A campaign that has been set up; its file."""
    settings = {
        "name": name,
        "task": "inclination",
        "images": str(images),
        "standards": {"per_angle": 1, "size": 64, "least": 80},
        "agreement": {"votes": 2, "most": 3},
        "people": {"join": "open"},
    } | changes
    lines = [f"{key} = {json.dumps(v)}" for key, v in settings.items() if not isinstance(v, dict)]
    for section, values in settings.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items())]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    found(Campaign.model_validate(settings | {"file": str(path)}))
    return path


@pytest.fixture
def desk(make_client: Make, images: Path, tmp_path: Path) -> Iterator[Any]:
    """A client of a server with two campaigns: tilts, open; shapes, anonymous."""
    files = [
        write_campaign(tmp_path / "campaigns", images, "tilts"),
        write_campaign(
            tmp_path / "campaigns", images, "shapes", task="tree", people={"join": "anonymous"}
        ),
    ]
    client = make_client(campaigns=files)
    client.headers.update(MEANT)
    return client


def join(client: Any, name: str, campaign: str = "tilts") -> dict[str, Any]:
    reply = client.post(
        f"{API}/campaigns/{campaign}/join", json={"name": name, "password": PASSWORD}
    )
    assert reply.status_code == 200, reply.text
    return dict(reply.json()["person"])


def invited(client: Any, role: str, name: str, campaign: str = "tilts") -> None:
    """Sign in as somebody who has followed a link."""
    counter = client.app.state.service.campaigns[campaign]
    token = counter.desk.people.invite(role)
    client.cookies.clear()
    sent = {"link": token, "name": name}
    assert client.post(f"{API}/campaigns/{campaign}/sign-in", json=sent).status_code == 200


def send(client: Any, *votes: dict[str, Any], campaign: str = "tilts") -> list[dict[str, Any]]:
    reply = client.post(f"{API}/campaigns/{campaign}/votes", json={"votes": list(votes)})
    assert reply.status_code == 200, reply.text
    return list(reply.json()["votes"])


def tilt(subject: str, angle: float, key: str = "") -> dict[str, Any]:
    return {
        "key": key or f"key-{subject}-{angle}",
        "subject": subject,
        "content": {"inclination": angle},
    }


def test_what_is_asked(desk: Any) -> None:
    listed = desk.get(f"{API}/campaigns").json()["campaigns"]
    assert [(one["name"], one["task"], one["n"]) for one in listed] == [
        ("tilts", "inclination", 6),
        ("shapes", "tree", 6),
    ]
    tilts = desk.get(f"{API}/campaigns/tilts").json()
    assert tilts["tree"] is None
    assert tilts["standards"]["angles"] == list(range(80, 91))
    assert "face_on" in {one["key"] for one in tilts["reject"]}
    address = tilts["standards"]["images"]["85"][0]
    image = desk.get(address)
    assert image.headers["content-type"] == "image/png"
    assert cv2.imdecode(np.frombuffer(image.content, np.uint8), 1).shape == (64, 64, 3)
    assert desk.get(address.replace("/85/0", "/85/1")).status_code == 404
    shapes = desk.get(f"{API}/campaigns/shapes").json()
    assert shapes["standards"] is None
    assert len(shapes["tree"]["questions"]) == 11
    assert desk.get(f"{API}/campaigns/nothing").status_code == 404


def test_a_volunteer_from_joining_to_leaving(desk: Any) -> None:
    place = f"{API}/campaigns/tilts"
    assert desk.get(f"{place}/me").json() == {"person": None, "join": "open"}
    assert desk.get(f"{place}/next").status_code == 401
    person = join(desk, "Ann")
    assert (person["role"], person["votes"], person["anonymous"]) == ("volunteer", 0, False)
    given = desk.get(f"{place}/next", params={"n": 2}).json()
    assert (len(given["subjects"]), given["left"], given["done"]) == (2, 6, False)
    first = given["subjects"][0]
    picture = desk.get(first["image"])
    assert picture.headers["content-type"] == "image/jpeg"
    grey = desk.get(first["image"], params={"band": "red"})
    pixels = cv2.imdecode(np.frombuffer(grey.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.ndim == 2 or np.ptp(pixels, axis=2).max() == 0
    assert desk.get(first["image"], params={"band": "x-ray"}).status_code == 404
    vote = tilt(first["id"], 60)
    refused = tilt(given["subjects"][1]["id"], 91)
    found = send(desk, vote, vote, refused)
    assert [one["state"] for one in found] == ["counted", "known", "refused"]
    assert found[2]["error"]["code"] == "bad_vote"
    assert desk.get(f"{place}/me").json()["person"]["votes"] == 1
    data = desk.get(f"{place}/me/data").json()
    assert [one["content"] for one in data["votes"]] == [{"inclination": 60.0}]
    undone = desk.post(f"{place}/votes/{vote['key']}/undo").json()
    assert (undone["state"], undone["subject"]) == ("withdrawn", first["id"])
    assert desk.post(f"{place}/votes/unknown-key/undo").status_code == 404
    wrong = desk.post(f"{place}/me/remove", json={"confirm": "Bob"})
    assert wrong.status_code == 422
    gone = desk.post(f"{place}/me/remove", json={"confirm": "Ann"}).json()
    assert gone == {"removed": True, "votes": 1}
    assert desk.get(f"{place}/me").json()["person"] is None
    signed = desk.post(f"{place}/sign-in", json={"name": "Ann", "password": PASSWORD})
    assert signed.status_code == 401


def test_ways_to_sign_in(desk: Any) -> None:
    place = f"{API}/campaigns/tilts"
    join(desk, "Ann")
    session = desk.cookies["morphoscope_tilts"]
    desk.post(f"{place}/sign-out")
    assert desk.get(f"{place}/me").json()["person"] is None
    # The session is over, not just the cookie gone.
    bearer = {"Authorization": f"Bearer {session}"}
    assert desk.get(f"{place}/next", headers=bearer).status_code == 401
    for name, password in (("Ann", "not the password"), ("Nobody", PASSWORD), ("", "")):
        reply = desk.post(f"{place}/sign-in", json={"name": name, "password": password})
        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "wrong_password"
    reply = desk.post(f"{place}/sign-in", json={"name": " aNN ", "password": PASSWORD})
    assert reply.json()["person"]["name"] == "Ann"
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    behind = {"X-Forwarded-Proto": "https, http"}
    again = {"name": "Ann", "password": PASSWORD}
    told = desk.post(f"{place}/sign-in", json=again, headers=behind).headers["set-cookie"].lower()
    assert "; secure" in told
    # Somebody else may be signing in meanwhile.
    assert "set-cookie" not in desk.get(f"{place}/me").headers
    for sent, status in (
        ({"name": "ANN", "password": PASSWORD}, 409),
        ({"name": "Bob", "password": "short"}, 422),
        ({"name": "B", "password": PASSWORD}, 422),
        ({"name": "Bob\u0000", "password": PASSWORD}, 422),
        ({}, 403),
    ):
        assert desk.post(f"{place}/join", json=sent).status_code == status
    reply = desk.post(f"{API}/campaigns/shapes/join", json={})
    assert reply.json()["person"]["anonymous"]


def test_a_link_lets_one_person_in(desk: Any) -> None:
    place = f"{API}/campaigns/tilts"
    invited(desk, "coordinator", "Chief")
    link = desk.post(f"{place}/invitations", json={"role": "expert", "name": "Eve"}).json()["link"]
    address, _, token = link.partition("#link=")
    assert address.endswith("/label/tilts/sign-in")
    desk.cookies.clear()
    first = desk.post(f"{place}/sign-in", json={"link": token}).json()["person"]
    assert (first["name"], first["role"]) == ("Eve", "expert")
    desk.cookies.clear()
    again = desk.post(f"{place}/sign-in", json={"link": token, "name": "Eva"}).json()["person"]
    assert again["id"] == first["id"]
    assert desk.post(f"{place}/sign-in", json={"link": token + "x"}).status_code == 401


def test_another_site_cannot_vote_for_people(desk: Any) -> None:
    join(desk, "Ann")
    place = f"{API}/campaigns/tilts/votes"
    sent = {"votes": [tilt("g0", 60)]}
    bare = {"X-Morphoscope": ""}
    assert desk.post(place, json=sent, headers=bare).json()["error"]["code"] == "cross_site"
    other = {"Origin": "https://elsewhere.example"}
    assert desk.post(place, json=sent, headers=other).json()["error"]["code"] == "other_origin"
    # Nor can one who has signed in meanwhile send another's.
    mixed = sent | {"person": "0" * 32}
    assert desk.post(place, json=mixed).json()["error"]["code"] == "other_person"
    assert desk.get(f"{API}/campaigns/tilts/me").json()["person"]["votes"] == 0
    # Nor take it back.
    (counted,) = send(desk, sent["votes"][0])
    back = f"{place}/{counted['key']}/undo"
    refused = desk.post(back, json={"person": "0" * 32})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "other_person")
    assert desk.get(f"{API}/campaigns/tilts/me").json()["person"]["votes"] == 1
    mine = desk.get(f"{API}/campaigns/tilts/me").json()["person"]["id"]
    assert desk.post(back, json={"person": mine}).status_code == 200


def test_while_the_database_is_away_no_vote_is_refused(desk: Any) -> None:
    join(desk, "Ann")
    counter = desk.app.state.service.campaigns["tilts"]
    folder = counter.campaign.folder
    counter.desk.close()
    away = folder.rename(folder.with_name("away"))
    sent = {"votes": [tilt("g0", 60)]}
    reply = desk.post(f"{API}/campaigns/tilts/votes", json=sent)
    # The pages drop votes that are refused with 4xx, and send others again.
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "database")
    away.rename(folder)
    assert [one["state"] for one in send(desk, *sent["votes"])] == ["counted"]


COORDINATORS = ("statistics", "people", "export/labels", "export/votes")


def test_who_may_see_what(desk: Any) -> None:
    place = f"{API}/campaigns/tilts"
    for role in (None, *ROLES):
        if role:
            invited(desk, role, f"A {role}")
        allowed = role == "coordinator"
        expected = 200 if allowed else 403 if role else 401
        for what in COORDINATORS:
            assert desk.get(f"{place}/{what}").status_code == expected, (role, what)
        invitation = desk.post(f"{place}/invitations", json={"role": "expert"})
        assert invitation.status_code == expected
        change = desk.post(f"{place}/people/nobody", json={"role": "coordinator"})
        assert change.status_code == (404 if allowed else expected)
        disputes = desk.get(f"{place}/next", params={"mode": "disputes"}).status_code
        assert disputes == (200 if role in ("expert", "coordinator") else expected)
    # A session of one campaign opens no other.
    assert desk.get(f"{API}/campaigns/shapes/next").status_code == 401


def test_the_last_coordinator_stays(desk: Any) -> None:
    place = f"{API}/campaigns/tilts"
    invited(desk, "coordinator", "Chief")
    me = desk.get(f"{place}/me").json()["person"]["id"]
    reply = desk.post(f"{place}/people/{me}", json={"role": "volunteer"})
    assert reply.status_code == 409
    assert desk.post(f"{place}/me/remove", json={"confirm": "Chief"}).status_code == 409
    assert desk.post(f"{place}/people/nobody", json={"role": "expert"}).status_code == 404


def test_many_people_one_answer_and_the_labels(desk: Any) -> None:
    for index, name in enumerate(("Ann", "Bob", "Cid")):
        desk.cookies.clear()
        join(desk, name)
        send(desk, *(tilt(f"g{k}", 50 + 5 * k + index, f"{name}-of-g{k}") for k in range(5)))
        send(
            desk,
            {"key": f"{name}-rejects", "subject": "g5", "content": {"reject": ["bad_image"]}},
        )
    invited(desk, "coordinator", "Chief")
    place = f"{API}/campaigns/tilts"
    found = desk.get(f"{place}/statistics").json()
    assert found["progress"]["votes"] == 18
    assert found["progress"]["rejected"] == 3
    assert {one["name"] for one in found["raters"]} == {"Ann", "Bob", "Cid"}
    assert found["agreement"]["pair_rms_deg"]["value"] == pytest.approx(2**0.5, abs=0.01)
    assert sum(n for _, n in found["agreement"]["differences"]) == 15
    data = desk.get(f"{place}/export/labels", params={"format": "parquet"}).content
    labels = pl.read_parquet(io.BytesIO(data)).sort("id_str")
    assert labels["id_str"].to_list() == [f"g{k}" for k in range(6)]
    assert labels["inclination"].to_list()[:5] == pytest.approx([51, 56, 61, 66, 71], abs=1.5)
    assert labels["inclination"][5] is None
    assert labels["p_reject"][5] > 0.9
    text = desk.get(f"{place}/export/votes", params={"format": "csv"}).text
    votes = pl.read_csv(io.StringIO(text), comment_prefix="#")
    assert votes.height == 18
    assert votes["rater"].n_unique() == 3
    for name in ("Ann", "Bob", "Cid"):
        assert name not in "".join(votes["rater"])
    for kind in ("fits", "votable"):
        assert desk.get(f"{place}/export/labels", params={"format": kind}).status_code == 200


def test_answers_of_a_tree(desk: Any) -> None:
    way = [["shape", "smooth"], ["roundness", "cigar"], ["odd", "no"]]
    for index in range(3):
        desk.cookies.clear()
        desk.post(f"{API}/campaigns/shapes/join", json={})
        given = [way, [["shape", "artifact"]]][index == 2]
        vote = {"key": f"a-key-of-{index}", "subject": "g0", "content": {"answers": given}}
        short = {**vote, "key": f"too-short-{index}", "content": {"answers": way[:2]}}
        found = send(desk, short, vote, campaign="shapes")
        assert [one["state"] for one in found] == ["refused", "counted"]
    invited(desk, "coordinator", "Chief", "shapes")
    place = f"{API}/campaigns/shapes/export/labels"
    data = desk.get(place, params={"format": "parquet"}).content
    row = pl.read_parquet(io.BytesIO(data)).filter(pl.col("id_str") == "g0").row(0, named=True)
    assert (row["shape"], row["roundness"], row["odd"]) == ("smooth", "cigar", "no")
    assert row["shape_f_smooth"] == pytest.approx(2 / 3)
    assert row["shape_f_features"] == 0
    assert row["bar"] is None


def test_images_of_other_kinds_have_the_bands_that_they_have(
    make_client: Make, tmp_path: Path
) -> None:
    images = tmp_path / "kinds"
    images.mkdir()
    grey = np.random.default_rng(1).integers(0, 60_000, (40, 40)).astype(np.uint16)
    cv2.imwrite(str(images / "grey16.png"), grey)
    cv2.imwrite(str(images / "grey.jpg"), (grey // 256).astype(np.uint8))
    cv2.imwrite(str(images / "a b#%?.png"), np.dstack([grey // 256] * 3).astype(np.uint8))
    file = write_campaign(tmp_path / "campaigns", images, "tilts")
    client = make_client(campaigns=[file])
    client.headers.update(MEANT)
    join(client, "Ann")
    subjects = client.get(f"{API}/campaigns/tilts/next").json()["subjects"]
    assert {one["id"] for one in subjects} == {"grey16", "grey", "a b#%?"}
    for one in subjects:
        assert (len(one["bands"]) == 1) == (one["id"] == "grey16")
        for band in one["bands"]:
            assert client.get(one["image"], params={"band": band}).status_code == 200, one


def test_guessing_passwords_is_slowed_down(make_client: Make, images: Path, tmp_path: Path) -> None:
    file = write_campaign(tmp_path / "campaigns", images, "tilts")
    client = make_client(campaigns=[file], rate_per_s=0)
    client.headers.update(MEANT)
    sent = {"link": "no such link"}
    statuses = [
        client.post(f"{API}/campaigns/tilts/sign-in", json=sent).status_code for _ in range(70)
    ]
    assert statuses[:50] == [401] * 50
    assert 429 in statuses[60:]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_acknowledged_vote_is_lost_when_the_server_is_killed(
    database: str, tiny_model: Path, request: pytest.FixtureRequest
) -> None:
    words = ["--people", "8", "--votes", "120", "--galaxies", "60", "--models", str(tiny_model)]
    if database == "postgresql":
        from label.conftest import new_database

        words += ["--database", new_database(request)]
    command = [sys.executable, str(ROOT / "benchmarks/label_votes.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["acknowledged"] >= 120
    assert (told["missing"], told["twice"], told["miscounted"]) == (0, 0, 0)
