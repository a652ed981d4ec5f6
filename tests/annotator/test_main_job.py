"""The main job on real videos, as the README gives it, judged by readers that are not ours."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pycocotools.coco import COCO

from annotator.cli import group
from annotator.predictions import read_predictions
from cvat_export.archive import import_problems
from cvat_export.coco import ANNOTATION_FILE, read_coco

pytestmark = [pytest.mark.shared_data, pytest.mark.slow]

CARD = Path(__file__).parents[1] / "cards" / "movenet_lightning.yaml"


def _run(*arguments):
    result = CliRunner().invoke(group, [str(argument) for argument in arguments], standalone_mode=False)
    assert result.exception is None, result.output
    assert not result.return_value, result.output
    return result


@pytest.fixture(scope="module")
def pose(shared_data):
    return ["--pose", shared_data / "models" / "movenet_lightning_int8.tflite", "--pose-card", CARD]


@pytest.fixture(scope="module")
def proposed(shared_data, pose, tmp_path_factory):
    """24 frames of people crossing a room one by one, with HOG's boxes and MoveNet's joints."""
    folder = tmp_path_factory.mktemp("main_job")
    frames, out = folder / "frames", folder / "out"
    _run("choose-frames", shared_data / "videos" / "people_one_by_one.mp4", "-o", frames, "-n", 24, "--report")
    _run("preannotate", frames, "-o", out, "--detection", "hog", *pose)
    return folder


def test_frames_and_dataset_agree(proposed):
    chosen = [json.loads(line) for line in (proposed / "frames" / "manifest.jsonl").read_text().splitlines()]
    assert len(chosen) == 24
    predictions = list(read_predictions(proposed / "out" / "predictions.jsonl"))
    assert [(p.file_name, p.source.sha256, p.source.pts) for p in predictions] == [
        (row["file"], row["sha256"], row["pts"]) for row in chosen
    ]
    assert sum(len(prediction.boxes) for prediction in predictions) > 0


def test_pycocotools_and_datumaro_read_the_zip(proposed, tmp_path):
    datumaro = pytest.importorskip("datumaro")
    with zipfile.ZipFile(proposed / "out.zip") as archive:
        archive.extractall(tmp_path)
    assert import_problems(json.loads((tmp_path / ANNOTATION_FILE).read_text())) == []
    coco = COCO(tmp_path / ANNOTATION_FILE)
    items = {item.id: item for item in datumaro.Dataset.import_from(str(tmp_path), "coco_person_keypoints")}
    assert len(items) == len(coco.imgs) == 24
    for image in coco.imgs.values():
        rows = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        item = items[Path(image["file_name"]).stem]
        assert item.media.data.shape[:2] == (image["height"], image["width"])
        points = [a.points for a in item.annotations if a.type == datumaro.AnnotationType.points]
        expected = [np.reshape(row["keypoints"], (-1, 3))[:, :2].ravel() for row in rows]
        np.testing.assert_allclose(sorted(map(list, points)), sorted(map(list, expected)))


def test_a_street_without_people_stays_empty(shared_data, pose, tmp_path):
    clips = tmp_path / "clips"
    _run("clip", shared_data / "videos" / "cars_no_people.mp4", "-o", clips, "--step", 5)
    _run("preannotate", clips / "clip_00000", "-o", tmp_path / "out", "--detection", "hog", *pose)
    images = read_coco(tmp_path / "out").images
    assert len(images) == 76
    assert np.mean([not image.instances for image in images]) >= 0.95


def test_a_video_gives_all_of_its_frames(shared_data, pose, tmp_path):
    video = shared_data / "videos" / "rotation_metadata.mp4"
    _run("preannotate", video, "-o", tmp_path / "out", "--detection", "full-frame", *pose, "--report-pictures", 5)
    dataset = read_coco(tmp_path / "out")
    assert {(image.width < image.height) for image in dataset.images} == {True}
    pts = [prediction.source.pts for prediction in read_predictions(tmp_path / "out" / "predictions.jsonl")]
    assert pts == sorted(set(pts))
