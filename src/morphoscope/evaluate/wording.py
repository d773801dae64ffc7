"""Numbers and sentences of the report."""

from __future__ import annotations

from typing import Any

from morphoscope.evaluate.binomial import exact_interval
from morphoscope.evaluate.calibration import HIGHEST, LOWEST

__all__ = [
    "cautions",
    "decimal",
    "duration",
    "familiar_in_words",
    "headline",
    "percent",
    "sets_in_words",
    "span",
    "trust_in_words",
]

Metrics = dict[str, Any]
THIN = "\u202f"
FEW = 30
WEAK_F1 = 0.5
NO_WIDTH = 1e-9


def percent(share: float, digits: int = 1) -> str:
    """Share as per cent: ``87.4 %``."""
    return f"{share * 100:.{digits}f}{THIN}%"


def decimal(value: float, digits: int = 3) -> str:
    """Value with a fixed number of digits."""
    return f"{value:.{digits}f}"


def span(score: dict[str, Any], *, as_percent: bool = False) -> str:
    """Interval of a score: ``0.851–0.896``."""
    # Resampling that never moves a score, as with one answer for all, tells nothing of its error.
    if score["high"] - score["low"] < NO_WIDTH:
        return "interval not known"
    if as_percent:
        return f"{score['low'] * 100:.1f}–{score['high'] * 100:.1f}{THIN}%"
    return f"{score['low']:.3f}–{score['high']:.3f}"


