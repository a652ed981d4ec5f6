"""Random people as COCO's rows, and pycocotools' verdict on them."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from trainers.metrics.tables import EstimateTable, TruthTable

NAMES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
Row = dict[str, Any]


def coco_verdict(images: int, truth: list[Row], results: list[Row], sigmas: np.ndarray) -> dict[str, float]:
    """The ten numbers; NaN where pycocotools says -1."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = prepare_oracle(images, truth, results, sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float("nan") if n == -1 else float(n) for name, n in zip(NAMES, evaluation.stats, strict=True)}


def prepare_oracle(images: int, truth: list[Row], results: list[Row], sigmas: np.ndarray) -> COCOeval:
    """COCOeval with everything loaded."""
    known = COCO()
    known.dataset = {
        "images": [{"id": number + 1} for number in range(images)],
        "annotations": copy.deepcopy(truth),
        "categories": [{"id": 1, "name": "person"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        found = known.loadRes(copy.deepcopy(results)) if results else _nobody(known)
        evaluation = COCOeval(known, found, "keypoints")
    evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
    return evaluation


def tables(truth: list[Row], results: list[Row], joints: int) -> tuple[TruthTable, EstimateTable]:
    """The same rows as this project's arrays."""
    truth = sorted(truth, key=lambda row: row["image_id"])
    results = sorted(results, key=lambda row: row["image_id"])
    ours = TruthTable(
        image=_column(truth, "image_id").astype(int) - 1,
        xy=_keypoints(truth, joints)[..., :2],
        labelled=_keypoints(truth, joints)[..., 2] > 0,
        bbox_xywh=_column(truth, "bbox", 4),
        area=_column(truth, "area"),
        crowd=_column(truth, "iscrowd") > 0,
    )
    theirs = EstimateTable(
        image=_column(results, "image_id").astype(int) - 1,
        xy=_keypoints(results, joints)[..., :2],
        proposed=np.ones((len(results), joints), bool),
        bbox_xywh=_column(results, "bbox", 4),
        scores=_column(results, "score"),
        joint_scores=np.full((len(results), joints), np.nan),
    )
    return ours, theirs


def random_people(seed: int, images: int, joints: int = 17, most: int = 8) -> tuple[list[Row], list[Row]]:
    """Truth and results: people of all sizes, some crowds, some without joints, some missed, doubled or invented."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    for image_id in range(1, images + 1):
        people = [_person(rng, image_id, joints) for _ in range(rng.integers(0, most) * (rng.random() < 0.8))]
        truth += people
        for person in people:
            results += [_estimate(rng, person, joints) for _ in range(rng.choice([0, 1, 1, 1, 2]))]
        results += [_estimate(rng, _person(rng, image_id, joints), joints) for _ in range(rng.choice([0, 0, 1]))]
    order = rng.permutation(len(results))
    for number, row in enumerate(truth):
        row["id"] = number + 1
    return truth, [results[i] for i in order]


def _person(rng: np.random.Generator, image_id: int, joints: int) -> Row:
    x, y, size = *rng.uniform(0, 400, 2), float(np.exp(rng.uniform(2.5, 5.8)))
    bbox = np.round([x, y, size * rng.uniform(0.3, 1), size], 2)
    crowd, jointless = rng.random(2) < (0.05, 0.15)
    visibility = np.where(rng.random(joints) < 0.7, rng.integers(1, 3, joints), 0) * (not jointless)
    xy = bbox[:2] + bbox[2:] * rng.random((joints, 2)) * (visibility > 0)[:, None]
    keypoints = np.column_stack([np.round(xy, 2), visibility]).ravel().tolist()
    area = round(float(bbox[2] * bbox[3] * rng.uniform(0.4, 0.9)), 2)
    return {
        "image_id": image_id,
        "category_id": 1,
        "bbox": bbox.tolist(),
        "area": area,
        "iscrowd": int(crowd),
        "keypoints": keypoints,
        "num_keypoints": int((visibility > 0).sum()),
    }


def _estimate(rng: np.random.Generator, person: Row, joints: int) -> Row:
    spread = np.sqrt(person["area"]) * rng.choice([0.01, 0.05, 0.2])
    xy = np.reshape(person["keypoints"], (joints, 3))[:, :2] + rng.normal(0, spread, (joints, 2))
    return {
        "image_id": person["image_id"],
        "category_id": 1,
        "bbox": np.round(np.array(person["bbox"]) + np.abs(rng.normal(0, spread, 4)), 2).tolist(),
        "keypoints": np.column_stack([np.round(xy, 2), np.ones(joints)]).ravel().tolist(),
        "score": round(float(rng.random()), int(rng.choice([1, 4]))),
    }


def _nobody(known: COCO) -> COCO:
    found = COCO()
    found.dataset = {**known.dataset, "annotations": []}
    found.createIndex()
    return found


def _column(rows: list[Row], key: str, width: int = 0) -> np.ndarray:
    return np.array([row[key] for row in rows], float).reshape((-1, width) if width else -1)


def _keypoints(rows: list[Row], joints: int) -> np.ndarray:
    return np.array([row["keypoints"] for row in rows], float).reshape(-1, joints, 3)
