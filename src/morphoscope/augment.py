"""Random changes of a training batch that keep its labels.

The geometry (rotation, mirror, zoom, shift) is one resampling, so that the pixels are smoothed
once. Scales are always alike in x and y: a galaxy's axial ratio, hence inclination, is kept.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample

from morphoscope.errors import RecipeError
from morphoscope.recipe import AugmentSettings, LabelProperty

__all__ = ["AUGMENTATIONS", "augment", "describe", "handed_pairs", "looks_handed", "refused"]

WHITE = 255.0
HANDED = re.compile(
    r"clockwise|(?<![a-z])(c?cw|acw|left|right|[sz]-?wise|dextral|sinistral)(?![a-z])"
)


@dataclass(frozen=True)
class Augmentation:
    """One change: when it is on, what of an image it alters, and what it says of itself."""

    name: str
    changes: tuple[LabelProperty, ...]
    is_on: Callable[[AugmentSettings], bool]
    text: Callable[[AugmentSettings], str]
    keeps: str


AUGMENTATIONS = (
    Augmentation(
        "rotate",
        ("position_angle",),
        lambda s: s.rotate is True,
        lambda s: "rotated by any angle",
        "shape, size, handedness; not the position angle",
    ),
    Augmentation(
        "half_turn",
        (),
        lambda s: s.rotate == "half",
        lambda s: "half of the images turned upside down, by 180°",
        "shape, size, handedness, position angle",
    ),
    Augmentation(
        "mirror",
        ("handedness", "position_angle"),
        lambda s: s.mirror,
        lambda s: "half of the images mirrored",
        "shape and size; not handedness, not the position angle",
    ),
    Augmentation(
        "zoom",
        ("angular_size", "brightness"),
        lambda s: bool(s.zoom) and s.zoom != [1.0, 1.0],
        lambda s: f"zoomed by {s.zoom[0]:g} to {s.zoom[-1]:g}, alike in x and y",
        "shape, axial ratio, surface brightness; not the angular size or total brightness",
    ),
    Augmentation(
        "shift",
        ("position",),
        lambda s: s.shift > 0,
        lambda s: f"shifted by up to {s.shift:.0%} of the side in x and in y",
        "all but the position in the cutout",
    ),
    Augmentation(
        "brightness",
        ("brightness",),
        lambda s: s.brightness > 0,
        lambda s: f"brightness changed by up to {s.brightness:.0%}, alike in all channels",
        "shape, size, colour; not the brightness",
    ),
    Augmentation(
        "noise",
        ("signal_to_noise",),
        lambda s: s.noise > 0,
        lambda s: f"noise of up to {s.noise:.1%} of full range added",
        "all but the signal-to-noise ratio",
    ),
)


def describe(settings: AugmentSettings, classes: Sequence[str]) -> list[dict[str, str]]:
    """Say what is done: ``name``, ``text`` and ``keeps`` of each augmentation that is on."""
    pairs = [f"{classes[i]} ↔ {classes[j]}" for i, j in handed_pairs(settings, classes)]
    described = []
    for augmentation in AUGMENTATIONS:
        if augmentation.is_on(settings):
            keeps = augmentation.keeps
            if augmentation.name == "mirror" and pairs:
                keeps = f"shape and size; labels of handed classes swap: {', '.join(pairs)}"
            text = augmentation.text(settings)
            described.append({"name": augmentation.name, "text": text, "keeps": keeps})
    return described


def refused(settings: AugmentSettings, classes: Sequence[str], *, orientations: int = 1) -> None:
    """Refuse settings under which an augmentation, or an averaged orientation, breaks a label.

    Parameters
    ----------
    settings
        The section ``augment``.
    classes
        Names of the classes.
    orientations
        Dihedral images over which the model averages its answer (``train.orientations``).

    Raises
    ------
    RecipeError
        An augmentation changes a property in ``label_depends_on``; a mirror meets classes that
        look handed without a pair in ``handed``; ``handed`` or ``zoom`` are not as they should be.
    """
    pairs = handed_pairs(settings, classes)
    if settings.zoom and not (len(settings.zoom) == 2 and 0 < settings.zoom[0] <= settings.zoom[1]):
        raise RecipeError(
            f"augment.zoom is {settings.zoom}", expected="[smallest, largest] above 0, or []"
        )
    in_use = {a.name: f"augment.{a.name}" for a in AUGMENTATIONS if a.is_on(settings)}
    if orientations > 1:
        in_use.setdefault("rotate", f"train.orientations = {orientations}")
    if orientations == 8:
        in_use.setdefault("mirror", "train.orientations = 8")
    for augmentation in AUGMENTATIONS:
        if augmentation.name in in_use:
            _refuse_property(augmentation, in_use[augmentation.name], settings, bool(pairs))
    if "mirror" in in_use:
        _refuse_unpaired(in_use["mirror"], classes, {i for pair in pairs for i in pair})


def _refuse_property(
    augmentation: Augmentation, setting: str, settings: AugmentSettings, paired: bool
) -> None:
    for name in augmentation.changes:
        if name == "handedness" and paired:
            continue
        if name in settings.label_depends_on:
            raise RecipeError(
                f"{setting} changes the {name.replace('_', ' ')} of a galaxy, and "
                "augment.label_depends_on says that the label depends on it",
                do=f"switch it off, or take {name!r} out of label_depends_on"
                + (", or name the classes that swap in handed" if name == "handedness" else ""),
                property=name,
            )


def _refuse_unpaired(setting: str, classes: Sequence[str], paired: set[int]) -> None:
    for index, name in enumerate(classes):
        if index not in paired and looks_handed(name):
            raise RecipeError(
                f"{setting} mirrors images, which changes the class {name!r} into its opposite",
                do=f"name the two in augment.handed = [[{name!r}, …]], or switch it off",
                property="handedness",
            )


def looks_handed(name: str) -> bool:
    """Whether the name of a class is that of one of two mirror images."""
    return HANDED.search(name.lower().replace("_", " ")) is not None


def handed_pairs(settings: AugmentSettings, classes: Sequence[str]) -> list[tuple[int, int]]:
    """Class indices that a mirror swaps.

    Raises
    ------
    RecipeError
        A pair is not two classes, names a class that is not there, or one named before.
    """
    pairs: list[tuple[int, int]] = []
    for names in settings.handed:
        if len(names) != 2 or names[0] == names[1]:
            raise RecipeError(f"augment.handed holds {names}", expected="pairs of two classes")
        for name in names:
            if name not in classes:
                near = difflib.get_close_matches(name, classes, n=1, cutoff=0.5)
                raise RecipeError(
                    f"augment.handed names {name!r}, which is no class",
                    expected=f"one of {', '.join(classes)}",
                    do=f"did you mean {near[0]!r}?" if near else "mend or remove the pair",
                )
        first, second = (list(classes).index(name) for name in names)
        if {first, second} & {index for pair in pairs for index in pair}:
            raise RecipeError(f"augment.handed names a class of {names} twice")
        pairs.append((first, second))
    return pairs


def augment(
    images: Tensor,
    labels: Tensor,
    settings: AugmentSettings,
    *,
    generator: Generator,
    swap: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Change a batch at random, on the device where it is.

    Parameters
    ----------
    images
        Grey levels 0–255 as uint8, or float on their scale without bounds,
        ``(n, channel, size, size)``.
    labels
        Class indices ``(n,)``.
    settings
        What is changed and how far.
    generator
        Source of every draw, on the CPU; the same state gives the same batch.
    swap
        For every class its class after a mirror ``(classes,)``; ``None``: itself.

    Returns
    -------
    images, labels
        Float32 of the same shape, between 0 and 255 where they came as uint8, and the labels,
        those of mirrored images swapped.

    Notes
    -----
    Resampling is bilinear. Beyond its border an image is continued by its outermost pixels, which
    are the faintest part of a centred galaxy's surroundings. A reflection would put light from
    nearer the centre into the corners, like a companion, and zeros would draw dark wedges.

    Examples
    --------
    >>> images, labels = torch.zeros(4, 3, 64, 64, dtype=torch.uint8), torch.arange(4)
    >>> generator = torch.Generator().manual_seed(1)
    >>> augment(images, labels, AugmentSettings(), generator=generator)[0].shape
    torch.Size([4, 3, 64, 64])
    """
    number, device = images.shape[0], images.device
    # Always drawn in full, so that one setting does not change the draws of the others.
    uniform = torch.rand(6, number, generator=generator)
    noise_seed = int(torch.randint(2**62, (1,), generator=generator))
    mirrored = (uniform[0] < 0.5) & settings.mirror
    # Floats were never cut at sky and white, and keep their range.
    bounded = not images.is_floating_point()
    images = images.float()
    if any((settings.rotate, settings.mirror, settings.zoom, settings.shift)):
        inverse = _inverse_transform(uniform[1:5], mirrored, settings).to(device)
        grid = _grid(inverse, images.shape[-1])
        images = grid_sample(images, grid, padding_mode="border", align_corners=False)
    if settings.brightness:
        factor = 1 + settings.brightness * (2 * uniform[5] - 1)
        images = images * factor.to(device)[:, None, None, None]
    if settings.noise:
        images = images + _noise(images, settings.noise, noise_seed)
    if bounded and (settings.brightness or settings.noise):
        images = images.clamp_(0, WHITE)
    if swap is not None:
        labels = torch.where(mirrored.to(device), swap.to(device)[labels], labels)
    return images, labels


