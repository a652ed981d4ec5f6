"""Articulated figures with COCO's 17 joints: how they move, and the shapes they are drawn with.

A figure's own axes are forward, left, up; the world's are x to the right, y away from the camera, z up; in metres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.drawing import Camera, Shape, disc, hull
from demo.palette import JOINT_COUNT, Rgb, marker_colour, suit_colour

Point = npt.NDArray[np.float64]  # (3,)

JOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
          "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
          "left_ankle", "right_ankle")  # fmt: skip

# Lengths in body heights. The limbs are near Winter's (Biomechanics and Motor Control of Human Movement, fig. 4.1);
# the head is a cartoon's, a third larger than life, so that its five markers stay apart.
THIGH, SHIN, ANKLE_HEIGHT, FOOT = 0.245, 0.245, 0.045, 0.105
UPPER_ARM, FOREARM, HAND = 0.17, 0.15, 0.05
HIP_HALF_WIDTH, SHOULDER_HALF_WIDTH, TRUNK = 0.062, 0.115, 0.30
HEAD_RADIUS, HEAD_ABOVE_SHOULDERS = 0.082, 0.125
MARKER_RADIUS = 0.0145
# How far the skin lies in front of the joint, so that a limb does not hide its own marker.
_SURFACE = {"shoulder": 0.08, "hip": 0.08, "elbow": 0.034, "wrist": 0.034, "knee": 0.042, "ankle": 0.065}


@dataclass(frozen=True)
class Figure:
    """Somebody who walks (or runs, or waves) in a straight line.

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
    waves: bool = False
    skin: Rgb = (222, 184, 160)
    trousers: Rgb = (74, 76, 84)

    def position(self, seconds: float) -> tuple[float, float]:
        """Where the figure stands on the ground."""
        way = self.speed * seconds
        return self.start[0] + way * math.cos(self.heading), self.start[1] + way * math.sin(self.heading)


def pose(figure: Figure, seconds: float) -> Mapping[str, Point]:
    """The joints and, beside them, toes, hands, neck and head, in the world's axes."""
    cycle = figure.phase + figure.cadence * seconds
    points: dict[str, Point] = {}
    stride = figure.speed * figure.stance / figure.cadence  # what a foot on the ground travels under the body
    lean = 0.045 * figure.speed
    bob = 0.010 * math.cos(4 * math.pi * cycle) if figure.speed else 0.0
    pelvis_up = math.sqrt((THIGH + SHIN) ** 2 - (0.36 * stride / figure.height) ** 2) + ANKLE_HEIGHT - 0.012 + bob
    for side, sign, offset in (("left", 1, 0.0), ("right", -1, 0.5)):
        hip = np.array([0.0, sign * HIP_HALF_WIDTH, pelvis_up])
        points |= _leg(side, hip, (cycle + offset) % 1, stride / figure.height, figure.stance)
        twist = 0.10 * math.sin(2 * math.pi * (cycle + offset)) * min(figure.speed, 1)
        shoulder = hip + [math.sin(lean) * TRUNK - twist * SHOULDER_HALF_WIDTH,
                          sign * (SHOULDER_HALF_WIDTH - HIP_HALF_WIDTH), math.cos(lean) * TRUNK]  # fmt: skip
        points |= _arm(side, shoulder, sign, cycle + offset, figure, seconds)
    neck = (points["left_shoulder"] + points["right_shoulder"]) / 2
    points |= _head(neck, nod=0.06 * math.sin(4 * math.pi * cycle))
    return {name: _to_world(point, figure, seconds) for name, point in points.items()}


def joint_positions(points: Mapping[str, Point]) -> npt.NDArray[np.float64]:
    """The 17 joints in COCO's order, (17, 3)."""
    return np.array([points[name] for name in JOINTS])


