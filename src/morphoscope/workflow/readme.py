"""The page in the folder of a workflow: how it is planned and submitted."""

from __future__ import annotations

from collections.abc import Iterable

from morphoscope import __version__
from morphoscope.recipe import Recipe
from morphoscope.workflow.jobs import StepJob

__all__ = ["write_readme"]

PAGE = """\
# {name}: a workflow for Pegasus

Written by Morphoscope {version} from the recipe `{name}`. Every site needs the same version.

| job | reads | writes | cores | memory (MB) | longest run (s) |
|---|---|---|---|---|---|
{rows}

## Before the first run

1. `sites.yml` names the submit host (`local`) and the execution site `{site}`, a plain HTCondor
   pool. Put your site's own entry in its place (queue, project, shared file systems).
2. `transformations.yml` names the command `morphoscope` on `{site}`, and the container if one was
   asked for. Check the path.
3. `pegasus.properties`: files travel with the jobs (`condorio`). Where scratch is shared, or a
   staging server is used, set `pegasus.data.configuration` to `sharedfs` or `nonsharedfs`.
4. The folder may not move: `replicas.yml` and `sites.yml` name it by its absolute path.

## Plan and submit

```
pegasus-plan --conf pegasus.properties --sites {site} --output-sites local \\
    --dir submit --submit workflow.yml
pegasus-status -l submit/...          # the folder that pegasus-plan printed
pegasus-analyzer submit/...           # why a job failed
pegasus-run submit/...                # go on after a failure
```

## What comes out

`output/` gets one archive a stage, a plain tar: `tar xf output/export.tar` gives the bundle in
`export/`, `evaluate.tar` the report. The last member, `manifest.json`, has the SHA-256 of every
other; the next job compares them before it uses any. In tables `{{run}}` stands for the folder of
the run. `acquire.tar` and `prepare.tar`, which hold images, stay on the scratch of the workflow.

Training writes `train-checkpoint.tar` while it runs and when it is told to end (after nine tenths
of its time); a further try of the job goes on from it.

## One job by hand

In an empty folder that holds the files that it reads:

```
{command}
```
"""


def write_readme(recipe: Recipe, jobs: list[StepJob], site: str) -> str:
    """Write the page."""
    return PAGE.format(
        name=recipe.name,
        version=__version__,
        site=site,
        rows="\n".join(_rows(jobs)),
        command=" ".join(("morphoscope", *jobs[1].arguments)),
    )


def _rows(jobs: list[StepJob]) -> Iterable[str]:
    for job in jobs:
        reads, needs = ", ".join(job.reads), job.needs
        yield (
            f"| {job.stage} | {reads} | {job.writes} | {needs.cores} | {needs.memory_mb:,} "
            f"| {needs.runtime_s:,} |"
        )
