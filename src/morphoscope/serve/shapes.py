"""The JSON of the API: its parts, their meaning and units."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Alarm",
    "AlarmState",
    "Answer",
    "BatchAnswer",
    "CardOfModel",
    "Job",
    "Jobs",
    "Measured",
    "Models",
    "Problem",
    "QueuedAlarm",
    "QueuedAlarms",
    "ServerState",
]

Task = Literal["classes", "inclination"]
AlarmState = Literal["open", "seen"]
ALARM_KINDS = Literal[
    "classes_disagree", "inclinations_disagree", "kinds_disagree", "formula_disagrees"
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemText(_Part):
    """What is wrong."""

    status: int = Field(description="HTTP status.")
    code: str = Field(description="One word for programs.")
    found: str = Field(description="What was found.")
    expected: str = Field("", description="What was expected; may be empty.")
    do: str = Field("", description="What to do; may be empty.")


class Problem(_Part):
    """The one shape of every error."""

    error: ProblemText


class Image(_Part):
    """The image that was asked about."""

    sha256: str = Field(description="Digest of its bytes.")
    ny: int = Field(description="Rows.")
    nx: int = Field(description="Columns.")
    kind: str = Field(description="Format.")
    name: str = Field("", description="Name under which it came.")
    source: str = Field("upload", description="upload, url, or the survey.")
    ra: float | None = Field(None, description="Right ascension of its middle (deg, ICRS).")
    dec: float | None = Field(None, description="Declination of its middle (deg, ICRS).")
    pixel_scale: float | None = Field(None, description="Arcsec a pixel.")
    north_up: bool | None = Field(None, description="North up and east left.")


class PlacementPart(_Part):
    """How the image was placed before it was asked about."""

    turn: float = Field(description="Degrees anticlockwise, as seen.")
    zoom: float = Field(description="Enlargement about the centre.")
    x: float = Field(description="Centre right of the middle, in shares of the longer side.")
    y: float = Field(description="Centre below the middle, in shares of the longer side.")


class Familiar(_Part):
    """How far the image lies from those the model learnt from."""

    distance: float
    limit: float = Field(description="One in a hundred images like the model's own lies beyond.")


class Looked(_Part):
    """What changes the answer when it is covered."""

    grid: list[list[float]] = Field(description="8 × 8, rows from the top, 0 to 1.")
    change: float = Field(description="Largest change: of the probability, or in degrees.")
    seen: str = Field(description="The image as the model sees it, a PNG as data address.")


class ModelAnswer(_Part):
    """What one model says."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    model: str
    model_id: str = Field(description="Digest of everything that decides its answers.")
    task: Task
    class_: str | None = Field(alias="class", description="The likeliest class.")
    probabilities: dict[str, float] = Field(description="Calibrated, one for each class.")
    set: list[str] = Field([], description="Classes that hold the truth as often as stated.")
    set_coverage: float | None = Field(None, description="How often the set holds the truth.")
    inclination: float | None = Field(None, description="Deg, 0 face-on, 90 edge-on.")
    inclination_low: float | None = Field(None, description="68 % interval (deg).")
    inclination_high: float | None = Field(None, description="68 % interval (deg).")
    inclination_low_90: float | None = Field(None, description="90 % interval (deg).")
    inclination_high_90: float | None = Field(None, description="90 % interval (deg).")
    reject: str | None = Field(None, description="Why the inclination should not be used.")
    familiar: Familiar | None = None
    flag: str | None = Field(None, description="`unlike_training`, or why there is no answer.")
    looked: Looked | None = None


class Shape(_Part):
    """Axial ratio, measured without a model, and the ellipse formula on it."""

    axial_ratio: float | None = Field(description="b/a.")
    position_angle: float | None = Field(
        description="Of the major axis, anticlockwise from up on the image (deg)."
    )
    inclination_formula: float | None = Field(description="Hubble (1926), with q0 (deg).")
    half_light_radius: float | None = Field(description="Semi-major axis (pixels).")
    q0: float = Field(description="Axial ratio of a disc seen edge-on.")
    flags: list[str] = Field(description="Reasons for caution, or for no measurement.")


