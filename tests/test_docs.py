"""The documentation says what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from morphoscope import errors
from morphoscope.cli import app
from morphoscope.label.campaign import describe_campaign
from morphoscope.recipe.words import describe_settings
from morphoscope.serve.app import create_app
from morphoscope.serve.settings import ServeSettings, describe_server
from morphoscope.stages import STAGES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "recipes/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"^\s*(?:\$ )?(morphoscope .*?)(?:\s+#.*)?$", re.MULTILINE)


def commands() -> dict[str, set[str]]:
    """Return every command with its options; those of a group by both words."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        parts = getattr(command, "commands", None)
        inside = {f"{name} {word}": part for word, part in (parts or {}).items()}
        for words, one in (inside or {name: command}).items():
            found[words] = {option for p in one.params for option in p.opts}
    return found


def test_the_page_of_settings_is_the_one_made_from_the_code() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == describe_settings(), "run `make docs`"


def test_the_settings_of_the_server_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "server-settings.md").read_text()
    assert page.endswith("\n\n" + describe_server()), "run `make docs`"


def test_the_settings_of_a_campaign_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "campaign-settings.md").read_text()
    assert page.endswith("\n\n" + describe_campaign()), "run `make docs`"


def test_every_route_is_told(tmp_path: Path) -> None:
    page = "".join((ROOT / "docs" / name).read_text() for name in ("serve.md", "label.md"))
    routes = create_app(ServeSettings(storage=tmp_path)).openapi()["paths"]
    for path, methods in routes.items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in page, f"{method} {path}"


def test_every_command_is_shown() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    for name in commands():
        assert f"morphoscope {name}" in text, f"no page shows `morphoscope {name}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_shown_commands_exist_with_their_options(page: Path) -> None:
    known = commands()
    blocks = re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL)
    for line in (line for block in blocks for line in COMMAND.findall(block)):
        words = shlex.split(line)[1:]
        if words[0].startswith("-"):
            continue
        name = words[0] if words[0] in known else " ".join(words[:2])
        assert name in known, line
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in known[name] | {"--help"}, line


def test_every_error_is_explained() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    for name in errors.__all__:
        assert f"`{name}`" in page


def test_every_stage_has_a_page() -> None:
    for name in [*STAGES, "simulate", "augment", "networks", "predict"]:
        assert (ROOT / "docs" / f"{name}.md").exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_settings_named_in_recipes_and_pages_exist() -> None:
    text = describe_settings()
    for page in PAGES:
        for change in re.findall(r"--set (\w+)\.(\w+)=", page.read_text()):
            assert f"## [{change[0]}]" in text, page.name
            assert f"- `{change[1]}`" in text, page.name
