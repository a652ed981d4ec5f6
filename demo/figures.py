"""Articulated figures with COCO's 17 joints: how they move, and the shapes they are drawn with.

A figure's own axes are forward, left, up; the world's are x to the right, y away from the camera, z up; in metres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from demo.drawing import Camera, Shape, discs, hull
from demo.palette import Rgb, marker_colour, suit_colour

Point = npt.NDArray[np.float64]  # (3,) or (n, 3)

JOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
          "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
          "left_ankle", "right_ankle")  # fmt: skip

# Lengths in body heights. The limbs are near Winter's (Biomechanics and Motor Control of Human Movement, fig. 4.1);
# the head is a cartoon's, a third larger than life, so that its five markers stay apart.
THIGH, SHIN, ANKLE_HEIGHT, FOOT = 0.245, 0.245, 0.045, 0.105
UPPER_ARM, FOREARM, HAND = 0.17, 0.15, 0.05
HIP_HALF_WIDTH, SHOULDER_HALF_WIDTH, TRUNK = 0.062, 0.115, 0.30
HEAD_RADIUS, HEAD_ABOVE_SHOULDERS = 0.082, 0.125
MARKER_RADIUS = 0.0165
RIM = 1.22  # the dark rim's radius, in marker radii
RIM_COLOUR: Rgb = (30, 30, 34)
TROUSERS_SATURATION = 0.15
# How far the skin lies in front of the joint, so that a limb does not hide its own marker.
_SURFACE = {"shoulder": 0.08, "hip": 0.08, "elbow": 0.034, "wrist": 0.034, "knee": 0.042, "ankle": 0.065}


class Gesture(StrEnum):
    """What somebody does beside walking; BENDS and SQUATS are for those who stand."""

    NONE = "none"
    WAVES = "waves"  # with the right arm
    ARMS_UP = "arms up"
    ARMS_OUT = "arms out"
    BENDS = "bends"
    SQUATS = "squats"


@dataclass(frozen=True)
class Figure:
    """Somebody who walks (or runs, or stands) in a straight line.

    start: x, y in metres at time 0. heading: radians, 0 to the right, pi/2 away. speed: metres a second.
    cadence: strides (two steps) a second. stance: share of a stride that a foot is on the ground.
    """

    suit: int
    height: float
    start: tuple[float, float]
    heading: float
    speed: float
    cadence: float = 0.95
    stance: float = 0.6
    phase: float = 0.0
    gesture: Gesture = Gesture.NONE
    skin: Rgb = (222, 184, 160)

    def position(self, seconds: float) -> tuple[float, float]:
        """Where the figure stands on the ground."""
        way = self.speed * seconds
        return self.start[0] + way * math.cos(self.heading), self.start[1] + way * math.sin(self.heading)


def pose(figure: Figure, seconds: float) -> Mapping[str, Point]:
    """The joints and, beside them, toes, hands, neck, head and cap, in the world's axes."""
    cycle = figure.phase + figure.cadence * seconds
    points: dict[str, Point] = {}
    stride = figure.speed * figure.stance / figure.cadence  # what a foot on the ground travels under the body
    bow, drop = _posture(figure.gesture, seconds)
    lean = 0.045 * figure.speed + bow
    bob = 0.010 * math.cos(4 * math.pi * cycle) if figure.speed else 0.0
    pelvis_up = (
        math.sqrt((THIGH + SHIN) ** 2 - (0.36 * stride / figure.height) ** 2) + ANKLE_HEIGHT - 0.012 + bob - drop
    )
    for side, sign, offset in (("left", 1, 0.0), ("right", -1, 0.5)):
        hip = np.array([-0.55 * drop - 0.09 * bow, sign * HIP_HALF_WIDTH, pelvis_up])  # so that nobody falls over
        points |= _leg(side, hip, (cycle + offset) % 1, stride / figure.height, figure.stance)
        twist = 0.10 * math.sin(2 * math.pi * (cycle + offset)) * min(figure.speed, 1)
        shoulder = hip + np.array([math.sin(lean) * TRUNK - twist * SHOULDER_HALF_WIDTH,
                          sign * (SHOULDER_HALF_WIDTH - HIP_HALF_WIDTH), math.cos(lean) * TRUNK])  # fmt: skip
        points |= _arm(side, shoulder, sign, cycle + offset, figure, seconds)
    neck = (points["left_shoulder"] + points["right_shoulder"]) / 2
    points |= _head(neck, nod=0.06 * math.sin(4 * math.pi * cycle), bow=0.7 * bow)
    world = _to_world(np.array(list(points.values())), figure, seconds)
    return dict(zip(points, world, strict=True))


