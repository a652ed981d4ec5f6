"""Reviewed frames as vectors in which distance means something: what they look like, and how subjects are posed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from annotator.acquisition.embeddings import joined, looks_vectors, pose_vector, rgb_thumbnail
from annotator.predictions import FrameSource, Prediction
from annotator.review.documents import frame_id
from annotator.review.frames import Review, ReviewedFrame
from cvat_export.labels import Boxes, Instance, Keypoints
from frame_tools.errors import FrameToolsError
from frame_tools.images import read_image
from frame_tools.novelty import Embeddings

if TYPE_CHECKING:
    from annotator.review.fiftyone_dataset import ReviewedDataset

_SHARD = 256  # frames that are looked at before what they look like is kept
_WORKERS = 2


def compare_looks(review: Review, dataset: ReviewedDataset, progress: Callable[[int], object]) -> None:
    """Let the dataset know likeness, uniqueness and the plot; frames that it has seen before are not read again.

    Pictures that cannot be read are left out. progress: called with how many frames have been looked at.
    """
    known = dataset.looks()
    new = [frame for frame in review.frames if frame_id(frame.key) not in known]
    progress(len(review.frames) - len(new))
    for looks in _looked_at(new):
        dataset.keep_looks(looks)
        known |= looks
        progress(len(looks))
    frames = [frame for frame in review.frames if frame_id(frame.key) in known]
    if frames:
        dataset.compare(embed_frames(frames, known, next(iter(review.skeletons))))


def embed_frames(
    frames: Sequence[ReviewedFrame], looks: Mapping[str, npt.NDArray[np.float32]], category: str
) -> dict[str, npt.NDArray[np.float32]]:
    """Frame id -> looks and pose side by side, as `annotator select` compares frames. Poses: of `category` alone."""
    ids = [frame_id(frame.key) for frame in frames]
    poses = [pose_vector(_as_prediction(frame, category)) for frame in frames]
    size = max(map(len, poses))
    padded = np.stack([np.pad(pose, (size - len(pose), 0)) for pose in poses])  # nobody: fewer numbers, all zeros
    vectors, _ = joined({"looks": np.stack([looks[one] for one in ids]), "pose": padded})
    return dict(zip(ids, vectors, strict=True))


def principal_plane(vectors: Embeddings) -> npt.NDArray[np.float32]:
    """(n, 2) the vectors seen from where they are spread most: their two principal components."""
    centred = vectors - vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ directions[:2].T
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1]))).astype(np.float32)


def _looked_at(frames: Sequence[ReviewedFrame]) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="look") as pool:
        for start in range(0, len(frames), _SHARD):
            shard = frames[start : start + _SHARD]
            read = {frame_id(f.key): thumb for f, thumb in zip(shard, pool.map(_thumbnail, shard), strict=True)}
            there = {name: thumb for name, thumb in read.items() if thumb is not None}
            vectors = looks_vectors(np.stack([*there.values()])) if there else ()
            yield dict(zip(there, vectors, strict=True))


def _thumbnail(frame: ReviewedFrame) -> npt.NDArray[np.uint8] | None:
    try:
        return rgb_thumbnail(read_image(frame.path).pixels)
    except FrameToolsError:
        return None


def _as_prediction(frame: ReviewedFrame, category: str) -> Prediction:
    """Who is in a frame, by the best that is known."""
    subjects = frame.truth or (frame.corrections if frame.finished else ()) or frame.proposals
    instances = [one.instance for one in subjects if one.instance.category == category]
    return Prediction(
        frame.file_name, frame.width, frame.height, FrameSource("", 0), _boxes(instances), _keypoints(instances)
    )


def _boxes(instances: Sequence[Instance]) -> Boxes:
    corners = np.array([one.bbox_xyxy for one in instances], np.float32).reshape(-1, 4)
    return Boxes(corners, np.ones(len(instances), np.float32), tuple(one.category for one in instances))


def _keypoints(instances: Sequence[Instance]) -> Keypoints:
    if not instances:
        return Keypoints.empty(0)
    xy = np.stack([one.xy for one in instances])
    return Keypoints(xy, np.ones(xy.shape[:2], np.float32), np.stack([one.visibility for one in instances]))