def draw_figure(figure: Figure, points: Mapping[str, Point], camera: Camera, owner: int) -> list[Shape]:
    """The figure as shapes, far ones first. Body shapes belong to `owner`, the marker of joint j to `owner` + 1 + j."""
    pen = _Pen(figure, camera, owner)
    shapes = [*pen.trunk(points), *pen.head(points)]
    for side in ("left", "right"):
        shapes += pen.leg(side, points) + pen.arm(side, points)
    shapes += pen.markers(points)
    return sorted(shapes, key=lambda shape: -shape.depth)


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
    toe = ankle + [FOOT * math.cos(pitch), 0.0, -0.7 * ANKLE_HEIGHT - FOOT * math.sin(pitch)]
    return {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle, f"{side}_toe": toe}


def _two_bones(root: Point, end: Point, first: float, second: float) -> tuple[Point, Point]:
    """The middle joint, bent forward, and the end, drawn in where it is out of reach."""
    reach = min(float(np.linalg.norm(end - root)), 0.999 * (first + second))
    along = (end - root) / np.linalg.norm(end - root)
    bend = math.acos((first**2 + reach**2 - second**2) / (2 * first * reach))
    forward = np.array([-along[2], 0.0, along[0]])  # perpendicular to the leg in the plane of walking
    return root + first * (math.cos(bend) * along + math.sin(bend) * forward), root + reach * along


def _arm(side: str, shoulder: Point, sign: int, cycle: float, figure: Figure, seconds: float) -> dict[str, Point]:
    """An arm swings against the leg of its side."""
    if figure.waves and side == "right":
        sway = 0.45 * math.sin(2 * math.pi * 1.4 * seconds)
        upper = np.array([0.25, sign * 0.85, 0.35])
        fore = np.array([0.2, sign * (0.15 + sway), 0.95])
    else:
        swing = -0.45 * min(figure.speed, 1.6) * math.cos(2 * math.pi * cycle)
        bend = 0.25 + 0.35 * max(0.0, figure.speed - 1) + 0.3 * max(0.0, swing)
        upper = np.array([math.sin(swing), sign * 0.16, -math.cos(swing)])
        fore = np.array([math.sin(swing + bend), sign * 0.02, -math.cos(swing + bend)])
    upper, fore = upper / np.linalg.norm(upper), fore / np.linalg.norm(fore)
    elbow = shoulder + UPPER_ARM * upper
    wrist = elbow + FOREARM * fore
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist,
            f"{side}_hand": wrist + HAND * fore}  # fmt: skip


def _head(neck: Point, nod: float) -> dict[str, Point]:
    centre = neck + [0.012, 0.0, HEAD_ABOVE_SHOULDERS]
    tilt = np.array([[math.cos(nod), 0, math.sin(nod)], [0, 1, 0], [-math.sin(nod), 0, math.cos(nod)]])
    places = {"nose": (1.04, 0.0, -0.22), "left_eye": (0.87, 0.40, 0.18), "right_eye": (0.87, -0.40, 0.18),
              "left_ear": (-0.05, 0.98, 0.0), "right_ear": (-0.05, -0.98, 0.0)}  # fmt: skip
    return {"neck": neck, "head": centre} | {
        name: centre + HEAD_RADIUS * (tilt @ np.array(place)) for name, place in places.items()
    }


def _to_world(point: Point, figure: Figure, seconds: float) -> Point:
    x, y = figure.position(seconds)
    cos, sin = math.cos(figure.heading), math.sin(figure.heading)
    forward, left, up = point * figure.height
    return np.array([x + forward * cos - left * sin, y + forward * sin + left * cos, up])


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


