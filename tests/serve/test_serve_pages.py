"""Every page, well and badly: its words and rules, and nothing that hostile texts bring along."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from morphoscope.bundle import shipped_bundles
from morphoscope.serve import page_words as words
from morphoscope.serve.page_api import api_routes
from morphoscope.serve.settings import ServeSettings, Token
from serve.reading_pages import faults, read
from serve.servers import ServerThread

STATIC = Path(words.__file__).parent / "static"
PAGES = {
    "/": "/api/v1/models",
    "/jobs": "/api/v1/jobs",
    "/models": "/api/v1/models",
    "/models/inclination": "/api/v1/models/inclination",
    "/alarms": "/api/v1/alarms?state=open",
    "/alarms?state=seen": "/api/v1/alarms?state=seen",
    "/api": "/api/v1/openapi.json",
}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def browser(server) -> Iterator[httpx.Client]:
    """A client that wants pages, of the server of all these tests."""
    with _browser(server) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[httpx.Client]:
    """The same of a server that wants tokens."""
    token = Token(name="ann", sha256=hashlib.sha256(b"secret").hexdigest())
    storage = tmp_path_factory.mktemp("guarded")
    settings = ServeSettings(storage=storage, threads=1, tokens=[token], table_rows=7)
    with ServerThread(settings) as running, _browser(running) as client:
        yield client


def _browser(server: ServerThread) -> httpx.Client:
    accept = {"Accept": "text/html,*/*"}
    return httpx.Client(base_url=server.url, headers=accept, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def image() -> bytes:
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    light = 220 * np.exp(-3 * np.hypot(x + y, (x - y) / 0.4)) + 12
    light += np.random.default_rng(1).normal(0, 3, light.shape)
    stored = io.BytesIO()
    Image.fromarray(np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(
        stored, "PNG"
    )
    return stored.getvalue()


def ask(browser: httpx.Client, image: bytes, **query: object) -> httpx.Response:
    files = {"file": ("galaxy.png", image)}
    return browser.post("/api/v1/predict", params=query, files=files)


@pytest.fixture(scope="module")
def kept(browser, image) -> dict:
    return ask(browser, image, keep=True).json()


@pytest.fixture(scope="module")
def hostile(server, browser, image, tmp_path_factory) -> str:
    """A kept answer with markup wherever a text can stand, an alarm and a position."""
    answer = ask(browser, image).json()
    path = tmp_path_factory.mktemp("hostile") / "image"
    path.write_bytes(image)
    answer["sentence"] = answer["image"]["name"] = HOSTILE
    answer["image"] |= {"ra": 187.70593, "dec": -0.5, "sha256": hashlib.sha256(image).hexdigest()}
    answer["alarm"] = [{"kind": "kinds_disagree", "models": ["a"], "text": HOSTILE}]
    answer["answers"][0] |= {"model": HOSTILE, "flag": HOSTILE, "class": None}
    return server.service.store.keep(answer, path)


@pytest.mark.parametrize(("path", "twin"), PAGES.items())
def test_pages_keep_the_rules_and_name_their_json(browser, path, twin) -> None:
    response = browser.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert faults(response.text) == []
    (link,) = [e for e in read(response.text).named("link") if e.attributes["rel"] == "alternate"]
    assert link.attributes == {"rel": "alternate", "type": "application/json", "href": twin}
    assert browser.get(twin).json()
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_what_pages_load_is_there_and_asked_for_again(browser) -> None:
    loaded = set()
    for path in PAGES:
        for one in read(browser.get(path).text).named("script", "link", "img"):
            address = one.attributes.get("src") or one.attributes.get("href", "")
            loaded |= {address} if address.startswith("/static/") else set()
    assert len(loaded) > 5
    for address in loaded:
        found = browser.get(address)
        assert found.status_code == 200, address
        assert found.headers["cache-control"] == "no-cache"
    for module in STATIC.glob("*.js"):
        text = module.read_text()
        for name in re.findall(r'from "\./([^"]+)"', text):
            assert (STATIC / name).is_file(), f"{module.name} imports {name}"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), module.name


def test_evaluate_has_the_models_surveys_and_limits(browser, server) -> None:
    page = read(browser.get("/").text)
    boxes = [e.attributes for e in page.named("input") if e.attributes.get("name") == "models"]
    assert [box["value"] for box in boxes] == sorted(shipped_bundles())
    assert all("checked" in box for box in boxes)
    options = [e.attributes["value"] for e in page.named("option")]
    assert options == [one["key"] for one in server.service.surveys()]
    (bench,) = [e for e in page.elements if e.attributes.get("id") == "evaluate"]
    assert int(bench.attributes["data-upload-bytes"]) == server.service.limits()["upload_bytes"]
    assert "32 MB" in bench.text


def test_a_kept_answer_is_readable_without_a_script(browser, kept) -> None:
    response = browser.get(f"/r/{kept['id']}")
    assert response.status_code == 200
    assert faults(response.text) == []
    page = read(response.text)
    (verdict,) = [e for e in page.elements if e.attributes.get("class") == "verdict"]
    assert verdict.text == kept["sentence"]
    rows = [e.text for e in page.named("tr")][1:]
    for one, row in zip(kept["answers"], rows, strict=True):
        assert one["model"] in row
        said = one["class"] if one["task"] == "classes" else one["reject"] or one["inclination"]
        assert (f"{said:.0f}°" if isinstance(said, float) else words.plain(said)) in row
    (shown,) = [e.attributes["src"] for e in page.named("img") if "shown" in e.attributes.values()]
    assert browser.get(shown).headers["content-type"] == "image/jpeg"


def test_texts_of_an_answer_are_never_markup(browser, hostile) -> None:
    response = browser.get(f"/r/{hostile}")
    assert faults(response.text) == []
    page = read(response.text)
    assert all(one.attributes["src"].startswith("/static/") for one in page.named("script"))
    (alarm,) = [e for e in page.elements if e.attributes.get("role") == "alert" and e.text]
    assert HOSTILE in alarm.text
    assert "12:30:49.4 −00:30:00 (187.70593°, −0.50000°), ICRS" in response.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/r/nothing", "There is no kept answer nothing."),
        ("/jobs/nothing", "There is no job nothing."),
        ("/models/nothing", "There is no model nothing."),
        ("/alarms?state=all", "There is no list of alarms called all."),
        ("/r/%3Cscript%3Ealert(1)%3C%2Fscript%3E", ""),
        ("/nowhere", "Not Found"),
        ("/static/nothing.js", "Not Found"),
    ],
)
def test_what_is_not_there_says_so(browser, path, said) -> None:
    response = browser.get(path)
    assert response.status_code == 404
    assert faults(response.text) == []
    assert said in response.text
    assert "What to do:" in response.text


def test_other_methods_get_a_page_too(browser) -> None:
    response = browser.post("/models")
    assert response.status_code == 405
    assert faults(response.text) == []


def test_a_program_gets_the_error_as_json(browser) -> None:
    response = browser.get("/nowhere", headers={"Accept": "application/json"})
    assert response.json()["error"]["status"] == 404


def test_a_job_says_how_far_it_is(browser) -> None:
    table = b"id,url\n1,http://elsewhere.example/a.jpg\n"
    sent = browser.post("/api/v1/jobs", files={"file": ("t.csv", table)})
    response = browser.get(f"/jobs/{sent.json()['id']}")
    assert response.status_code == 200
    assert faults(response.text) == []
    assert "of 1 rows" in response.text
    endings = re.findall(r"format=(\w+)\"", response.text)
    assert endings == ["parquet", "csv", "fits", "votable"]


def test_lists_of_others_stand_in_no_page(browser, guarded, image) -> None:
    """What people sent is told to holders of a token only: pages ask with it, from the browser."""
    kept = ask(guarded, image, keep=True).json()["id"]
    for path in ("/jobs", "/alarms", "/"):
        assert kept not in guarded.get(path).text
    assert guarded.get("/api/v1/jobs").status_code == 401


def test_a_field_for_the_token_is_there_where_one_is_needed(browser, guarded) -> None:
    for path in ("/jobs", "/alarms"):
        assert 'id="token"' not in browser.get(path).text
        text = guarded.get(path).text
        assert faults(text) == []
        (field,) = [e for e in read(text).named("input") if e.attributes.get("id") == "token"]
        assert field.attributes["type"] == "password"
    assert "7 rows" in guarded.get("/jobs").text
    assert "Bearer TOKEN" in guarded.get("/api").text


def test_models_show_their_scores_with_units(browser, server) -> None:
    text = " ".join(browser.get("/models").text.split())
    (model,) = [m for m in server.service.models() if m["name"] == "inclination"]
    (mae,) = [s for s in model["scores"] if s["name"] == "mae"]
    assert f"{mae['value']:.2f}° <span" in text
    assert f"{mae['low']:.2f}–{mae['high']:.2f}°" in text
    assert f"{mae['n']:,}" in text


def test_a_card_is_shown_with_its_tables(browser) -> None:
    page = read(browser.get("/models/galaxy-zoo-1").text)
    titles = [e.text for e in page.named("h2")]
    assert "What it cannot do" in titles
    assert len(page.named("table")) >= 3
    assert any(e.attributes.get("class") == "n" for e in page.named("td"))


@pytest.mark.parametrize(
    "card",
    [
        HOSTILE,
        "[press](javascript:alert(1))",
        "[press](data:text/html;base64,PHNjcmlwdD4=)",
        "![tracker](http://elsewhere.example/x.png)",
        "<style>*{display:none}</style>",
        '<a href="x" onclick="alert(1)">x</a>',
        "| a |\n| ---: |\n| <b onmouseover=alert(1)>x</b> |",
    ],
)
def test_a_card_brings_no_markup_of_its_own(card) -> None:
    shown = str(words.card_html(card))
    page = read(f"<div>{shown}</div>")
    allowed = {"div", "p", "a", "table", "thead", "tbody", "tr", "th", "td"}
    assert {one.name for one in page.elements} <= allowed
    for one in page.elements:
        assert set(one.attributes) <= {"href", "class", "rel"}
        assert one.attributes.get("href", "http").startswith("http")


def test_a_card_loses_its_title_only() -> None:
    shown = str(words.card_html("# name\n\ntext\n\n## Part\n\n# Other"))
    assert [e.text for e in read(f"<div>{shown}</div>").named("h1", "h2")] == ["Part", "Other"]


def test_every_route_of_the_api_is_documented(browser, server) -> None:
    document = browser.get("/api/v1/openapi.json").json()
    text = browser.get("/api").text
    page = read(text)
    shown = {e.text for e in page.named("h3")}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert f"{method.upper()} {path}" in shown
            for one in operation.get("parameters", []):
                assert f"<code>{one['name']}</code>" in text
    assert f"curl -F file=@galaxy.jpg {server.url}/api/v1/predict\n" in text.replace("<", "\n<")
    assert f"curl -F file=@table.csv {server.url}/api/v1/jobs\n" in text.replace("<", "\n<")
    assert "/api/v1/predict?name=M87" in text


def test_examples_of_the_api_are_shell_words() -> None:
    document = {
        "paths": {
            "/api/v1/things/{id}": {
                "post": {
                    "parameters": [
                        {
                            "name": "id",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string"},
                        },
                        {
                            "name": "depth",
                            "in": "query",
                            "required": True,
                            "schema": {"type": "integer", "minimum": 1, "maximum": 9},
                        },
                    ],
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/State"}}
                        }
                    },
                }
            }
        },
        "components": {
            "schemas": {
                "State": {
                    "required": ["state"],
                    "properties": {"state": {"type": "string", "enum": ["open", "seen"]}},
                }
            }
        },
    }
    ((route,),) = api_routes(document, "http://x").values()
    assert route["example"] == (
        "curl -H 'Content-Type: application/json' -d '{\"state\": \"seen\"}' "
        "'http://x/api/v1/things/ID?depth=DEPTH'"
    )
    facts = {
        one["name"]: (one["type"], one["values"], one["needed"]) for one in route["parameters"]
    }
    assert facts["depth"] == ("integer, 1 to 9", [], True)
    assert facts["state"] == ("string", ["open", "seen"], True)


@pytest.mark.parametrize(
    ("ra", "dec", "said"),
    [
        (187.70593, 12.39112, "12:30:49.4 +12:23:28 (187.70593°, +12.39112°)"),
        (359.99999999, -0.00001, "00:00:00.0 −00:00:00 (360.00000°, −0.00001°)"),
        (15.0, 59.9999999, "01:00:00.0 +60:00:00 (15.00000°, +60.00000°)"),
    ],
)
def test_positions_in_both_notations(ra, dec, said) -> None:
    assert words.position(ra, dec) == said


def test_a_share_is_never_rounded_to_certainty() -> None:
    said = [words.percent(share).replace(words.NARROW, " ") for share in (0, 0.001, 0.5, 0.999, 1)]
    assert said == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_colours_can_be_read(scheme) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for the edges of fields."""
    blocks = re.findall(r":root \{([^}]*)\}", (STATIC / "style.css").read_text())
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[0]))
    if scheme == "light":
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[1]))
    for ground in ("paper", "card"):
        for name in ("ink", "muted", "accent", "bad", "second"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        assert _contrast(colours["edge"], colours[ground]) >= 3, ground
    assert _contrast(colours["on-accent"], colours["accent"]) >= 4.5
    for name in ("ink", "bad"):
        assert _contrast(colours[name], colours["alarm"]) >= 4.5, name


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
