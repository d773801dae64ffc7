"""Whatever is sent, the server answers as its documentation says and never fails by itself.

`MORPHOSCOPE_EXAMPLES=200` sends more than 5,000 requests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from morphoscope.serve.settings import ServeSettings
from serve.servers import ServerThread
from serve.test_serve_label import write_campaign

EXAMPLES = os.environ.get("MORPHOSCOPE_EXAMPLES", "1")
# One drawn example would add little to those that are made for coverage, and takes its time.
PHASES = "examples,coverage" if EXAMPLES == "1" else "examples,coverage,fuzzing"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection"
)


def _keeps_its_word(url: str, folder: Path, *words: str) -> int:
    """Send what a schema allows and what it does not; how many requests that were."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            *(f"{url}/api/v1/openapi.json", "--max-examples", EXAMPLES),
            *("--checks", CHECKS, "--phases", PHASES),
            *("--seed", "1", "--continue-on-failure", "--request-timeout", "30"),
            *("--report-ndjson-path", str(folder / "report.ndjson")),
            *("--generation-database", "none", *words),
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    sent = re.search(r"(\d+) generated", done.stdout)
    assert sent is not None
    print(done.stdout[-300:])
    return int(sent[1])


@pytest.mark.thorough
def test_every_route_keeps_its_word(server, tmp_path: Path) -> None:
    words = ("--exclude-path-regex", "/campaigns/")
    assert _keeps_its_word(server.url, tmp_path, *words) > 300


def test_the_label_desk_keeps_its_word(
    tmp_path: Path, tiny_model: Path, galaxies: list[bytes]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index, image in enumerate(galaxies):
        (images / f"g{index}.jpg").write_bytes(image)
    file = write_campaign(tmp_path, images, "zoo", task="tree")
    settings = ServeSettings(models=[tiny_model], campaigns=[file], storage=tmp_path / "s")
    # What ends the session that asks is tried elsewhere.
    words = ("--include-path-regex", "/campaigns", "--exclude-path-regex", "sign-out|me/remove")
    with ServerThread(settings) as running:
        people = running.service.campaigns["zoo"].desk.people
        session = people.follow(people.invite("coordinator", "Chief")).session
        (tmp_path / "schemathesis.toml").write_text('[parameters]\ncampaign = "zoo"\n')
        words += ("-H", f"Authorization: Bearer {session}", "-H", "X-Morphoscope: label")
        assert _keeps_its_word(running.url, tmp_path, *words) > 100
        assert people.of_session(session) is not None
