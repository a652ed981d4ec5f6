"""Datumaro's JSON is read as CVAT's fork of it and as Datumaro itself write it."""

import json
import zipfile

import numpy as np
import pytest

from cvat_export.datumaro_json import parse_datumaro
from cvat_export.errors import CvatExportError
from cvat_export.export_reading import read_export

# What github.com/cvat-ai/datumaro 8970bb7b, the library in CVAT, wrote with Dataset.export(…, "datumaro") from a
# Skeleton of two Points (eye hidden, nose absent), a Bbox, a Label, and an item whose image has no path.
WRITTEN_BY_CVATS_DATUMARO = """{"info":{},"categories":{"label":{"labels":[
{"name":"person","parent":"","attributes":[]},{"name":"nose","parent":"person","attributes":[]},
{"name":"eye","parent":"person","attributes":[]},{"name":"car","parent":"","attributes":[]}],
"attributes":["occluded"]},"points":{"items":[{"label_id":0,"labels":["nose","eye"],"joints":[[1,2]]}]}},"items":[
{"id":"a/b","annotations":[{"id":0,"type":"skeleton","attributes":{"occluded":false,"keyframe":false},"group":0,
"label_id":0,"points":[1,2,0,3.5,4.25,1],"points_attributes":[{},{"k":1}]},
{"id":0,"type":"bbox","attributes":{"occluded":false,"rotation":0.0},"group":0,"label_id":3,"z_order":0,
"bbox":[1.0,2.0,3.0,4.0]},{"id":0,"type":"label","attributes":{},"group":0,"label_id":3}],"attr":{"frame":0},
"image":{"path":"a/b.png","size":[48,64]}},
{"id":"empty","annotations":[],"attr":{"frame":1},"image":{"path":"","size":[48,64]}}]}"""


def test_a_skeleton_of_cvats_datumaro():
    dataset, notes = parse_datumaro(json.loads(WRITTEN_BY_CVATS_DATUMARO), "test.json")
    (category,) = dataset.categories
    assert (category.name, category.skeleton.joints, category.skeleton.edges) == ("person", ("nose", "eye"), ((0, 1),))
    image, empty = dataset.images
    assert (image.file_name, image.width, image.height, image.extra) == ("a/b.png", 64, 48, {"frame": 0})
    assert (empty.file_name, empty.instances) == ("empty.jpg", ())
    (instance,) = image.instances
    assert instance.xy.tolist() == [[1, 2], [3.5, 4.25]]
    assert instance.visibility.tolist() == [0, 1]
    assert instance.bbox_xyxy.tolist() == [3.5, 4.25, 3.5, 4.25]
    assert instance.extra == {
        "attributes": {"occluded": False, "keyframe": False},
        "joint_attributes": {"eye": {"k": 1}},
    }
    assert notes == (
        "not taken: 1 x rectangle, label 'car'",
        "not taken: 1 x tag, label 'car'",
        "1 images have no file name here: .jpg was added to their ids",
    )


def _with_datumaro(folder, joints=((1, 2), (3, 1))):
    """Files that the installed Datumaro writes: keypoints, other shapes, two subsets, nobody in the last image."""
    datumaro = pytest.importorskip("datumaro")
    annotation = pytest.importorskip("datumaro.components.annotation")
    labels = annotation.LabelCategories.from_iterable([("человек",), ("nose", "человек"), ("car",)])
    points = annotation.PointsCategories()
    points.add(0, ["nose", "left_eye", "right_eye"], joints)
    size = {"size": (48, 64)}
    shapes = [
        annotation.Points([1, 2, 3.5, 4.25, 50, 60], [2, 1, 0], label=0, attributes={"mood": "да"}, group=4, z_order=1),
        annotation.Points([1, 2, 3, 4], label=0),
        annotation.Points([1, 2], label=2),
        annotation.Bbox(1, 2, 3, 4, label=2),
        annotation.Polygon([1, 2, 3, 4, 5, 6], label=2),
        annotation.PolyLine([1, 2, 3, 4], label=2),
        annotation.Ellipse(1, 2, 3, 4, label=2),
        annotation.Mask(np.eye(4, dtype=np.uint8), label=2),
        annotation.Label(2),
        annotation.Caption("hello"),
    ]
    image = datumaro.components.media.Image.from_file
    items = [
        datumaro.DatasetItem("кадр/a", subset="train", media=image(path="кадр/a.png", **size), annotations=shapes),
        datumaro.DatasetItem("b", subset="val", media=image(path="b.png", **size)),
    ]
    categories = {annotation.AnnotationType.label: labels, annotation.AnnotationType.points: points}
    datumaro.Dataset.from_iterable(items, categories=categories).export(str(folder), "datumaro")
    return folder


