"""Containers: the words that run Python in one, with the folders that the work needs.

Workers of a batch system are started in a container by their job; on one machine the whole command
is run again in it. An image is what its program calls so: a file or a name for Apptainer, a name or
an unpacked root folder for Podman, an unpacked root folder for Bubblewrap.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from morphoscope.engine.places import CORES
from morphoscope.engine.work import DEADLINE
from morphoscope.errors import EngineError
from morphoscope.progress import say
from morphoscope.recipe import EngineSettings

__all__ = ["enter", "handing_on", "python_inside"]

PROGRAMS = {"apptainer": "apptainer", "podman": "podman", "bubblewrap": "bwrap"}
INSIDE = "MORPHOSCOPE_CONTAINER"
# What a job tells its worker; Apptainer hands it on under names of its own, whatever its options.
TOLD = (DEADLINE, CORES, "OMP_NUM_THREADS", "SLURMD_NODENAME")
# Variables that a worker is told by; Podman hands on none by itself.
HANDED_ON = ("MORPHOSCOPE_*", "DASK_*", "SLURM*", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
PYTHON = "python3"


def enter(settings: EngineSettings, words: Sequence[str], folders: Iterable[Path]) -> None:
    """Run this command again in the container, if the settings name one and it is not in it.

    Does not return then. Work on a cluster is led from outside: its workers are in containers.

    Parameters
    ----------
    settings
        Of the engine.
    words
        Of the command, after ``morphoscope``.
    folders
        Files and folders that it reads or writes.

    Raises
    ------
    EngineError
        There is no such program or image here.
    """
    if not settings.container or settings.clustered or os.environ.get(INSIDE):
        return
    program = PROGRAMS[settings.container]
    if shutil.which(program) is None:
        raise EngineError(
            f"there is no {program} here",
            expected=f"{settings.container}, for engine.container",
            do="install it, or set engine.container to '' and run without",
        )
    command = [*python_inside(settings, [Path.cwd(), *folders]), "-m", "morphoscope", *words]
    say(f"in {settings.container}, {settings.image}")
    sys.stderr.flush()
    os.environ[INSIDE] = settings.container
    os.execvp(program, command)


def python_inside(settings: EngineSettings, folders: Iterable[Path]) -> list[str]:
    """Words that start Python in the container; what it is to run comes after them.

    Parameters
    ----------
    settings
        Of the engine: ``container``, ``image``, ``binds``, ``container_options``, ``gpus`` and
        ``python``, which is the one of the container.
    folders
        Files and folders that it needs, by the same path as here. What does not exist yet is made
        within its nearest folder that does.

    Raises
    ------
    EngineError
        The image is a path at which there is nothing.
    """
    image = settings.image
    if image.startswith(("/", ".", "~")):
        path = Path(image).expanduser().absolute()
        if not path.exists():
            raise EngineError(f"there is no image {path}", do="build it, or check engine.image")
        image = str(path)
    binds = [*map(str, _outermost(folders)), *settings.binds]
    words = {"apptainer": _apptainer, "podman": _podman, "bubblewrap": _bubblewrap}
    return words[settings.container](settings, image, binds)


def handing_on(settings: EngineSettings) -> list[str]:
    """Lines of shell of a job, before its worker starts, that tell the container what it knows."""
    if settings.container != "apptainer":
        return []
    return [f'[ -z "${name}" ] || export APPTAINERENV_{name}="${name}"' for name in TOLD]


def _apptainer(settings: EngineSettings, image: str, binds: list[str]) -> list[str]:
    bound = [word for bind in binds for word in ("--bind", bind)]
    graphics = ["--nv"] if settings.gpus else []
    # Options may clear the environment.
    inside = ["--env", f"{INSIDE}=apptainer"]
    own = ["--pwd", str(Path.cwd()), *inside, *graphics, *settings.container_options]
    return ["apptainer", "exec", *bound, *own, image, settings.python or PYTHON]


def _podman(settings: EngineSettings, image: str, binds: list[str]) -> list[str]:
    bound = [
        word for bind in binds for word in ("--volume", bind if ":" in bind else f"{bind}:{bind}")
    ]
    told = [word for name in HANDED_ON for word in ("--env", name)]
    graphics = ["--device", "nvidia.com/gpu=all"] if settings.gpus else []
    # Files that it writes are of whoever calls it.
    user = ["--userns=keep-id"] if os.getuid() else []
    # Workers reach each other as outside; /dev/shm is the machine's, for images in memory.
    shared = ["--network=host", "--ipc=host", "--security-opt", "label=disable"]
    own = ["--workdir", str(Path.cwd()), *told, *graphics, *user, *shared]
    python = settings.python or PYTHON
    start = ["podman", "run", "--rm", "--init", *bound, *own, *settings.container_options]
    if image.startswith("/"):
        return [*start, "--rootfs", image, python]
    return [*start, "--entrypoint", python, image]


def _bubblewrap(settings: EngineSettings, image: str, binds: list[str]) -> list[str]:
    words = ["bwrap", "--die-with-parent", "--bind", image, "/", "--proc", "/proc"]
    words += ["--dev-bind", "/dev", "/dev", "--tmpfs", "/tmp", "--setenv", "HOME", "/tmp"]
    for bind in binds:
        outside, _, rest = bind.partition(":")
        inside, _, how = rest.partition(":")
        words += ["--ro-bind" if how == "ro" else "--bind", outside, inside or outside]
    # Folders to bind to were made in the image where it had none; all else of it stays as it is.
    words += ["--remount-ro", "/", "--chdir", str(Path.cwd())]
    return [*words, *settings.container_options, settings.python or PYTHON]


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Folders that are there, each once, without those within another.

    The root is none: over that of the image it would leave nothing of it.
    """
    found: set[Path] = set()
    for folder in folders:
        # Where it is a link, what it leads to must be seen as well.
        for place in (folder.expanduser().absolute(), folder.expanduser().resolve()):
            there = next(one for one in (place, *place.parents) if one.is_dir())
            found.add(there)
            if re.search("[:,]", str(there)):
                raise EngineError(
                    f"the path {there} has a colon or a comma",
                    expected="a path that the program of the container can be told",
                    do="rename that folder, or work elsewhere",
                )
    kept: list[Path] = []
    # A folder sorts before those within it.
    for place in sorted(found - {Path("/")}):
        if not kept or not place.is_relative_to(kept[-1]):
            kept.append(place)
    return kept
