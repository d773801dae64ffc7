"""The settings of a recipe in words, made from their descriptions."""

from __future__ import annotations

import json
from typing import Any, Literal, get_origin

from pydantic import BaseModel

from morphoscope.recipe.data import ClassRule, Download, DropRule, MoreImages
from morphoscope.recipe.experiment import Recipe
from morphoscope.recipe.section import Section
from morphoscope.recipe.study import Span, Variant

__all__ = ["describe_settings"]

NESTED: tuple[tuple[str, str, type[Section]], ...] = (
    ("acquire", "[[acquire.downloads]]", Download),
    ("acquire", "[[acquire.more]]", MoreImages),
    ("clean", "[[clean.classes]]", ClassRule),
    ("clean", "[[clean.drop]]", DropRule),
    ("search", '[search.space."train.learning_rate"]', Span),
    ("compare", "[[compare.variants]]", Variant),
)


def describe_settings(section: str = "") -> str:
    """Describe the settings of a section, or of all, as Markdown.

    Raises
    ------
    KeyError
        There is no such section.
    """
    sections = {
        name: field.annotation
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    if section:
        sections = {section: sections[section]}
    parts = [] if section else [_describe("top level", Recipe, skip=set(sections))]
    for name, model in sections.items():
        parts.append(_describe(f"[{name}]", model, skip=set()))
    for key, name, nested in NESTED:
        if key in sections:
            parts.append(_describe(name, nested, skip=set()))
    return "\n".join(parts)


def _describe(title: str, model: type[BaseModel], skip: set[str]) -> str:
    lines = [f"## {title}", "", (model.__doc__ or "").strip(), ""]
    for name, field in model.model_fields.items():
        if name in skip:
            continue
        default = "required" if field.is_required() else f"default `{_toml(field.default)}`"
        lines.append(f"- `{name}` ({_type_name(field.annotation)}, {default}): {field.description}")
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return "none" if value is None else json.dumps(value)


def _type_name(annotation: Any) -> str:
    options = [a for a in getattr(annotation, "__args__", ()) if a is not type(None)]
    if get_origin(annotation) is Literal:
        return " \\| ".join(o if isinstance(o, str) else json.dumps(o) for o in options)
    if get_origin(annotation) in (list, dict):
        return f"{get_origin(annotation).__name__} of {_type_name(options[-1])}"
    if options:
        return _type_name(options[0])
    return str(getattr(annotation, "__name__", annotation))
