"""What is wrong with settings, in words that name the nearest that exists."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

__all__ = ["explain"]


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say what is wrong with the settings of a model; names not known get the nearest."""
    lines = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"there is no setting '{place}'{_nearest(problem['loc'], model)}")
        elif problem["type"] == "value_error" and isinstance(problem["input"], dict):
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{place or 'the settings'}: {said}")
        elif problem["type"] == "missing":
            lines.append(f"setting '{place}' is missing")
        else:
            near = _nearest_choice(problem) if problem["type"] == "literal_error" else ""
            lines.append(f"'{place}' is {problem['input']!r}: {problem['msg']}{near}")
    return "; ".join(lines)


def _nearest_choice(problem: ErrorDetails) -> str:
    choices = re.findall(r"'([^']*)'", problem.get("ctx", {}).get("expected", ""))
    near = difflib.get_close_matches(str(problem["input"]), choices, n=1, cutoff=0.4)
    return f", did you mean '{near[0]}'?" if near else ""


def _nearest(location: tuple[int | str, ...], model: Any) -> str:
    known: list[str] = []
    for part in location[:-1]:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            arguments = getattr(fields[part].annotation, "__args__", ())
            model = arguments[-1] if arguments else fields[part].annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        known = list(model.model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f", did you mean '{near[0]}'?" if near else f" (there are: {', '.join(known)})"
