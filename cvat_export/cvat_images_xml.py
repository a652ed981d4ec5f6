"""CVAT's own XML, "CVAT for images 1.1" -> Dataset.

https://docs.cvat.ai/docs/dataset_management/formats/xml_format/, and what servers write beyond it: skeletons, and in
the labels `type`, `parent` and `svg`.
"""

from __future__ import annotations

import math
import re
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np

from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance, Visibility
from cvat_export.skeleton_shapes import (
    LeftOut,
    check_file_names,
    labelled_image,
    left_out_notes,
    skeleton_category,
    skeleton_instance,
)

FORMAT = "CVAT for images 1.1"
ROOT = "annotations"
VIDEO_FRAME_SUFFIX = ".PNG"  # what CVAT calls a video's frames in its zips and in COCO; the XML leaves it out

_MARKUP_DECLARATION = re.compile("<!(?:DOCTYPE|ENTITY)")
_LONGEST_DECLARATION = len("<!DOCTYPE")
_CVAT_NAMES = {"box": "rectangle"}  # an element of the XML -> the shape, as CVAT's pages call it


def parse_cvat_images(chunks: Iterable[bytes], where: str) -> tuple[Dataset, tuple[str, ...]]:
    """A dataset from the bytes of an XML file, an image in memory at a time; `where` names the file in errors."""
    reader = _Reader(where)
    _parse_xml(chunks, reader.take, where)
    return reader.finish()


class _Children:
    """An ElementTree target that hands over the root's children one by one and forgets them."""

    def __init__(self, take: Callable[[ElementTree.Element], None], where: str) -> None:
        self._take = take
        self._where = where
        self._depth = 0
        self._builder = ElementTree.TreeBuilder()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > 1:
            self._builder.start(tag, attributes)
        elif tag != ROOT:
            raise CvatExportError(f"{self._where}: got the root <{tag}>, expected <{ROOT}> of {FORMAT}")

    def data(self, text: str) -> None:
        if self._depth > 1:
            self._builder.data(text)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth > 0:
            self._builder.end(tag)
        if self._depth == 1:
            self._take(self._builder.close())
            self._builder = ElementTree.TreeBuilder()

    def close(self) -> None:
        """Required of a target."""


def _parse_xml(chunks: Iterable[bytes], take: Callable[[ElementTree.Element], None], where: str) -> None:
    """Hands each child of the root to `take`. A DOCTYPE is refused before the parser sees it: no entity is declared."""
    parser = ElementTree.XMLParser(target=_Children(take, where))
    decoder = getincrementaldecoder("utf-8-sig")()
    tail = ""
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            _refuse_declarations(tail + text, where)
            parser.feed(text)
            tail = (tail + text)[-_LONGEST_DECLARATION:]
        decoder.decode(b"", final=True)
        parser.close()
    except (ElementTree.ParseError, ValueError) as error:
        raise CvatExportError(f"{where}: is not XML in UTF-8: {error}; download the export again") from error


def _refuse_declarations(text: str, where: str) -> None:
    if found := _MARKUP_DECLARATION.search(text):
        raise CvatExportError(
            f"{where}: got {found[0]}, expected none: CVAT writes none, and entities can read files and fill the memory"
        )


@dataclass(frozen=True)
class _Label:
    """A label of <meta>. attribute_types: an attribute's name -> CVAT's input type."""

    name: str
    parent: str
    is_skeleton: bool
    svg: str
    attribute_types: Mapping[str, str]