def duration(seconds: float) -> str:
    """Time in words: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.0f}{THIN}s" if seconds >= 10 else f"{seconds:.1f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest}{THIN}s"
    return f"{minutes // 60}{THIN}h {minutes % 60}{THIN}min"


def headline(metrics: Metrics) -> list[str]:
    """Say in a few sentences how good the model is and where it fails most."""
    accuracy, baseline = metrics["scores"]["accuracy"], metrics["baseline"]
    sentences = [
        f"On {metrics['n_test']:,} images it had never seen, the model named the right class for "
        f"{percent(accuracy['value'])} ({span(accuracy, as_percent=True)})."
    ]
    guess = f"always answering “{baseline['class']}” would be right for "
    guess += percent(baseline["accuracy"])
    if accuracy["low"] <= baseline["accuracy"]:
        sentences.append(f"That is not clearly better than guessing: {guess}.")
    else:
        sentences.append(f"For comparison, {guess}.")
    if metrics["confused"]:
        worst = metrics["confused"][0]
        sentences.append(
            f"Most often it takes “{worst['true']}” for “{worst['answer']}”: "
            f"{worst['n']:,} of {worst['of']:,} ({percent(worst['share'], 0)})."
        )
    return sentences


def trust_in_words(metrics: Metrics) -> list[str]:
    """Say what the probabilities are worth."""
    calibration = metrics["calibration"]
    ece, chance = calibration["after"]["ece"], calibration["ece_by_chance"]
    sentences = [
        f"Its probabilities miss the share that is right by {ece * 100:.1f} points on average; "
        f"{chance * 100:.1f} would be expected by chance from a perfectly calibrated model on as "
        "many images."
    ]
    if calibration["temperature"] != 1:
        sentences.append(_temperature_in_words(calibration))
    half = min(metrics["trust"], key=lambda entry: abs(entry["share"] - 0.5))
    sentences.append(
        f"The surest {percent(half['share'], 0)} of the answers, those with a probability of at "
        f"least {half['threshold']:.2f}, are right for {percent(half['accuracy']['value'])} "
        f"({span(half['accuracy'], as_percent=True)})."
    )
    return sentences


def _temperature_in_words(calibration: dict[str, Any]) -> str:
    """Say whether the temperature, fitted on validation, helped on the test images too."""
    temperature, before, after = (calibration[key] for key in ("temperature", "before", "after"))
    fitted = (
        f"a temperature of {temperature:.2f}, fitted on {calibration['n_validation']:,} "
        "validation images,"
    )
    # Compared as they are shown, to three digits.
    fell = [round(after[key], 3) < round(before[key], 3) for key in ("ece", "log_loss")]
    if all(fell):
        manner = "too sure of itself" if temperature > 1 else "too modest"
        sentence = (
            f"As trained it was {manner} (error {before['ece'] * 100:.1f} points); {fitted} lowers "
            f"the error to {after['ece'] * 100:.1f} points without changing any answer."
        )
    else:
        sentence = (
            f"{fitted.capitalize()} did not {'clearly ' * any(fell)}help on the test images: error "
            f"{before['ece'] * 100:.1f} points before, {after['ece'] * 100:.1f} after; log loss "
            f"{decimal(before['log_loss'])} before, {decimal(after['log_loss'])} after."
        )
    if not LOWEST * 1.001 < temperature < HIGHEST * 0.999:
        sentence += (
            f" The temperature ended at a bound of its search ({LOWEST:g} to {HIGHEST:g}): most "
            "likely there are too few validation images to fit it."
        )
    return sentence


def sets_in_words(metrics: Metrics) -> list[str]:
    """Say how often the prediction sets held the truth, and what that rests on."""
    sets = metrics["sets"]
    overall, by_class, classes = sets["overall"], sets["by_class"], sets["classes"]
    chance = overall["by_chance"]
    tested = {name: one for name, one in classes.items() if one["overall"]["n"]}
    worst = min(tested, key=lambda name: tested[name]["overall"]["value"])
    low = tested[worst]["overall"]
    sentences = [
        f"Instead of one answer, a set: every class with a probability of at least "
        f"{overall['threshold']['value']:.3f}, and the likeliest always. That threshold was found "
        f"on {sets['n_calibration']:,} validation images so that {percent(sets['coverage'], 0)} of "
        f"the sets hold the true class. On test {percent(overall['found']['value'])} do "
        f"({span(overall['found'], as_percent=True)}). The threshold by itself holds "
        f"{percent(overall['found_by_threshold'])}, where {chance['low'] * 100:.1f}–"
        f"{chance['high'] * 100:.1f}{THIN}% are to be expected by chance.",
        f"A set holds {overall['mean_size']:.2f} classes on average, and one only for "
        f"{percent(overall['single'], 0)} of the images.",
        f"That is for all images together. Worst off is “{worst}” with {percent(low['value'])} "
        f"({span(low, as_percent=True)}, n = {low['n']:,}). A threshold for each class promises "
        f"the same within every class; the sets then hold {by_class['mean_size']:.2f} classes.",
    ]
    lost = [f"“{n}” ({one['threshold']['n']})" for n, one in classes.items() if _too_few(one)]
    if lost:
        sentences.append(
            f"Too few validation images to leave the class out of any set: {', '.join(lost)}."
        )
    sentences.append(
        "The promise holds for images drawn like those of validation. Validation also chose the "
        "epoch and the temperature, so it holds nearly, not exactly."
    )
    return sentences


def _too_few(one: dict[str, Any]) -> bool:
    return bool(one["threshold"]["too_few"])


def familiar_in_words(metrics: Metrics) -> str:
    """Say what share of the test images is flagged as unlike those of training."""
    found = metrics["familiar"]
    asked = percent(found["share"], 0)
    if found["flagged"] is None:
        return (
            f"The {found['n_validation']:,} validation images are too few for a limit beyond which "
            f"{asked} of such images are flagged: the model will flag no image as unlike those it "
            "was trained on."
        )
    flagged, n = found["flagged"], found["n_test"]
    low, high = exact_interval(flagged, n, metrics["interval"]["confidence"])
    return (
        f"An image that looks unlike those of training is flagged; the limit lets at most {asked} "
        f"of images like those of validation be flagged, and of the {n:,} test images "
        f"{percent(flagged / n)} are ({low * 100:.1f}–{high * 100:.1f}{THIN}%)."
    )


def cautions(metrics: Metrics) -> list[str]:
    """Warn of classes that the test split can say little about, or that the model cannot do."""
    table = metrics["per_class"]
    found = [
        f"No test image is “{name}”: nothing is known of how well it is found."
        for name, scores in table.items()
        if scores["support"] == 0
    ]
    few = [
        f"“{name}” ({scores['support']})"
        for name, scores in table.items()
        if 0 < scores["support"] < FEW
    ]
    if few:
        found.append(f"Few test images, so that the scores are rough: {', '.join(few)}.")
    found += [
        f"“{name}” is mostly missed or mistaken (F1 {decimal(scores['f1']['value'])}): do not "
        "select or count that class with this model."
        for name, scores in table.items()
        if scores["support"] and scores["f1"]["high"] < WEAK_F1
    ]
    return found
