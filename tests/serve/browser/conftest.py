"""A real browser, if there is one, in front of the real server."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from serve.servers import ServerThread

# The first is the same engine without the windows around it, for half of the CPU time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, server: ServerThread) -> Iterator[Callable[..., Any]]:
    """Open an address in a browser of its own; whatever it complains of fails the test."""
    contexts, complaints = [], []

    def told(message: Any) -> None:
        # A refusal of the server is told by the page; here only what the page does wrong.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def opened(path: str = "/", width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, base_url=server.url, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", told)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        if page.locator("script[type=module]").count():
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="module")
def galaxy_file(tmp_path_factory: pytest.TempPathFactory, drawn: Any) -> Path:
    """An oblong image of a disc, off its middle, so that each way of placing it shows."""
    path = tmp_path_factory.mktemp("galaxy") / "galaxy.png"
    Image.fromarray(drawn).crop((0, 20, 120, 100)).save(path)
    return path


@pytest.fixture
def grey() -> Callable[[bytes], Any]:
    """Make 64 × 64 numbers of an image."""

    def made(data: bytes) -> Any:
        import numpy as np

        image = Image.open(io.BytesIO(data)).convert("L").resize((64, 64), Image.Resampling.BOX)
        return np.asarray(image, float)

    return made
