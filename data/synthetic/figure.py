"""One walking figure as a picture with transparency, seen from any side.

The body is a stick figure with elliptical tubes round it. A point of it is (f, s, z): metres forward, to the figure's own right, and up. Seen
from far enough away the projection is parallel: the heading (hx, hz) in the viewer's frame (x to the right, z away) and the viewer's pitch say it all.
Clothes are painted on the tubes by angle (0 = front, positive to the right), so fronts and backs differ for free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from data.synthetic.appearance import RGB, Person

_SHIFT = 4  # sub-pixel bits of OpenCV's drawing
_HALF_ARC = np.exp(1j * np.linspace(np.pi / 2, 3 * np.pi / 2, 7))
FULL = (-np.pi, np.pi)
Point = tuple[float, float, float]  # forward, right, up (m)
Region = tuple[float, float, float, float, RGB]  # angle0, angle1, v0, v1, colour


def _dim(colour: RGB, by: float) -> RGB:
    r, g, b = colour
    return int(min(r * by, 255)), int(min(g * by, 255)), int(min(b * by, 255))


class Canvas:
    """A BGRA patch (premultiplied) and the projection onto it. `anchor` is the pixel of the ground point below the body."""

    def __init__(
        self,
        scale: float,
        hx: float,
        hz: float,
        pitch_rad: float,
        size_m: tuple[float, float],
        light_x: float,
        shadow: float,
    ):
        self.scale, self.hx, self.hz = scale, hx, hz
        self.cp, self.sp = float(np.cos(pitch_rad)), float(np.sin(pitch_rad))
        width, height = int(np.ceil(size_m[0] * scale)) + 2, int(np.ceil(size_m[1] * scale)) + 2
        self.anchor = (width / 2, height - 0.35 * scale)
        self.image = np.zeros((height, width, 4), np.uint8)
        self.light_x, self.shadow = light_x, shadow

    def at(self, f: Any, s: Any, z: Any) -> Any:
        """Body point(s) → screen as complex numbers u + iv."""
        depth = f * self.hz - s * self.hx
        return (self.anchor[0] + self.scale * (f * self.hx + s * self.hz)) + 1j * (
            self.anchor[1] - self.scale * (z * self.cp + depth * self.sp)
        )

    def depth(self, f: float, s: float) -> float:
        return f * self.hz - s * self.hx

    def polygon(self, points: np.ndarray, colour: RGB, convex: bool = True) -> None:
        xy = np.empty((len(points), 1, 2), np.int32)
        xy[:, 0, 0] = np.rint((points.real - 0.5) * (1 << _SHIFT))
        xy[:, 0, 1] = np.rint((points.imag - 0.5) * (1 << _SHIFT))
        bgra = (colour[2], colour[1], colour[0], 255)
        if convex:
            cv2.fillConvexPoly(self.image, xy, bgra, cv2.LINE_AA, _SHIFT)
        else:
            cv2.fillPoly(self.image, [xy], bgra, cv2.LINE_AA, _SHIFT)

    def capsule(self, p: Point, q: Point, r1_m: float, r2_m: float, colour: RGB) -> None:
        """A limb from body point p to q with round ends."""
        a, b = self.at(*p), self.at(*q)
        along = b - a
        unit = along / abs(along) if abs(along) > 1e-6 else 1.0
        r1, r2 = max(r1_m * self.scale, 0.7), max(r2_m * self.scale, 0.7)
        self.polygon(np.concatenate([a + r1 * unit * _HALF_ARC, b - r2 * unit * _HALF_ARC]), colour)

    def limb(self, p: Point, q: Point, r1_m: float, r2_m: float, colour: RGB) -> None:
        """A capsule with its unlit edge in shadow: two capsules, the lit one narrower and moved towards the light."""
        self.capsule(p, q, r1_m, r2_m, _dim(colour, 1 - 0.6 * self.shadow))
        shift = math.copysign(0.25 * r1_m, self.light_x)
        by = (shift * self.hx, shift * self.hz)  # to the right on the screen, in body coordinates
        self.capsule(
            (p[0] + by[0], p[1] + by[1], p[2]),
            (q[0] + by[0], q[1] + by[1], q[2]),
            0.72 * r1_m,
            0.72 * r2_m,
            colour,
        )

    def tube(
        self, profile: np.ndarray, regions: Sequence[Region], centre: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        """An upright elliptical tube. profile (K, 3): height z, half-width to the side, half-depth forward, from the top down.

        regions: (angle0, angle1, v0, v1, colour) with v = 0 at the top and 1 at the bottom; later ones lie over earlier ones.
        """
        z, a, b = profile.T
        v = (z[0] - z) / (z[0] - z[-1])
        middle = float(np.arctan2(self.hx / a.mean(), -self.hz / b.mean()))  # the angle that faces the viewer
        low, high = middle - np.pi / 2, middle + np.pi / 2
        for angle0, angle1, v0, v1, colour in regions:
            levels = np.concatenate([[v0], v[(v > v0 + 1e-6) & (v < v1 - 1e-6)], [v1]])
            lz, la, lb = np.interp(levels, v, z), np.interp(levels, v, a), np.interp(levels, v, b)
            for turn in (-2 * np.pi, 0.0, 2 * np.pi):
                start, stop = max(angle0 + turn, low), min(angle1 + turn, high)
                if stop - start < 0.02:
                    continue
                self._patch(centre, lz, la, lb, start, stop, colour)
                # The unlit side of the tube, in the same colour but darker.
                edge = 0.45 + 0.35 * (1 - abs(self.light_x))
                dark = (
                    (max(start, middle + edge), stop)
                    if self.light_x < 0
                    else (start, min(stop, middle - edge))
                )
                # Angles grow to the figure's right, which is the viewer's left when it comes towards the viewer.
                if self._grows_left(middle):
                    dark = (
                        (start, min(stop, middle - edge))
                        if self.light_x < 0
                        else (max(start, middle + edge), stop)
                    )
                if dark[1] - dark[0] > 0.02:
                    self._patch(centre, lz, la, lb, dark[0], dark[1], _dim(colour, 1 - 0.6 * self.shadow))

    def _grows_left(self, middle: float) -> bool:
        return bool(np.cos(middle) * self.hz - np.sin(middle) * self.hx < 0)

    def _patch(
        self,
        centre: tuple[float, float],
        z: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        start: float,
        stop: float,
        colour: RGB,
    ) -> None:
        angle = np.linspace(start, stop, max(3, int((stop - start) * 4)))
        c, s = np.cos(angle), np.sin(angle)
        sides = len(z) - 2  # levels between the top and the bottom arc
        f = np.concatenate([b[0] * c, b[1:-1] * c[-1], b[-1] * c[::-1], b[-2:0:-1] * c[0]]) + centre[0]
        r = np.concatenate([a[0] * s, a[1:-1] * s[-1], a[-1] * s[::-1], a[-2:0:-1] * s[0]]) + centre[1]
        up = np.repeat(np.concatenate([z, z[-2:0:-1]]), [len(c)] + [1] * sides + [len(c)] + [1] * sides)
        self.polygon(self.at(f, r, up), colour, convex=False)


def _legs(person: Person, phase: float) -> tuple[float, list[tuple[float, list[tuple[float, float, float]]]]]:
    """→ height of the pelvis and, per leg, its side (+1 right) and the points hip, knee, ankle, toe."""
    h = person.height_m
    thigh, shank, foot = 0.245 * h, 0.235 * h, 0.045 * h
    swing = 0.40 * (person.speed_m_per_s / 1.25) ** 0.5
    angles = []
    for side in (1.0, -1.0):
        p = phase + (math.pi if side < 0 else 0.0)
        hip = swing * math.sin(p) + 0.04
        knee = 0.10 + 0.85 * max(0.0, math.cos(p + 0.4)) ** 1.5  # bent while the leg swings forward
        angles.append((side, hip, hip - knee))
    pelvis = foot + max(thigh * math.cos(a) + shank * math.cos(b) for _, a, b in angles)
    legs = []
    for side, a, b in angles:
        s = side * 0.055 * h * person.build
        knee_point = (thigh * math.sin(a), s, pelvis - thigh * math.cos(a))
        ankle = (knee_point[0] + shank * math.sin(b), s, knee_point[2] - shank * math.cos(b))
        tilt = 0.5 * min(b, 0.2)
        toe = (
            ankle[0] + 0.115 * h * math.cos(tilt),
            s * 1.25,
            ankle[2] - 0.022 * h + 0.115 * h * math.sin(tilt),
        )
        legs.append((side, [(0.0, s, pelvis), knee_point, ankle, toe]))
    return pelvis, legs


def _torso_regions(person: Person) -> list[Region]:
    o = person.outfit
    regions = [(*FULL, 0.0, 1.0, o.top)]
    if o.top_pattern == "stripes":
        regions += [(*FULL, v, v + 0.085, o.top_second) for v in (0.14, 0.31, 0.48, 0.65, 0.82)]
    elif o.top_pattern == "vertical":
        regions += [(k * 0.7 - 0.15, k * 0.7 + 0.15, 0.06, 1.0, o.top_second) for k in range(-4, 5)]
    elif o.top_pattern == "two_tone":
        regions.append((*FULL, 0.5, 1.0, o.top_second))
    elif o.top_pattern == "print":
        regions.append((-0.62, 0.62, 0.22, 0.58, o.top_second))
        regions.append((-0.25, 0.25, 0.31, 0.47, o.top))
    elif o.top_pattern == "open":
        regions.append((-0.55, 0.55, 0.02, 0.93, o.top_second))
    return regions


def draw_figure(
    person: Person,
    walked_m: float,
    heading: tuple[float, float],
    pitch_rad: float,
    scale: float,
    light_x: float = -0.7,
    shadow: float = 0.4,
) -> tuple[np.ndarray, tuple[float, float]]:
    """→ BGRA patch (premultiplied alpha) and the pixel (u, v) in it of the ground point below the body.

    heading (hx, hz), unit length, relative to the line of sight: (1, 0) walks to the viewer's right, (0, 1) away. scale: pixels per metre.
    """
    h, w, o = person.height_m, person.build, person.outfit
    canvas = Canvas(scale, heading[0], heading[1], pitch_rad, (1.7, h + 0.75), light_x, shadow)
    phase = person.phase + 2 * math.pi * walked_m / (0.80 * h)
    pelvis, legs = _legs(person, phase)
    lift = pelvis - 0.52 * h  # the body bobs with the legs
    shoulder, hip = 0.815 * h + lift, 0.50 * h + lift
    legs.sort(key=lambda leg: -canvas.depth(0.0, leg[0]))
    far_tone = 0.80

    def bag_in_hand(hand: tuple[float, float, float]) -> None:
        z = hand[2] - 0.03 * h
        canvas.capsule(hand, (hand[0], hand[1], z), 0.012, 0.012, _dim(person.bag_colour, 0.6))
        profile = np.array([[z, 0.035 * h, 0.085 * h], [z - 0.17 * h, 0.045 * h, 0.10 * h]])
        canvas.tube(
            profile,
            [(*FULL, 0, 1, person.bag_colour), (*FULL, 0.0, 0.12, _dim(person.bag_colour, 0.7))],
            (hand[0], hand[1]),
        )

    def arm(side: float, tone: float) -> None:
        p = phase + (math.pi if side < 0 else 0.0)
        carries = person.bag == "hand" and side > 0
        swing = (0.12 if carries else 0.42) * (person.speed_m_per_s / 1.25) ** 0.5
        a = -swing * math.sin(p)
        b = a + (0.08 if carries else 0.28 + 0.18 * max(0.0, math.sin(a)))
        start = (0.0, side * 0.122 * h * w, shoulder - 0.025 * h)
        elbow = (0.17 * h * math.sin(a), start[1] + side * 0.018 * h, start[2] - 0.17 * h * math.cos(a))
        hand = (
            elbow[0] + 0.155 * h * math.sin(b),
            elbow[1] - side * 0.004 * h,
            elbow[2] - 0.155 * h * math.cos(b),
        )
        sleeve = _dim(o.top, tone)
        skin = _dim(person.skin, tone)
        upper, lower = 0.031 * h * w, 0.022 * h * w
        if o.sleeves == "short":
            half = ((start[0] + elbow[0]) / 2, (start[1] + elbow[1]) / 2, (start[2] + elbow[2]) / 2)
            canvas.limb(start, elbow, lower * 1.1, lower, skin)
            canvas.limb(elbow, hand, lower, lower * 0.8, skin)
            canvas.limb(start, half, upper, upper * 1.05, sleeve)
        else:
            canvas.limb(start, elbow, upper, upper * 0.9, sleeve)
            canvas.limb(elbow, hand, upper * 0.9, lower, sleeve)
        canvas.capsule(hand, (hand[0], hand[1], hand[2] - 0.03 * h), 0.018 * h, 0.018 * h, skin)
        if carries:
            bag_in_hand((hand[0], hand[1], hand[2] - 0.03 * h))

    def rucksack() -> None:
        depth = 0.068 * h * w
        profile = (
            np.array([[0.80, 0.06, 0.03], [0.785, 0.095, 0.06], [0.60, 0.105, 0.075], [0.575, 0.085, 0.05]])
            * h
        )
        profile[:, 0] += lift
        pocket = _dim(person.bag_colour, 0.72)
        canvas.tube(
            profile,
            [(*FULL, 0, 1, person.bag_colour), (*FULL, 0.12, 0.17, pocket), (2.4, 3.9, 0.55, 0.9, pocket)],
            (-depth - 0.06 * h, 0.0),
        )

    def shoulder_bag() -> None:
        z = hip + 0.02 * h
        profile = np.array([[z, 0.028 * h, 0.075 * h], [z - 0.125 * h, 0.036 * h, 0.088 * h]])
        regions = [(*FULL, 0, 1, person.bag_colour), (*FULL, 0, 0.35, _dim(person.bag_colour, 0.75))]
        canvas.tube(profile, regions, (0.0, 0.125 * h * w))

    # Far arm, far bag and rucksack first, then legs, skirt, torso, then what is nearer than the torso.
    late: list[tuple[float, object]] = []
    early: list[tuple[float, object]] = []
    for side in (1.0, -1.0):
        depth = canvas.depth(0.0, side * 0.14 * h)
        far = depth > 0.03
        (early if far else late).append(
            (depth, lambda side=side, far=far: arm(side, far_tone if far else 1.0))
        )
    if person.bag == "rucksack":
        depth = canvas.depth(-0.15 * h, 0.0)
        (early if depth > 0 else late).append((depth + 0.01, rucksack))
    if person.bag == "shoulder":
        depth = canvas.depth(0.0, 0.15 * h)
        (early if depth > 0.05 else late).append((depth - 0.02, shoulder_bag))
    for _, draw in sorted(early, key=lambda item: -item[0]):
        draw()  # type: ignore[operator]

    bare = o.bottom_kind != "trousers"
    for index, (_, (hip_point, knee, ankle, toe)) in enumerate(legs):
        tone = far_tone if index == 0 else 1.0
        cloth, skin, shoe = _dim(o.bottom, tone), _dim(person.skin, tone), _dim(o.shoes, tone)
        canvas.capsule((ankle[0] - 0.015 * h, ankle[1], ankle[2] - 0.02 * h), toe, 0.024 * h, 0.017 * h, shoe)
        if bare:
            canvas.limb(knee, ankle, 0.032 * h * w, 0.021 * h * w, skin)
            canvas.limb(
                hip_point, knee, 0.05 * h * w, 0.038 * h * w, cloth if o.bottom_kind == "shorts" else skin
            )
        else:
            canvas.limb(knee, ankle, 0.040 * h * w, 0.029 * h * w, cloth)
            canvas.limb(hip_point, knee, 0.055 * h * w, 0.042 * h * w, cloth)
    if o.bottom_kind == "skirt":
        reach = max(abs(leg[1][1][0]) for leg in legs)
        profile = np.array(
            [
                [hip + 0.04 * h, 0.085 * h * w, 0.062 * h * w],
                [0.31 * h + lift, 0.115 * h * w, 0.07 * h + 0.75 * reach],
            ]
        )
        canvas.tube(profile, [(*FULL, 0, 1, o.bottom)])
    hem = o.top_length * h + lift
    rows = [
        [shoulder + 0.012 * h, 0.075, 0.045],
        [shoulder - 0.012 * h, 0.118, 0.062],
        [0.72 * h + lift, 0.118, 0.072],
    ]
    rows += [[0.61 * h + lift, 0.098, 0.066], [0.52 * h + lift, 0.103, 0.07]]
    if o.top_length < 0.45:
        rows.append([hem, 0.125, 0.10])
    else:
        rows.append([hem, 0.106, 0.072])
    profile = np.array(rows)
    profile[:, 1:] *= h * w
    canvas.limb((0.0, 0.0, shoulder), (0.012 * h, 0.0, 0.87 * h + lift), 0.031 * h, 0.028 * h, person.skin)
    regions = _torso_regions(person)
    length = 0.827 * h + lift - hem
    if person.bag == "rucksack":
        strap = _dim(person.bag_colour, 0.8)
        regions += [
            (-0.85, -0.55, 0.0, 0.16 * h / length, strap),
            (0.55, 0.85, 0.0, 0.16 * h / length, strap),
        ]
    if person.bag == "shoulder":  # a strap from the left shoulder to the right hip, in front and behind
        strap = _dim(person.bag_colour, 0.7)
        steps, drop = 6, 0.31 * h / length
        for k in range(steps):
            v0, v1 = k * drop / steps, (k + 1) * drop / steps
            for sign in (1.0, -1.0):
                angle = -0.9 + 2.0 * k / (steps - 1)
                angle = angle if sign > 0 else np.pi - angle
                regions.append((angle - 0.16, angle + 0.16, v0, v1, strap))
    canvas.tube(profile, regions)
    _head(canvas, person, lift)
    for _, draw in sorted(late, key=lambda item: -item[0]):
        draw()  # type: ignore[operator]
    return canvas.image, canvas.anchor


def _head(canvas: Canvas, person: Person, lift: float) -> None:
    h = person.height_m
    centre, half = 0.925 * h + lift, 0.075 * h
    forward = 0.018 * h
    t = np.linspace(0.12, np.pi - 0.25, 7)
    z = centre + half * np.cos(t)
    sphere = np.stack([z, 0.056 * h * np.sin(t) ** 0.8, 0.066 * h * np.sin(t) ** 0.8], axis=1)
    hair = person.hair
    hides = person.hat != "none"
    fall = None
    if person.hair_style == "long":
        fall = np.array(
            [
                [centre + 0.04 * h, 0.058, 0.04],
                [centre - 0.04 * h, 0.066, 0.045],
                [0.80 * h + lift, 0.072, 0.04],
            ]
        )
        fall[:, 1:] *= h
    back_first = canvas.hz < 0  # comes towards the viewer: what hangs behind the head is drawn before it
    hang = (-0.022 * h, 0.0)
    if fall is not None and back_first:
        canvas.tube(fall, [(*FULL, 0, 1, hair)], hang)
    regions = [(*FULL, 0.0, 1.0, person.skin)]
    if person.hair_style != "bald":
        regions += [(*FULL, 0.0, 0.26, hair), (1.15, 2 * np.pi - 1.15, 0.0, 0.72, hair)]
    if canvas.scale > 45:
        eye = (40, 34, 32)
        regions += [(-0.48, -0.28, 0.46, 0.54, eye), (0.28, 0.48, 0.46, 0.54, eye)]
    grown = sphere.copy()
    if person.hair_style != "bald" and not hides:
        grown[:3, 1:] *= 1.08
    canvas.tube(grown, regions, (forward, 0.0))
    if fall is not None and not back_first:
        canvas.tube(fall, [(*FULL, 0, 1, hair)], hang)
    if person.hair_style == "bun" and not hides:
        p = (forward - 0.062 * h, 0.0, centre + 0.035 * h)
        if canvas.hz > -0.3:
            canvas.capsule(p, (p[0], p[1], p[2] + 0.002), 0.032 * h, 0.032 * h, hair)
    if person.hat == "none":
        return
    colour = person.hat_colour
    crown = sphere[:5].copy()
    crown[:, 1:] *= 1.16
    crown[:, 0] += 0.012 * h
    if person.hat == "cap":
        canvas.tube(crown[:4], [(*FULL, 0, 1, colour)], (forward, 0.0))
        peak = [(forward + 0.055 * h, s * 0.035 * h, crown[3, 0]) for s in (-1.0, 1.0)]
        peak += [(forward + 0.125 * h, s * 0.03 * h, crown[3, 0] - 0.006 * h) for s in (1.0, -1.0)]
        if canvas.hz < 0.5:
            for a, b in ((peak[0], peak[3]), (peak[1], peak[2]), (peak[3], peak[2])):
                canvas.capsule(a, b, 0.012 * h, 0.012 * h, _dim(colour, 0.75))
    elif person.hat == "beanie":
        canvas.tube(crown, [(*FULL, 0, 1, colour), (*FULL, 0.72, 1.0, _dim(colour, 0.75))], (forward, 0.0))
    else:
        brim = crown[4, 0] + 0.012 * h
        ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        canvas.tube(crown, [(*FULL, 0, 1, colour), (*FULL, 0.7, 1.0, _dim(colour, 0.6))], (forward, 0.0))
        pts = canvas.at(forward + 0.125 * h * np.cos(ring), 0.125 * h * np.sin(ring), brim)
        pts = pts.real + 1j * (pts.imag + 0.008 * h * canvas.scale * np.sin(np.angle(pts - pts.mean())))
        canvas.polygon(pts, _dim(colour, 0.9), convex=False)
        top = crown[:4].copy()
        canvas.tube(top, [(*FULL, 0, 1, colour)], (forward, 0.0))
