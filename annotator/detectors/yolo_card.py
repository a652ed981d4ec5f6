"""What Ultralytics writes into the files it exports, read from any of the places where it writes it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from annotator.errors import AnnotatorError

_FILES = ("config.txt", "metadata.json", "metadata.yaml")  # of TorchScript, TFLite and OpenVINO
_TASKS = ("detect", "pose", "segment")  # what has upright boxes; of a segmentation model only these are used


@dataclass(frozen=True)
class YoloCard:
    """None or () where the file does not say.

    imgsz: (width, height). dynamic: whether any input size may be given. keypoint_shape: joints and numbers a joint
    (2: x, y; 3: with its score).
    """

    task: str | None = None
    class_names: tuple[str, ...] = ()
    stride: int = 32
    imgsz: tuple[int, int] | None = None
    dynamic: bool = False
    keypoint_shape: tuple[int, int] | None = None


def is_yolo(metadata: Mapping[str, str]) -> bool:
    """Whether a file carries what Ultralytics writes, of whatever task."""
    return any(key in metadata for key in (*_FILES, "task"))


def read_yolo_card(metadata: Mapping[str, str], where: str) -> YoloCard:
    """From TorchScript's `config.txt`, OpenVINO's `metadata.yaml`, TFLite's `metadata.json` or ONNX's properties.

    A file without any gives an empty card. Raises AnnotatorError for a network without upright boxes.
    """
    try:
        return _card(_said(metadata), where)
    except (ValueError, SyntaxError, TypeError, AttributeError, LookupError, yaml.YAMLError) as error:
        raise AnnotatorError(f"{where}: the metadata that Ultralytics embeds cannot be read: {error}") from error


def _card(said: Mapping[str, Any], where: str) -> YoloCard:
    task, names, imgsz, shape = (said.get(key) for key in ("task", "names", "imgsz", "kpt_shape"))
    if task is not None and task not in _TASKS:
        raise AnnotatorError(f"{where}: a model for the task {task!r}, expected one for {', '.join(_TASKS)}")
    if int(said.get("channels", 3)) != 3:
        raise AnnotatorError(f"{where}: takes images of {said['channels']} channels, expected 3: RGB")
    if isinstance(names, Mapping):
        names = [names[index] for index in sorted(names, key=int)]
    height, width = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz or (None, None)
    return YoloCard(
        task=task,
        class_names=tuple(map(str, names or ())),
        stride=int(said.get("stride", 32)),
        imgsz=None if width is None or height is None else (int(width), int(height)),
        dynamic=bool((said.get("args") or {}).get("dynamic")),
        keypoint_shape=(int(shape[0]), int(shape[1])) if shape and task == "pose" else None,
    )


def _said(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    for key in ("config.txt", "metadata.json"):
        if key in metadata:
            return dict(json.loads(metadata[key]))
    if "metadata.yaml" in metadata:
        return dict(yaml.safe_load(metadata["metadata.yaml"]))
    known = ("task", "names", "imgsz", "kpt_shape", "stride", "args", "channels")
    return {key: _literal(metadata[key]) for key in known if key in metadata}


def _literal(text: str) -> Any:
    """A number, list or mapping written as Python writes it; anything else is text."""
    return ast.literal_eval(text) if text[:1] in "{[(" or text.isdigit() else text