@dataclass
class _Reader:
    """Collects what the root's children hold."""

    where: str
    labels: list[_Label] = field(default_factory=list)
    categories: dict[str, Category] = field(default_factory=dict)
    images: list[LabelledImage] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    unnamed_frames: int = 0

    def take(self, child: ElementTree.Element) -> None:
        if child.tag == "version":
            self._take_version((child.text or "").strip())
        elif child.tag == "meta":
            self._take_meta(child)
        elif child.tag == "image":
            self._take_image(child)
        else:
            self.left_out[child.tag, child.get("label", "")] += 1

    def finish(self) -> tuple[Dataset, tuple[str, ...]]:
        if not self.images:
            tracks = sum(count for (kind, _), count in self.left_out.items() if kind == "track")
            raise CvatExportError(
                f"{self.where}: got no <image> and {tracks} tracks"
                + (", as in CVAT for video 1.1" if tracks else "")
                + f", expected {FORMAT}; export in that format, it has tracks frame by frame"
            )
        dataset = Dataset(tuple(self.categories.values()), tuple(self.images))
        check_file_names(dataset, self.where)
        if self.unnamed_frames:
            self.notes.append(
                f"{self.unnamed_frames} video frames: their names have no suffix here, {VIDEO_FRAME_SUFFIX} was added"
            )
        return dataset, (*left_out_notes(self.left_out), *self.notes)

    def _take_version(self, version: str) -> None:
        if version != "1.1":
            raise CvatExportError(f"{self.where}: got version {version!r}, expected '1.1'; export as {FORMAT}")

    def _take_meta(self, meta: ElementTree.Element) -> None:
        self.labels = [_label(element) for labels in meta.iter("labels") for element in labels.iter("label")]
        for label in self.labels:
            if label.is_skeleton and label.name not in self.categories:
                self.categories[label.name] = self._category(label)

    def _category(self, label: _Label) -> Category:
        """Its joints are the svg's circles in their order, as CVAT's other formats have them."""
        where = f"{self.where}: label {label.name!r}"
        children = [other.name for other in self.labels if other.parent == label.name]
        joints, edges = _parse_svg(label.svg, where)
        if not joints:
            self.notes.append(f"label {label.name!r}: its svg names no joints; they are in the labels' order, no edges")
            joints, edges = children, []
        if children and set(children) != set(joints):
            raise CvatExportError(
                f"{where}: got the joints {', '.join(joints)} in its svg, expected its sublabels: {', '.join(children)}"
            )
        return skeleton_category(label.name, joints, edges, self.where)

    def _take_image(self, image: ElementTree.Element) -> None:
        name = image.get("name", "")
        where = f"{self.where}: image {name!r}"
        instances = []
        for position, shape in enumerate(image):
            if shape.tag == "skeleton":
                instances.append(self._instance(shape, f"{where}: shape {position}"))
            else:
                self.left_out[_CVAT_NAMES.get(shape.tag, shape.tag), shape.get("label", "")] += 1
        if name and not PurePosixPath(name).suffix:
            self.unnamed_frames += 1
            name += VIDEO_FRAME_SUFFIX
        numbers = {key: image.get(source) for key, source in (("frame", "id"), ("task_id", "task_id"))}
        extra: dict[str, Any] = {key: _whole(text, where) for key, text in numbers.items() if text is not None}
        if subset := image.get("subset"):
            extra["subset"] = subset
        self.images.append(labelled_image(name, (image.get("width"), image.get("height")), instances, extra, where))

    def _instance(self, shape: ElementTree.Element, where: str) -> Instance:
        name = shape.get("label", "")
        category = self.categories.get(name)
        if category is None or category.skeleton is None:
            known = ", ".join(self.categories) or "none"
            raise CvatExportError(f"{where}: got a skeleton of label {name!r}, expected one that <meta> has: {known}")
        waiting = {joint: index for index, joint in enumerate(category.skeleton.joints)}
        xyv = np.zeros((len(waiting), 3))
        joint_attributes = {}
        for element in shape.findall("points"):
            joint = element.get("label", "")
            if joint not in waiting:
                known = ", ".join(category.skeleton.joints)
                raise CvatExportError(f"{where}: got joint {joint!r}, expected each once of: {known}")
            xyv[waiting.pop(joint)] = (*_point(element, where), _visibility(element))
            if attributes := self._attributes(element, joint, name):
                joint_attributes[joint] = attributes
        extra = _shape_extra(shape, self._attributes(shape, name, ""), where)
        if joint_attributes:
            extra["joint_attributes"] = joint_attributes
        self._count_strangers(shape)
        return skeleton_instance(category, xyv, extra, where)

    def _count_strangers(self, shape: ElementTree.Element) -> None:
        for element in shape:
            if element.tag not in ("points", "attribute"):
                self.left_out[f"{element.tag} in a skeleton", element.get("label", "")] += 1

    def _attributes(self, shape: ElementTree.Element, label: str, parent: str) -> dict[str, Any]:
        rows = {row.get("name", ""): row.text or "" for row in shape.findall("attribute")}
        if not rows:
            return {}
        found = (known.attribute_types for known in self.labels if (known.name, known.parent) == (label, parent))
        types = next(found, {})
        return {name: _attribute_value(text, types.get(name, "text")) for name, text in rows.items()}


def _label(element: ElementTree.Element) -> _Label:
    svg = element.findtext("svg") or ""
    types = {
        attribute.findtext("name") or "": attribute.findtext("input_type") or "text"
        for attribute in element.iterfind("attributes/attribute")
    }
    is_skeleton = element.findtext("type") == "skeleton" or bool(svg)
    return _Label(element.findtext("name") or "", element.findtext("parent") or "", is_skeleton, svg, types)


def _parse_svg(svg: str, where: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The joints that its circles name, and edges that count them from 1; nothing where CVAT's own svg is not XML.

    CVAT puts names into it as they are, so that one with & or < breaks it.
    """
    _refuse_declarations(svg, where)
    try:
        root = ElementTree.fromstring(f"<svg>{svg}</svg>")
    except (ElementTree.ParseError, ValueError):
        return [], []
    joints = [name for circle in root.iter("circle") if (name := circle.get("data-label-name")) is not None]
    ends = [(line.get("data-node-from"), line.get("data-node-to")) for line in root.iter("line")]
    return joints, [(_whole(a, where), _whole(b, where)) for a, b in ends]


def _shape_extra(shape: ElementTree.Element, attributes: Mapping[str, Any], where: str) -> dict[str, Any]:
    extra: dict[str, Any] = {"attributes": attributes}
    if source := shape.get("source"):
        extra["source"] = source
    for key in ("group_id", "z_order"):
        if number := _whole(shape.get(key, "0"), where):
            extra[key] = number
    return extra


def _point(element: ElementTree.Element, where: str) -> tuple[float, float]:
    text = element.get("points", "")
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError as error:
        raise CvatExportError(f"{where}: joint {element.get('label')!r}: got {text!r}, expected 'x,y'") from error
    return x, y


def _visibility(element: ElementTree.Element) -> Visibility:
    if element.get("outside") == "1":
        return Visibility.NOT_LABELLED
    return Visibility.OCCLUDED if element.get("occluded") == "1" else Visibility.VISIBLE


def _attribute_value(text: str, input_type: str) -> Any:
    """As CVAT's other formats write it: a checkbox is a bool, a number a float; the text where it is neither."""
    if input_type == "checkbox" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if input_type == "number":
        try:
            return number if math.isfinite(number := float(text)) else text
        except ValueError:
            return text
    return text


def _whole(text: str | None, where: str) -> int:
    try:
        return int(text or "")
    except ValueError as error:
        raise CvatExportError(f"{where}: got {text!r}, expected a whole number") from error
