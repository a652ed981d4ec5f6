"""Labels as they are created, and the skeleton's drawing that comes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from demo.cvat_standin.messages import ApiError
from demo.cvat_standin.rows import Json, Label

if TYPE_CHECKING:
    from demo.cvat_standin.state import State


def create_labels(state: State, specs: Sequence[Mapping[str, Any]], taken: Sequence[Label] = ()) -> list[Label]:
    """Labels with their ids. Raises ApiError 400 where two of them, or of a skeleton's joints, share a name."""
    _check_unique([*(label.name for label in taken), *(spec["name"] for spec in specs)])
    for spec in specs:
        _check_unique([sublabel["name"] for sublabel in spec.get("sublabels") or []])
    return [_create_label(state, spec) for spec in specs]


def drawn_joints(label: Label) -> tuple[list[str], list[tuple[int, int]]]:
    """The joints in the order of the drawing's circles, and its edges, counted from 1.

    Raises KeyError on a circle that is none of the sublabels and ElementTree.ParseError, as an export does.
    """
    svg = label.svg
    for sublabel in label.sublabels:
        svg = svg.replace(f'data-label-id="{sublabel.id}"', f'data-label-name="{sublabel.name}"')
    root = ElementTree.fromstring(f"<g>{svg}</g>")
    joints = [circle.attrib["data-label-name"] for circle in root.iter("circle")]
    edges = {(int(line.attrib["data-node-from"]), int(line.attrib["data-node-to"])) for line in root.iter("line")}
    return joints, list(edges)  # of a set: the server's edges come back in another order, which is that of their hashes


def view_label(label: Label, owner: Mapping[str, int]) -> Json:
    """A label as the API shows it. owner: {"project_id": …} or {"task_id": …}."""
    shown = _view_sublabel(label) | {"has_parent": False, "parent_id": None, **owner}
    shown["sublabels"] = [_view_sublabel(sublabel) for sublabel in label.sublabels]
    return shown | ({"svg": label.svg} if label.type == "skeleton" else {})


def _create_label(state: State, spec: Mapping[str, Any]) -> Label:
    label = Label(state.new_id("label"), spec["name"], spec.get("type") or "any", _colour(spec))
    label.attributes = [_create_attribute(state, attribute) for attribute in spec.get("attributes") or []]
    label.sublabels = [_create_label(state, {"type": "points", **one}) for one in spec.get("sublabels") or []]
    label.svg = spec.get("svg") or ""
    for sublabel in label.sublabels:
        label.svg = label.svg.replace(f'data-label-name="{sublabel.name}"', f'data-label-id="{sublabel.id}"')
    return label


def _create_attribute(state: State, spec: Mapping[str, Any]) -> Json:
    keys = ("name", "mutable", "input_type", "default_value", "values")
    return {"id": state.new_id("attribute"), **{key: spec[key] for key in keys if key in spec}}


def _check_unique(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ApiError(400, ["All label names must be unique"])


def _colour(spec: Mapping[str, Any]) -> str:
    return spec.get("color") or f"#{hashlib.sha256(spec['name'].encode()).hexdigest()[:6]}"


def _view_sublabel(label: Label) -> Json:
    keys = {"id": label.id, "name": label.name, "color": label.color, "type": label.type}
    return {**keys, "attributes": label.attributes, "has_parent": True}