class CombinedClass(_Part):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    class_: str = Field(alias="class")
    probability: float
    set: list[str]
    models: list[str]


class CombinedInclination(_Part):
    inclination: float
    low: float
    high: float
    coverage: float
    models: list[str]


class Combined(_Part):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    class_: CombinedClass | None = Field(alias="class")
    inclination: CombinedInclination | None


class Alarm(_Part):
    """A disagreement beyond the models' calibrated limits."""

    kind: ALARM_KINDS
    models: list[str]
    text: str


EXAMPLE: dict[str, Any] = {
    "id": None,
    "image": {
        "sha256": "9f2c4e0d5c7d0b0a4c53e6f1f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5",
        "ny": 424,
        "nx": 424,
        "kind": "JPEG",
        "name": "galaxy.jpg",
        "source": "upload",
        "ra": None,
        "dec": None,
        "pixel_scale": None,
        "north_up": None,
    },
    "placement": {"turn": 0, "zoom": 1, "x": 0, "y": 0},
    "answers": [
        {
            "model": "galaxy-zoo-1",
            "model_id": "211639cf6366",
            "task": "classes",
            "class": "spiral",
            "probabilities": {
                "elliptical": 0.05,
                "edge_on": 0.02,
                "spiral": 0.92,
                "merger": 0.01,
            },
            "set": ["spiral"],
            "set_coverage": 0.9,
            "flag": None,
        }
    ],
    "shape": None,
    "combined": {
        "class": {
            "class": "spiral",
            "probability": 0.92,
            "set": ["spiral"],
            "models": ["galaxy-zoo-1"],
        },
        "inclination": None,
    },
    "alarm": None,
    "sentence": "Spiral, with a probability of 92\u202f%.",
    "seconds": 0.034,
}


class Answer(_Part):
    """What the models say of one image."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    id: str | None = Field(None, description="Name under which it is kept; nothing: it is not.")
    image: Image
    placement: PlacementPart
    answers: list[ModelAnswer]
    shape: Shape | None
    combined: Combined
    alarm: list[Alarm] | None = Field(description="Nothing where the models agree.")
    sentence: str
    seconds: float


class FileProblem(_Part):
    file: str
    error: ProblemText


class BatchAnswer(_Part):
    """Answers in the order of the files; one bad image is a problem of its own."""

    answers: list[Answer | FileProblem]


class Measured(_Part):
    image: Image
    shape: Shape


class JobLinks(_Part):
    self: str
    result: str
    page: str


class Job(_Part):
    """Long work over a table."""

    id: str
    created: str = Field(description="ISO 8601, UTC.")
    state: Literal["waiting", "running", "done", "cancelled", "failed"]
    n: int = Field(description="Rows.")
    done: int = Field(description="Rows that are done, those without an answer too.")
    failed: int = Field(description="Rows without an answer.")
    rows_per_s: float | None = Field(description="Since the server began to work on it.")
    seconds_left: float | None
    models: list[str] = Field(description="Empty: all.")
    message: str
    links: JobLinks


class Jobs(_Part):
    jobs: list[Job]


class ScoreOfModel(_Part):
    name: str
    value: float
    low: float
    high: float
    n: int


class CardOfModel(_Part):
    name: str
    id: str
    task: Task
    classes: list[str]
    description: str
    loaded: str = Field(description="ISO 8601, UTC.")
    image_size: int = Field(description="Side of the prepared image (pixels).")
    scores: list[ScoreOfModel]
    card: str = Field(description="Markdown.")


class Models(_Part):
    models: list[CardOfModel]
    refused: dict[str, str] = Field(description="Bundles that could not be used, and why.")


class QueuedAlarm(_Part):
    id: str
    created: str
    state: AlarmState
    kind: ALARM_KINDS
    text: str
    result: str = Field(description="The kept answer.")


class QueuedAlarms(_Part):
    alarms: list[QueuedAlarm]


class ServerState(_Part):
    status: Literal["ok", "starting", "overloaded"]
    models: dict[str, str] = Field(description="Model ids by name.")
    refused: dict[str, str]
    waiting: int = Field(description="Images that wait for an answer.")
