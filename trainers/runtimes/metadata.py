"""What a model file says of itself, read from the file alone: the same whichever runtime opens it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.etree import ElementTree

from trainers.runtimes.formats import ModelFile, ModelFormat
from trainers.runtimes.onnx_file import read_properties

CARD_KEY = "model_card.json"  # the name under which every format carries our model card


def read_metadata(model: ModelFile) -> dict[str, str]:
    """Extra files of TorchScript, pt2, checkpoints; ONNX properties; IR rt_info; the zip at the end of TFLite files.

    Beside an OpenVINO IR `<stem>.card.json` stands for CARD_KEY, and Ultralytics' `metadata.yaml` comes along.
    """
    match model.format:
        case ModelFormat.TORCHSCRIPT | ModelFormat.PT2 | ModelFormat.CHECKPOINT:
            return _members(model.path, below="extra/")
        case ModelFormat.TFLITE:
            return _members(model.path, below="") if zipfile.is_zipfile(model.path) else {}
        case ModelFormat.ONNX:
            return read_properties(model.path)
        case ModelFormat.OPENVINO_IR:
            return _rt_info(model.path) | _beside(model.path)
        case ModelFormat.PICKLE:
            return {}


def _members(path: Path, below: str) -> dict[str, str]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = name.partition("/")[2] if below else name
            if inner.startswith(below) and not name.endswith("/"):
                found[inner.removeprefix(below)] = archive.read(name).decode("utf-8", "replace")
    return found


def _rt_info(path: Path) -> dict[str, str]:
    """The leaves of the model's <rt_info>, named by their path: model_info/labels."""
    section = None
    for _, element in ElementTree.iterparse(path, events=("end",)):
        if element.tag == "layers":
            element.clear()  # thousands of elements that nobody asked for
        elif element.tag == "net":
            section = element.find("rt_info")
    return {} if section is None else dict(_leaves(section, prefix=""))


def _leaves(element: ElementTree.Element, prefix: str) -> list[tuple[str, str]]:
    found = []
    for child in element:
        name = prefix + child.get("name", child.tag)
        if "value" in child.attrib:
            found.append((name, child.attrib["value"]))
        found += _leaves(child, f"{name}/")
    return found


def _beside(path: Path) -> dict[str, str]:
    files = {
        CARD_KEY: path.with_name(f"{path.stem}.card.json"),
        "metadata.yaml": path.with_name("metadata.yaml"),
    }
    return {key: file.read_text("utf-8") for key, file in files.items() if file.is_file()}
