"""Every job's command line, run as written with its files alone, ends as `morphoscope run` does."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from pegasus_runner import Runner

from morphoscope.pipeline import run_stages
from morphoscope.provenance import file_digest, read_record
from morphoscope.recipe import Recipe, load_recipe
from morphoscope.stages import STAGES
from morphoscope.workflow import Site, export_workflow
from morphoscope.workflow.archive import unpack_checked
from morphoscope.workflow.portable import make_portable

RECIPE = """
name = "tiny.1"
seed = 3
[simulate]
n = 48
size = 32
[split]
validation = 0.25
test = 0.25
[prepare]
size = 32
[train]
network = "alexnet"
width = 0.125
epochs = 10
batch_size = 8
checkpoint_s = 0.0
threads = 1
[evaluate]
bootstrap = 100
gallery = 0
explain = 0
[engine]
kind = "inline"
"""
CHECKPOINT = "train/members/0/checkpoint.safetensors"
# What holds measured times, or is made from what does.
TIMED = {
    "prepare/store.json",
    "train/history.json",
    CHECKPOINT,
    "evaluate/report.html",
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return load_recipe(path)


@pytest.fixture(scope="module")
def plain(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of `morphoscope run`."""
    run = tmp_path_factory.mktemp("plain") / "run"
    run_stages(recipe, run)
    return run


@pytest.fixture(scope="module")
def planned(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workflow") / "wf"
    export_workflow(recipe, folder, site=Site())
    return folder


def wait_for(archive: Path, log: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until an epoch of this process has ended and a checkpoint with weights is packed."""
    for _ in range(1200):
        assert process.poll() is None, f"the job ended before it could be killed: {log.read_text()}"
        if "epoch " in log.read_text() and CHECKPOINT in members(archive):
            return
        time.sleep(0.05)
    raise AssertionError("no checkpoint was written")


def members(archive: Path) -> list[str]:
    with tarfile.open(archive) as tape:
        return tape.getnames()


@pytest.fixture(scope="module")
def ran(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All jobs, the training killed outright once and told to end once."""
    runner = Runner(planned, tmp_path_factory.mktemp("pegasus"))
    told = {}
    for job in runner.order():
        if job == "train":
            for number, (how, code) in enumerate(((signal.SIGKILL, -9), (signal.SIGTERM, 143))):
                scratch = runner.stage_in(job, f"killed-{number}")
                with (scratch.parent / f"log-{number}").open("wb") as log:
                    process = subprocess.Popen(runner.command(job), cwd=scratch, stderr=log)
                    wait_for(scratch / "train-checkpoint.tar", Path(log.name), process)
                    process.send_signal(how)
                    assert process.wait(60) == code
                told[how] = (scratch.parent / f"log-{number}").read_text()
                assert not (scratch / "train.tar").exists()
                # A job that failed leaves its checkpoint and nothing else.
                runner.stage_out(job, scratch, "checkpoint")
        told[job] = runner.run(job).stderr
    return {"runner": runner, "told": told}


@pytest.fixture(scope="module")
def unpacked(ran: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All archives of the workflow in one folder."""
    folder = tmp_path_factory.mktemp("unpacked")
    for stage in STAGES:
        unpack_checked(ran["runner"].stored[f"{stage}.tar"], folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for stage in STAGES
        for path in (folder / stage).rglob("*")
        if path.is_file() and path.name != "stage.json"
    }


def test_every_output_is_that_of_a_plain_run(plain: Path, unpacked: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(plain, copy)
    for stage in STAGES:
        # Where a run lay is the one thing that its tables say besides.
        make_portable(copy / stage, plain)
    expected, found = digests(copy), digests(unpacked)
    assert found.keys() == expected.keys()
    assert {name for name in found if found[name] != expected[name]} <= TIMED
    assert len(found) > 70
    assert "train/model/weights.safetensors" in found
    assert "evaluate/predictions.parquet" in found
    assert "evaluate/metrics.json" in found
    assert "export/tiny.1/model.onnx" in found


def test_records_tell_of_one_chain(plain: Path, unpacked: Path) -> None:
    for name, stage in STAGES.items():
        record, expected = read_record(unpacked / name), read_record(plain / name)
        assert record is not None
        assert expected is not None
        assert record.state == "done"
        assert record.fingerprint.code == expected.fingerprint.code
        assert record.fingerprint.settings == expected.fingerprint.settings
        assert set(record.outputs) == set(expected.outputs)
        assert record.fingerprint.inputs.keys() == expected.fingerprint.inputs.keys()
        assert set(stage.needs) <= record.fingerprint.inputs.keys()


def test_a_killed_training_went_on_from_its_checkpoint(ran: dict[str, Any], plain: Path) -> None:
    told = ran["told"]
    assert "goes on from" not in told[signal.SIGKILL]
    for again in (signal.SIGTERM, "train"):
        assert "train: goes on from train-checkpoint.tar" in told[again]
    lines = [line for line in told["train"].splitlines() if line.startswith("epoch ")]
    epochs = [int(line.split()[1].split("/")[0]) for line in lines]
    assert epochs[-1] == 10
    assert 1 not in epochs
    history = json.loads((plain / "train/history.json").read_text())[0]
    assert len(history) == 10


def test_a_report_tells_of_stages_whose_images_were_not_there(ran: dict[str, Any]) -> None:
    archive = ran["runner"].stored["evaluate.tar"]
    assert {f"{stage}/stage.json" for stage in STAGES if stage != "export"} <= set(members(archive))
    assert not any(name.startswith("acquire/images") for name in members(archive))
    with tarfile.open(archive) as tape:
        page = tape.extractfile("evaluate/report.html")
        assert page is not None
        text = page.read().decode()
    assert '<th scope="row">acquire</th>' in text


def test_an_archive_is_the_same_whenever_it_is_made(
    ran: dict[str, Any], planned: Path, tmp_path: Path
) -> None:
    runner = Runner(planned, tmp_path / "again")
    runner.run("acquire")
    before, after = (
        tarfile.open(one.stored["acquire.tar"])  # noqa: SIM115
        for one in (ran["runner"], runner)
    )
    with before, after:
        assert before.getnames() == after.getnames()
        timed = {"acquire/stage.json", "manifest.json"}
        for one, other in zip(before.getmembers(), after.getmembers(), strict=True):
            if one.name not in timed:
                assert one.get_info() == other.get_info()
                first, second = before.extractfile(one), after.extractfile(other)
                assert first is not None
                assert second is not None
                assert first.read() == second.read()


def test_a_job_whose_first_try_left_its_folder_goes_on_there(
    ran: dict[str, Any], tmp_path: Path
) -> None:
    """As with a shared file system, where a further try finds what the first one left."""
    runner = ran["runner"]
    scratch = tmp_path / "shared"
    scratch.mkdir()
    for lfn in runner.lfns("split", "input"):
        shutil.copyfile(runner.stored[lfn], scratch / lfn)
    (scratch / "split.work/clean").mkdir(parents=True)
    (scratch / "split.work/clean/catalogue.parquet").write_bytes(b"half")
    done = subprocess.run(runner.command("split"), cwd=scratch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (scratch / "split.tar").exists()
    assert not (scratch / "split.work").exists()
