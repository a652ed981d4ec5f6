"""What is counted, where not everybody in a picture is labelled or whole; sizes and speeds."""

from types import SimpleNamespace

import numpy as np

from annotator.evaluated_poses import Poses
from benchmarks.released.boxes import cut_off_by_border
from benchmarks.released.models import model_bytes
from benchmarks.released.poses import of_labelled
from benchmarks.released.speed import ratio
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton


def test_strangers_in_a_picture_are_not_counted():
    """The best overlap stays, however small; who overlaps with nobody goes."""
    data = SimpleNamespace(images=[_image("a", (0, 0, 10, 10)), _image("b", (0, 0, 10, 10)), _image("c", (0, 0, 9, 9))])
    found = {
        "a": (_person(40, 40, 50, 50), _person(0, 0, 10, 9), _person(0, 0, 10, 5)),
        "b": (_person(40, 40, 50, 50),),
    }
    kept = of_labelled(Poses("model", read_skeleton("coco17"), found), data)
    assert kept.of_image == {"a": found["a"][1:2], "b": (), "c": ()}


def test_who_touches_the_border_is_cut_off():
    boxes = [(5, 5, 20, 20), (1, 5, 20, 20), (5, 5, 99, 20), (5, 5, 20, 49)]
    image = SimpleNamespace(size=(100, 50), bbox_xyxy=np.array(boxes, np.float32))
    assert cut_off_by_border(image).tolist() == [False, True, True, True]


def test_an_irs_size_is_that_of_both_files(tmp_path):
    for name, content in (("model.xml", b"<net></net>"), ("model.bin", b"x" * 300), ("model.tflite", b"0000TFL3")):
        (tmp_path / name).write_bytes(content)
    assert model_bytes(tmp_path / "model.xml") == 311
    assert model_bytes(tmp_path / "model.tflite") == 8


def test_twice_as_fast_is_two():
    found = ratio("ours over theirs", {"ours": [1.0, 2.0, 1.0], "theirs": [2.0, 4.0, 3.0]}, "ours", "theirs")
    assert (found.median, found.low, found.high) == (2.0, 2.0, 2.5)


def _image(name, box):
    return SimpleNamespace(file_name=name, instances=(_person(*box),))


def _person(*corners):
    joints = np.zeros((17, 2), np.float32)
    return Instance("person", np.array(corners, np.float32), joints, np.zeros(17, np.uint8))
