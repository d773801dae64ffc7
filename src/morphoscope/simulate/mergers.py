"""Mergers: two galaxies close together, with tails and shells."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.discs import draw_disc
from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.galaxy import Galaxy, Shell, Tail
from morphoscope.simulate.others import draw_elliptical
from morphoscope.simulate.streams import either, log_uniform
from morphoscope.simulate.view import View

__all__ = ["draw_merger", "paint_shell", "paint_tail"]

PIECES = 48  # Gaussians that a tail is made of


def draw_merger(
    rng: np.random.Generator, index: int, view: View, settings: SimulateSettings
) -> Galaxy:
    """Draw two galaxies near each other, or one that shows what it has swallowed."""
    first = _partner(rng, index, view, settings)
    late = rng.random() < 0.2
    second = None if late else _beside(rng, first, _partner(rng, index, view, settings))
    tails = tuple(_tail(rng, first) for _ in range(int(rng.integers(late, 3))))
    shells = tuple(_shell(rng, first) for _ in range(int(rng.integers(0, 4 if late else 2))))
    return replace(first, kind="merger", companion=second, tails=tails, shells=shells)


def _partner(
    rng: np.random.Generator, index: int, view: View, settings: SimulateSettings
) -> Galaxy:
    draw = draw_disc if rng.random() < 0.65 else draw_elliptical
    galaxy = draw(rng, index, view, settings)
    if galaxy.disc:
        disturbed = replace(
            galaxy.disc,
            lopsidedness=rng.uniform(0.2, 0.9),
            warp=either(rng) * rng.uniform(0.1, 0.6),
        )
        galaxy = replace(galaxy, disc=disturbed)
    return galaxy


def _beside(rng: np.random.Generator, first: Galaxy, second: Galaxy) -> Galaxy:
    """Bring the second galaxy to the first, alike in size and brightness within a factor."""
    ratio = log_uniform(rng, 0.35, 1.3)
    fainter = -2.5 * math.log10(log_uniform(rng, 0.15, 1.2))
    distance, angle = (
        rng.uniform(0.5, 2.4) * (1 + ratio) / 2 * first.radius_arcsec,
        rng.uniform(0, 2 * math.pi),
    )
    scale = ratio * first.radius_arcsec / second.radius_arcsec
    return replace(
        _scaled(second, scale),
        magnitude_r=first.magnitude_r + fainter,
        x=distance * math.cos(angle),
        y=distance * math.sin(angle),
    )


def _scaled(galaxy: Galaxy, scale: float) -> Galaxy:
    disc = galaxy.disc
    if disc:
        parts = {
            name: replace(part, radius_arcsec=scale * part.radius_arcsec)
            for name in ("bulge", "bar", "ring")
            if (part := getattr(disc, name))
        }
        if disc.arms:
            disc = replace(
                disc, arms=replace(disc.arms, begin_arcsec=scale * disc.arms.begin_arcsec)
            )
        disc = replace(disc, **parts)
    return replace(galaxy, radius_arcsec=scale * galaxy.radius_arcsec, disc=disc)


def _tail(rng: np.random.Generator, galaxy: Galaxy) -> Tail:
    begin = galaxy.radius_arcsec * rng.uniform(0.7, 1.5)
    return Tail(
        fraction=rng.uniform(0.03, 0.16),
        begin_arcsec=begin,
        end_arcsec=begin * rng.uniform(1.8, 4.0),
        begin_deg=rng.uniform(0, 360),
        turn_deg=either(rng) * rng.uniform(20, 150),
        width_arcsec=galaxy.radius_arcsec * rng.uniform(0.12, 0.3),
    )


def _shell(rng: np.random.Generator, galaxy: Galaxy) -> Shell:
    return Shell(
        fraction=rng.uniform(0.02, 0.08),
        radius_arcsec=galaxy.radius_arcsec * rng.uniform(1.2, 3.2),
        direction_deg=rng.uniform(0, 360),
        width_deg=rng.uniform(20, 55),
    )


def paint_tail(tail: Tail, frame: Frame) -> Pixels:
    """Paint a tail of unit flux."""
    x, y = frame.axes()
    way = np.linspace(0, 1, PIECES, dtype=np.float32)
    distance = tail.begin_arcsec + (tail.end_arcsec - tail.begin_arcsec) * way
    angle = np.radians(tail.begin_deg + tail.turn_deg * way)
    width = tail.width_arcsec * (0.6 + 0.9 * way)
    share = (0.15 + np.sin(math.pi * way**0.7)) * (1 - 0.7 * way)
    share *= frame.pixel_scale**2 / share.sum() / (2 * math.pi * width**2)
    across = (np.exp(-0.5 * ((x.T - distance * np.cos(angle)) / width) ** 2)).T
    up = np.exp(-0.5 * ((y - distance * np.sin(angle)) / width) ** 2) * share
    return np.asarray(up.astype(np.float32) @ across.astype(np.float32))


def paint_shell(shell: Shell, frame: Frame) -> Pixels:
    """Paint a shell of unit flux: sharp outside, fading inwards, along an arc."""
    x, y = frame.axes()
    reduced = np.hypot(x, y) / np.float32(shell.radius_arcsec)
    # An arc of a circle: the cosine of the angle from its middle, by its two coordinates.
    middle = math.radians(shell.direction_deg)
    cosine = (x * math.cos(middle) + y * math.sin(middle)) / np.maximum(
        reduced * shell.radius_arcsec, 1e-6
    )
    spread = math.radians(shell.width_deg)
    arc = np.exp((cosine - 1) / spread**2)
    outside = 1 + np.exp(np.minimum((reduced - 1) / 0.015, 60))
    edge = np.exp(np.minimum(reduced - 1, 0) / 0.12) / outside
    light = arc * edge
    return np.asarray(light / max(float(light.sum()), 1e-30), np.float32)
