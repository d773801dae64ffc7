"""An answer as one row of a table."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["flat"]

VALUES = (
    *("class", "inclination", "inclination_low", "inclination_high"),
    *("inclination_low_90", "inclination_high_90", "reject"),
)
SEPARATOR = "|"


def flat(answer: dict[str, Any]) -> dict[str, Any]:
    """Columns of an answer: what is joined, then each model's under its own name.

    Parameters
    ----------
    answer
        As in the API.

    Returns
    -------
    dict
        Values by name; names are letters, digits and underscores.
    """
    combined, shape = answer["combined"], answer["shape"] or {}
    image = answer["image"]
    row: dict[str, Any] = {
        "survey": image["source"],
        "cutout_ra": image["ra"],
        "cutout_dec": image["dec"],
        "pixel_scale": image["pixel_scale"],
        "class": (combined["class"] or {}).get("class"),
        "probability": (combined["class"] or {}).get("probability"),
        "inclination": (combined["inclination"] or {}).get("inclination"),
        "inclination_low": (combined["inclination"] or {}).get("low"),
        "inclination_high": (combined["inclination"] or {}).get("high"),
        "axial_ratio": shape.get("axial_ratio"),
        "inclination_formula": shape.get("inclination_formula"),
        "alarm": SEPARATOR.join(alarm["kind"] for alarm in answer["alarm"] or ()) or None,
    }
    taken: set[str] = set()
    for one in answer["answers"]:
        # Names that differ in other signs alone would share their columns.
        prefix = _plain(one["model"])
        while prefix in taken:
            prefix += "_"
        taken.add(prefix)
        row |= {f"{prefix}_{name}": value for name, value in _of(one).items()}
    unlike = [one["model"] for one in answer["answers"] if one["flag"] == "unlike_training"]
    row["unlike_training"] = SEPARATOR.join(unlike) or None
    flags = [one["flag"] for one in answer["answers"] if one["class"] is None]
    row["flag"] = flags[0] if flags and len(flags) == len(answer["answers"]) else None
    return row


def _of(one: dict[str, Any]) -> dict[str, Any]:
    wanted = VALUES if one["task"] == "inclination" else ("class",)
    row = {name: one[name] for name in wanted}
    if one["set"]:
        row["set"] = SEPARATOR.join(one["set"])
    row |= {f"p_{_plain(name)}": value for name, value in one["probabilities"].items()}
    return row | {"id": one["model_id"]}


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)
