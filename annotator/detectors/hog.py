"""OpenCV's built-in people detector (HOG and a linear SVM): no download, no accelerator, upright people only.

Dalal & Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from annotator.detector import DetectionOptions, RgbImage, keep_wanted, select_classes
from cvat_export.labels import Boxes, FloatArray
from trainers.nms import suppress

CLASS_NAME = "person"

_WINDOW = (64, 128)  # width, height
_PERSON_SHARE = (0.6, 0.75)  # of the window's width and height: the training windows left 16 px around a person
_WORKING_SIDE_PX = 288  # the image's shorter side when searched: people from a third of it on are found
_LONGEST_SIDE_PX = 2048
_BORDER = 1 / 6  # of the shorter side, added all round: the window of someone who fills the image is larger than it
_STRIDE_PX = (4, 4)
_SCALE_STEP = 1.05
_MOST_OVERLAP = 0.4  # two raw windows on one person often overlap by less than the `iou` meant for other detectors
_PENALTY_PER_OCTAVE = 0.9  # halving the size of a window quadruples their number, and with it the false alarms


class HogDetector:
    """Finds upright people of at least a third of the image's shorter side.

    The score is logistic in the SVM's margin m, less a penalty for small windows: 1 / (1 + exp(-2 (m - 1))). A score
    of 0.25 leaves 95 % of the frames of footage of cars empty; the scale is chosen, not calibrated.
    """

    name = "hog"
    sha256: str | None = None
    session = None

    def __init__(self, options: DetectionOptions) -> None:
        select_classes((CLASS_NAME,), options.classes, where="hog")
        self._options = options
        self._descriptor = cv2.HOGDescriptor()
        self._descriptor.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))

    def prepare(self, file_name: str, image: RgbImage) -> Boxes:
        """Everything: there is no model to wait for, and so several threads do it."""
        size = (image.shape[1], image.shape[0])
        bbox_xyxy, margins = self._windows(image)
        bbox_xyxy = bbox_xyxy.clip(0, np.array(size * 2, np.float32))
        scores = (1 / (1 + np.exp(-2 * (margins - 1)))).astype(np.float32)
        kept = suppress(bbox_xyxy, scores, np.zeros(len(scores)), min(self._options.iou, _MOST_OVERLAP))
        return keep_wanted(Boxes(bbox_xyxy[kept], scores[kept], (CLASS_NAME,) * len(kept)), size, self._options)

    def detect(self, prepared: Sequence[Boxes]) -> list[Boxes]:
        """What `prepare` found."""
        return list(prepared)

    def _windows(self, image: RgbImage) -> tuple[FloatArray, FloatArray]:
        """Boxes of people in pixels of the image and their penalised margins, before suppression, in no order."""
        shorter, longer = sorted(image.shape[:2])
        scale = min(_WORKING_SIDE_PX / shorter, _LONGEST_SIDE_PX / longer)
        shrinking = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=shrinking)
        border = max(round(min(resized.shape[:2]) * _BORDER), (_WINDOW[1] - min(resized.shape[:2])) // 2 + 1)
        # OpenCV's own padding clips the windows it returns, which moves their centres.
        padded = cv2.copyMakeBorder(resized, border, border, border, border, cv2.BORDER_REPLICATE)
        found, weights = self._descriptor.detectMultiScale(
            padded, hitThreshold=0, winStride=_STRIDE_PX, padding=(0, 0), scale=_SCALE_STEP, groupThreshold=0
        )
        windows = np.asarray(found, np.float32).reshape(-1, 4)
        centres = windows[:, :2] + windows[:, 2:] / 2 - border
        halves = windows[:, 2:] / 2 * np.array(_PERSON_SHARE, np.float32)
        octaves = np.log2(_WORKING_SIDE_PX / (2 * halves[:, 1])).clip(min=0)
        margins = np.asarray(weights, np.float32).reshape(-1) - _PENALTY_PER_OCTAVE * octaves
        corners = np.hstack([centres - halves, centres + halves]) / scale
        return corners.astype(np.float32), margins.astype(np.float32)
