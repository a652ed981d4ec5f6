"""The zip is the same every time, passes independent readers, and CVAT's rules are known."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from cvat_export.archive import import_problems, write_archive
from cvat_export.coco import ANNOTATION_FILE, encode_coco, format_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton


def _dataset():
    instance = Instance("person", np.array([1, 2, 30, 40]), np.full((17, 2), 5.0), np.full(17, 2), score=0.5)
    category = Category("person", read_skeleton("coco17"))
    return Dataset((category,), (LabelledImage("a.jpg", 64, 48, (instance,)), LabelledImage("b.png", 64, 48)))


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "annotations").mkdir()
    (out / ANNOTATION_FILE).write_bytes(encode_coco(_dataset()))
    for name in ("a.jpg", "b.png"):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(out / "images" / name)
    return out


def test_same_bytes_at_any_time(folder, tmp_path):
    write_archive(folder, ["a.jpg", "b.png"], tmp_path / "1.zip")
    (folder / "images" / "a.jpg").touch()
    write_archive(folder, ["a.jpg", "b.png"], tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_holds_what_cvat_wants(folder, tmp_path):
    write_archive(folder, ["a.jpg", "b.png"], tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [ANNOTATION_FILE, "images/a.jpg", "images/b.png"]
        assert archive.read("images/a.jpg") == (folder / "images" / "a.jpg").read_bytes()
        assert import_problems(json.loads(archive.read(ANNOTATION_FILE))) == []


@pytest.mark.slow
def test_datumaro_reads_it(folder, tmp_path):
    datumaro = pytest.importorskip("datumaro")
    write_archive(folder, ["a.jpg", "b.png"], tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    items = {
        item.id: item for item in datumaro.Dataset.import_from(str(tmp_path / "unpacked"), "coco_person_keypoints")
    }
    assert set(items) == {"a", "b"}
    (points,) = [a for a in items["a"].annotations if a.type == datumaro.AnnotationType.points]
    assert len(points.points) == 34
    assert items["a"].media.data.shape[:2] == (48, 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(comment="hello"), "unknown top-level key 'comment'"),
        (lambda c: c["images"][1].update(file_name="a.png"), "a.jpg and a.png share one base name"),
        (lambda c: c["images"][1].update(file_name="x/b.png"), "is in a folder"),
        (lambda c: c["categories"][0].pop("skeleton"), "'keypoints' or 'skeleton' is missing"),
        (lambda c: c["annotations"][0].update(id=0), "whole numbers from 1"),
        (lambda c: c["annotations"][0].update(image_id=12), "drops it silently"),
        (lambda c: c["annotations"][0].update(segmentation=None), "segmentation must be []"),
        (lambda c: c["annotations"][0].pop("bbox"), "bbox must be four numbers"),
        (lambda c: c["annotations"][0].update(score=1.5), "score 1.5"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(0, float("nan")), "NaN"),
    ],
)
def test_rules_of_the_import(change, words):
    content = format_coco(_dataset())
    assert import_problems(content) == []
    change(content)
    assert any(words in problem for problem in import_problems(content))


@pytest.mark.shared_data
def test_what_cvat_took_breaks_no_rule(shared_data):
    pushed = json.loads((shared_data / "cvat" / "pushed_person_keypoints_default.json").read_text())
    assert import_problems(pushed) == []
