"""COCO JSON keeps what it is given, is what pycocotools reads, and says what is wrong with what it is not."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from cvat_export.coco import encode_coco, format_coco, parse_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton

COCO17 = read_skeleton("coco17")
PERSON = Category("person", COCO17)


def _instance(xy=(10.0, 20.0), visibility=2, **changes):
    given = {
        "category": "person",
        "bbox_xyxy": np.array([1, 2, 30, 40]),
        "xy": np.broadcast_to(xy, (17, 2)),
        "visibility": np.broadcast_to(visibility, 17),
    }
    return Instance(**{**given, **changes})


def _dataset(*instances):
    return Dataset((PERSON,), (LabelledImage("a.jpg", 64, 48, instances), LabelledImage("empty.jpg", 64, 48)))


coordinates = st.floats(-100, 2000, width=32)


@given(
    boxes=st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), max_size=3),
    joints=st.lists(st.tuples(coordinates, coordinates, st.sampled_from([0, 1, 2])), min_size=17, max_size=17),
)
def test_round_trip_within_two_decimals(boxes, joints):
    xyv = np.array(joints, np.float64)
    instances = [_instance(bbox_xyxy=np.array(box), xy=xyv[:, :2], visibility=xyv[:, 2]) for box in boxes]
    back = parse_coco(json.loads(encode_coco(_dataset(*instances))), "test")
    assert [image.file_name for image in back.images] == ["a.jpg", "empty.jpg"]
    assert len(back.images[0].instances) == len(boxes)
    for before, after in zip(instances, back.images[0].instances, strict=True):
        np.testing.assert_allclose(after.xy, before.xy, atol=0.006)
        np.testing.assert_allclose(after.bbox_xyxy, before.bbox_xyxy, atol=0.011)
        np.testing.assert_array_equal(after.visibility, before.visibility)


def test_a_second_round_trip_changes_no_byte():
    once = encode_coco(_dataset(_instance(xy=(10.123, 20.456), score=0.87654)))
    assert encode_coco(parse_coco(json.loads(once), "test")) == once


def test_unknown_fields_survive():
    content = format_coco(_dataset(_instance()))
    content["licenses"] = [{"id": 3, "name": "mine"}]
    content["images"][0]["camera"] = {"name": "left"}
    content["annotations"][0]["attributes"] = {"mood": "good"}
    content["annotations"][0]["area"] = 12.5
    content["categories"][0]["colour"] = "red"
    assert format_coco(parse_coco(content, "test")) == content


def test_ids_of_the_file_are_kept_and_gaps_are_filled():
    content = format_coco(_dataset(_instance(), _instance()))
    content["images"][0]["id"] = 77
    for row in content["annotations"]:
        row["image_id"] = 77
    content["annotations"][1]["id"] = 900
    back = format_coco(parse_coco(content, "test"))
    assert [image["id"] for image in back["images"]] == [77, 2]
    assert [row["id"] for row in back["annotations"]] == [1, 900]


def test_pycocotools_reads_it(tmp_path):
    path = tmp_path / "coco.json"
    path.write_bytes(encode_coco(_dataset(_instance(), _instance(visibility=1))))
    coco = COCO(path)
    assert len(coco.getImgIds()) == 2
    (category,) = coco.loadCats(coco.getCatIds())
    assert category["keypoints"] == list(COCO17.joints)
    rows = coco.loadAnns(coco.getAnnIds())
    assert [row["num_keypoints"] for row in rows] == [17, 17]
    assert rows[0]["bbox"] == [1, 2, 29, 38]


def test_the_same_joints_get_cocos_sigmas_and_pairs():
    content = format_coco(_dataset())
    content["categories"][0]["keypoints"] = [joint.replace("_", " ").title() for joint in COCO17.joints]
    skeleton = parse_coco(content, "test").categories[0].skeleton
    assert skeleton.sigmas == COCO17.sigmas
    assert skeleton.flip_pairs == COCO17.flip_pairs
    assert skeleton.joints[1] == "Left Eye"


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "name",
    [
        "standing_people/annotations/person_keypoints.json",
        "cats/annotations/cat_keypoints_test.json",
        "openfield_mouse/annotations/mouse_keypoints.json",
        "coco_people/annotations/person_keypoints_val.json",
        "lspet/annotations/person_keypoints_val.json",
    ],
)
def test_real_files_survive(shared_data, name):
    content = json.loads((shared_data / name).read_text())
    back = format_coco(read_coco(shared_data / name))
    assert len(back["annotations"]) == len(content["annotations"])
    assert {image["id"] for image in back["images"]} == {image["id"] for image in content["images"]}
    by_id = {row["id"]: row for row in back["annotations"]}
    for row in content["annotations"]:
        # Labels are float32 in memory and have two decimals on disk.
        np.testing.assert_allclose(by_id[row["id"]]["keypoints"], row["keypoints"], atol=0.0051)
        np.testing.assert_allclose(by_id[row["id"]]["bbox"], row["bbox"], atol=0.011)
        known = {"keypoints", "bbox", "num_keypoints", "score"}
        assert {k: v for k, v in by_id[row["id"]].items() if k in row and k not in known} == {
            k: v for k, v in row.items() if k not in known
        }


@pytest.mark.shared_data
def test_cvats_own_export_is_read(shared_data):
    dataset = read_coco(shared_data / "cvat" / "exported_task.zip")
    assert [len(image.instances) for image in dataset.images].count(0) >= 1
    assert dataset.categories[0].skeleton.joints == COCO17.joints


def _broken(change):
    content = format_coco(_dataset(_instance()))
    change(content)
    return content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("images"), "'images' is missing"),
        (lambda c: c["annotations"][0].pop("bbox"), "annotations[0] (id 1): 'bbox' is missing"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "got 3 numbers, expected 4"),
        (lambda c: c["annotations"][0].update(keypoints=[0] * 50), "got 50 numbers, expected 51"),
        (lambda c: c["annotations"][0].update(keypoints=[float("nan")] * 51), "NaN"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2, 7] * 17), "visibility of 7"),
        (lambda c: c["annotations"][0].update(category_id=5), "got category_id 5, expected one of: 1"),
        (lambda c: c["annotations"][0].update(image_id=9), "belong to no image"),
        (lambda c: c["images"][0].pop("width"), "images[0]: 'width' is missing"),
        (lambda c: c["categories"][0].update(keypoints=["a", "A"]), "names both 'a' and 'A'"),
    ],
)
def test_errors_say_where(change, words):
    with pytest.raises(CvatExportError, match="test") as caught:
        parse_coco(_broken(change), "test")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfe", "cannot be read"), (b"{", "is not JSON"), (b"[]", "got a list")],
)
def test_files_that_are_not_coco(tmp_path, content, words):
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(CvatExportError, match=words):
        read_coco(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CvatExportError, match=r"nowhere\.json: no such file"):
        read_coco(tmp_path / "nowhere.json")
