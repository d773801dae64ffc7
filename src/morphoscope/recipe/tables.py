"""Settings that are not of a recipe, as Markdown tables made from their descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

__all__ = ["settings_tables"]


def settings_tables(parts: Sequence[tuple[str, type[BaseModel], tuple[str, ...]]]) -> str:
    """Tables of settings with their defaults.

    Parameters
    ----------
    parts
        Title, settings, and the names that are left out because they have a part of their own.
    """
    text = []
    for title, section, without in parts:
        rows = [
            f"| `{name}` | {_default(field)} | {field.description} |"
            for name, field in section.model_fields.items()
            if name not in without
        ]
        text += [title, "", "| setting | default | meaning |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(text).strip() + "\n"


def _default(field: Any) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`" if str(value) else ""