@dataclass(frozen=True)
class _Pen:
    """Turns world points into shapes of one figure."""

    figure: Figure
    camera: Camera
    owner: int

    def _limb(self, points: Mapping[str, Point], ends: dict[str, float], colour: Rgb, nearer: float = 0.0) -> Shape:
        """The hull of spheres at named points; ends: point -> radius in body heights."""
        balls = [(points[name], radius * self.figure.height) for name, radius in ends.items()]
        depth = float(np.mean([ball[0][1] for ball in balls])) - nearer * self.figure.height
        return Shape(depth, hull(self.camera, balls), colour, self.owner)

    def _shade(self, side: str, points: Mapping[str, Point]) -> float:
        """Limbs on the far side are darker."""
        other = "right" if side == "left" else "left"
        behind = points[f"{side}_hip"][1] - points[f"{other}_hip"][1]
        return float(np.clip(1 - 1.1 * behind / self.figure.height, 0.86, 1.0))

    def leg(self, side: str, points: Mapping[str, Point]) -> list[Shape]:
        shade = self._shade(side, points)
        trousers = _darker(self.figure.trousers, shade)
        shoe = suit_colour(self.figure.suit, 0.46 * shade)
        return [
            self._limb(points, {f"{side}_ankle": 0.026, f"{side}_toe": 0.018}, shoe),
            self._limb(points, {f"{side}_knee": 0.036, f"{side}_ankle": 0.023}, trousers, nearer=0.002),
            self._limb(points, {f"{side}_hip": 0.052, f"{side}_knee": 0.037}, trousers, nearer=0.004),
        ]

    def arm(self, side: str, points: Mapping[str, Point]) -> list[Shape]:
        shade = self._shade(side, points)
        sleeve = suit_colour(self.figure.suit, 0.60 * shade)
        skin = _darker(self.figure.skin, shade)
        return [
            self._limb(points, {f"{side}_hand": 0.021, f"{side}_wrist": 0.016}, skin),
            self._limb(points, {f"{side}_elbow": 0.027, f"{side}_wrist": 0.022}, sleeve, nearer=0.004),
            self._limb(points, {f"{side}_shoulder": 0.036, f"{side}_elbow": 0.028}, sleeve, nearer=0.002),
        ]

    def trunk(self, points: Mapping[str, Point]) -> list[Shape]:
        jacket = suit_colour(self.figure.suit, 0.55)
        corners = {"left_shoulder": 0.042, "right_shoulder": 0.042, "left_hip": 0.05, "right_hip": 0.05}
        return [
            self._limb(points, {"neck": 0.034, "head": 0.03}, _darker(self.figure.skin, 0.9)),
            self._limb(points, corners, jacket, nearer=0.075),
        ]

    def head(self, points: Mapping[str, Point]) -> list[Shape]:
        """A face, and a cap of the suit's colour whose brim points where the figure looks."""
        centre, radius = points["head"], HEAD_RADIUS * self.figure.height
        face = hull(self.camera, [(centre, radius)])
        forward = np.array([math.cos(self.figure.heading), math.sin(self.figure.heading), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        crown = [(centre + radius * (0.42 * up - 0.06 * forward), 0.80 * radius)]
        side = np.cross(forward, up)
        brim = [(centre + radius * (0.62 * up + along * forward + across * side), 0.10 * radius)
                for along, across in ((0.5, -0.6), (0.5, 0.6), (1.3, -0.35), (1.3, 0.35))]  # fmt: skip
        cap = suit_colour(self.figure.suit, 0.50)
        depth = float(centre[1])
        brim_depth = depth + 0.9 * radius * forward[1] - (0.02 if forward[1] < 0.3 else 0.0)
        return [
            Shape(depth, face, self.figure.skin, self.owner),
            Shape(depth - 0.01, hull(self.camera, crown), cap, self.owner),
            Shape(brim_depth, hull(self.camera, brim), _darker(cap, 0.9), self.owner),
        ]

    def markers(self, points: Mapping[str, Point]) -> list[Shape]:
        """Two discs a joint, a dark rim and the colour; they lie on the limb's surface, so nearer than its middle."""
        shapes = []
        for joint in range(JOINT_COUNT):
            name = JOINTS[joint]
            surface = _SURFACE.get(name.partition("_")[2], 0.0)
            depth = float(points[name][1]) - (surface + 0.003) * self.figure.height
            radius = MARKER_RADIUS * self.figure.height
            for scale, paint in ((1.25, (30, 30, 34)), (1.0, marker_colour(joint))):
                outline = disc(self.camera, points[name], scale * radius)
                shapes.append(Shape(depth, outline, paint, self.owner + 1 + joint))
        return shapes


def _darker(colour: Rgb, factor: float) -> Rgb:
    red, green, blue = (round(factor * channel) for channel in colour)
    return red, green, blue


