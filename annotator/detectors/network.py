"""Networks that find subjects, whatever their family: prepare, run, decode, suppress, back into the image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from annotator.detector import DetectionOptions, RgbImage, indices_wanted, select_classes
from annotator.detectors.candidates import Candidates, check_numbers
from annotator.detectors.image_input import ImageInput, PreparedImage
from cvat_export.labels import Boxes, Keypoints, Visibility
from trainers.letterbox import Letterbox
from trainers.nms import suppress
from trainers.runtimes import Session
from trainers.runtimes.formats import ModelFormat

Outputs = Sequence[npt.NDArray[Any]]
Shapes = Sequence[tuple[int, ...]]


class Head(Protocol):
    """What a network's outputs mean."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """By class id."""
        ...

    @property
    def joint_count(self) -> int:
        """Joints of a subject; 0 for a mere detector."""
        ...

    @property
    def most_overlap(self) -> float | None:
        """IoU above which two boxes are one subject whatever a user allows; None where no box is there twice."""
        ...

    def decode(self, outputs: Outputs) -> list[Candidates]:
        """All that the network proposes, one value an image of the batch."""
        ...


@dataclass(frozen=True)
class Family:
    """A kind of network, and how one of its files becomes a detector.

    what: for messages. signature: the inputs and outputs it is known by, for messages. recognises: whether an opened
    file is one, by its inputs, outputs and metadata. find_input, find_head: raise AnnotatorError for a file that is
    not what it seemed; the head is found by the shapes that the network really gives, and the metadata.
    """

    what: str
    signature: str
    recognises: Callable[[Session, ModelFormat], bool]
    find_input: Callable[[Session, str], ImageInput]
    find_head: Callable[[Shapes, Mapping[str, str], str], Head]


class NetworkDetector:
    """Serves as a detector and, where the network has joints, as detector and pose model in one."""

    def __init__(
        self, family: Family, session: Session, name: str, sha256: str | None, options: DetectionOptions
    ) -> None:
        """Runs the network once on grey, so that what does not fit is known before any image is read."""
        self.name = name
        self.sha256 = sha256
        self.session = session
        self._options = options
        self._input = family.find_input(session, name)
        outputs = session.run(self._input.encode_grey().pixels[None])
        self._head = family.find_head([output.shape for output in outputs], session.metadata, name)
        check_numbers(outputs, self._head.decode(outputs))
        self._classes = select_classes(self._head.class_names, options.classes, name)

    @property
    def joint_count(self) -> int:
        """Joints of a subject; 0 for a mere detector."""
        return self._head.joint_count

    @property
    def class_names(self) -> tuple[str, ...]:
        """All that it knows, by class id."""
        return self._head.class_names

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) that images are scaled into."""
        return self._input.card.size

    def prepare(self, file_name: str, image: RgbImage) -> PreparedImage:
        """The image as the network takes it."""
        return self._input.encode(image)

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
            decoded = self._head.decode(outputs)
            check_numbers(outputs, decoded)
            wanted = [one.wanted(self._classes, self._options.min_score) for one in decoded]
            found |= zip(indices, wanted, strict=True)
        return [found[index] for index in range(len(prepared))]

    def _finish(self, candidates: Candidates, letterbox: Letterbox) -> tuple[Boxes, Keypoints]:
        if self._head.most_overlap is not None:
            iou = min(self._options.iou, self._head.most_overlap)
            candidates = candidates.take(suppress(candidates.bbox_xyxy, candidates.scores, candidates.class_ids, iou))
        corners = letterbox.undo(candidates.bbox_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
        corners = corners.clip(0, np.array(letterbox.image_size * 2, np.float32))
        chosen = indices_wanted(corners, candidates.scores, self._options)
        candidates, corners = candidates.take(chosen), corners[chosen]
        names = tuple(self._head.class_names[index] for index in candidates.class_ids)
        return Boxes(corners, candidates.scores, names), _keypoints(candidates.joints, letterbox)


def _keypoints(joints: npt.NDArray[np.float32], letterbox: Letterbox) -> Keypoints:
    scores = joints[..., 2] if joints.shape[2] == 3 else np.ones(joints.shape[:2], np.float32)
    visibility = np.full(scores.shape, Visibility.VISIBLE, np.uint8)
    return Keypoints(letterbox.undo(joints[..., :2]), scores, visibility)
