"""Profile, recipe and command line agree on where work runs; jobs ask for what they say."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import pytest

from morphoscope.engine import open_engine
from morphoscope.engine.pods import pod_settings
from morphoscope.engine.queues import cluster_class, job_settings
from morphoscope.errors import EngineError, MissingDependencyError, RecipeError
from morphoscope.recipe import EngineSettings, load_engine, load_recipe

PROFILE = """\
[engine]
kind = "slurm"
workers = 20
memory = "8GB"
walltime = "4:00:00"

[engine.stages.train]
workers = 1
cores = 16
gpus = 1
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.toml"
    path.write_text(PROFILE)
    return path


def test_a_stage_has_resources_of_its_own(profile: Path) -> None:
    settings = load_engine(profile)
    assert (settings.kind, settings.clustered, settings.at("clean").workers) == ("slurm", True, 20)
    train = settings.at("train")
    assert (train.workers, train.cores, train.gpus, train.memory) == (1, 16, 1, "8GB")
    assert train.walltime == "4:00:00"


def test_the_last_word_is_that_of_the_command_line(profile: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "r"\n[engine]\nworkers = 3\ntries = 9\n')
    assert load_recipe(recipe).engine.kind == "local"
    engine = load_recipe(recipe, profile=profile).engine
    assert (engine.kind, engine.workers, engine.tries) == ("slurm", 20, 9)
    engine = load_recipe(recipe, ["engine.workers=5"], profile=profile, kind="inline").engine
    assert (engine.kind, engine.workers) == ("inline", 5)
    engine = load_recipe(recipe, kind="tcp://somewhere:8786").engine
    assert (engine.kind, engine.address) == ("address", "tcp://somewhere:8786")
    recipe.write_text('name = "r"\nengine = "inline"\n')
    assert load_recipe(recipe).engine.kind == "inline"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[engine]\nkind = "slrum"', "slurm"),
        ("[engine]\nworker = 3", "workers"),
        ('[engine]\nwalltime = "4h"', "4h"),
        ('[engine]\nwalltime = "0:00:00"', "every job at once"),
        ('[engine]\nmemory = "8"', "8GB"),
        ('[engine]\nkind = "address"', "engine.address"),
        ('[engine]\nkind = "kubernetes"', "engine.image"),
        ("[engine.stages.trian]\ncores = 2", "trian"),
        ("[train]\nepochs = 2", "a section"),
        ("engine = 3", "no engine"),
        ("engine =", "not TOML"),
    ],
)
def test_a_profile_that_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        load_engine(path)


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no profile"):
        load_engine(tmp_path / "none.toml")


def script(tmp_path: Path, **changes: object) -> str:
    """Text of a job as dask-jobqueue would send it."""
    settings = EngineSettings.model_validate({"walltime": "2:00:00", "memory": "8GB"} | changes)
    before = signal.getsignal(signal.SIGINT)
    kind = cluster_class(settings.kind).job_cls
    # What Ctrl-C means is not the library's affair.
    assert signal.getsignal(signal.SIGINT) is before
    job = kind("tcp://127.0.0.1:1", name="worker", **job_settings(settings, tmp_path))
    return str(job.job_script())


def test_what_a_job_of_slurm_asks_for(tmp_path: Path) -> None:
    text = script(
        tmp_path,
        kind="slurm",
        cores=4,
        gpus=2,
        partition="short",
        account="astro",
        directives=["--constraint=avx512"],
        prologue=["module load cuda"],
        python="/usr/local/bin/python3",
        scratch="/scratch",
    )
    for line in (
        "#SBATCH -p short",
        "#SBATCH -A astro",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8G",
        "#SBATCH -t 2:00:00",
        "#SBATCH --gres=gpu:2",
        "#SBATCH --constraint=avx512",
        "module load cuda",
        "export OMP_NUM_THREADS=4",
        # Five minutes before the end.
        f"export MORPHOSCOPE_DEADLINE=$(($(date +%s) + {2 * 3600 - 300}))",
    ):
        assert line in text
    assert "/usr/local/bin/python3 -m distributed.cli.dask_worker" in text
    assert "--nthreads 1" in text
    assert "--local-directory /scratch" in text


def test_what_a_job_of_pbs_asks_for(tmp_path: Path) -> None:
    text = script(tmp_path, kind="pbs", cores=4, gpus=1, partition="short", account="astro")
    for line in (
        "#PBS -q short",
        "#PBS -A astro",
        "#PBS -l select=1:ncpus=4:mem=8gb:ngpus=1",
        "#PBS -l walltime=2:00:00",
    ):
        assert line in text


def test_what_a_job_of_htcondor_asks_for(tmp_path: Path) -> None:
    text = script(
        tmp_path, kind="htcondor", cores=4, gpus=1, account="astro", directives=["rank = Memory"]
    )
    for line in (
        "RequestCpus = MY.DaskWorkerCores",
        "request_gpus = 1",
        "accounting_group = astro",
        "rank = Memory",
    ):
        assert line in text


def test_what_a_pod_asks_for() -> None:
    values = {"kind": "kubernetes", "image": "morphoscope:1", "cores": 4, "gpus": 1}
    settings = EngineSettings.model_validate({**values, "memory": "8GB"})
    told = pod_settings(settings, 20)
    wanted = {"cpu": "4", "memory": "8000M", "nvidia.com/gpu": "1"}
    assert (told["image"], told["n_workers"]) == ("morphoscope:1", 20)
    assert told["resources"] == {"requests": wanted, "limits": wanted}
    assert told["env"]["MORPHOSCOPE_CORES"] == "4"


def test_packages_that_are_not_installed_are_named() -> None:
    settings = EngineSettings(kind="kubernetes", image="morphoscope:1")
    if importlib.util.find_spec("dask_kubernetes"):
        pytest.skip("dask-kubernetes is installed")
    with (
        open_engine(settings) as engine,
        pytest.raises(MissingDependencyError, match="pip install dask-kubernetes"),
    ):
        list(engine.map(len, ["a"]))


def test_where_no_jobs_are_taken_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for kind, command in (("slurm", "sbatch"), ("pbs", "qsub"), ("htcondor", "condor_submit")):
        settings = EngineSettings.model_validate({"kind": kind})
        with (
            open_engine(settings) as engine,
            pytest.raises(EngineError, match=f"there is no {command} here"),
        ):
            list(engine.map(len, ["a"]))
