"""The model card: what a person should know before trusting the model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Any

from morphoscope.bundle.angle_card import angle_head, angle_limits, angle_scores

__all__ = ["card"]

SPLITS = ("train", "validation", "test")
SHOWN_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy (mean recall of the classes)",
    "macro_f1": "macro-F1 (mean F1 of the classes)",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
}
CLASS_SCORES = ("precision", "recall", "f1")
FEW = 50
NO_WIDTH = 1e-9
ANSWERS = {
    "classes": ["probabilities = model.predict(np.stack([image]))"],
    "inclination": [
        "answers = model.predict(np.stack([image]))",
        "inclination = answers[:, len(model.classes)]",
        "low, high = model.intervals(answers, 0.68)",
    ],
}
# An underscore inside a word, as in edge_on, is no markup.
MARKUP = re.compile(r"[\\`*|~$\[\]]|(?<![^\W_])_|_(?![^\W_])")


def card(manifest: dict[str, Any]) -> str:
    """Markdown text of the model card, from ``model.json`` alone."""
    sections = (_head, _use, _training, _scores, _limits, _terms)
    return "\n\n".join("\n".join(section(manifest)) for section in sections) + "\n"


def _head(manifest: dict[str, Any]) -> list[str]:
    recipe = manifest["provenance"]["recipe"]
    said = _class_head if manifest["task"] == "classes" else _angle_head
    return [
        f"# {manifest['name']}",
        "",
        recipe["export"]["description"] or recipe["description"] or "A model of galaxies.",
        "",
        *said(manifest),
        f"- **Model id** `{manifest['id']}`; every catalogue made with it carries this id.",
    ]


def _angle_head(manifest: dict[str, Any]) -> list[str]:
    return angle_head(manifest["scores"], [_plain(name) for name in manifest["classes"]])


def _class_head(manifest: dict[str, Any]) -> list[str]:
    accuracy, baseline = manifest["scores"]["scores"]["accuracy"], manifest["scores"]["baseline"]
    return [
        f"- **It answers** with one of {len(manifest['classes'])} classes: "
        f"{', '.join(map(_plain, manifest['classes']))}; and with a probability for each.",
        f"- **It is right** for {_interval(accuracy)} of {accuracy['n']:,} test images that it "
        f"never saw; always answering *{_plain(baseline['class'])}* would be right "
        f"for {baseline['accuracy']:.3f}.",
    ]


def _use(manifest: dict[str, Any]) -> list[str]:
    name = manifest["name"]
    return [
        "## How to use it",
        "",
        "```",
        f"morphoscope predict {name} my_images/ --out my_catalogue.parquet",
        "```",
        "",
        "(the name, if the model came with Morphoscope; else the path of this folder). In Python:",
        "",
        "```python",
        "import numpy as np",
        "from morphoscope.bundle import open_bundle",
        "from morphoscope.prepare import prepare_file",
        "",
        f'model = open_bundle("{name}")',
        'image = prepare_file("galaxy.jpg", model.preparation)',
        *ANSWERS[manifest["task"]],
        "```",
        "",
        f"Images are prepared for it so: {_preparation(manifest['preparation'])}. "
        + _sizes(manifest["provenance"]["data"]["sizes"], manifest["preparation"]),
    ]


def _sizes(sizes: dict[str, int], settings: dict[str, Any]) -> str:
    if settings.get("view") == "galaxy":
        return (
            "The galaxy must be the one in the middle of its image; the size of the frame and the "
            "scale of its pixels are free, as far as its arms and outskirts can be seen."
        )
    if not sizes:
        return "Give it images of the pixel scale and frame that it was trained on."
    commonest = ", ".join(sorted(sizes, key=lambda size: -sizes[size])[:3])
    others = " and other sizes" if len(sizes) > 3 else ""
    return (
        f"Those it was trained on had {commonest} pixels{others} before that: give it images of "
        "the same pixel scale and frame."
    )


def _preparation(settings: dict[str, Any]) -> str:
    words = [f"the central {settings['crop_fraction']:.0%} of the side"]
    if settings["crop_fraction"] == 1:
        words = ["the whole image"]
    if settings.get("crop"):
        first, end, of = settings["crop"]
        words = [f"pixels {first} to {end - 1} of each side of {of} (in proportion on others)"]
    if settings.get("view") == "galaxy":
        words = [
            "the galaxy in the middle is found by its second moments, centred, turned until its "
            f"major axis is level, and scaled so that {settings['view_radius']:g} of its "
            f"semi-major axes (8 pixels at least, the whole frame at most) are half of "
            f"{settings['size']} × {settings['size']} pixels; where none is found the whole frame "
            f"is taken ({settings['pad']} padding)"
        ]
    else:
        words.append(f"made square ({settings['pad']} padding)")
        words.append(f"resized to {settings['size']} × {settings['size']} pixels")
    words.append(_channels(settings))
    for key in ("denoise", "stretch"):
        if settings[key] != "none":
            words.append(f"{key} {settings[key]}")
    return ", ".join(words)


def _channels(settings: dict[str, Any]) -> str:
    """Channels in words: of bands with all that the files are asked for."""
    if settings["channels"] != "bands":
        return {"rgb": "colour", "grey": "grey", "mean": "mean of the colours"}[
            settings["channels"]
        ]
    words = f"the bands {', '.join(settings['bands'])} in this order"
    if settings["unit"]:
        words += f", in {settings['unit']} a pixel"
    if settings["pixel_scale"]:
        words += f", at {settings['pixel_scale']:g} arcsec a pixel; files of others are refused"
    return words


def _training(manifest: dict[str, Any]) -> list[str]:
    data, recipe = manifest["provenance"]["data"], manifest["provenance"]["recipe"]
    train, counts = recipe["train"], data["counts"]
    rows = [
        [_plain(name), *(f"{counts.get(split, {}).get(name, 0):,}" for split in SPLITS)]
        for name in manifest["classes"]
    ]
    totals = [f"{sum(counts.get(split, {}).values()):,}" for split in SPLITS]
    views = "" if train["orientations"] == 1 else f"; {train['orientations']} orientations averaged"
    kinds = [train, *({**train, **other} for other in train.get("others", ()))]
    return [
        "## What it was trained on",
        "",
        f"Images and labels: {data['citation'] or data['source']}. In each split:",
        "",
        *_table(["class", *SPLITS], [*rows, ["all", *totals]]),
        "",
        f"Networks{', the mean of all' if len(kinds) > 1 else ''}: "
        f"{'; '.join(map(_networks, kinds))}{views}. The best epoch was chosen on validation; "
        f"imbalance: {recipe['balance']['method'].replace('_', ' ')}; seed {recipe['seed']}.",
        *_retrained(manifest["provenance"].get("retrained")),
    ]


def _retrained(found: dict[str, Any] | None) -> list[str]:
    """From which model and with which labels, of one that was retrained."""
    if not found:
        return []
    labels = found["labels"]
    n = labels["n"]
    again = labels["relabelled"]
    again_told = f", {again:,} of galaxies that had one before" if again else ""
    return [
        "",
        f"It was **retrained** from the model `{found['from']}` ({_plain(found['name'])}), whose "
        f"networks it began with, with {sum(n.values()):,} new labels of "
        f"{_plain(labels['table'])}{again_told}: "
        + ", ".join(f"{n[split]:,} in {split}" for split in SPLITS)
        + ". What that model was tested on is still test; its numbers above count both.",
    ]


def _networks(kind: dict[str, Any]) -> str:
    """Networks of one kind in words."""
    number = kind["members"]
    weights = f", begun with the weights {kind['weights']}" if kind.get("weights") else ""
    shrink = kind.get("shrink", 1)
    small = f", images {shrink} times smaller" if shrink > 1 else ""
    return (
        f"{number if number > 1 else 'one'} {kind['network']} (width {kind['width']:g}{small}"
        f"{weights}), at most {kind['epochs']} epochs"
    )


def _scores(manifest: dict[str, Any]) -> list[str]:
    found = manifest["scores"]
    if manifest["task"] != "classes":
        return angle_scores(found)
    overall = [
        [label, _interval(found["scores"][key])]
        for key, label in SHOWN_SCORES.items()
        if key in found["scores"]
    ]
    classes = [
        [_plain(name), f"{row['support']:,}", *(_interval(row[key]) for key in CLASS_SCORES)]
        for name, row in found["per_class"].items()
    ]
    confused = [
        f"- {pair['n']:,} of {pair['of']:,} {_plain(pair['true'])} were called "
        f"{_plain(pair['answer'])}"
        for pair in found["confused"][:5]
    ]
    return [
        "## How good it is",
        "",
        f"On {found['n_test']:,} test images; in brackets {found['interval']['confidence']:.0%} "
        f"intervals ({found['interval']['method']}).",
        "",
        *_table(["score", "value"], overall),
        "",
        *_table(["class", "n", "precision", "recall", "F1"], classes),
        *(["", "Confused most often:", "", *confused] if confused else []),
    ]


def _limits(manifest: dict[str, Any]) -> list[str]:
    if manifest["task"] != "classes":
        return ["## What it cannot do", "", *angle_limits()]
    support = {name: row["support"] for name, row in manifest["scores"]["per_class"].items()}
    few = [f"{_plain(name)} ({n})" for name, n in support.items() if n < FEW]
    lines = [
        "## What it cannot do",
        "",
        "- It knows its classes only: a star, a satellite trail or an empty sky gets one too.",
        "- Images of another survey, pixel scale, depth or colour scheme than those above may get "
        "worse answers without any sign of it: check a labelled sample first.",
        "- The probabilities are calibrated for the mix of classes above; where the true mix "
        "differs, they must be reweighted.",
        "- Its scores are against the labels of the source, and share their errors.",
    ]
    if few:
        lines.append(f"- Fewer than {FEW} test images stand behind: {', '.join(few)}.")
    return lines


def _terms(manifest: dict[str, Any]) -> list[str]:
    provenance = manifest["provenance"]
    data = provenance["data"]
    versions = ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
    return [
        "## Licence, citation, origin",
        "",
        f"- Model: {provenance['recipe']['export']['licence'] or 'no licence stated'}",
        f"- Data: {data['licence'] or 'no licence stated'}",
        *([f"- Cite for the data: {data['citation']}"] if data["citation"] else []),
        f"- Made with {versions}",
        "- The whole recipe, fingerprints and checksums stand in `model.json`.",
    ]


def _plain(name: str) -> str:
    """Name that Markdown shows as it is, in a table too."""
    return MARKUP.sub(r"\\\g<0>", escape(" ".join(name.split()), quote=False))


def _interval(score: dict[str, Any]) -> str:
    """Score with its interval, as the report says it: unknown of nothing, or where it has none."""
    if not score["n"]:
        return "not known"
    if score["high"] - score["low"] < NO_WIDTH:
        return f"{score['value']:.3f} (interval not known)"
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
