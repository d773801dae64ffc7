"""What Pegasus does with a workflow: each job in a folder of its own, with its files alone."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml


class Runner:
    """Runs the jobs that ``workflow.yml`` lists, after those that ``jobDependencies`` puts before.

    Scratch folders are removed after each job: no path of one is of use to another.
    """

    def __init__(self, folder: Path, place: Path) -> None:
        self.workflow = yaml.safe_load((folder / "workflow.yml").read_text())
        self.jobs: dict[str, dict[str, Any]] = {job["id"]: job for job in self.workflow["jobs"]}
        replicas = yaml.safe_load((folder / "replicas.yml").read_text())["replicas"]
        self.stored = {one["lfn"]: Path(one["pfns"][0]["pfn"]) for one in replicas}
        self.checksums = {one["lfn"]: one["checksum"]["sha256"] for one in replicas}
        sites = yaml.safe_load((folder / "transformations.yml").read_text())["transformations"]
        self.executable = sites[0]["sites"][0]["pfn"]
        self.place = place
        (place / "staging").mkdir(parents=True)

    def order(self) -> list[str]:
        parents = {name: set[str]() for name in self.jobs}
        for one in self.workflow["jobDependencies"]:
            for child in one["children"]:
                parents[child].add(one["id"])
        done: list[str] = []
        while len(done) < len(parents):
            ready = [n for n, before in parents.items() if n not in done and before <= set(done)]
            assert ready, "the dependencies go in circles"
            done += ready
        return done

    def lfns(self, job: str, *kinds: str) -> list[str]:
        return [use["lfn"] for use in self.jobs[job]["uses"] if use["type"] in kinds]

    def stage_in(self, job: str, name: str = "") -> Path:
        """The folder of a job with what it reads; a checkpoint where one was left."""
        scratch = self.place / (name or f"scratch-{job}")
        scratch.mkdir()
        for lfn in self.lfns(job, "input"):
            source = self.stored[lfn]
            if lfn in self.checksums:
                digest = hashlib.sha256(source.read_bytes()).hexdigest()
                assert digest == self.checksums[lfn]
            shutil.copyfile(source, scratch / lfn)
        for lfn in self.lfns(job, "checkpoint"):
            if lfn in self.stored:
                shutil.copyfile(self.stored[lfn], scratch / lfn)
        return scratch

    def command(self, job: str) -> list[str]:
        return [self.executable, *map(str, self.jobs[job]["arguments"])]

    def stage_out(self, job: str, scratch: Path, *kinds: str) -> None:
        for lfn in self.lfns(job, *kinds):
            target = self.place / "staging" / lfn
            shutil.copyfile(scratch / lfn, target)
            self.stored[lfn] = target
        shutil.rmtree(scratch)

    def run(self, job: str) -> subprocess.CompletedProcess[str]:
        scratch = self.stage_in(job)
        done = subprocess.run(self.command(job), cwd=scratch, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        left = {path.name for path in scratch.iterdir()}
        assert left == set(self.lfns(job, "input", "output", "checkpoint")), "files are left over"
        self.stage_out(job, scratch, "output", "checkpoint")
        return done
