"""Work in containers: what their programs are told, and the same results from within."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from containers import INSIDE, binds, make_root, require
from morphoscope.engine.containers import python_inside
from morphoscope.engine.queues import job_settings
from morphoscope.errors import EngineError, RecipeError
from morphoscope.provenance import content_digest
from morphoscope.recipe import EngineSettings, load_recipe, named_paths

RECIPE = """
name = "tiny"
[simulate]
n = 12
size = 40
"""


def settings(container: str, **values: Any) -> EngineSettings:
    return EngineSettings.model_validate({"container": container, "image": "i:1"} | values)


def test_apptainer_is_told_what_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    image = tmp_path / "morphoscope.sif"
    image.touch()
    chosen = settings("apptainer", image=str(image), gpus=1, binds=["/data:/d:ro"])
    folders = [tmp_path / "run" / "not" / "yet", tmp_path / "run", Path("/usr/lib")]
    assert python_inside(chosen, folders) == [
        *("apptainer", "exec", "--bind", str(tmp_path / "run"), "--bind", "/usr/lib"),
        *(
            "--bind",
            "/data:/d:ro",
            "--pwd",
            str(tmp_path),
            "--env",
            "MORPHOSCOPE_CONTAINER=apptainer",
        ),
        *("--nv", str(image), "python3"),
    ]


def test_podman_is_told_what_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    words = python_inside(settings("podman", gpus=2, python="/opt/bin/python"), [tmp_path])
    assert words[:4] == ["podman", "run", "--rm", "--init"]
    assert words[-3:] == ["--entrypoint", "/opt/bin/python", "i:1"]
    told = " ".join(words)
    assert f"--volume {tmp_path}:{tmp_path}" in told
    assert "--userns=keep-id --network=host --ipc=host" in told
    assert "--env MORPHOSCOPE_*" in told
    assert "--device nvidia.com/gpu=all" in told
    assert python_inside(settings("podman", image=str(tmp_path)), [])[-3:] == [
        *("--rootfs", str(tmp_path), "python3"),
    ]


def test_what_a_link_leads_to_is_seen_and_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    for name in ("cwd", "scratch", "a:b"):
        (tmp_path / name).mkdir()
    (tmp_path / "cwd/runs").symlink_to(tmp_path / "scratch")
    words = python_inside(settings("podman"), [tmp_path / "cwd/runs/new", Path("/nowhere")])
    volumes = [after for word, after in itertools.pairwise(words) if word == "--volume"]
    assert volumes == [f"{at}:{at}" for at in (tmp_path / "cwd/runs", tmp_path / "scratch")]
    with pytest.raises(EngineError, match=r"a:b has a colon or a comma"):
        python_inside(settings("podman"), [tmp_path / "a:b"])


def test_what_a_recipe_names_is_seen(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE + '[train]\nweights = "mine.safetensors"\n')
    (tmp_path / "mine.safetensors").touch()
    (tmp_path / "data.zip").touch()
    words = [f"acquire.data={tmp_path}/data.zip::part", "acquire.source=folder"]
    words += [f"search.storage=sqlite:///{tmp_path}", "engine.scratch=/tmp"]
    found = named_paths(load_recipe(tmp_path / "tiny.toml", words))
    assert set(found) == {tmp_path / "data.zip", tmp_path / "mine.safetensors", tmp_path}


def test_apptainer_hands_on_what_a_job_tells() -> None:
    chosen = settings("apptainer", kind="slurm")
    lines = job_settings(chosen, Path("/run/.jobs"))["job_script_prologue"]
    told = "\n".join(["export SLURMD_NODENAME=n7", *lines, "env"])
    said = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=True).stdout
    assert "APPTAINERENV_SLURMD_NODENAME=n7\n" in said
    assert "APPTAINERENV_MORPHOSCOPE_CORES=1\n" in said
    assert re.search(r"^APPTAINERENV_MORPHOSCOPE_DEADLINE=\d+$", said, re.MULTILINE)


def test_an_image_that_is_not_there_is_told() -> None:
    with pytest.raises(EngineError, match=r"there is no image /nowhere/a.sif; build it"):
        python_inside(settings("apptainer", image="/nowhere/a.sif"), [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["engine.container=podman"], "engine.image must be set"),
        (["engine.container=docker", "engine.image=a"], "apptainer"),
        (
            ["engine.container=podman", "engine.image=a", "engine.kind=kubernetes"],
            "whoever starts those workers",
        ),
    ],
)
def test_settings_that_cannot_be_met(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    with pytest.raises(RecipeError, match=said):
        load_recipe(tmp_path / "tiny.toml", words)


def command(folder: Path, out: Path, *words: str) -> list[str]:
    own = [str(folder / "tiny.toml"), "--out", str(out), *words]
    return [sys.executable, "-m", "morphoscope", "acquire", *own]


@pytest.mark.parametrize(("container", "program"), [("bubblewrap", "bwrap"), ("podman", "podman")])
def test_within_a_container_it_is_as_without(
    container: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    root = make_root(tmp_path / "root")
    require(program, root, tmp_path, monkeypatch)
    (work / "tiny.toml").write_text(RECIPE)
    profile = tmp_path / "profile.toml"
    profile.write_text(
        f"[engine]\nworkers = 1\ncontainer = {container!r}\nimage = {str(root)!r}\n"
        f"python = {INSIDE!r}\nbinds = {binds()!r}\n"
    )
    monkeypatch.chdir(work)
    subprocess.run(command(work, work / "here", "--set", "engine.workers=1"), check=True)
    inside = command(work, work / "inside", "--profile", str(profile))
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"in {container}, {root}" in done.stderr
    assert content_digest([work / "inside/acquire/images"]) == content_digest(
        [work / "here/acquire/images"]
    )
    # What goes wrong inside ends the command outside.
    words = ["--data", "/nowhere", "--set", "acquire.source=folder"]
    ends = [
        subprocess.run([*one, *words], capture_output=True, text=True, check=False)
        for one in (inside, command(work, work / "here"))
    ]
    assert ends[0].returncode == ends[1].returncode != 0
    assert ends[0].stderr.endswith(ends[1].stderr)


def test_a_program_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["--set", "engine.container=apptainer", "--set", "engine.image=a"]
    done = subprocess.run(
        command(tmp_path, tmp_path / "out", *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no apptainer here; expected apptainer, for engine.container" in done.stderr