def joint_positions(points: Mapping[str, Point]) -> npt.NDArray[np.float64]:
    """The 17 joints in COCO's order, (17, 3)."""
    return np.array([points[name] for name in JOINTS])


def draw_figure(figure: Figure, points: Mapping[str, Point], camera: Camera, owner: int) -> list[Shape]:
    """The figure as shapes, far ones first. Body shapes belong to `owner`, the marker of joint j to `owner` + 1 + j."""
    xy, scale = camera.project(np.array(list(points.values())))
    places = {
        name: (xy[i], scale[i] * figure.height, float(point[1])) for i, (name, point) in enumerate(points.items())
    }
    pen = _Pen(figure, places, owner)
    shapes = [*pen.trunk(), *pen.head(), *pen.markers()]
    for side in ("left", "right"):
        shapes += pen.leg(side) + pen.arm(side)
    return sorted(shapes, key=lambda shape: -shape.depth)


def _posture(gesture: Gesture, seconds: float) -> tuple[float, float]:
    """How far the trunk is bowed, radians, and how far the pelvis is lowered, body heights."""
    down = 0.5 - 0.5 * math.cos(2 * math.pi * 0.3 * seconds)
    if gesture is Gesture.BENDS:
        return 0.35 + 0.75 * down, 0.02 * down
    if gesture is Gesture.SQUATS:
        return 0.5 * down, 0.2 * down
    return 0.0, 0.0


def _leg(side: str, hip: Point, cycle: float, stride: float, stance: float) -> dict[str, Point]:
    """A foot that stands still on the ground, then swings; the knee follows by two-bone inverse kinematics."""
    if cycle < stance:
        forward, swung = stride * (0.5 - cycle / stance), 0.0
        rise = 0.045 * _smooth((cycle / stance - 0.7) / 0.3)
    else:
        swung = (cycle - stance) / (1 - stance)
        forward = stride * (_smooth(swung) - 0.5)
        rise = 0.045 * (1 - swung) ** 2 + 0.075 * math.sin(math.pi * swung)
    lift = rise if stride else 0.0
    ankle = np.array([forward, hip[1], ANKLE_HEIGHT + lift])
    knee, ankle = _two_bones(hip, ankle, THIGH, SHIN)
    pitch = math.asin(min(0.95, lift / FOOT)) * (1 - swung) - (0.25 * swung if stride else 0.0)
    toe = ankle + np.array([FOOT * math.cos(pitch), 0.0, -0.7 * ANKLE_HEIGHT - FOOT * math.sin(pitch)])
    return {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle, f"{side}_toe": toe}


def _two_bones(root: Point, end: Point, first: float, second: float) -> tuple[Point, Point]:
    """The middle joint, bent forward, and the end, drawn in where it is out of reach."""
    reach = min(float(np.linalg.norm(end - root)), 0.999 * (first + second))
    along = (end - root) / np.linalg.norm(end - root)
    bend = math.acos((first**2 + reach**2 - second**2) / (2 * first * reach))
    forward = np.array([-along[2], 0.0, along[0]])  # perpendicular to the leg in the plane of walking
    return root + first * (math.cos(bend) * along + math.sin(bend) * forward), root + reach * along


