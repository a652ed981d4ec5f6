"""The detectors that an installed Ultralytics knows by name, found without importing it."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

_HEADS = ("Detect", "v10Detect")  # of detectors whose boxes we decode: no text prompts, no transformers
_FAMILY = re.compile(r"(yolov?\d+)([a-z]?)")  # yolo11, yolov8; a letter after it is the scale


@cache
def ultralytics_networks() -> dict[str, tuple[Path, str]]:
    """The file and scale ("" for none) of each architecture by name, such as yolo11n; empty without Ultralytics."""
    found = find_spec("ultralytics")
    if found is None or not found.submodule_search_locations:
        return {}
    folder = Path(found.submodule_search_locations[0]) / "cfg" / "models"
    return {name: (path, scale) for path in sorted(folder.rglob("*.yaml")) for name, scale in _names(path)}


def is_ultralytics(network: Any) -> bool:
    """Whether a config's network is one of Ultralytics', as yolo11n or yolo11n.yaml."""
    if not isinstance(network, str) or not _FAMILY.match(network):
        return False
    return network.removesuffix(".yaml") in ultralytics_networks()


def read_architecture(network: str) -> dict[str, Any]:
    """What Ultralytics builds the network of that name from."""
    name = network.removesuffix(".yaml")
    path, scale = ultralytics_networks()[name]
    return {**yaml.safe_load(path.read_text("utf-8")), "scale": scale, "yaml_file": f"{name}.yaml"}


def _names(path: Path) -> list[tuple[str, str]]:
    """The names of a file's architectures, each with its scale."""
    family = _FAMILY.match(path.stem)
    if family is None:
        return []
    content = yaml.safe_load(path.read_text("utf-8"))
    if content["head"][-1][2] not in _HEADS:
        return []
    if family[2] or not content.get("scales"):  # a file of one size, as yolov10n
        return [(path.stem, family[2])]
    rest = path.stem.removeprefix(family[1])
    return [(f"{family[1]}{scale}{rest}", scale) for scale in content["scales"]]
