"""Detectors of the Ultralytics family in any format, decoded without ultralytics: prepare, run, decode, suppress."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotator.detector import DetectionOptions, RgbImage, indices_wanted, select_classes
from annotator.detectors.letterbox import Letterbox, fit
from annotator.detectors.nms import suppress
from annotator.detectors.yolo_card import YoloCard, read_yolo_card
from annotator.detectors.yolo_head import Candidates, decode, recognise_head
from annotator.errors import AnnotatorError
from cvat_export.labels import Boxes, Keypoints, Visibility
from trainers.runtimes import Execution, Session, open_session
from trainers.runtimes.formats import ModelFormat, hash_model, identify

_DEFAULT_SIDE_PX = 640  # Ultralytics' own, for a file that accepts any size and names none


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """pixels: the letterboxed image as the network takes it, float32 in 0..1."""

    pixels: npt.NDArray[np.float32]
    letterbox: Letterbox


def load_yolo(path: Path, options: DetectionOptions, execution: Execution) -> YoloDetector:
    """Open a model file and run it once on grey, so that what does not fit is known before any image is read.

    Raises TrainersError where the file cannot be opened, AnnotatorError where it is no detector of this family.
    """
    model = identify(path)
    if model.format is ModelFormat.TFLITE:
        raise AnnotatorError(
            f"{path}: TFLite detectors are not supported (whether their boxes are pixels or fractions differs by "
            f"exporter); export the model as ONNX or OpenVINO"
        )
    if model.format is ModelFormat.PICKLE:
        from annotator.detectors.ultralytics import open_ultralytics

        session: Session = open_ultralytics(model, execution)
    else:
        session = open_session(path, execution)
    return YoloDetector(session, path.name, hash_model(model), options)


class YoloDetector:
    """Serves as a detector and, where the network has a pose head, as detector and pose model in one."""

    def __init__(self, session: Session, name: str, sha256: str | None, options: DetectionOptions) -> None:
        self.name = name
        self.sha256 = sha256
        self.session = session
        self.card = read_yolo_card(session.metadata, name)
        self._options = options
        self._channels_last, self._target, self._stride = _input_layout(session, self.card, name)
        grey = np.full((self._target[1], self._target[0], 3), 114, np.uint8)
        outputs = session.run(self.prepare(name, grey).pixels[None])
        self._head = recognise_head([output.shape for output in outputs], self.card, name)
        decode(outputs[self._head.index], self._head, (), 1.0)  # its checks
        self._classes = select_classes(self._head.class_names, options.classes, name)

    @property
    def joint_count(self) -> int:
        """Joints of a subject; 0 for a mere detector."""
        return self._head.keypoint_shape[0]

    def prepare(self, file_name: str, image: RgbImage) -> PreparedImage:
        """The image letterboxed and scaled to 0..1."""
        letterbox = fit((image.shape[1], image.shape[0]), self._target, self._stride)
        pixels = letterbox.apply(image).astype(np.float32) / np.float32(255)
        if not self._channels_last:
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return PreparedImage(pixels, letterbox)

    def detect(self, prepared: Sequence[PreparedImage]) -> list[Boxes]:
        """See `Detector.detect`."""
        return [boxes for boxes, _ in self.detect_poses(prepared)]

    def detect_poses(self, prepared: Sequence[PreparedImage]) -> list[tuple[Boxes, Keypoints]]:
        """Boxes and, row by row with them, joints in pixels of the images; joints are not clipped to the image.

        Every joint is VISIBLE, as it is the model's score that says how sure it is (1 where the model gives none).
        """
        candidates = self._candidates(prepared)
        return [self._finish(one, image.letterbox) for one, image in zip(candidates, prepared, strict=True)]

    def _candidates(self, prepared: Sequence[PreparedImage]) -> list[Candidates]:
        """Images of one input size are run together."""
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(prepared):
            by_shape[image.pixels.shape].append(index)
        found: dict[int, Candidates] = {}
        for indices in by_shape.values():
            outputs = self.session.run(np.stack([prepared[index].pixels for index in indices]))
            decoded = decode(outputs[self._head.index], self._head, self._classes, self._options.min_score)
            found |= zip(indices, decoded, strict=True)
        return [found[index] for index in range(len(prepared))]

    def _finish(self, candidates: Candidates, letterbox: Letterbox) -> tuple[Boxes, Keypoints]:
        if not self._head.end_to_end:
            candidates = candidates.take(
                suppress(candidates.bbox_xyxy, candidates.scores, candidates.class_ids, self._options.iou)
            )
        corners = letterbox.undo(candidates.bbox_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
        corners = corners.clip(0, np.array(letterbox.image_size * 2, np.float32))
        chosen = indices_wanted(corners, candidates.scores, self._options)
        candidates, corners = candidates.take(chosen), corners[chosen]
        names = tuple(self._head.class_names[index] for index in candidates.class_ids)
        joints = candidates.joints
        scores = joints[..., 2] if joints.shape[2] == 3 else np.ones(joints.shape[:2], np.float32)
        visibility = np.full(scores.shape, Visibility.VISIBLE, np.uint8)
        keypoints = Keypoints(letterbox.undo(joints[..., :2]), scores, visibility)
        return Boxes(corners, candidates.scores, names), keypoints


def _input_layout(session: Session, card: YoloCard, where: str) -> tuple[bool, tuple[int, int], int | None]:
    """Whether channels come last, the input's (width, height), and its stride where any size may be given."""
    shape = session.inputs[0].shape
    if len(shape) != 4 or 3 not in (shape[1] or 3, shape[3]):
        raise AnnotatorError(f"{where}: the input has shape {shape}, expected (n, 3, height, width): RGB images")
    channels_last = shape[3] == 3 and shape[1] != 3
    height, width = shape[1:3] if channels_last else shape[2:]
    wide, high = card.imgsz or (_DEFAULT_SIDE_PX, _DEFAULT_SIDE_PX)
    stride = card.stride if card.dynamic and height is None and width is None else None
    return channels_last, (width or wide, height or high), stride
