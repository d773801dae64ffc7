"""What the tests do at the first page again and again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def put(page: Any, path: Path) -> None:
    """Choose a file, as its button does."""
    page.set_input_files("#file", path)
    page.wait_for_selector("#tools:not([hidden])")


def evaluate(page: Any) -> dict[str, Any]:
    """Ask, and return what the server answered."""
    with page.expect_response(re.compile(r"/api/v1/predict")) as asked:
        page.click("#go")
    page.wait_for_selector("#answer .verdict")
    return dict(asked.value.json())
