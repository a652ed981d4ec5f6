"""Frames -> what strategies need to know of them: embeddings, and signals of doubt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from annotator.acquisition.doubts import pose_doubts
from annotator.acquisition.embeddings import joined, pose_vector, rgb_thumbnail
from annotator.acquisition.likeness import box_doubt, jumps, likeness
from annotator.acquisition.pool import SIGNALS, Floats
from annotator.estimators import PoseEstimator, TwoStage
from annotator.inputs import BadInput, InputImage, Loader
from annotator.pipeline import cut_shards, judge_visibility, process
from annotator.predictions import FrameSource, Prediction
from cvat_export.skeleton import Skeleton
from frame_tools.novelty import Embeddings, embed

Progress = Callable[[int], object]  # called with the number of inputs that have just been done


@dataclass
class Measured:
    """n frames as the models see them, in the order in which they were given, without those that cannot be read.

    predictions: joints that the model does not believe in are not labelled. doubts: frame -> the signals of the pose
    model alone; others: frame -> what the model that it is compared with proposes.
    """

    skeleton: Skeleton
    predictions: list[Prediction] = field(default_factory=list)
    bad: list[BadInput] = field(default_factory=list)
    doubts: dict[FrameSource, dict[str, float]] = field(default_factory=dict)
    others: dict[FrameSource, Prediction] = field(default_factory=dict)
    thumbnails: list[np.ndarray] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)

    def embeddings(self) -> tuple[Embeddings, dict[str, slice]]:
        """(n, d), and which columns stand for looks and which for poses."""
        if not self.predictions:
            return np.zeros((0, 1), np.float32), {}
        return joined({"looks": embed(np.stack(self.thumbnails)), "pose": np.stack(self.poses)})

    def signals(self) -> dict[str, Floats]:
        """Name of `SIGNALS` -> (n,), NaN where a frame has none."""
        rows = [self._row(prediction) for prediction in self.predictions]
        found: dict[str, Floats] = {name: np.array([row.get(name, np.nan) for row in rows]) for name in SIGNALS}
        return found | {"jump": jumps(self.predictions, np.array([*map(_seconds, self.predictions)]), self.skeleton)}

    def _row(self, prediction: Prediction) -> dict[str, float]:
        row = {**self.doubts.get(prediction.source, {}), "detector": box_doubt(prediction)}
        other = self.others.get(prediction.source)
        return row if other is None else row | {"models": 1 - likeness(prediction, other, self.skeleton)}


def measure(
    loaders: Iterable[Loader],
    estimator: PoseEstimator,
    doubted: Collection[FrameSource],
    batch_size: int,
    workers: int,
    progress: Progress = lambda done: None,
) -> Measured:
    """Look at frames. doubted: those that the pose model is asked about several times, if it is a top-down model."""
    measured = Measured(estimator.skeleton)
    model = estimator.model if isinstance(estimator, TwoStage) else None
    for rows, bad in _proposed(loaders, estimator, workers, progress):
        measured.bad += bad
        for image, prediction in rows:
            if model is not None and image.source in doubted:
                measured.doubts[image.source] = pose_doubts(model, image.pixels, prediction.boxes, batch_size)
            measured.predictions.append(prediction)
            measured.thumbnails.append(rgb_thumbnail(image.pixels))
            measured.poses.append(pose_vector(prediction))
    return measured


def propose(
    loaders: Iterable[Loader], estimator: PoseEstimator, workers: int, progress: Progress = lambda done: None
) -> dict[FrameSource, Prediction]:
    """What a model proposes, frame by frame; those that cannot be read are left out."""
    shards = _proposed(loaders, estimator, workers, progress)
    return {image.source: prediction for rows, _ in shards for image, prediction in rows}


def _proposed(
    loaders: Iterable[Loader], estimator: PoseEstimator, workers: int, progress: Progress
) -> Iterator[tuple[list[tuple[InputImage, Prediction]], Sequence[BadInput]]]:
    least = estimator.min_joint_score
    with ThreadPoolExecutor(workers, thread_name_prefix="select") as pool:
        for shard in process(cut_shards(loaders), estimator, pool):
            yield [(image, judge_visibility(prediction, least)) for image, prediction in shard.rows], shard.bad
            progress(len(shard.rows) + len(shard.bad))


def _seconds(prediction: Prediction) -> float:
    return float(prediction.source.pts * Fraction(prediction.source.time_base or "0"))
