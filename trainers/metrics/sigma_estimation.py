"""OKS sigmas of a skeleton that nobody measured, from subjects that two people labelled.

COCO (cocodataset.org/#keypoints-eval) defines sigma as the standard deviation of people's labels with respect to the
subject's scale, the root of its area. Here it is that of one coordinate. Two labellers who err independently and alike,
with sigma * scale in x and in y, lie d apart with E[d²] = 2 axes * 2 labellers * sigma² * scale², and so

    sigma = sqrt(mean(d² / area)) / 2
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainers.metrics.pairs import Bools, Floats, distances

LEAST_PAIRS = 20  # of a joint; the standard error of sigma is then a ninth of it


def estimate_sigmas(
    first_xy: npt.ArrayLike, second_xy: npt.ArrayLike, both_labelled: Bools, area: npt.ArrayLike
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """(joints,) sigmas, NaN where no subject has the joint twice; and of how many subjects each is, (joints,).

    first_xy, second_xy: (n, joints, 2) px. both_labelled: (n, joints). area: (n,) px².
    """
    apart = distances(first_xy, second_xy, both_labelled)
    squared = apart**2 / np.asarray(area, np.float64)[:, None]
    count = both_labelled.sum(axis=0)
    mean = np.nansum(squared, axis=0) / np.maximum(count, 1)
    return np.where(count > 0, np.sqrt(mean) / 2, np.nan), count
