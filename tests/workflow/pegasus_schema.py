"""What Pegasus 5 takes as a workflow and as catalogues, as JSON schemas.

The library ships no schema: these say what it documents and writes, and are stricter than Pegasus
where this project always writes a part. Pegasus itself brings its own, in
``share/pegasus/schema/yaml``; where ``MORPHOSCOPE_PEGASUS_SCHEMAS`` names that folder, they count
too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

SCHEMAS = os.environ.get("MORPHOSCOPE_PEGASUS_SCHEMAS", "")
NAME = {"type": "string", "pattern": "^[-_0-9a-zA-Z]+$"}
TEXT = {"type": "string", "minLength": 1}
BOOL = {"type": "boolean"}
VERSION = {"type": "string", "pattern": r"^\d+(\.\d+){0,2}$"}
CHECKSUM = {
    "type": "object",
    "properties": {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
    "required": ["sha256"],
    "additionalProperties": False,
}


def thing(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object of these parts and no others, but for what begins with ``x-``."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def some(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


def profiles(*names: str) -> dict[str, Any]:
    values = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
    kinds = ("env", "condor", "globus", "dagman", "pegasus", "selector")
    return thing(dict.fromkeys(names, values), **dict.fromkeys(kinds, values))


USE = thing(
    {"lfn": TEXT, "type": {"enum": ["input", "output", "checkpoint"]}},
    stageOut=BOOL,
    registerReplica=BOOL,
)
JOB = thing(
    {
        "type": {"const": "job"},
        "name": TEXT,
        "id": NAME,
        "arguments": some(TEXT),
        "uses": some(USE),
        "profiles": profiles("dagman", "pegasus"),
    },
    nodeLabel=TEXT,
)
WORKFLOW = thing(
    {
        "pegasus": VERSION,
        "name": NAME,
        "jobs": some(JOB),
        "jobDependencies": some(thing({"id": NAME, "children": some(NAME)})),
    },
    metadata={"type": "object", "additionalProperties": {"type": "string"}},
)
REPLICA = thing(
    {"lfn": TEXT, "pfns": some(thing({"site": TEXT, "pfn": TEXT})), "checksum": CHECKSUM}
)
REPLICAS = thing({"pegasus": VERSION, "replicas": some(REPLICA)})
PLACE = thing(
    {"name": TEXT, "pfn": TEXT, "type": {"enum": ["installed", "stageable"]}}, container=TEXT
)
IMAGE = thing(
    {"name": TEXT, "type": {"enum": ["docker", "singularity", "shifter"]}, "image": TEXT},
    checksum=CHECKSUM,
    **{"image.site": TEXT},
)
TRANSFORMATIONS = thing(
    {"pegasus": VERSION, "transformations": some(thing({"name": TEXT, "sites": some(PLACE)}))},
    containers=some(IMAGE),
)
SERVER = thing({"url": TEXT, "operation": {"enum": ["all", "get", "put"]}})
KINDS = {"enum": ["sharedScratch", "sharedStorage", "localScratch", "localStorage"]}
DIRECTORY = thing({"type": KINDS, "path": TEXT, "fileServers": some(SERVER)}, sharedFileSystem=BOOL)
SITE = thing(
    {"name": TEXT, "directories": {"type": "array", "items": DIRECTORY}},
    profiles=profiles(),
    **{"os.type": {"const": "linux"}},
)
SITES = thing({"pegasus": VERSION, "sites": some(SITE)})
OWN = {
    "workflow.yml": (WORKFLOW, "wf-5.0.yml"),
    "replicas.yml": (REPLICAS, "rc-5.0.yml"),
    "transformations.yml": (TRANSFORMATIONS, "tc-5.0.yml"),
    "sites.yml": (SITES, "sc-5.0.yml"),
}
BASE = "https://pegasus.invalid/"


def problems(folder: Path) -> Iterator[str]:
    """What is wrong with the files of a workflow."""
    for name, (schema, _) in OWN.items():
        values = yaml.safe_load((folder / name).read_text())
        for error in jsonschema_rs.validator_for(schema).iter_errors(values):
            yield f"{name}: {error}"


def problems_for_pegasus(folder: Path) -> Iterator[str]:
    """What Pegasus' own schemas find wrong."""
    for name, (_, theirs) in OWN.items():
        validator = jsonschema_rs.validator_for(
            _theirs(BASE + theirs), base_uri=BASE + theirs, retriever=_theirs
        )
        for error in validator.iter_errors(yaml.safe_load((folder / name).read_text())):
            yield f"{name}: {error}"


def _theirs(address: str) -> Any:
    text = (Path(SCHEMAS) / address.removeprefix(BASE)).read_text()
    # One reference in the catalogue of transformations is misspelt.
    values = yaml.safe_load(text.replace("#/$def/", "#/$defs/"))
    # The address that some name as their own is a path on their author's machine.
    values.pop("$id", None)
    return values
