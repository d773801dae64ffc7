"""A root folder for containers of the tests: the system of this machine, and Python elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import morphoscope

__all__ = ["CONTAINERS_CONF", "INSIDE", "binds", "make_root", "require"]

# Where Python lies in the container, and nowhere else.
INSIDE = "/inside/bin/python"
CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
[engine]
runtime = "runc"
"""


def make_root(folder: Path) -> Path:
    """Make a root folder whose /usr and /etc are those of this machine, see `binds`."""
    for name in ("usr", "etc", "proc", "dev", "sys", "tmp", "run", "inside"):
        (folder / name).mkdir(parents=True)
    for link in Path("/").iterdir():
        if link.is_symlink():
            (folder / link.name).symlink_to(link.readlink())
    return folder


def binds() -> list[str]:
    """What such a container sees of this machine beside its work."""
    system = ["/usr:/usr:ro", "/etc:/etc:ro"]
    python = {sys.base_prefix, str(Path(morphoscope.__file__).parent.parent)}
    own = [f"{path}:{path}:ro" for path in python if not path.startswith("/usr")]
    return [*system, *own, f"{sys.prefix}:/inside:ro"]


def require(program: str, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip where a program is absent; help Podman where it may not set limits."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if program != "podman":
        return
    command = ["podman", "run", "--rm", "--network=host", "--volume", "/usr:/usr:ro"]
    command += ["--rootfs", str(root), "/usr/bin/true"]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    monkeypatch.setenv("CONTAINERS_CONF", str(folder / "containers.conf"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"podman runs nothing here: {done.stderr[-300:]}")
