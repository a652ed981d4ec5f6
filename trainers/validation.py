"""A network's estimates for labelled samples against their labels, on the boxes of the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.crops import invert_affines, transform_points
from trainers.metrics.pairs import distances, longer_sides, oks_given_boxes, pck_given_boxes
from trainers.pose_decoding import InputJoints
from trainers.samples import SampleView

PCK_THRESHOLD = 0.1


@dataclass(frozen=True, eq=False)
class Scores:
    """What an epoch's estimates are worth.

    pck: the share of labelled joints within a tenth of the box's longer side. oks: the mean over subjects. xy:
    (n, joints, 2) in image pixels, NaN where nothing was found. off: (n,) mean distance of labelled joints as a share
    of the box's longer side, infinite where one was not found.
    """

    pck: float
    oks: float
    xy: npt.NDArray[np.float64]
    off: npt.NDArray[np.float64]


def score_estimates(view: SampleView, estimates: InputJoints) -> Scores:
    """Score the estimates for the view's samples, in their order."""
    instances = [sample.instance for sample in view.store.samples]
    truth = np.stack([instance.xy for instance in instances])
    labelled = np.stack([instance.labelled for instance in instances])
    boxes = np.stack([instance.bbox_xyxy for instance in instances])
    xy = transform_points(invert_affines(view.store.to_input), estimates.xy)
    oks = oks_given_boxes(xy, truth, labelled, boxes, view.skeleton.sigmas)
    off = distances(xy, truth, labelled) / longer_sides(boxes)[:, None]
    return Scores(
        pck=pck_given_boxes(xy, truth, labelled, boxes, PCK_THRESHOLD),
        oks=float(np.nanmean(oks)),
        xy=xy,
        off=np.where(labelled, off, 0).sum(axis=1) / labelled.sum(axis=1),
    )
