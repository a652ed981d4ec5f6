"""predictions.jsonl keeps what COCO and CVAT cannot."""

import json

import numpy as np
import pytest

from annotator.errors import AnnotatorError
from annotator.predictions import FrameSource, ModelIdentity, Prediction, read_predictions
from cvat_export.labels import Boxes, Keypoints

DETECTION, POSE = ModelIdentity("hog", None), ModelIdentity("pose.onnx", "ab" * 32)


def _prediction(subjects=2, joints=3):
    rng = np.random.default_rng(7)
    boxes = Boxes(rng.uniform(0, 100, (subjects, 4)), rng.uniform(0, 1, subjects), ("person",) * subjects)
    keypoints = Keypoints(
        rng.uniform(0, 100, (subjects, joints, 2)),
        rng.uniform(0, 1, (subjects, joints)),
        rng.integers(0, 3, (subjects, joints)),
    )
    return Prediction("a.jpg", 120, 110, FrameSource("cd" * 32, 512, "1/15360"), boxes, keypoints)


@pytest.mark.parametrize("subjects", [0, 1, 3])
def test_round_trip(subjects):
    before = _prediction(subjects)
    row = before.to_json(DETECTION, POSE)
    after = Prediction.from_json(json.loads(json.dumps(row)))
    assert after.source == before.source
    np.testing.assert_allclose(after.boxes.bbox_xyxy, before.boxes.bbox_xyxy, atol=0.0051)
    np.testing.assert_array_equal(after.keypoints.visibility.ravel(), before.keypoints.visibility.ravel())
    assert after.to_json(DETECTION, POSE) == row


def test_a_line_names_frame_and_models():
    row = _prediction().to_json(DETECTION, POSE)
    assert row["frame"] == {"sha256": "cd" * 32, "pts": 512, "time_base": "1/15360"}
    assert row["detection"] == {"name": "hog", "sha256": None}
    assert row["pose"]["sha256"] == "ab" * 32


def test_labels_are_row_by_row():
    prediction = _prediction()
    image = prediction.labelled("cat")
    assert [instance.category for instance in image.instances] == ["cat", "cat"]
    np.testing.assert_array_equal(image.instances[1].xy, prediction.keypoints.xy[1])


def test_doubt_is_the_weakest_subjects():
    prediction = _prediction()
    assert prediction.doubt == pytest.approx(1 - prediction.keypoints.scores.mean(axis=1).min())
    assert _prediction(0).doubt == 0


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(_prediction().to_json(DETECTION, POSE)) + "\n{\n")
    with pytest.raises(AnnotatorError, match=r"predictions\.jsonl:2: is not a prediction"):
        list(read_predictions(path))
