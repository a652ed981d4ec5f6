"""Skeleton <-> CVAT's label of type skeleton: JSON with sublabels, and an SVG that draws and joins them.

CVAT accepts almost any SVG, fails at export with a wrong one, and cannot edit a skeleton afterwards. So what a project
already has is checked before anything is pushed to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from cvat_export.errors import CvatExportError
from cvat_export.skeleton import Skeleton, canonical_name
from cvat_export.skeleton_layout import lay_out
from cvat_export.skeleton_shapes import skeleton_category

SUSPECT_ATTRIBUTE = "suspect"
MAX_NAME_LENGTH = 64  # of labels and sublabels, in CVAT's API

_MARKING_GUIDE = (
    "## Visible, occluded, outside",
    "- Visible: you see the place of the joint, also through clothes.\n"
    "- Occluded (key `Q`): something is in front of it, but you know about where it is. Place it there.\n"
    "- Outside (key `O`): it is beyond the image's border, or you could only guess. It is not used.",
)


def label_specification(name: str, skeleton: Skeleton, suspects: bool = False) -> dict[str, Any]:
    """One of the `labels` that POST /api/projects takes: sublabels and circles in the order of the joints.

    suspects: with a checkbox by which proposals that look wrong are found. Raises CvatExportError where CVAT would
    refuse a name.
    """
    for given in (name, *skeleton.joints):
        if not 0 < len(given) <= MAX_NAME_LENGTH:
            raise CvatExportError(
                f"label {name!r}: the name {given!r} has {len(given)} characters, CVAT takes 1 to {MAX_NAME_LENGTH}; "
                "choose a shorter one"
            )
    return {
        "name": name,
        "type": "skeleton",
        "attributes": [_suspect_attribute()] if suspects else [],
        "sublabels": [
            {"name": joint, "type": "points", "color": colour, "attributes": []}
            for joint, colour in zip(skeleton.joints, skeleton.joint_colours, strict=True)
        ],
        "svg": "".join(_svg_elements(skeleton)),
    }


def label_problems(wanted: Skeleton, category: str, labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """What keeps a push of `category` from fitting a project's labels, as GET /api/labels has them, each with its fix.

    Empty when all is fine; see `edge_notes` for the only difference that loses nothing.
    """
    named = [label for label in labels if label["name"] == category and not label.get("has_parent")]
    if not named:
        return [_no_label(category, [str(label["name"]) for label in labels])]
    label, where = named[0], f"label {category!r}"
    if label.get("type") != "skeleton":
        return [
            f"{where}: is of type {label.get('type')!r}, expected 'skeleton'; rename it in CVAT or push under another "
            "category"
        ]
    problems = [f"{where}: {problem}" for problem in _joint_problems(wanted, label)]
    try:
        drawing = _read_drawing(label)
    except CvatExportError as error:
        return [*problems, str(error)]
    found = [wanted.find(name) for name in drawing.joints]
    if len(found) == len(wanted.joints) and set(found) == set(range(len(wanted.joints))):
        problems += [f"{where}: {problem}" for problem in _order_problems(wanted, drawing)]
    return problems


def edge_notes(wanted: Skeleton, category: str, labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which other lines than the skeleton's edges annotators see. For labels without `label_problems`."""
    label = next(label for label in labels if label["name"] == category and not label.get("has_parent"))
    drawn = _read_drawing(label).edges
    ours = {frozenset(edge) for edge in wanted.edges}
    theirs = {frozenset(joint for name in edge if (joint := wanted.find(name)) is not None) for edge in drawn}
    notes = []
    for edges, verb in ((ours - theirs, "lacks"), (theirs - ours, "also has")):
        if edges:
            listed = ", ".join(
                "–".join(wanted.joints[joint] for joint in sorted(edge)) for edge in sorted(map(sorted, edges))
            )
            notes.append(f"label {category!r}: it {verb} the edges {listed}; annotators see other lines")
    return notes


