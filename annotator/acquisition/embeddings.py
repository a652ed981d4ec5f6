"""What a frame looks like and how its subjects are posed, as few numbers in which distance means something (pure)."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

from annotator.predictions import Prediction
from cvat_export.labels import Visibility
from frame_tools.frame import RgbImage
from frame_tools.novelty import Embeddings, embed
from frame_tools.thumbnail import Thumbnail, thumbnail

BLOCK_SIZE = 32  # numbers a block has at most
LOOKS_SIZE = 64  # numbers that are kept of what a frame looks like


def rgb_thumbnail(pixels: RgbImage) -> Thumbnail:
    """As of a video's frame, which comes as luma and chroma."""
    luma, *chroma = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV))
    return thumbnail([np.asarray(plane, np.uint8) for plane in (luma, *chroma)])


def looks_vectors(thumbnails: npt.NDArray[np.uint8]) -> Embeddings:
    """(n, LOOKS_SIZE) of thumbnails (n, size): the same of a thumbnail whatever others there are, so it may be kept."""
    return _projected(embed(thumbnails), LOOKS_SIZE)


def pose_vector(prediction: Prediction) -> npt.NDArray[np.float32]:
    """Of one frame, (2 joints + 1,): the subjects' joints in their boxes, averaged by area; how many there are.

    A joint counts from the box's centre in units of its longer side; one that is not labelled lies there. The number
    of subjects counts by its logarithm. Nobody is all zeros.
    """
    boxes, keypoints = prediction.boxes.bbox_xyxy, prediction.keypoints
    vector = np.zeros(2 * keypoints.xy.shape[1] + 1, np.float32)
    if not len(boxes):
        return vector
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    joints = (keypoints.xy - centres[:, None]) / sides.max(axis=1)[:, None, None]
    labelled = keypoints.visibility > Visibility.NOT_LABELLED
    joints = np.where(labelled[..., None], joints, 0).clip(-2, 2)
    vector[:-1] = np.average(joints.reshape(len(boxes), -1), axis=0, weights=sides.prod(axis=1))
    vector[-1] = np.log2(1 + len(boxes))
    return vector


def joined(blocks: Mapping[str, Embeddings]) -> tuple[Embeddings, dict[str, slice]]:
    """(n, d) of all blocks side by side, each standardised, and where each one lies.

    A block's mean is 0 and its mean squared length 1, so that two frames drawn by lot are about 1.4 apart by each
    block. One of more than `BLOCK_SIZE` columns is first projected onto random directions, which keeps distances to
    about an eighth (Johnson and Lindenstrauss, 1984; Achlioptas, 2003).
    """
    parts, places, start = [], {}, 0
    for name, block in blocks.items():
        part = _standardised(_narrowed(block))
        parts.append(part)
        places[name] = slice(start, start + part.shape[1])
        start += part.shape[1]
    return np.concatenate(parts, axis=1), places


def _narrowed(block: Embeddings) -> Embeddings:
    if block.shape[1] <= BLOCK_SIZE:
        return block
    return _projected(block - block.mean(axis=0), BLOCK_SIZE)


def _projected(block: Embeddings, size: int) -> Embeddings:
    directions = np.random.default_rng(0).standard_normal((block.shape[1], size)) / np.sqrt(size)
    projected: Embeddings = block @ directions.astype(np.float32)
    return projected


def _standardised(block: Embeddings) -> Embeddings:
    centred = block - block.mean(axis=0)
    spread = np.sqrt(np.einsum("ij,ij->", centred, centred) / max(1, len(centred)))
    result: Embeddings = centred / (spread if spread > 1e-6 else np.float32(1))
    return result.astype(np.float32)
