"""A workflow for Pegasus: the abstract workflow, its three catalogues and its properties.

Written with the library that Pegasus brings for it, so that names and layout are its own.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morphoscope import __version__
from morphoscope.errors import MissingDependencyError, RecipeError, SourceError
from morphoscope.provenance import file_digest
from morphoscope.recipe import Recipe
from morphoscope.workflow.archive import INPUTS
from morphoscope.workflow.inputs import Gathered
from morphoscope.workflow.jobs import RECIPE, StepJob
from morphoscope.workflow.readme import write_readme

if TYPE_CHECKING:
    from Pegasus.api import Job, ReplicaCatalog, SiteCatalog, TransformationCatalog

__all__ = ["Site", "require_pegasus", "write_pegasus"]

TRANSFORMATION = "morphoscope"
SUBMIT_HOST = "local"
MEGABYTE = 1 << 20
# Share of a job's time after which it is told to leave a checkpoint and end.
CHECKPOINT_AT = 0.9
IMAGE_FILES = (".sif", ".simg")


@dataclass(frozen=True)
class Site:
    """Where jobs run.

    Attributes
    ----------
    name
        Of the execution site.
    executable
        Path of the command ``morphoscope`` there, or in the container; empty: that of this machine.
    container
        Image: a ``.sif`` file, ``docker://…``, ``library://…``, or empty for none.
    retries
        Further tries of a job that failed.
    """

    name: str = "condorpool"
    executable: str = ""
    container: str = ""
    retries: int = 2


def require_pegasus() -> None:
    """Refuse where the library is not installed.

    Raises
    ------
    MissingDependencyError
        It is not.
    """
    try:
        import Pegasus.api  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"pegasus-wms.api is not installed ({error})",
            do="pip install 'morphoscope[pegasus]'",
        ) from error


def write_pegasus(
    recipe: Recipe,
    jobs: list[StepJob],
    found: Gathered,
    folder: Path,
    home: Path,
    site: Site,
) -> None:
    """Write ``workflow.yml``, the catalogues, ``pegasus.properties`` and ``README.md``.

    Parameters
    ----------
    recipe
        The experiment.
    jobs
        Its jobs, in order.
    found
        What they are given from outside.
    folder
        Folder that has the packed inputs already.
    home
        Absolute path that the folder will have.
    site
        Where the jobs run.

    Raises
    ------
    SourceError
        The image of the container is absent.
    RecipeError
        It is of no known kind.
    """
    from Pegasus.api import Properties, Workflow

    name = recipe.name.replace(".", "_")
    workflow = Workflow(name)
    workflow.add_metadata(recipe=recipe.name, morphoscope=__version__)
    workflow.add_jobs(*(_job(job, site) for job in jobs))
    workflow.write(str(folder / "workflow.yml"))
    _replicas(found, folder, home).write(str(folder / "replicas.yml"))
    _transformations(site).write(str(folder / "transformations.yml"))
    _sites(home, site).write(str(folder / "sites.yml"))
    properties = Properties()
    for key, value in {
        "pegasus.catalog.site.file": "sites.yml",
        "pegasus.catalog.replica.file": "replicas.yml",
        "pegasus.catalog.transformation.file": "transformations.yml",
        # Files travel with the jobs: no file system need be shared.
        "pegasus.data.configuration": "condorio",
        "pegasus.integrity.checking": "full",
    }.items():
        properties[key] = value
    properties.write(str(folder / "pegasus.properties"))
    (folder / "README.md").write_text(write_readme(recipe, jobs, site.name), encoding="utf-8")


def _job(job: StepJob, site: Site) -> Job:
    from Pegasus.api import File, Job

    files = {*job.reads, job.writes, job.checkpoint}
    made = Job(TRANSFORMATION, _id=job.stage, node_label=job.stage)
    made.add_args(*(File(word) if word in files else word for word in job.arguments))
    made.add_inputs(*job.reads)
    made.add_outputs(job.writes, stage_out=job.wanted, register_replica=job.wanted)
    needs = job.needs
    minutes = max(1, needs.runtime_s // 60)
    made.add_pegasus_profile(
        cores=needs.cores,
        memory=f"{needs.memory_mb} MB",
        runtime=str(needs.runtime_s),
        max_walltime=minutes,
    )
    if needs.gpus:
        made.add_pegasus_profile(gpus=needs.gpus)
    if job.checkpoint:
        made.add_checkpoint(job.checkpoint, stage_out=True, register_replica=False)
        made.add_pegasus_profile(checkpoint_time=max(1, int(CHECKPOINT_AT * minutes)))
    made.add_dagman_profile(retry=str(site.retries))
    return made


def _replicas(found: Gathered, folder: Path, home: Path) -> ReplicaCatalog:
    from Pegasus.api import ReplicaCatalog

    catalogue = ReplicaCatalog()
    for name in (RECIPE, *(one.name for one in found.packed)):
        digest = file_digest(folder / INPUTS / name)
        path = str(home / INPUTS / name)
        catalogue.add_replica(SUBMIT_HOST, name, path, checksum={"sha256": digest})
    for one in found.given:
        # An address is nobody's site; one that lies here is the submit host's.
        site = "nonlocal" if "://" in one.source else SUBMIT_HOST
        catalogue.add_replica(site, one.name, one.source, checksum={"sha256": one.sha256})
    return catalogue


def _transformations(site: Site) -> TransformationCatalog:
    from Pegasus.api import Transformation, TransformationCatalog

    catalogue = TransformationCatalog()
    inside: dict[str, Any] = {}
    if site.container:
        inside["container"] = _container(site.container)
        catalogue.add_containers(inside["container"])
    transformation = Transformation(
        TRANSFORMATION, site=site.name, pfn=_executable(site), is_stageable=False, **inside
    )
    return catalogue.add_transformations(transformation)


def _executable(site: Site) -> str:
    if site.executable:
        return site.executable
    if site.container:
        return "/usr/local/bin/morphoscope"
    beside = Path(sys.executable).with_name("morphoscope")
    return str(beside) if beside.exists() else shutil.which("morphoscope") or str(beside)


def _container(image: str) -> Any:
    from Pegasus.api import Container

    if image.startswith("docker://"):
        return Container("morphoscope", Container.DOCKER, image)
    if image.startswith(("library://", "shub://", "oras://")):
        return Container("morphoscope", Container.SINGULARITY, image)
    path = Path(image).expanduser()
    if path.suffix.lower() not in IMAGE_FILES:
        raise RecipeError(
            f"the container {image!r} is of no known kind",
            expected="a .sif file, docker://…, library://… or oras://…",
            do="name one with --container",
        )
    if not path.is_file():
        raise SourceError(f"there is no image {path}", do="build it, or check the path")
    return Container(
        "morphoscope",
        Container.SINGULARITY,
        path.absolute().as_uri(),
        image_site=SUBMIT_HOST,
        checksum={"sha256": file_digest(path)},
    )


def _sites(home: Path, site: Site) -> SiteCatalog:
    from Pegasus.api import OS, Directory, FileServer, Operation, SiteCatalog
    from Pegasus.api import Site as PegasusSite

    def directory(kind: Any, name: str) -> Directory:
        path = home / name
        server = FileServer(path.as_uri(), Operation.ALL)
        return Directory(kind, str(path)).add_file_servers(server)

    here = PegasusSite(SUBMIT_HOST, os_type=OS.LINUX).add_directories(
        directory(Directory.SHARED_SCRATCH, "scratch"),
        directory(Directory.LOCAL_STORAGE, "output"),
    )
    there = PegasusSite(site.name, os_type=OS.LINUX)
    there.add_pegasus_profile(style="condor").add_condor_profile(universe="vanilla")
    return SiteCatalog().add_sites(here, there)
