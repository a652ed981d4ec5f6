"""Box AP and AR against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvat_export.labels import Boxes
from trainers.metrics.box_precision import TrueBoxes, box_precision, tally_boxes

PLACES = {"AP": 0, "AP50": 1, "AP75": 2, "AP_S": 3, "AP_M": 4, "AP_L": 5, "AR": 8, "AR_S": 9, "AR_M": 10, "AR_L": 11}


def _scene(seed, images=12):
    """Rows of truth and results: boxes of all sizes, crowds, doubles, shifted ones, inventions, empty images."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    for image_id in range(1, images + 1):
        for _ in range(rng.integers(0, 7) * (rng.random() < 0.8)):
            side = float(rng.choice([10, 30, 32, 60, 96, 150]))
            box = np.array([*rng.uniform(0, 300, 2), side, side * rng.uniform(0.5, 1.5)]).round(1)
            crowd = int(rng.random() < 0.15)
            area = float(box[2] * box[3] * rng.choice([0.53, 1.0]))
            truth.append({"image_id": image_id, "bbox": box.tolist(), "area": area, "iscrowd": crowd})
            for _ in range(rng.choice([0, 1, 1, 2])):
                moved = (box + rng.normal(0, 0.1, 4) * side).round(1).clip([0, 0, 1, 1])
                results.append(
                    {"image_id": image_id, "bbox": moved.tolist(), "score": float(rng.choice([0.3, 0.6, 0.9]))}
                )
        for _ in range(rng.choice([0, 0, 3, 120])):
            box = [*rng.uniform(0, 300, 2).round(1), *rng.uniform(5, 120, 2).round(1)]
            results.append({"image_id": image_id, "bbox": list(map(float, box)), "score": float(rng.random())})
    return images, truth, results


def _verdict(images, truth, results):
    known = COCO()
    rows = [{**row, "id": number, "category_id": 1} for number, row in enumerate(truth, 1)]
    known.dataset = {
        "images": [{"id": n + 1} for n in range(images)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes([{**row, "category_id": 1} for row in results]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    return {name: float("nan") if stats[place] == -1 else float(stats[place]) for name, place in PLACES.items()}


def _ours(images, truth, results):
    def corners(rows):
        box = np.array([row["bbox"] for row in rows]).reshape(-1, 4)
        return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)

    crowd = np.array([row["iscrowd"] for row in truth], bool)
    image = np.array([row["image_id"] - 1 for row in truth], np.intp)
    table = TrueBoxes(image, corners(truth), np.array([row["area"] for row in truth]), crowd, crowd)
    found = []
    for number in range(images):
        rows = [row for row in results if row["image_id"] == number + 1]
        scores = np.array([row["score"] for row in rows], np.float32)
        found.append(Boxes(corners(rows).astype(np.float32), scores, ("person",) * len(rows)))
    return table, found


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_pycocotools(seed):
    scene = _scene(seed)
    expected, got = _verdict(*scene), box_precision(*_ours(*scene))
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_recall_and_false_boxes_at_a_score():
    truth = TrueBoxes(
        np.array([0, 0, 1]),
        np.array([[0, 0, 100, 100], [200, 0, 220, 20], [0, 0, 50, 50]], float),
        np.array([1e4, 400, 2500]),
        np.array([False, False, True]),
        np.array([False, False, True]),
    )
    found = [
        Boxes(np.float32([[5, 0, 100, 100], [300, 300, 320, 320]]), np.float32([0.9, 0.8]), ("person",) * 2),
        Boxes(np.float32([[10, 10, 20, 20], [0, 0, 50, 50]]), np.float32([0.9, 0.2]), ("person",) * 2),
        Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ()),
    ]
    seen = tally_boxes(truth, found, 0.5)
    assert {size: (seen.found[size].sum(), seen.wanted[size].sum()) for size in seen.found} == {
        "all": (1, 2),
        "small": (0, 1),
        "medium": (0, 0),
        "large": (1, 1),
    }
    assert seen.false.tolist() == [1, 0, 0]  # who lies in a crowd is not wrong
    assert seen.boxes.tolist() == [2, 1, 0]
