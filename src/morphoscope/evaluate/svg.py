"""Small drawings in SVG: elements, scales and axes. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Frame", "drawing", "element", "nice_ticks", "path", "text"]


def element(name: str, content: str = "", **attributes: object) -> str:
    """One element; ``class_`` is written ``class`` and ``font_size`` is written ``font-size``."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_shown(value), quote=True)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _shown(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def text(x: float, y: float, words: str, *, anchor: str = "middle", class_: str = "tick") -> str:
    """Words at a place; ``anchor`` is start, middle or end."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, class_=class_)


def path(points: Sequence[tuple[float, float]], *, class_: str, close: bool = False) -> str:
    """Line through points, or an area where ``close``."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if close else ''}", class_=class_)


def drawing(width: int, height: int, title: str, *parts: str) -> str:
    """Whole drawing, read aloud as ``title``."""
    return element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
        class_="plot",
    )


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values inside a range, about ``count`` of them.

    Examples
    --------
    >>> nice_ticks(0, 1, 5)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


@dataclass(frozen=True)
class Frame:
    """A plot's place on the drawing and the ranges along its sides."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: int = 46
    right: int = 22
    top: int = 14
    bottom: int = 40

    def x(self, value: float) -> float:
        low, high = self.x_range
        inside = self.width - self.left - self.right
        return self.left + (value - low) / (high - low) * inside

    def y(self, value: float) -> float:
        low, high = self.y_range
        inside = self.height - self.top - self.bottom
        return self.height - self.bottom - (value - low) / (high - low) * inside

    def place(self, x: float, y: float) -> tuple[float, float]:
        return self.x(x), self.y(y)

    def grid(
        self,
        *,
        x_label: str,
        y_label: str,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
    ) -> str:
        """Horizontal grid lines, ticks in words and labels; no box."""
        bottom = self.height - self.bottom
        parts = [text(self.x(at), bottom + 16, words) for at, words in x_ticks]
        for at, words in y_ticks:
            level = self.y(at)
            start, end = self.left, self.width - self.right
            parts.append(element("line", x1=start, x2=end, y1=level, y2=level, class_="grid"))
            parts.append(text(self.left - 7, level + 4, words, anchor="end"))
        middle = (self.left + self.width - self.right) / 2
        parts.append(text(middle, self.height - 5, x_label, class_="label"))
        # The label of the upright axis stands level, above it, where it is easy to read.
        parts.append(text(2, self.top - 10, y_label, anchor="start", class_="label"))
        return "".join(parts)
