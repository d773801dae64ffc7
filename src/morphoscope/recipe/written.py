"""A recipe written as TOML, so that a person can read it and a command can take it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from morphoscope.recipe.experiment import FILES, Recipe

__all__ = ["write_recipe"]

BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_recipe(recipe: Recipe) -> str:
    """Write the settings that differ from their defaults as TOML.

    Paths are made absolute: the recipe says the same wherever it lies.

    Examples
    --------
    >>> print(write_recipe(Recipe.model_validate({"name": "disc", "train": {"epochs": 3}})))
    name = "disc"
    <BLANKLINE>
    [train]
    epochs = 3
    <BLANKLINE>
    """
    values = recipe.model_dump(exclude_defaults=True, exclude_none=True)
    for section, key, word in (*FILES, ("acquire", "data", "")):
        place = values.get(section, {})
        if place.get(key, "") not in ("", word):
            place[key] = str(Path(place[key]).expanduser().absolute())
    top = {key: value for key, value in values.items() if not isinstance(value, dict)}
    parts = [_lines({"name": recipe.name, **top})]
    for key, value in values.items():
        if isinstance(value, dict):
            parts.append(f"[{key}]\n{_lines(value)}")
    return "\n".join(parts)


def _lines(values: dict[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)
    # What JSON leaves as it is and TOML does not: the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
