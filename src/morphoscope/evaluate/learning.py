"""What the learning curves say: when it learned, whether it learned by heart."""

from __future__ import annotations

from typing import Any

__all__ = ["read_curves"]

History = list[list[dict[str, Any]]]
RISE = 0.05
STILL_FALLING = 0.9
FEWEST = 3


def read_curves(history: History, summary: dict[str, Any]) -> dict[str, Any]:
    """Find the best epoch, the gap and the kind of ending of each member's training.

    Parameters
    ----------
    history
        For each member, one entry an epoch with ``epoch``, ``train_loss``, ``validation_loss``.
    summary
        What the train stage says of itself; ``members[i].best_epoch`` names the epoch kept.

    Returns
    -------
    dict
        ``members``: for each ``best_epoch``, ``epochs``, ``train_loss`` and ``validation_loss`` at
        the best epoch, their ``gap``, the ``rise`` of the validation loss from its lowest to the
        last epoch (relative), and ``ending``: ``over_trained``, ``still_improving``, ``level``, or
        ``too_few`` below three epochs. ``text``: the same in words.
    """
    said = summary.get("members", [])
    members = [
        _member(epochs, said[index].get("best_epoch") if index < len(said) else None)
        for index, epochs in enumerate(history)
        if epochs
    ]
    return {"members": members, "text": _in_words(members, bool(summary.get("augmentations")))}


def _member(epochs: list[dict[str, Any]], best_epoch: int | None) -> dict[str, Any]:
    losses = [entry["validation_loss"] for entry in epochs]
    lowest = min(range(len(epochs)), key=losses.__getitem__)
    named = [i for i, entry in enumerate(epochs) if entry["epoch"] == best_epoch]
    best = epochs[named[0] if named else lowest]
    rise = losses[-1] / losses[lowest] - 1 if losses[lowest] > 0 else 0.0
    learned = epochs[-1]["train_loss"] < epochs[lowest]["train_loss"]
    return {
        "best_epoch": best["epoch"],
        "epochs": len(epochs),
        "lowest_loss_epoch": epochs[lowest]["epoch"],
        "train_loss": best["train_loss"],
        "validation_loss": best["validation_loss"],
        "gap": best["validation_loss"] - best["train_loss"],
        "rise": rise,
        "ending": _ending(lowest, len(epochs), rise, learned),
    }


def _ending(lowest: int, epochs: int, rise: float, learned: bool) -> str:
    if epochs < FEWEST:
        return "too_few"
    if rise > RISE and learned:
        return "over_trained"
    if lowest + 1 >= STILL_FALLING * epochs:
        return "still_improving"
    return "level"


def _in_words(members: list[dict[str, Any]], augmented: bool) -> str:
    if not members:
        return ""
    endings = {member["ending"] for member in members}
    kept = ", ".join(str(member["best_epoch"]) for member in members)
    sentences = [
        f"The weights kept are those of epoch {kept} of {members[0]['epochs']}."
        if len(members) == 1
        else f"Each of the {len(members)} members keeps the weights of its own best epoch: {kept}."
    ]
    if "over_trained" in endings:
        over = [member for member in members if member["ending"] == "over_trained"]
        worst = max(over, key=lambda member: member["rise"])
        sentences.append(
            f"After epoch {worst['lowest_loss_epoch']} the network began to learn its training "
            f"images by heart: the training loss kept falling while the validation loss rose by "
            f"{worst['rise']:.0%}. More epochs would not help; more images, stronger "
            "augmentation or weight decay would."
        )
    elif "still_improving" in endings:
        sentences.append(
            "The validation loss was still falling at the end: more epochs may well help."
        )
    elif "too_few" in endings:
        sentences.append("There are too few epochs to tell whether more would help or over-train.")
    else:
        sentences.append(
            "The validation loss had levelled off without rising: no sign of over-training."
        )
    gap = sum(member["gap"] for member in members) / len(members)
    sentences.append(_gap_in_words(gap, augmented))
    return " ".join(sentences)


def _gap_in_words(gap: float, augmented: bool) -> str:
    if gap > 0:
        wider = " Augmentation makes the training images harder, so that the true gap is wider."
        return (
            f"At the epoch kept the validation loss lay {gap:.2f} above the training loss."
            + augmented * wider
        )
    return (
        f"At the epoch kept the validation loss lay {-gap:.2f} below the training loss, because "
        "augmentation, balancing or dropout make training images the harder ones."
    )