def _arm(side: str, shoulder: Point, sign: int, cycle: float, figure: Figure, seconds: float) -> dict[str, Point]:
    """An arm swings against the leg of its side, or makes a gesture."""
    upper, fore = _gesture_arm(side, sign, figure.gesture, seconds) or _swinging_arm(sign, cycle, figure.speed)
    upper, fore = upper / np.linalg.norm(upper), fore / np.linalg.norm(fore)
    elbow = shoulder + UPPER_ARM * upper
    wrist = elbow + FOREARM * fore
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist,
            f"{side}_hand": wrist + HAND * fore}  # fmt: skip


def _gesture_arm(side: str, sign: int, gesture: Gesture, seconds: float) -> tuple[Point, Point] | None:
    """Directions of upper arm and forearm; None for an arm that hangs."""
    sway = math.sin(2 * math.pi * 1.4 * seconds)
    slow = math.sin(2 * math.pi * 0.4 * seconds)
    if gesture is Gesture.WAVES and side == "right":
        return np.array([0.25, sign * 0.85, 0.35]), np.array([0.2, sign * (0.15 + 0.45 * sway), 0.95])
    if gesture is Gesture.ARMS_UP:
        return np.array([0.2, sign * 0.5, 0.8 + 0.2 * slow]), np.array([0.1, sign * (0.1 + 0.2 * slow), 1.0])
    if gesture is Gesture.ARMS_OUT:
        return np.array([0.1, sign * 1.0, 0.25 * slow]), np.array([0.15, sign * 1.0, 0.5 * slow])
    if gesture is Gesture.SQUATS:
        return np.array([1.0, sign * 0.15, -0.3]), np.array([1.0, -sign * 0.1, 0.1])
    return None


def _swinging_arm(sign: int, cycle: float, speed: float) -> tuple[Point, Point]:
    swing = -0.45 * min(speed, 1.6) * math.cos(2 * math.pi * cycle)
    bend = 0.25 + 0.35 * max(0.0, speed - 1) + 0.3 * max(0.0, swing)
    upper = np.array([math.sin(swing), sign * 0.16, -math.cos(swing)])
    return upper, np.array([math.sin(swing + bend), sign * 0.02, -math.cos(swing + bend)])


def _head(neck: Point, nod: float, bow: float) -> dict[str, Point]:
    rise = HEAD_ABOVE_SHOULDERS
    centre = neck + np.array([0.012 + rise * math.sin(bow), 0.0, rise * math.cos(bow)])
    nod += bow
    tilt = np.array([[math.cos(nod), 0, math.sin(nod)], [0, 1, 0], [-math.sin(nod), 0, math.cos(nod)]])
    # The cap's crown, and the four corners of a brim that points where the figure looks.
    cap = {"crown": (-0.06, 0.0, 0.42), "brim1": (0.5, -0.6, 0.62), "brim2": (0.5, 0.6, 0.62),
           "brim3": (1.3, -0.35, 0.62), "brim4": (1.3, 0.35, 0.62)}  # fmt: skip
    face = {"nose": (1.04, 0.0, -0.22), "left_eye": (0.87, 0.40, 0.18), "right_eye": (0.87, -0.40, 0.18),
            "left_ear": (-0.05, 0.98, 0.0), "right_ear": (-0.05, -0.98, 0.0)}  # fmt: skip
    return {"neck": neck, "head": centre} | {
        name: centre + HEAD_RADIUS * (tilt @ np.array(place)) for name, place in (face | cap).items()
    }


def _to_world(points: Point, figure: Figure, seconds: float) -> Point:
    x, y = figure.position(seconds)
    cos, sin = math.cos(figure.heading), math.sin(figure.heading)
    forward, left, up = (points * figure.height).T
    return np.stack([x + forward * cos - left * sin, y + forward * sin + left * cos, up], axis=1)


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


