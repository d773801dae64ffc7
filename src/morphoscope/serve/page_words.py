"""What the pages say: numbers, positions and moments, and a model's card."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

__all__ = [
    "bytes_in_words",
    "card_html",
    "moment",
    "percent",
    "plain",
    "position",
    "score",
    "score_title",
    "sentence",
]

NARROW = "\N{NARROW NO-BREAK SPACE}"
PERCENT = f"{NARROW}%"
# Name and unit of the scores of a model.
SCORES = {
    "accuracy": ("accuracy", PERCENT),
    "balanced_accuracy": ("balanced accuracy", PERCENT),
    "macro_f1": ("macro F1", ""),
    "top2_accuracy": ("true class among the first two", PERCENT),
    "log_loss": ("log loss", ""),
    "brier": ("Brier score", ""),
    "ece": ("calibration error", PERCENT),
    "rms": ("r.m.s. error", "°"),
    "mae": ("mean absolute error", "°"),
    "median": ("median absolute error", "°"),
    "bias": ("bias, answer minus truth", "°"),
    "coverage_68": ("held by the 68 % interval", PERCENT),
    "width_68": ("mean width of the 68 % interval", "°"),
    "coverage_90": ("held by the 90 % interval", PERCENT),
    "width_90": ("mean width of the 90 % interval", "°"),
}


def plain(name: str) -> str:
    """A class or a flag as words."""
    return name.replace("_", " ")


def percent(share: float) -> str:
    """A probability as a percentage that never claims certainty."""
    if 0.995 < share < 1:
        return f">{NARROW}99{NARROW}%"
    if 0 < share < 0.005:
        return f"<{NARROW}1{NARROW}%"
    return f"{share * 100:.0f}{NARROW}%"


def score_title(name: str) -> str:
    """A score's name in words."""
    return SCORES.get(name, (plain(name), ""))[0]


def score(one: dict[str, Any]) -> tuple[str, str]:
    """A score and its interval."""
    unit = SCORES.get(one["name"], ("", ""))[1]
    value, low, high = (_figure(one[key], unit) for key in ("value", "low", "high"))
    return f"{value}{unit}", f"{low}–{high}{unit}"


def _figure(value: float, unit: str) -> str:
    digits = {"°": 2, PERCENT: 1}.get(unit, 3)
    scaled = 100 * value if unit == PERCENT else value
    return f"{scaled:.{digits}f}".replace("-", "−")


def sentence(text: str) -> str:
    """A clause of an error as a sentence."""
    begun = text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "!", "?")) else f"{begun}."


def bytes_in_words(n: int) -> str:
    """A size of a file."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} bytes"


def moment(text: str) -> str:
    """A time in ISO 8601 as date and minute, UTC."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    if found.tzinfo:
        found = found.astimezone(datetime.UTC)
    return f"{found:%Y-%m-%d %H:%M} UTC"


def position(ra: float, dec: float) -> str:
    """A position (deg, ICRS) in both notations."""
    return f"{_sexagesimal(ra, dec)} ({ra:.5f}°, {dec:+.5f}°)".replace("-", "−")


def _sexagesimal(ra: float, dec: float) -> str:
    """Hours, minutes and seconds; rounded before they are parted, so that no 60 comes out."""
    tenths = round(ra % 360 / 15 * 36000) % 864000
    seconds = round(abs(dec) * 3600)
    sign = "-" if dec < 0 else "+"
    hours = f"{tenths // 36000:02}:{tenths // 600 % 60:02}:{tenths % 600 / 10:04.1f}"
    return f"{hours} {sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def card_html(card: str) -> Markup:
    """A model's card as safe HTML.

    Parameters
    ----------
    card
        Markdown with tables. Its title is left out, because the page has one. Raw HTML in it is
        shown as text, pictures are left out, and links other than to web pages are not made.

    Returns
    -------
    Markup
        Without script, style or anything that loads.
    """
    tokens = _markdown().parse(card)
    if [t.type for t in tokens[:1]] == ["heading_open"] and tokens[0].tag == "h1":
        tokens = tokens[3:]
    for token in _all(tokens):
        # Columns of numbers are aligned by an attribute that the pages' policy forbids.
        if token.attrs.pop("style", "") == "text-align:right":
            token.attrs["class"] = "n"
        if token.type == "link_open":
            token.attrs["rel"] = "noopener noreferrer"
    markdown = _markdown()
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])
