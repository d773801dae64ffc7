"""What is written for Pegasus: valid, true, and complete."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pegasus_schema
import pytest
import yaml
from Pegasus.api import Properties
from pegasus_schema import problems, problems_for_pegasus

from morphoscope.cli import main
from morphoscope.errors import (
    MissingDependencyError,
    MorphoscopeError,
    RecipeError,
    SourceError,
    StageError,
)
from morphoscope.recipe import Recipe
from morphoscope.stages import STAGES
from morphoscope.workflow import Site, export_workflow

SIMULATED = {"name": "tiny.1", "simulate": {"n": 20, "size": 32}, "prepare": {"size": 32}}
STAGED = {
    "kind": "slurm",
    "stages": {"train": {"cores": 6, "memory": "24GiB", "gpus": 1, "walltime": "1-00:30:00"}},
}


def load(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pegasus") / "a folder" / "wf"
    recipe = Recipe.model_validate({**SIMULATED, "engine": STAGED})
    export_workflow(recipe, out, site=Site(retries=3))
    return out


def test_every_file_is_valid(folder: Path) -> None:
    assert not list(problems(folder))


@pytest.mark.skipif(
    not pegasus_schema.SCHEMAS,
    reason="MORPHOSCOPE_PEGASUS_SCHEMAS names no folder: the library ships no schema",
)
def test_every_file_is_valid_by_the_schemas_of_pegasus(folder: Path) -> None:
    assert not list(problems_for_pegasus(folder))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda job: job.pop("uses"),
        lambda job: job.update(id="tiny.1"),
        lambda job: job["uses"][0].update(type="inoutput"),
        lambda job: job["profiles"].pop("dagman"),
        lambda job: job["arguments"].append(["a list"]),
    ],
)
def test_the_schema_refuses_what_is_wrong(folder: Path, tmp_path: Path, break_it: Any) -> None:
    for name in pegasus_schema.OWN:
        (tmp_path / name).write_text((folder / name).read_text())
    values = copy.deepcopy(load(folder, "workflow.yml"))
    break_it(values["jobs"][1])
    (tmp_path / "workflow.yml").write_text(yaml.safe_dump(values))
    assert list(problems(tmp_path))


def test_the_replica_catalogue_has_the_checksums_of_what_it_names(folder: Path) -> None:
    replicas = load(folder, "replicas.yml")["replicas"]
    assert replicas
    for one in replicas:
        path = Path(one["pfns"][0]["pfn"])
        assert path.is_absolute()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one["checksum"]["sha256"]


def test_every_file_that_a_job_reads_is_given_or_written_before(folder: Path) -> None:
    workflow = load(folder, "workflow.yml")
    there = {one["lfn"] for one in load(folder, "replicas.yml")["replicas"]}
    parents: dict[str, set[str]] = {}
    for one in workflow["jobDependencies"]:
        for child in one["children"]:
            parents.setdefault(child, set()).add(one["id"])
    done: set[str] = set()
    for job in workflow["jobs"]:
        assert parents.get(job["id"], set()) <= done
        reads = {use["lfn"] for use in job["uses"] if use["type"] == "input"}
        assert reads <= there
        words = " ".join(job["arguments"])
        assert all(lfn in words for lfn in reads)
        there |= {use["lfn"] for use in job["uses"] if use["type"] == "output"}
        done.add(job["id"])
    assert done == set(STAGES)


def test_retries_checkpoint_and_resources(folder: Path) -> None:
    jobs = {job["id"]: job for job in load(folder, "workflow.yml")["jobs"]}
    assert {job["profiles"]["dagman"]["RETRY"] for job in jobs.values()} == {"3"}
    train = jobs["train"]["profiles"]["pegasus"]
    minutes = 24 * 60 + 30
    assert train == {
        "cores": 6,
        "memory": 24 * 1024,
        "runtime": str(60 * minutes),
        "gpus": 1,
        "maxwalltime": minutes,
        "checkpoint.time": int(0.9 * minutes),
    }
    assert {"cores", "memory", "runtime", "maxwalltime"} == set(
        jobs["clean"]["profiles"]["pegasus"]
    )
    kinds = {use["lfn"]: use["type"] for use in jobs["train"]["uses"]}
    assert kinds["train-checkpoint.tar"] == "checkpoint"
    inside = Recipe.model_validate_json((folder / "inputs/recipe.json").read_text())
    # A job has its own cores, and asks no batch system.
    assert inside.engine.kind == "local"
    assert inside.engine.at("train").workers == 6


def test_properties_are_read_by_pegasus_and_name_files_that_are_there(folder: Path) -> None:
    properties = Properties.load(folder / "pegasus.properties")
    for kind in ("site", "replica", "transformation"):
        assert (folder / properties[f"pegasus.catalog.{kind}.file"]).is_file()
    assert properties["pegasus.integrity.checking"] == "full"


def test_the_page_tells_of_every_job_and_of_a_command_that_exists(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    for stage in STAGES:
        assert f"| {stage} |" in page
    assert "pegasus-plan --conf pegasus.properties --sites condorpool" in page
    assert "morphoscope step clean --recipe recipe.json --in acquire.tar" in page
    assert "{" not in page.replace("{run}", "")


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("docker://example.org/morphoscope:1", "docker"),
        ("library://astro/morphoscope", "singularity"),
        ("oras://example.org/morphoscope:1", "singularity"),
    ],
)
def test_a_container_by_address(tmp_path: Path, image: str, kind: str) -> None:
    export_workflow(_recipe(), tmp_path / "wf", site=Site(name="here", container=image))
    assert not list(problems(tmp_path / "wf"))
    catalogue = load(tmp_path / "wf", "transformations.yml")
    assert catalogue["containers"] == [{"name": "morphoscope", "type": kind, "image": image}]
    place = catalogue["transformations"][0]["sites"][0]
    assert place["container"] == "morphoscope"
    assert (place["name"], place["pfn"]) == ("here", "/usr/local/bin/morphoscope")


def test_a_container_of_a_file_has_its_checksum(tmp_path: Path) -> None:
    image = tmp_path / "my image.sif"
    image.write_bytes(b"an image")
    site = Site(container=str(image), executable="/opt/bin/morphoscope")
    export_workflow(_recipe(), tmp_path / "wf", site=site)
    assert not list(problems(tmp_path / "wf"))
    catalogue = load(tmp_path / "wf", "transformations.yml")
    found = catalogue["containers"][0]
    assert found["image"] == image.as_uri()
    assert found["checksum"]["sha256"] == hashlib.sha256(b"an image").hexdigest()
    assert catalogue["transformations"][0]["sites"][0]["pfn"] == "/opt/bin/morphoscope"


def _recipe(**sections: object) -> Recipe:
    return Recipe.model_validate({**SIMULATED, **sections})


@pytest.mark.parametrize(
    ("site", "form", "error", "words"),
    [
        (Site(), "cwl", RecipeError, "not written as 'cwl'; expected pegasus"),
        (Site(container="image.tar"), "pegasus", RecipeError, "of no known kind"),
        (Site(container="absent.sif"), "pegasus", SourceError, "there is no image"),
    ],
)
def test_bad_requests(
    tmp_path: Path, site: Site, form: str, error: type[MorphoscopeError], words: str
) -> None:
    with pytest.raises(error, match=words):
        export_workflow(_recipe(), tmp_path / "wf", site=site, form=form)
    assert not list(tmp_path.iterdir()), "nothing half-written stays"


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "wf").mkdir()
    with pytest.raises(StageError, match="is there already"):
        export_workflow(_recipe(), tmp_path / "wf", site=Site())


def test_settings_that_no_training_could_meet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no network 'resnet11'"):
        export_workflow(_recipe(train={"network": "resnet11"}), tmp_path / "wf", site=Site())


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text('name = "tiny"\n[simulate]\nn = 20\nsize = 32\n[prepare]\nsize = 32\n')
    out = tmp_path / "workflow"
    words = ["export-workflow", str(recipe), "--format", "pegasus", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "7 jobs: acquire, clean, split, prepare, train, evaluate, export" in (
        capsys.readouterr().out
    )
    assert not list(problems(out))
    with pytest.raises(SystemExit) as ended:
        main([*words[:2], "--format", "makefile", "--out", str(tmp_path / "other")])
    assert ended.value.code == 2
    assert "--format makefile: there is pegasus" in capsys.readouterr().err


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    """In a Python that finds no ``Pegasus``, as where the extra is not installed."""
    (tmp_path / "Pegasus.py").write_text("raise ImportError('not here')\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from morphoscope.errors import MissingDependencyError\n"
        "from morphoscope.recipe import Recipe\n"
        "from morphoscope.workflow import Site, export_workflow\n"
        "assert 'Pegasus' not in sys.modules\n"
        "try: export_workflow(Recipe(name='x'), Path(sys.argv[1], 'wf'), site=Site())\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert "pip install 'morphoscope[pegasus]'" in done.stdout, done.stderr
    assert issubclass(MissingDependencyError, ImportError)
    assert not (tmp_path / "wf").exists()