def label_skeleton(label: Mapping[str, Any]) -> Skeleton:
    """The skeleton that a label draws. Where its SVG is broken: joints in the sublabels' order, and the usual edges."""
    where = f"label {label['name']!r}"
    try:
        drawing = _read_drawing(label)
    except CvatExportError:
        drawing = _Drawing(tuple(str(sublabel["name"]) for sublabel in label["sublabels"]), frozenset())
    places = {name: place for place, name in enumerate(drawing.joints, start=1)}
    edges = sorted(tuple(sorted(places[name] for name in edge)) for edge in drawing.edges if len(edge) == 2)
    category = skeleton_category(str(label["name"]), drawing.joints, [(a, b) for a, b in edges], where)
    assert category.skeleton is not None
    return category.skeleton


def joint_ids(label: Mapping[str, Any], skeleton: Skeleton) -> dict[int, int]:
    """For each sublabel's id the index of its joint. Raises CvatExportError where a sublabel is no joint."""
    ids: dict[int, int] = {}
    for sublabel in label.get("sublabels") or ():
        joint = skeleton.find(str(sublabel["name"]))
        if joint is None or joint in ids.values():
            raise CvatExportError(
                f"label {label['name']!r}: sublabel {sublabel['name']!r} is "
                f"{'not a joint' if joint is None else 'one joint twice'} of skeleton {skeleton.name!r}, whose joints "
                f"are {', '.join(skeleton.joints)}; use the skeleton that the project was made with"
            )
        ids[int(sublabel["id"])] = joint
    return ids


def default_guide(category: str, skeleton: Skeleton) -> str:
    """What annotators of a project need to know, as Markdown: CVAT shows it beside their job."""
    return "\n\n".join(
        (
            f"# Correcting poses of `{category}`",
            "A model proposed most skeletons. Correct what is wrong, leave what is right: an untouched proposal in a "
            "completed job counts as confirmed.",
            "## Joints",
            "\n".join(_joint_table(skeleton)),
            "## Left and right",
            _sides_guide(category, skeleton),
            *_MARKING_GUIDE,
            "## Missing, wrong and double skeletons",
            f"- A `{category}` without a proposal: draw a new skeleton `{category}` if you can place at least one "
            "joint. Labelling only some of those in an image teaches the model that the others are not there.\n"
            f"- A skeleton on something that is no `{category}`, or a second one on the same: delete it.\n"
            f"- A skeleton whose checkbox `{SUSPECT_ATTRIBUTE}` is set looked wrong to the computer: look at it first.",
            "When all is right, save and set the job to completed: only completed jobs are used.",
        )
    )


@dataclass(frozen=True)
class _Drawing:
    """What an SVG says. joints: the circles' sublabels in order. edges: pairs of them, without direction."""

    joints: tuple[str, ...]
    edges: frozenset[frozenset[str]]


def _suspect_attribute() -> dict[str, Any]:
    return {
        "name": SUSPECT_ATTRIBUTE,
        "mutable": True,
        "input_type": "checkbox",
        "default_value": "false",
        "values": ["false"],  # CVAT's web page lists a checkbox's default here
    }