def _inverse_transform(uniform: Tensor, mirrored: Tensor, settings: AugmentSettings) -> Tensor:
    """From places in the new image to places in the old, in half sides: ``(n, 2, 3)``."""
    angle = math.pi * (uniform[0] < 0.5) if settings.rotate == "half" else 2 * math.pi * uniform[0]
    if not settings.rotate:
        angle = torch.zeros_like(angle)
    smallest, largest = settings.zoom or (1.0, 1.0)
    scale = torch.exp(-(math.log(smallest) + math.log(largest / smallest) * uniform[1]))
    sign = 1 - 2 * mirrored.float()
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    shift = 2 * settings.shift * (2 * uniform[2:4] - 1)
    return torch.stack(
        [
            torch.stack([cosine * sign, -sine, shift[0]], 1),
            torch.stack([sine * sign, cosine, shift[1]], 1),
        ],
        1,
    )


def _grid(inverse: Tensor, size: int) -> Tensor:
    """Where each new pixel comes from ``(n, y, x, 2)``.

    As torch's ``affine_grid``, whose matrix product takes four times as long on the CPU.
    """
    centres = (torch.arange(size, device=inverse.device) + 0.5) * (2 / size) - 1
    along_x = centres[:, None] * inverse[:, None, :, 0]
    along_y = centres[:, None] * inverse[:, None, :, 1] + inverse[:, None, :, 2]
    return along_y[:, :, None, :] + along_x[:, None, :, :]


def _noise(images: Tensor, largest: float, seed: int) -> Tensor:
    """Normal noise, its spread drawn for each image between 0 and ``largest`` of full range."""
    generator = Generator(images.device).manual_seed(seed)
    shape = (images.shape[0], 1, 1, 1)
    spread = torch.rand(shape, generator=generator, device=images.device) * (largest * WHITE)
    drawn = torch.randn(images.shape, generator=generator, device=images.device)
    return drawn * spread
