"""Drawn people: body, clothes and accessories as plain data. Colours are (red, green, blue), 0..255."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

RGB = tuple[int, int, int]

SKIN: tuple[RGB, ...] = (
    (243, 208, 180),
    (228, 184, 148),
    (198, 148, 108),
    (150, 104, 72),
    (104, 70, 50),
    (78, 52, 40),
)
HAIR: tuple[RGB, ...] = (
    (28, 24, 22),
    (58, 40, 28),
    (96, 64, 38),
    (150, 108, 60),
    (204, 172, 112),
    (150, 148, 146),
    (126, 52, 30),
)
CLOTH: dict[str, RGB] = {
    "black": (34, 34, 38),
    "charcoal": (72, 74, 80),
    "grey": (138, 140, 144),
    "white": (232, 232, 228),
    "navy": (34, 44, 82),
    "blue": (52, 92, 166),
    "sky": (138, 180, 216),
    "teal": (30, 118, 118),
    "green": (52, 108, 62),
    "olive": (104, 104, 58),
    "mustard": (208, 164, 50),
    "orange": (212, 108, 44),
    "red": (178, 40, 44),
    "burgundy": (102, 30, 48),
    "pink": (224, 150, 170),
    "purple": (102, 64, 130),
    "brown": (104, 72, 50),
    "beige": (204, 184, 150),
}
TOP_COLOURS = tuple(CLOTH)
# Trousers are dull in every street: little of what tells two people apart is below the belt.
BOTTOM_COLOURS = ("black", "charcoal", "navy", "blue", "beige", "grey", "brown", "olive", "white", "burgundy")
BOTTOM_SHARE = (0.22, 0.16, 0.18, 0.14, 0.09, 0.07, 0.05, 0.04, 0.03, 0.02)
PATTERNS = ("plain", "stripes", "two_tone", "print", "open", "vertical")
PATTERN_SHARE = (0.36, 0.14, 0.12, 0.14, 0.16, 0.08)


@dataclass(frozen=True)
class Outfit:
    """Clothes. `top_second` is the colour of stripes, of the lower half, of the print, or of the shirt under an open jacket."""

    top: RGB
    top_pattern: str  # one of PATTERNS
    top_second: RGB
    sleeves: str  # long | short
    top_length: float  # hem, as a share of body height above the ground: 0.5 shirt, 0.3 coat
    bottom: RGB
    bottom_kind: str  # trousers | shorts | skirt
    shoes: RGB


@dataclass(frozen=True)
class Person:
    """One person. `outfit_id` is shared by people dressed alike; `phase` (radians) is where in the step they start."""

    pid: int
    outfit_id: int
    height_m: float
    build: float  # width relative to an average body
    skin: RGB
    hair: RGB
    hair_style: str  # short | long | bun | bald
    outfit: Outfit
    bag: str  # none | rucksack | shoulder | hand
    bag_colour: RGB
    hat: str  # none | cap | beanie | brim
    hat_colour: RGB
    speed_m_per_s: float
    phase: float


def _pick(rng: np.random.Generator, options: tuple[Any, ...], p: tuple[float, ...] | None = None) -> Any:
    return options[int(rng.choice(len(options), p=p))]


def _colour(rng: np.random.Generator, names: tuple[str, ...], p: tuple[float, ...] | None = None) -> RGB:
    base = np.array(CLOTH[_pick(rng, names, p)]) + rng.integers(-9, 10, 3)
    r, g, b = (int(v) for v in np.clip(base, 12, 242))
    return r, g, b


def random_outfit(rng: np.random.Generator) -> Outfit:
    pattern = _pick(rng, PATTERNS, PATTERN_SHARE)
    top = _colour(rng, TOP_COLOURS)
    second = _colour(rng, TOP_COLOURS)
    while sum(abs(a - b) for a, b in zip(top, second, strict=True)) < 150:
        second = _colour(rng, TOP_COLOURS)
    kind = _pick(rng, ("trousers", "shorts", "skirt"), (0.74, 0.12, 0.14))
    coat = pattern in ("plain", "open") and kind != "shorts" and rng.random() < 0.3
    return Outfit(
        top=top,
        top_pattern=pattern,
        top_second=second,
        sleeves="long" if coat or pattern == "open" or rng.random() < 0.6 else "short",
        top_length=0.31 if coat else 0.485,
        bottom=_colour(rng, BOTTOM_COLOURS, BOTTOM_SHARE),
        bottom_kind=kind,
        shoes=_colour(
            rng, ("black", "brown", "white", "grey", "navy", "red"), (0.4, 0.2, 0.2, 0.1, 0.06, 0.04)
        ),
    )


def random_person(
    rng: np.random.Generator, pid: int, outfit: Outfit | None = None, outfit_id: int | None = None
) -> Person:
    """A new person; with `outfit`, one who wears exactly that. Draws the same number of values from `rng` only per outfit given."""
    outfit = outfit or random_outfit(rng)
    return Person(
        pid=pid,
        outfit_id=pid if outfit_id is None else outfit_id,
        height_m=float(np.clip(rng.normal(1.72, 0.09), 1.50, 1.95)),
        build=float(np.clip(rng.normal(1.0, 0.12), 0.8, 1.35)),
        skin=_pick(rng, SKIN, (0.2, 0.28, 0.22, 0.14, 0.1, 0.06)),
        hair=_pick(rng, HAIR),
        hair_style=_pick(rng, ("short", "long", "bun", "bald"), (0.48, 0.32, 0.12, 0.08)),
        outfit=outfit,
        bag=_pick(rng, ("none", "rucksack", "shoulder", "hand"), (0.45, 0.22, 0.18, 0.15)),
        bag_colour=_colour(rng, ("black", "brown", "red", "teal", "mustard", "grey", "navy", "pink")),
        hat=_pick(rng, ("none", "cap", "beanie", "brim"), (0.74, 0.11, 0.09, 0.06)),
        hat_colour=_colour(rng, ("black", "white", "red", "navy", "mustard", "beige", "green")),
        speed_m_per_s=float(np.clip(rng.normal(1.25, 0.18), 0.85, 1.75)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def lookalikes(rng: np.random.Generator, first_pid: int, outfit_id: int) -> list[Person]:
    """Three people in one outfit of similar build: told apart by a bag, by a hat, or by a print on the front (a club, a uniform, a school)."""
    base = random_person(rng, first_pid, outfit_id=outfit_id)
    base = replace(
        base, outfit=replace(base.outfit, top_pattern="plain", top_length=0.485), bag="none", hat="none"
    )
    people = [base]
    kinds = [
        ("bag", "rucksack"),
        ("bag", "shoulder"),
        ("hat", "cap"),
        ("hat", "beanie"),
        ("print", "print"),
        ("bag", "hand"),
    ]
    for k, which in enumerate(rng.permutation(len(kinds))[:2], start=1):
        own = random_person(rng, first_pid + k, outfit=base.outfit, outfit_id=outfit_id)
        own = replace(
            own,
            bag="none",
            hat="none",
            hair=base.hair,
            hair_style=base.hair_style,
            skin=base.skin,
            build=base.build,
        )
        kind, value = kinds[int(which)]
        if kind == "bag":
            own = replace(own, bag=value)
        elif kind == "hat":
            own = replace(own, hat=value)
        else:
            own = replace(own, outfit=replace(own.outfit, top_pattern="print"))
        people.append(own)
    return people


def population(rng: np.random.Generator, first_pid: int, count: int, lookalike_trios: int) -> list[Person]:
    """`count` people with ids from `first_pid` on; the first `3 * lookalike_trios` of them come in trios that share an outfit."""
    people: list[Person] = []
    for _ in range(lookalike_trios):
        people += lookalikes(rng, first_pid + len(people), outfit_id=first_pid + len(people))
    while len(people) < count:
        people.append(random_person(rng, first_pid + len(people)))
    return people[:count]