def _svg_elements(skeleton: Skeleton) -> Iterator[str]:
    """Bare elements as CVAT's own editor writes them, edges before circles; nodes count from 1."""
    points = lay_out(skeleton)
    for a, b in skeleton.edges:
        (x1, y1), (x2, y2) = points[a], points[b]
        yield (
            f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" data-type="edge" '
            f'data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        )
    for number, (joint, (x, y)) in enumerate(zip(skeleton.joints, points, strict=True), start=1):
        yield (
            f'<circle r="0.75" cx="{x:.2f}" cy="{y:.2f}" data-type="element node" data-element-id="{number}" '
            f'data-node-id="{number}" data-label-name="{escape(joint, {chr(34): "&quot;"})}"></circle>'
        )


def _no_label(category: str, names: Sequence[str]) -> str:
    near = [name for name in names if canonical_name(name) == canonical_name(category)]
    near = near or get_close_matches(category, names, n=1)
    meant = f" (CVAT compares names exactly: is {near[0]!r} meant?)" if near else ""
    return (
        f"label {category!r}: the project has no such label, it has {', '.join(map(repr, names)) or 'none'}{meant}; "
        "push under one of its names, or into a new project"
    )


def _joint_problems(wanted: Skeleton, label: Mapping[str, Any]) -> Iterator[str]:
    """Joints that are missing, spelled otherwise, or too many: CVAT matches them by their exact names."""
    names = [str(sublabel["name"]) for sublabel in label.get("sublabels") or ()]
    theirs = {wanted.find(name): name for name in names}
    for joint, name in enumerate(wanted.joints):
        if joint not in theirs:
            yield (
                f"joint {name!r} is missing, and CVAT adds none to a skeleton; push into a new project, or take a "
                "skeleton without this joint"
            )
        elif name not in names:
            yield (
                f"joint {name!r} is called {theirs[joint]!r} there, and CVAT compares names exactly; call it so in the "
                "skeleton, or push into a new project"
            )
    for name in names:
        if wanted.find(name) is None:
            yield (
                f"joint {name!r} is not in skeleton {wanted.name!r}, so nobody would propose it; push into a new "
                "project, or take a skeleton with this joint"
            )


def _order_problems(wanted: Skeleton, drawing: _Drawing) -> Iterator[str]:
    """Whether a drawing of the same joints has them in another order."""
    for number, (name, expected) in enumerate(zip(drawing.joints, wanted.joints, strict=True), start=1):
        if wanted.find(name) != number - 1:
            yield (
                f"its circle {number} is {name!r}, expected {expected!r}: CVAT exports joints in the order of circles; "
                "put the skeleton's joints in this order, or push into a new project"
            )
            break


def _read_drawing(label: Mapping[str, Any]) -> _Drawing:
    """The label's SVG, with names where CVAT wrote ids. Raises CvatExportError where an export would fail over it."""
    where = f"label {label['name']!r}: its SVG"
    remedy = "exports would fail, and CVAT cannot edit a skeleton; push into a new project"
    try:
        root = ElementTree.fromstring(f"<svg>{label.get('svg') or ''}</svg>")
    except ElementTree.ParseError as error:
        raise CvatExportError(f"{where} cannot be parsed: {error}; {remedy}") from error
    by_id = {str(sublabel["id"]): str(sublabel["name"]) for sublabel in label.get("sublabels") or ()}
    nodes: dict[str | None, str] = {}
    for number, circle in enumerate(root.findall("circle"), start=1):
        name = circle.get("data-label-name") or by_id.get(circle.get("data-label-id", ""))
        if name not in by_id.values() or name is None:
            raise CvatExportError(
                f"{where}: circle {number} names no sublabel by data-label-name or data-label-id; {remedy}"
            )
        nodes[circle.get("data-node-id")] = name
    if sorted(nodes.values()) != sorted(by_id.values()):
        raise CvatExportError(
            f"{where}: got circles of {len(nodes)} nodes, expected {len(by_id)}, one a sublabel; {remedy}"
        )
    lines = [(line.get("data-node-from"), line.get("data-node-to")) for line in root.findall("line")]
    if stray := [ends for ends in lines if not nodes.keys() >= set(ends)]:
        raise CvatExportError(f"{where}: a line joins nodes {stray[0]}, which no circle has; {remedy}")
    return _Drawing(tuple(nodes.values()), frozenset(frozenset((nodes[a], nodes[b])) for a, b in lines))


def _joint_table(skeleton: Skeleton) -> Iterator[str]:
    yield "| joint | side | joined to |"
    yield "|---|---|---|"
    for joint, name in enumerate(skeleton.joints):
        joined = ", ".join(skeleton.joints[other] for other in skeleton.neighbours[joint])
        side = {"centre": "middle"}.get(skeleton.sides[joint], skeleton.sides[joint])
        yield f"| {_cell(name)} | {side} | {_cell(joined) or 'nothing'} |"


def _cell(text: str) -> str:
    """Text inside a Markdown table: a bar would end its cell, and underscores and asterisks would vanish."""
    return "".join(f"\\{letter}" if letter in "\\|_*`<[" else letter for letter in text)


def _sides_guide(category: str, skeleton: Skeleton) -> str:
    if not skeleton.flip_pairs:
        return "This skeleton has no left and right."
    left, right = (skeleton.joints[joint] for joint in skeleton.flip_pairs[0])
    return (
        f"Left and right are the subject's own, not yours: of a `{category}` that faces you, {_cell(left)} is on the "
        f"right of the image and {_cell(right)} on the left; seen from behind it is the other way round. A proposal "
        "may have both sides exchanged: look at the direction in which the subject faces before you confirm it."
    )
