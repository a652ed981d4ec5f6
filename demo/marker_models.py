"""Networks without training that find the drawn figures: a detector of suits and a pose model of markers.

They are made of linear filters on colour alone and know nothing but what `demo.palette` paints. A wedge is the
response `projection - slope * |perpendicular|` of a pixel's (Cb, Cr) to a hue: positive only within an angle of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from cvat_export.atomic import write_text
from cvat_export.skeleton import read_skeleton
from demo.film import HEIGHT, WIDTH
from demo.palette import CHROMA_OF_RGB, JOINT_COUNT, MARKER_HUES, MUTED, SUIT_HUES, direction, marker_saturation
from trainers.model_card import CropCard, HeatmapHead, InputCard, ModelCard, dump_card
from trainers.runtimes.metadata import CARD_KEY
from trainers.runtimes.openvino_session import import_openvino

if TYPE_CHECKING:
    import openvino

DETECTOR_INPUT = (HEIGHT, -(-WIDTH // 32) * 32)  # height, width: whole strides, so that frames are not scaled
POSE_INPUT = (384, 288)  # height, width
STRIDE = 4
POSE_BLUR_PX = 4.5  # about a marker's radius in a crop
KERNEL_PX = 24  # even, so that a cell of the heatmap is centred on its four by four pixels
MAX_DETECTIONS = 300
MARKERS_FROM = 0.27  # saturation, between suits and markers


def build_detector() -> openvino.Model:
    """Images (n, 3, height, width) in 0..1 -> (n, 300, 6): x1, y1, x2, y2, score, class in pixels, zeros beyond.

    A figure is whatever shows the hue of its suit in spots, so that there is one box a suit. The score grows with
    the number of such pixels.
    """
    from openvino import opset13 as ops

    image = ops.parameter([-1, 3, *DETECTOR_INPUT], np.float32, name="images")
    halved = ops.avg_pool(image, [2, 2], [0, 0], [0, 0], [2, 2], False)  # H.264 stores colour at half the resolution
    response = _wedges(halved, SUIT_HUES, half_angle=math.radians(30))
    coloured = ops.logical_and(ops.greater(response, _constant(0.8 * MUTED)), _far_from_markers(halved))
    near = ops.avg_pool(ops.convert(coloured, "f32"), [1, 1], [1, 1], [1, 1], [3, 3], True)
    solid = ops.convert(ops.greater(near, _constant(0.5)), "f32")  # what bleeds from elsewhere is thinner than this
    pixels = ops.reduce_sum(solid, _axes(2, 3))
    edges = [*_extent(solid, across=2), *_extent(solid, across=3)]
    order = [edges[0], edges[2], edges[1], edges[3], ops.divide(pixels, ops.add(pixels, _constant(40.0)))]
    columns = [ops.unsqueeze(column, _axes(2)) for column in order]
    columns.append(ops.multiply(columns[0], _constant(0.0)))  # of the only class
    rows = ops.concat(columns, 2)
    padding = _axes(0, MAX_DETECTIONS - len(SUIT_HUES), 0)
    output = ops.pad(rows, _axes(0, 0, 0), padding, "constant", _constant(0.0))
    return _model(output, image, "marker detector")


def build_pose_model() -> openvino.Model:
    """Crops (n, 3, 384, 288) in 0..1 -> heatmaps (n, 17, 96, 72); who is in the middle is preferred."""
    from openvino import opset13 as ops

    crop = ops.parameter([-1, 3, *POSE_INPUT], np.float32, name="crops")
    response = _wedges(crop, MARKER_HUES, half_angle=1.6 * math.pi / JOINT_COUNT)
    room = np.array([0.9 * marker_saturation(hue) - MARKERS_FROM for hue in MARKER_HUES])
    share = ops.divide(ops.subtract(response, _constant(MARKERS_FROM)), _constant(room.reshape(1, -1, 1, 1)))
    pad = (KERNEL_PX - STRIDE) // 2
    blurred = ops.group_convolution(
        ops.clamp(share, 0.0, 1.0), _constant(_blur_kernels()), [STRIDE] * 2, [pad] * 2, [pad] * 2, [1, 1]
    )
    # A full marker covers 0.4 of the kernel's weight; what a crop enlarges more stays below 1.
    score = ops.subtract(_constant(1.0), ops.exp(ops.multiply(blurred, _constant(-4.0))))
    return _model(ops.multiply(score, _constant(_prior())), crop, "marker pose model")


def _far_from_markers(image: Any) -> Any:
    """Whether nothing around a pixel is more saturated than a suit: a marker's edge fades through the hues of suits."""
    from openvino import opset13 as ops

    saturation = ops.reduce_l2(_mix(image, CHROMA_OF_RGB), _axes(1), keep_dims=True)
    highest = ops.max_pool(saturation, [1, 1], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    return ops.less(highest, _constant(MARKERS_FROM))


def _wedges(image: Any, hues: Sequence[float], half_angle: float) -> Any:
    """Each pixel's response to each hue, zero at `half_angle` from it, (n, hues, height, width)."""
    from openvino import opset13 as ops

    units = np.array([direction(hue) for hue in hues])
    along = _mix(image, units @ CHROMA_OF_RGB)
    aside = _mix(image, units[:, ::-1] * (1, -1) @ CHROMA_OF_RGB)
    slope = _constant(1 / math.tan(half_angle))
    return ops.subtract(along, ops.multiply(ops.abs(aside), slope))


def _mix(image: Any, weights: npt.NDArray[np.float64]) -> Any:
    """Channels mixed pixel by pixel. weights: (channels out, channels in)."""
    from openvino import opset13 as ops

    return ops.convolution(image, _constant(weights[:, :, None, None]), [1, 1], [0, 0], [0, 0], [1, 1])


def _extent(solid: Any, across: int) -> tuple[Any, Any]:
    """First and last edge of a mask at half size, along the axis that is not `across`, (n, masks); 0, 0 if empty."""
    from openvino import opset13 as ops

    occupied = ops.reduce_max(solid, _axes(across))
    size = DETECTOR_INPUT[1] if across == 2 else DETECTOR_INPUT[0]
    steps = np.arange(0.0, size, 2)
    last = ops.reduce_max(ops.multiply(occupied, _constant(steps + 2)), _axes(2))
    behind = ops.reduce_max(ops.multiply(occupied, _constant(size - steps)), _axes(2))
    anything = ops.reduce_max(occupied, _axes(2))
    return ops.multiply(ops.subtract(_constant(float(size)), behind), anything), last


def _blur_kernels() -> npt.NDArray[np.float64]:
    """A Gaussian of sum 1 for each joint, (17, 1, 1, k, k)."""
    offsets = np.arange(KERNEL_PX) - (KERNEL_PX - 1) / 2
    profile = np.exp(-0.5 * (offsets / POSE_BLUR_PX) ** 2)
    kernel = np.outer(profile, profile)
    return np.broadcast_to(kernel / kernel.sum(), (JOINT_COUNT, 1, 1, KERNEL_PX, KERNEL_PX))


def _prior() -> npt.NDArray[np.float64]:
    """Who stands in the middle of a crop is meant: a wide Gaussian, (1, 1, height, width) of the heatmap."""
    widths = zip(POSE_INPUT, (1.5, 0.5), strict=True)
    profiles = [np.exp(-0.5 * (np.linspace(-1, 1, side // STRIDE) / width) ** 2) for side, width in widths]
    return np.outer(*profiles)[None, None]


def _constant(value: float | npt.NDArray[Any]) -> Any:
    from openvino import opset13 as ops

    return ops.constant(np.array(value, np.float32, order="C"))


def _axes(*values: int) -> Any:
    from openvino import opset13 as ops

    return ops.constant(np.array(values, np.int64))


def _model(output: Any, source: Any, name: str) -> openvino.Model:
    import openvino

    output.friendly_name = "output"
    return openvino.Model([output], [source], name)


def pose_card() -> ModelCard:
    """What the toolkit must know of the pose model."""
    return ModelCard(
        name="demo markers",
        skeleton=read_skeleton("coco17"),
        input=InputCard(width=POSE_INPUT[1], height=POSE_INPUT[0]),
        crop=CropCard(padding=1.25, border=(114, 114, 114)),
        head=HeatmapHead(kind="heatmap", alignment="half-pixel", decoding="dark", sigma=1.5),
        flip_test=False,  # a mirrored figure still wears its left colours on its left
        training_data="none: made of colour filters for the figures that `python -m demo footage` draws",
        licence="Apache-2.0",
    )


def write_models(folder: Path) -> tuple[Path, Path]:
    """Both models as OpenVINO IR: the detector's folder, as Ultralytics lays it out, and the pose model's file."""
    openvino = import_openvino()

    detector = folder / "marker_detector_openvino_model"
    detector.mkdir(parents=True, exist_ok=True)
    openvino.save_model(build_detector(), detector / "marker_detector.xml", compress_to_fp16=False)
    description = {"task": "detect", "names": {0: "person"}, "imgsz": list(DETECTOR_INPUT), "stride": 32, "batch": 1}
    write_text(detector / "metadata.yaml", yaml.safe_dump(description, sort_keys=False))
    pose = build_pose_model()
    card = dump_card(pose_card())
    pose.set_rt_info(card, [CARD_KEY])
    pose_file = folder / "marker_pose.xml"
    openvino.save_model(pose, pose_file, compress_to_fp16=False)
    write_text(folder / "marker_pose.card.json", card)
    return detector, pose_file
