"""From an image to an answer: prepared for each model, asked, joined, checked, said in words."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from morphoscope.inclination import inclination
from morphoscope.predict.columns import columns_of
from morphoscope.recipe import PrepareSettings
from morphoscope.serve.agreement import alarms_of, combine
from morphoscope.serve.intake import HERE, Placement, measured, prepared
from morphoscope.serve.looked import looked_at
from morphoscope.serve.sentence import in_words
from morphoscope.serve.shelf import Loaded

__all__ = ["Asker", "Options", "shape_of"]

Result = TypeVar("Result")
Q0 = 0.2
UNLIKE = "unlike_training"
# Columns of `predict` under the names of the API.
INCLINATIONS = (
    *("inclination", "inclination_low", "inclination_high"),
    *("inclination_low_90", "inclination_high_90", "reject"),
)


@dataclass(frozen=True)
class Options:
    """What a request asks for beside its image.

    Attributes
    ----------
    models
        Names; none: all.
    placement
        How the image is placed first.
    explain
        Whether to find out what the models looked at.
    """

    models: tuple[str, ...] = ()
    placement: Placement = HERE
    explain: bool = False


@dataclass(frozen=True)
class Asker:
    """Asks models about images, with threads for what computes.

    Attributes
    ----------
    threads
        Where images are decoded, prepared and measured.
    explaining
        Held by the one request for which it is found out what a model looked at.
    """

    threads: Executor
    explaining: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def ask(self, path: Path, models: Sequence[Loaded], options: Options) -> dict[str, Any]:
        """Answers of all models, the measured shape, and what follows from them.

        Parameters
        ----------
        path
            Image on disk.
        models
            Whom to ask.
        options
            What else is asked for.

        Returns
        -------
        dict
            The answer of the API, without ``id`` and ``image``.
        """
        begun = time.perf_counter()
        images = await self._prepared(path, models, options.placement)
        measures = any(model.bundle.task == "inclination" for model in models)
        shape = self.shape(path, options.placement) if measures else _nothing()
        said = [
            self._of(model, images[_key(model.bundle.preparation)], options.explain)
            for model in models
        ]
        answers, found = await asyncio.gather(asyncio.gather(*said), shape)
        alarm = alarms_of(answers, found)
        answer = {
            "placement": asdict(options.placement),
            "answers": answers,
            "shape": found,
            "combined": combine(answers),
            "alarm": alarm or None,
        }
        seconds = round(time.perf_counter() - begun, 4)
        return answer | {"sentence": in_words(answer), "seconds": seconds}

    async def shape(self, path: Path, placement: Placement) -> dict[str, Any]:
        """Measured shape, without a model."""
        found = await self.run(lambda: measured(path, placement))
        return shape_of(asdict(found))

    async def run(self, work: Callable[[], Result]) -> Result:
        """Compute in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def _prepared(
        self, path: Path, models: Sequence[Loaded], placement: Placement
    ) -> dict[str, NDArray[Any] | str]:
        """Image for each way of preparing; models that share one share its image."""
        ways = {_key(m.bundle.preparation): m.bundle.preparation for m in models}

        def work() -> dict[str, NDArray[Any] | str]:
            return {key: prepared(path, way, placement) for key, way in ways.items()}

        return await self.run(work)

    async def _of(self, model: Loaded, image: NDArray[Any] | str, explain: bool) -> dict[str, Any]:
        bundle = model.bundle
        head = {"model": model.name, "model_id": bundle.id, "task": bundle.task}
        if isinstance(image, str):
            return head | _silent(image)
        row = await model.batcher.ask(image)
        columns = columns_of(bundle, row[None, : row.size - 1], np.ones(1, np.bool_))
        said = {name: values[0].as_py() for name, values in columns.items()}
        answer = head | _silent(None) | _as_answer(bundle.classes, bundle.sets, said)
        if bundle.familiar is not None:
            distance, limit = float(row[-1]), float(bundle.familiar["limit"])
            answer["familiar"] = {"distance": round(distance, 4), "limit": round(limit, 4)}
            answer["flag"] = UNLIKE if distance > limit else None
        if explain:
            # One after the other: each takes as long as a batch, and others wait for images.
            async with self.explaining:
                answer["looked"] = await self.run(lambda: looked_at(bundle, image))
        return answer


async def _nothing() -> None:
    return None


def _key(settings: PrepareSettings) -> str:
    return settings.model_dump_json()


def _silent(flag: str | None) -> dict[str, Any]:
    """What an answer holds that holds nothing yet."""
    return {
        "class": None,
        "probabilities": {},
        "set": [],
        "set_coverage": None,
        **dict.fromkeys(INCLINATIONS),
        "familiar": None,
        "flag": flag,
        "looked": None,
    }


def _as_answer(
    classes: Sequence[str], sets: dict[str, float] | None, said: dict[str, Any]
) -> dict[str, Any]:
    """Columns of `predict` as the API has them: the same numbers."""
    probabilities = {name: said[f"p_{name}"] for name in classes}
    best = max(classes, key=lambda name: probabilities[name])
    found: dict[str, Any] = {"class": said.get("class", best), "probabilities": probabilities}
    if sets and said.get("set"):
        found |= {"set": said["set"].split("|"), "set_coverage": sets["coverage"]}
    return found | {name: said[name] for name in INCLINATIONS if name in said}


def shape_of(values: dict[str, Any]) -> dict[str, Any]:
    """Measured shape as the API has it, from the values of `morphoscope.measure.shape.Shape`."""
    q = values["axial_ratio"]
    flags = (values["flag"] or "").split("|")
    return {
        "axial_ratio": _number(q),
        "position_angle": _number(values["position_angle_deg"]),
        "inclination_formula": _number(float(inclination(q, Q0))) if math.isfinite(q) else None,
        "half_light_radius": _number(values["half_light_radius"]),
        "q0": Q0,
        "flags": [flag for flag in flags if flag],
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
