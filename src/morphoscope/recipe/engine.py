"""Settings of where work runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from morphoscope.errors import RecipeError
from morphoscope.recipe.explaining import explain
from morphoscope.recipe.section import Section

__all__ = [
    "CLUSTERS",
    "EngineSettings",
    "Kind",
    "Resources",
    "StageName",
    "engine_values",
    "load_engine",
    "seconds_of",
]

Kind = Literal["local", "inline", "slurm", "pbs", "htcondor", "kubernetes", "address"]
# Kinds whose workers are jobs of a batch system, or pods.
CLUSTERS = ("slurm", "pbs", "htcondor", "kubernetes")
StageName = Literal[
    "acquire",
    "clean",
    "prepare",
    "train",
    "evaluate",
    "export",
    "search",
    "compare",
    "predict",
    "measure",
]
# Stages that may read prepared images.
HANDED_TO = ("train", "evaluate", "export", "search", "compare")
WALLTIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?([0-5]?\d):([0-5]\d)")
MEMORY = re.compile(r"\d+(\.\d+)? ?[KMGT]i?B", re.IGNORECASE)


def seconds_of(walltime: str) -> int:
    """Seconds of ``days-hours:minutes:seconds``."""
    found = WALLTIME.fullmatch(walltime)
    if found is None:
        raise ValueError(f"{walltime!r} is no time, expected hours:minutes:seconds, as 2:00:00")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds


def _walltime(text: str) -> str:
    if text and not seconds_of(text):
        raise ValueError("a time of 0 ends every job at once")
    return text


def _memory(text: str) -> str:
    if text and not MEMORY.fullmatch(text):
        raise ValueError(f"{text!r} is no amount of memory, expected for example 8GB")
    return text


class Resources(Section):
    """What one worker has."""

    workers: int = Field(
        0, description="Workers; 0: one a core of this machine, or 4 on a cluster.", ge=0
    )
    cores: int = Field(0, description="CPU cores of a worker on a cluster; 0: one.", ge=0)
    memory: Annotated[str, AfterValidator(_memory)] = Field(
        "", description="Memory of a worker on a cluster; empty: 4GB."
    )
    gpus: int = Field(0, description="GPUs of a worker on a cluster.", ge=0)
    walltime: Annotated[str, AfterValidator(_walltime)] = Field(
        "", description="Time limit of a job, as 2:00:00; empty: 1:00:00."
    )
    task_s: float = Field(
        0.0,
        description="Longest time of one task (s), after which its worker is ended; 0: any.",
        ge=0,
    )


class EngineSettings(Resources):
    """Where work that fans out runs."""

    kind: Kind = Field(
        "local",
        description="Local processes through Dask, this process (`inline`), jobs of Slurm, PBS or "
        "HTCondor, pods of Kubernetes, or the workers of a scheduler that runs already.",
    )
    address: str = Field("", description="Of that scheduler, as tcp://host:8786.")
    partition: str = Field("", description="Partition or queue of the jobs; empty: the default.")
    account: str = Field("", description="Account that pays for them.")
    directives: list[str] = Field(
        [], description="Further options of a job, as `--constraint=avx512`."
    )
    prologue: list[str] = Field(
        [], description="Lines of shell before a worker starts, as `module load cuda`."
    )
    python: str = Field(
        "",
        description="Python of the workers; empty: the one that runs this, or "
        "python3 in a container.",
    )
    container: Literal["", "apptainer", "podman", "bubblewrap"] = Field(
        "",
        description="Program that runs the work in a container: the workers of a batch system, or "
        "the whole command on one machine; empty: none.",
    )
    image: str = Field("", description="Image of that container, or of the pods.")
    binds: list[str] = Field(
        [],
        description="Further paths that the container sees, as `/data` or `/data:/inside:ro`; "
        "those of the run and its data are seen anyway.",
    )
    container_options: list[str] = Field(
        [], description="Further options of that program, as `--cleanenv`."
    )
    scratch: str = Field("", description="Folder of a worker's own files, on its node.")
    interface: str = Field("", description="Network interface that nodes reach each other by.")
    start_s: float = Field(
        0.0, description="Longest wait for the first worker (s); 0: as long as it queues.", ge=0
    )
    silent_s: float = Field(
        60.0, description="A worker that says nothing for so long (s) is given up.", ge=1
    )
    away_s: float = Field(
        300.0, description="Longest wait for a file system that is away (s).", ge=0
    )
    tries: int = Field(
        3, description="Times that a task is tried where its worker is to blame.", ge=1
    )
    hand_over: Literal["files", "memory"] = Field(
        "files",
        description="How prepared images come to the stages that read them in the same command: "
        "as files of the run folder, or in the memory of each machine.",
    )
    memory_folder: str = Field(
        "/dev/shm", description="Folder of that memory, by the same name on every machine."
    )
    stages: dict[StageName, Resources] = Field(
        {}, description="Other resources for a stage, as `[engine.stages.train]`."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "address") != bool(self.address):
            raise ValueError("engine.address is set where engine.kind is 'address', and only there")
        if self.kind == "kubernetes" and not self.image:
            raise ValueError("engine.image must be set where engine.kind is 'kubernetes'")
        if self.container and not self.image:
            raise ValueError("engine.image must be set where engine.container is")
        if self.container and self.kind in ("kubernetes", "address"):
            raise ValueError(
                f"engine.container cannot be set where engine.kind is {self.kind!r}: whoever "
                "starts those workers says where they run"
            )
        self._require_one_kind_of_worker()
        return self

    def _require_one_kind_of_worker(self) -> None:
        """Workers that prepare must still be there when others want what they have."""
        if self.hand_over == "files" or not self.clustered:
            return
        resources = set(Resources.model_fields) - {"workers"}
        first = self.at("prepare").model_dump(include=resources)
        for name in HANDED_TO:
            if self.at(name).model_dump(include=resources) != first:
                raise ValueError(
                    "engine.hand_over = 'memory' needs the same workers for prepare and for "
                    f"{name}; engine.stages gives them other resources"
                )

    @property
    def clustered(self) -> bool:
        """Whether workers may be on other machines."""
        return self.kind in (*CLUSTERS, "address")

    def at(self, stage: str) -> EngineSettings:
        """The settings with the resources of a stage."""
        own = self.stages.get(stage)  # type: ignore[call-overload]
        if own is None:
            return self
        changes = own.model_dump(exclude_unset=True)
        return self.model_copy(update={**changes, "stages": {}})


def load_engine(profile: Path | None = None, kind: str = "", **values: Any) -> EngineSettings:
    """Settings of an engine, for what has no recipe.

    Parameters
    ----------
    profile, kind
        As for `load_recipe`.
    **values
        Settings before both.

    Raises
    ------
    RecipeError
        The profile is absent or not valid.
    """
    try:
        return EngineSettings.model_validate(engine_values({}, profile, kind) | values)
    except ValidationError as error:
        where = profile or "the options"
        raise RecipeError(explain(error, EngineSettings), do=f"mend {where}") from error


def engine_values(own: Any, profile: Path | None, kind: str) -> dict[str, Any]:
    """Join the engine of a recipe, of a profile and of the command line, the last first."""
    values = {**_table(own), **(_table(_read(profile)) if profile else {})}
    if "://" in kind:
        return {**values, "kind": "address", "address": kind}
    if kind:
        if kind != "address":
            values.pop("address", None)
        values["kind"] = kind
    return values


def _table(engine: Any) -> dict[str, Any]:
    if isinstance(engine, str):
        return {"kind": engine}
    if not isinstance(engine, dict):
        raise RecipeError(f"engine is {engine!r}", expected="a kind, or a section [engine]")
    return dict(engine)


def _read(profile: Path) -> Any:
    try:
        values = tomllib.loads(profile.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise RecipeError(f"there is no profile {profile}", do="check the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{profile} is not TOML: {error}", do="mend that line") from error
    engine = values.pop("engine", None)
    if values or not isinstance(engine, str | dict):
        raise RecipeError(
            f"the profile {profile} has {', '.join(values) or 'no engine'}",
            expected="a section [engine], and nothing else",
            do="see docs/cluster.md",
        )
    return engine