@dataclass(frozen=True)
class _Pen:
    """Draws one figure. places: a point's name -> where in the image, pixels a body height, metres away."""

    figure: Figure
    places: Mapping[str, tuple[npt.NDArray[np.float64], float, float]]
    owner: int

    def _part(self, radii: dict[str, float], colour: Rgb, nearer: float = 0.0) -> Shape:
        """The hull of balls at named points; radii, and how much nearer than its middle it counts, in body heights."""
        places = [self.places[name] for name in radii]
        sizes = np.array([radius * scale for radius, (_, scale, _) in zip(radii.values(), places, strict=True)])
        depth = sum(metres for _, _, metres in places) / len(places) - nearer * self.figure.height
        return Shape(depth, hull(np.array([xy for xy, _, _ in places]), sizes), colour, self.owner)

    def _shade(self, side: str) -> float:
        """Limbs on the far side are darker."""
        other = "right" if side == "left" else "left"
        behind = self.places[f"{side}_hip"][2] - self.places[f"{other}_hip"][2]
        return 0.86 if behind > 0.06 * self.figure.height else 1.0

    def leg(self, side: str) -> list[Shape]:
        hip, knee, ankle, toe = (f"{side}_{name}" for name in ("hip", "knee", "ankle", "toe"))
        shade = self._shade(side)
        trousers = suit_colour(self.figure.suit, 0.34 * shade, TROUSERS_SATURATION)
        return [
            self._part({ankle: 0.026, toe: 0.018}, suit_colour(self.figure.suit, 0.46 * shade)),
            self._part({knee: 0.036, ankle: 0.023}, trousers, nearer=0.002),
            self._part({hip: 0.052, knee: 0.037}, trousers, nearer=0.004),
        ]

    def arm(self, side: str) -> list[Shape]:
        shoulder, elbow, wrist, hand = (f"{side}_{name}" for name in ("shoulder", "elbow", "wrist", "hand"))
        shade = self._shade(side)
        sleeve = suit_colour(self.figure.suit, 0.60 * shade)
        return [
            self._part({hand: 0.021, wrist: 0.016}, _darker(self.figure.skin, shade)),
            self._part({elbow: 0.027, wrist: 0.022}, sleeve, nearer=0.004),
            self._part({shoulder: 0.036, elbow: 0.028}, sleeve, nearer=0.002),
        ]

    def trunk(self) -> list[Shape]:
        corners = {"left_shoulder": 0.042, "right_shoulder": 0.042, "left_hip": 0.05, "right_hip": 0.05}
        return [
            self._part({"neck": 0.034, "head": 0.03}, _darker(self.figure.skin, 0.9)),
            self._part(corners, suit_colour(self.figure.suit, 0.55), nearer=0.03),
        ]

    def head(self) -> list[Shape]:
        cap = suit_colour(self.figure.suit, 0.50)
        brim = {f"brim{corner}": 0.10 * HEAD_RADIUS for corner in (1, 2, 3, 4)}
        return [
            self._part({"head": HEAD_RADIUS}, self.figure.skin),
            self._part({"crown": 0.80 * HEAD_RADIUS}, cap, nearer=0.006),
            self._part(brim, _darker(cap, 0.9), nearer=0.010),
        ]

    def markers(self) -> list[Shape]:
        """Two discs a joint: a dark rim and the colour."""
        places = [self.places[name] for name in JOINTS]
        centres = np.array([xy for xy, _, _ in places])
        radii = MARKER_RADIUS * np.array([scale for _, scale, _ in places])
        rims, colours = discs(centres, RIM * radii), discs(centres, radii)
        shapes = []
        for joint, name in enumerate(JOINTS):
            surface = _SURFACE.get(name.partition("_")[2], 0.0) + 0.003
            depth = places[joint][2] - surface * self.figure.height
            shapes.append(Shape(depth, rims[joint], RIM_COLOUR, self.owner))
            shapes.append(Shape(depth, colours[joint], marker_colour(joint), self.owner + 1 + joint))
        return shapes


def _darker(colour: Rgb, factor: float) -> Rgb:
    red, green, blue = (round(factor * channel) for channel in colour)
    return red, green, blue
