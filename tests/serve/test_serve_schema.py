"""Whatever is sent, the server answers as its documentation says and never fails by itself.

`MORPHOSCOPE_EXAMPLES=200` sends more than 5,000 requests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = os.environ.get("MORPHOSCOPE_EXAMPLES", "1")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection"
)


def test_every_route_keeps_its_word(server, tmp_path: Path) -> None:
    report = tmp_path / "report.ndjson"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            *(f"{server.url}/api/v1/openapi.json", "--max-examples", EXAMPLES),
            *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing"),
            *("--seed", "1", "--continue-on-failure", "--request-timeout", "30"),
            *("--report-ndjson-path", str(report), "--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    sent = re.search(r"(\d+) generated", done.stdout)
    assert sent is not None
    assert int(sent[1]) > 300
    print(done.stdout[-300:])
