"""A model card to begin with, filled in with what can be seen of a model from outside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvat_export.skeleton import embedded_skeletons, read_skeleton
from trainers.runtimes.session import TensorSpec

_UNKNOWN = "?"
_MOST_JOINTS = 200  # more channels than this are no joints
_KNOWN_COLUMNS = {2: "[x, y]", 3: "[y, x, score]", 5: "[x, y, z, visibility, presence]"}


def card_template(name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """YAML for the user to complete: `?` where nothing is known, comments where it is a guess."""
    layout = "nhwc" if inputs[0].shape[-1:] == (3,) else "nchw"
    head, joints = _head(outputs, layout)
    return f"name: {name}\n{_skeleton(joints)}\n{_input(inputs[0], layout)}\n{_CROP}\n{head}"


_CROP = """\
crop:
  padding: 1.25         # the box's sides are multiplied by it, as in training
  fit: contain          # contain (box grown to the input's aspect) or stretch"""


def _input(spec: TensorSpec, layout: str) -> str:
    height, width = (None, *spec.shape)[2:4] if layout == "nhwc" else (spec.shape + (None,) * 4)[2:4]
    lines = [
        "input:",
        f"  width: {width or _UNKNOWN}",
        f"  height: {height or _UNKNOWN}",
        f"  layout: {layout}",
        "  colours: rgb          # or bgr",
    ]
    if spec.dtype == np.uint8:
        return "\n".join([*lines, "  dtype: uint8"])
    return "\n".join(
        [
            *lines,
            "  mean: [0.485, 0.456, 0.406]   # of pixels / 255; ImageNet's, a guess",
            "  std: [0.229, 0.224, 0.225]",
        ]
    )


def _skeleton(joints: int | None) -> str:
    known = [name for name in embedded_skeletons() if joints in (None, len(read_skeleton(name).joints))]
    comment = (
        f"# {joints or 'your'} joints: {', '.join(known) or 'none that comes along'}, a file, or {{joints: [...]}}"
    )
    return f"skeleton: {known[0] if joints and known else _UNKNOWN}   {comment}"


def _head(outputs: Sequence[TensorSpec], layout: str) -> tuple[str, int | None]:
    """The lines under `head`, and the number of joints that its output shows."""
    for place, spec in enumerate(outputs):
        match spec.shape:
            case (_, 1, int(joints), int(columns)) | (_, int(joints), int(columns)) if columns in _KNOWN_COLUMNS:
                return _coordinates(place, _KNOWN_COLUMNS[columns]), joints
            case (_, channels_first, _, channels_last):
                channels = channels_last if layout == "nhwc" else channels_first
                if channels is not None and 1 < channels <= _MOST_JOINTS:
                    return _heatmap(place, layout), channels
    if [len(spec.shape) for spec in outputs] == [3, 3]:
        return _SIMCC, outputs[0].shape[1]
    return f"{_heatmap(0, layout)}                        # other kinds: simcc, coordinates", None


def _heatmap(place: int, layout: str) -> str:
    return f"""\
head:
  kind: heatmap
  output: {place}
  layout: {layout}
  alignment: stride     # or half-pixel, align-corners: where a cell lies in the input
  decoding: dark        # or quarter-offset, argmax
"""


def _coordinates(place: int, order: str) -> str:
    return f"""\
head:
  kind: coordinates
  output: {place}
  order: {order}   # a guess
  unit: fraction        # or pixels, pixel-indices
"""


_SIMCC = """\
head:
  kind: simcc
  x_output: 0
  y_output: 1
  split_ratio: 2        # bins a pixel
  alignment: stride     # or half-pixel
  activation: none      # or softmax
"""
