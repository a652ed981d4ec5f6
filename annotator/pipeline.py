"""Images -> boxes -> keypoints: streaming, batched, decoding while the models run.

The stages are functions from a shard of rows to a shard of rows; they hold nothing but the loaded models, so
that any engine may run them over shards of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from annotator.errors import AnnotatorError
from annotator.estimators import PoseEstimator
from annotator.inputs import BadInput, InputImage, Loader
from annotator.predictions import Prediction
from cvat_export.labels import Boxes, Keypoints, Visibility

SHARD_SIZE = 16  # images: enough to fill batches, few enough for three shards of 4K frames in memory

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Some inputs that follow each other, by number: what is done and kept at once."""

    number: int
    loaders: tuple[Loader, ...]


@dataclass(frozen=True, eq=False)
class FinishedShard:
    """A shard's images with what was proposed for them, and the inputs that could not be used."""

    number: int
    rows: tuple[tuple[InputImage, Prediction], ...]
    bad: tuple[BadInput, ...]


def cut_shards(loaders: Iterable[Loader], size: int = SHARD_SIZE) -> Iterator[Shard]:
    """The inputs in fixed shards: the same inputs give the same shards, so that a shard can be done again alone."""
    remaining = iter(loaders)
    number = 0
    while chunk := tuple(islice(remaining, size)):
        yield Shard(number, chunk)
        number += 1


def process(shards: Iterable[Shard], estimator: PoseEstimator, pool: ThreadPoolExecutor) -> Iterator[FinishedShard]:
    """Finished shards in order. While a model runs on one shard, the pool decodes the next and crops the last."""
    loading = _one_ahead(
        (shard, [pool.submit(_load, loader, estimator) for loader in shard.loaders]) for shard in shards
    )
    detected = _one_ahead(_detect(number_and_futures, estimator, pool) for number_and_futures in loading)
    for number, images, bad, crops in detected:
        found = estimator.estimate([future.result() for future in crops])
        rows = (
            (image, _prediction(image, boxes, keypoints))
            for image, (boxes, keypoints) in zip(images, found, strict=True)
        )
        yield FinishedShard(number, tuple(rows), tuple(bad))


def judge_visibility(prediction: Prediction, min_joint_score: float) -> Prediction:
    """The prediction with joints that the model does not believe in, or puts outside the image, as not labelled.

    Their coordinates are kept: in CVAT a person brings such a joint back with one key.
    """
    keypoints = prediction.keypoints
    x, y = keypoints.xy[..., 0], keypoints.xy[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= prediction.width) & (y <= prediction.height)
    labelled = inside & (keypoints.scores >= min_joint_score)
    visibility = np.where(labelled, keypoints.visibility, Visibility.NOT_LABELLED)
    return replace(prediction, keypoints=Keypoints(keypoints.xy, keypoints.scores, visibility.astype(np.uint8)))


def _load(loader: Loader, estimator: PoseEstimator) -> tuple[InputImage, Any] | BadInput:
    image = loader()
    if isinstance(image, BadInput):
        return image
    try:
        return image, estimator.prepare(image.file_name, image.pixels)
    except AnnotatorError as error:
        return BadInput(image.file_name, str(error))


def _detect(
    loading: tuple[Shard, list[Future[tuple[InputImage, Any] | BadInput]]],
    estimator: PoseEstimator,
    pool: ThreadPoolExecutor,
) -> tuple[int, list[InputImage], list[BadInput], list[Future[Any]]]:
    shard, futures = loading
    results = [future.result() for future in futures]
    bad = [result for result in results if isinstance(result, BadInput)]
    rows = [result for result in results if not isinstance(result, BadInput)]
    found = estimator.detect([prepared for _, prepared in rows])
    crops = [
        pool.submit(estimator.crop, image.pixels, subjects) for (image, _), subjects in zip(rows, found, strict=True)
    ]
    return shard.number, [image for image, _ in rows], bad, crops


def _one_ahead(values: Iterable[T]) -> Iterator[T]:
    """The same values, each made while the one before it is still being used."""
    iterator = iter(values)
    waiting = list(islice(iterator, 1))
    for value in iterator:
        yield waiting.pop()
        waiting.append(value)
    yield from waiting


def _prediction(image: InputImage, boxes: Boxes, keypoints: Keypoints) -> Prediction:
    height, width = image.pixels.shape[:2]
    return Prediction(image.file_name, width, height, image.source, boxes, keypoints)