def test_keypoints_of_datumaro_itself(tmp_path):
    export = read_export(_with_datumaro(tmp_path / "out"))
    dataset, notes = export.dataset, export.notes
    (category,) = dataset.categories
    assert (category.name, category.skeleton.joints) == ("человек", ("nose", "left_eye", "right_eye"))
    assert set(category.skeleton.edges) == {(0, 1), (2, 0)}
    assert [(image.file_name, image.extra["subset"]) for image in dataset.images] == [
        ("кадр/a.png", "train"),
        ("b.png", "val"),
    ]
    (instance,) = dataset.images[0].instances
    assert instance.xy.tolist() == [[1, 2], [3.5, 4.25], [50, 60]]
    assert instance.visibility.tolist() == [2, 1, 0]
    assert instance.bbox_xyxy.tolist() == [1, 2, 3.5, 4.25]
    assert instance.extra == {"attributes": {"mood": "да"}, "group_id": 4, "z_order": 1}
    assert dataset.images[1].instances == ()
    assert notes == (
        "not taken: 1 x caption, label ''",
        "not taken: 1 x ellipse, label 'car'",
        "not taken: 1 x mask, label 'car'",
        "not taken: 1 x points, label 'car'",
        "not taken: 1 x points, label 'человек'",
        "not taken: 1 x polygon, label 'car'",
        "not taken: 1 x polyline, label 'car'",
        "not taken: 1 x rectangle, label 'car'",
        "not taken: 1 x tag, label 'car'",
    )


def test_edges_that_count_from_0(tmp_path):
    dataset = read_export(_with_datumaro(tmp_path / "out", joints=((0, 1), (2, 0)))).dataset
    assert set(dataset.categories[0].skeleton.edges) == {(0, 1), (2, 0)}


def test_from_a_zip_and_a_file(tmp_path):
    (tmp_path / "default.json").write_text(WRITTEN_BY_CVATS_DATUMARO)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "default.json", "annotations/default.json")
    for name in ("default.json", "a.zip"):
        assert "subset" not in read_export(tmp_path / name).dataset.images[0].extra
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(CvatExportError, match=r"other\.json: got .*JSON with the keys none"):
        read_export(tmp_path / "other.json")


def test_subsets_with_other_joints_are_not_mixed(tmp_path):
    (tmp_path / "a.json").write_text(WRITTEN_BY_CVATS_DATUMARO)
    (tmp_path / "b.json").write_text(WRITTEN_BY_CVATS_DATUMARO.replace('"labels":["nose"', '"labels":["beak"'))
    with pytest.raises(CvatExportError, match=r"subset 'b': got categories .*beak.*, expected .*nose"):
        read_export(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[1,2,0,3.5,4.25,1]", "[1,2,0,3.5,4.25]", "points: got shape (5,), expected 6 numbers"),
        ("[1,2,0,3.5,4.25,1]", '[1,2,0,3.5,4.25,"x"]', "points: got no list of numbers"),
        ("[1,2,0,3.5,4.25,1]", "[1,2,0,3.5,4.25,3]", "got a visibility of 3"),
        ("[1,2,0,3.5,4.25,1]", "[1,2,0,3.5,NaN,1]", "NaN or infinite"),
        ("[1,2,0,3.5,4.25,1]", "[1,2,0,3.5,1e999,1]", "NaN or infinite"),
        ("[1,2,0,3.5,4.25,1]", f"[1,2,0,3.5,{'9' * 400},1]", "points: got no list of numbers"),
        ('"group":0,\n"label_id":0', '"group":0,\n"label_id":1', "a skeleton of label 'nose', which has no joints"),
        ('"group":0,\n"label_id":0', '"group":0,\n"label_id":-1', "got label_id -1, expected 0 to 3"),
        ('{"label_id":0', '{"label_id":9', "got label_id 9, expected 0 to 3"),
        ('"labels":["nose","eye"]', '"labels":["nose","Nose"]', "names both"),
        ('"labels":["nose","eye"]', '"labels":3', "got int, expected a list"),
        ("[[1,2]]", "[[1,3]]", "edge (0, 2)"),
        ("[[1,2]]", '[["1",2]]', "expected a pair of whole numbers"),
        ('"size":[48,64]', '"size":[48]', "item 'a/b': got no image with a size"),
        ('"size":[48,64]', '"size":["a",64]', "got size (64, 'a')"),
        ('"path":"a/b.png"', '"path":"/etc/passwd"', "got an absolute path"),
        ('"path":"a/b.png"', '"path":7', "got the path 7"),
        ('"annotations":[{', '"annotations":[7,{', "annotations[0]: got int, expected an object"),
        ('"annotations":[]', '"annotations":{}', "item 'empty': annotations: got dict, expected a list"),
        ('"points_attributes":[{},{"k":1}]', '"points_attributes":5', "points_attributes: got int"),
    ],
)
def test_errors_say_where(old, new, words):
    assert old in WRITTEN_BY_CVATS_DATUMARO
    with pytest.raises(CvatExportError, match=r"test\.json") as caught:
        parse_datumaro(json.loads(WRITTEN_BY_CVATS_DATUMARO.replace(old, new)), "test.json")
    assert words in str(caught.value)
