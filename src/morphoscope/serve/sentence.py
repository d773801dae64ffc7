"""An answer in one plain sentence."""

from __future__ import annotations

from typing import Any

from morphoscope.serve.agreement import kind_of_class

__all__ = ["in_words"]

# No line breaks before it.
PERCENT = "\u202f%"
NOUNS = {
    "disc": "a galaxy with a disc",
    "smooth": "a smooth galaxy without a disc",
    "disturbed": "a disturbed galaxy",
    "not_galaxy": "no galaxy",
}
UNLIKE = "It is unlike the images that {} learnt from: do not trust the answer."


def in_words(answer: dict[str, Any]) -> str:
    """Say what an answer says.

    Parameters
    ----------
    answer
        As in the API, without its sentence.
    """
    combined = answer["combined"]
    parts = []
    if combined["class"]:
        parts.append(_class(combined["class"]))
    tilt = _tilt(combined["inclination"], answer["answers"])
    if tilt:
        parts.append(tilt)
    if not parts:
        reasons = {one["flag"] for one in answer["answers"] if one["flag"]}
        return f"No model could answer ({', '.join(sorted(reasons)) or 'no model was asked'})."
    text = "; ".join(parts)
    sentences = [text[0].upper() + text[1:] + "."]
    unlike = [one["model"] for one in answer["answers"] if one["flag"] == "unlike_training"]
    if unlike:
        sentences.append(UNLIKE.format(" and ".join(unlike)))
    if answer["alarm"]:
        sentences.append("The models disagree: a person should look.")
    return " ".join(sentences)


def _class(found: dict[str, Any]) -> str:
    name = found["class"].replace("_", " ")
    text = f"{name}, with a probability of {_percent(found['probability'])}"
    others = [other.replace("_", " ") for other in found["set"] if other != found["class"]]
    return f"{text}; {' or '.join(others)} is possible too" if others else text


def _percent(share: float) -> str:
    """Share in per cent, never rounded to certainty."""
    if share > 0.99:
        return f"more than 99{PERCENT}"
    return f"{100 * share:.0f}{PERCENT}"


def _tilt(found: dict[str, Any] | None, answers: list[dict[str, Any]]) -> str:
    if found:
        return (
            f"its disc is tilted by {found['inclination']:.0f}° "
            f"({found['low']:.0f}–{found['high']:.0f}° at {100 * found['coverage']:.0f}{PERCENT})"
        )
    rejected = [one["reject"] for one in answers if one["task"] == "inclination" and one["reject"]]
    if not rejected:
        return ""
    noun = NOUNS.get(kind_of_class(rejected[0]), rejected[0].replace("_", " "))
    return f"no inclination, since it looks like {noun}"
