"""Subjects come from every format with their images; what would stop a training is said before it begins."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from cvat_export.errors import CvatExportError
from cvat_export.skeleton import Skeleton
from tests.trainers.labelled_folders import (
    CATEGORY,
    JOINTS,
    content,
    subject,
    write_folder,
    write_image,
    write_json,
    write_zip,
)
from trainers.errors import TrainersError
from trainers.label_sources import LabelSource, inspect_labels, read_labels
from trainers.subject_boxes import HULL_GROWTH

ERRORS = (TrainersError, CvatExportError)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "set")


def _read(*paths, **options):
    return read_labels([LabelSource(path) for path in paths], **options)


def _changed(folder, change):
    """The folder with its labels changed in place."""
    path = folder / "annotations" / "labels.json"
    labels = json.loads(path.read_text())
    change(labels)
    path.write_text(json.dumps(labels))
    return folder


def _refused(folder, *words, **options):
    with pytest.raises(ERRORS) as caught:
        _read(folder, **options)
    for word in words:
        assert word in str(caught.value)


def test_a_folder_its_file_and_its_zip_are_one(folder, tmp_path):
    zipped = write_zip(tmp_path / "set.zip", folder)
    results = [_read(path) for path in (folder, folder / "annotations" / "labels.json", zipped)]
    for data in results:
        assert [s.file_name for s in data.samples] == ["a.png", "b.png", "c.png"]
        assert data.category == "mouse" and data.skeleton.joints == tuple(JOINTS)
        np.testing.assert_array_equal(data.samples[1].image.read(), results[0].samples[1].image.read())
        np.testing.assert_array_equal(data.samples[0].instance.visibility, [2, 2, 1, 2])
        np.testing.assert_array_equal(data.samples[0].instance.bbox_xyxy, [8, 4, 34, 20])
        assert all(len(value) == 64 for value in data.sha256.values())
    assert results[2].samples[0].image.member == "images/a.png"


def _cvat_xml():
    """The labels of `content(["a.png"])` as CVAT for images 1.1."""
    svg = "".join(f'&lt;circle data-label-name="{joint}"&gt;&lt;/circle&gt;' for joint in JOINTS)
    labels = f"<label><name>mouse</name><type>skeleton</type><svg>{svg}</svg></label>"
    labels += "".join(
        f"<label><name>{joint}</name><type>points</type><parent>mouse</parent></label>" for joint in JOINTS
    )
    x, y, v = (subject(1, 1)["keypoints"][start::3] for start in range(3))
    points = "".join(
        f'<points label="{joint}" outside="0" occluded="{int(v[n] == 1)}" points="{x[n]},{y[n]}"/>'
        for n, joint in enumerate(JOINTS)
    )
    image = f'<image id="0" name="a.png" width="64" height="48"><skeleton label="mouse">{points}</skeleton></image>'
    return f"<annotations><version>1.1</version><meta><labels>{labels}</labels></meta>{image}</annotations>"


def _datumaro():
    """The same as CVAT's Datumaro."""
    names = [("mouse", ""), *((joint, "mouse") for joint in JOINTS)]
    labels = [{"name": name, "parent": parent, "attributes": []} for name, parent in names]
    shape = {"id": 0, "type": "skeleton", "attributes": {}, "group": 0, "label_id": 0}
    shape |= {"points": subject(1, 1)["keypoints"], "points_attributes": [{}] * len(JOINTS)}
    item = {"id": "a", "annotations": [shape], "attr": {"frame": 0}, "image": {"path": "a.png", "size": [48, 64]}}
    points = {"items": [{"label_id": 0, "labels": JOINTS, "joints": []}]}
    return json.dumps({"info": {}, "categories": {"label": {"labels": labels}, "points": points}, "items": [item]})


@pytest.mark.parametrize(
    ("member", "text", "image"),
    [
        ("annotations.xml", _cvat_xml(), "images/a.png"),
        ("annotations/default.json", _datumaro(), "images/default/a.png"),
    ],
    ids=["CVAT XML", "Datumaro"],
)
def test_zips_of_cvats_other_formats_with_their_images(folder, tmp_path, member, text, image):
    path = tmp_path / "task.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, text)
        archive.write(folder / "images" / "a.png", image)
    (sample,), expected = _read(path).samples, _read(folder).samples[0]
    np.testing.assert_array_equal(sample.instance.xy, expected.instance.xy)
    np.testing.assert_array_equal(sample.instance.visibility, expected.instance.visibility)
    np.testing.assert_array_equal(sample.image.read(), expected.image.read())
    assert sample.image.member == image
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(path).extractall(unpacked)
    assert _read(unpacked).samples[0].image.path == unpacked / image


def test_records_beside_the_annotations_are_no_labels(folder):
    (folder / "changes.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (folder / "report.html").write_text("<!doctype html><html></html>")
    assert len(_read(folder).samples) == 3


@pytest.mark.parametrize("place", ["images/default", "images", "annotations"])
def test_images_are_found_where_cvat_and_people_put_them(tmp_path, place):
    path = write_json(tmp_path, content(["a.png"]))
    write_image(tmp_path / place / "a.png")
    assert len(_read(path).samples) == 1


def test_images_in_a_folder_that_is_named(folder, tmp_path):
    path = write_json(tmp_path / "elsewhere", content(["a.png"]), "one.json")
    data = read_labels([LabelSource(path, images=folder / "images")])
    assert data.samples[0].image.path == folder / "images" / "a.png"


def test_a_zip_without_images_finds_them_beside_it(folder, tmp_path):
    zipped = write_zip(tmp_path / "set.zip", folder, images=False)
    assert {s.image.member for s in _read(zipped).samples} == {None}


def test_a_changed_suffix_is_followed(tmp_path):
    path = write_json(tmp_path, content(["frame_0.jpg"]))
    write_image(tmp_path / "images" / "frame_0.png")
    assert _read(path).samples[0].image.path.name == "frame_0.png"


def test_one_file_is_never_two_images(tmp_path):
    path = write_json(tmp_path, content(["one/0.png", "two/0.png"]))
    write_image(tmp_path / "images" / "0.png")
    _refused(path, "two/0.png", "the only file for it and for 'one/0.png'")


def test_names_are_unique_over_sources(tmp_path):
    one, two = (write_folder(tmp_path / name, ("a.png", f"{name}.png")) for name in ("one", "two"))
    data = _read(one, two)
    assert [s.file_name for s in data.samples] == ["one/a.png", "one.png", "two/a.png", "two.png"]
    assert [i.file_name for i in data.images] == [s.file_name for s in data.samples]
    assert set(data.files) == set(data.groups) == {s.file_name for s in data.samples}
    # The same name may be the same image: it is not divided between training and validation.
    assert data.groups["one/a.png"] == data.groups["two/a.png"]


def test_subsets_of_a_project_may_share_names(tmp_path):
    for number, subset in enumerate(("night", "day")):
        write_json(tmp_path, content(["a.png", f"{subset}.png"]), f"annotations/person_keypoints_{subset}.json")
        for name in ("a.png", f"{subset}.png"):
            write_image(tmp_path / "images" / subset / name, seed=number)
    data = _read(tmp_path)
    assert sorted(s.file_name for s in data.samples) == ["day.png", "day/a.png", "night.png", "night/a.png"]
    assert {str(s.image.path.parent.name) for s in data.samples if s.file_name.endswith("a.png")} == {"day", "night"}
    assert any("label files day, night are taken together" in note for note in data.notes)


def test_weights_are_each_sources_own(tmp_path):
    one, two = (write_folder(tmp_path / name, (f"{name}.png",)) for name in ("one", "two"))
    data = read_labels([LabelSource(one, weight=0.5), LabelSource(two)])
    assert [s.weight for s in data.samples] == [0.5, 1.0]


def test_joints_are_matched_by_name(folder):
    wanted = Skeleton("other", ("Tail", "whiskers", "muzzle"), aliases={"muzzle": ("nose",)})
    data = _read(folder, skeleton=wanted)
    sample = data.samples[0].instance
    np.testing.assert_array_equal(sample.visibility, [2, 0, 2])
    np.testing.assert_array_equal(sample.xy, [[30, 12], [0, 0], [10, 10]])
    assert any("has no whiskers" in note for note in data.notes)
    assert any("left_ear, right_ear left out" in note for note in data.notes)


def test_no_common_joint_lists_both(folder):
    _refused(folder, "nose, left_ear", "fin", skeleton=Skeleton("fish", ("fin",)))


def test_of_several_categories_one_must_be_said(folder):
    rat = {**CATEGORY, "id": 2, "name": "rat", "keypoints": [*JOINTS, "whisker"]}

    def change(labels):
        labels["categories"].append(rat)
        labels["annotations"].append({**subject(9, 1, category_id=2), "keypoints": [1, 1, 2] * 5})

    _changed(folder, change)
    _refused(folder, "2 categories", "mouse, rat")
    assert len(_read(folder, category="rat").samples) == 1
    mice = _read(folder, category="mouse")
    assert len(mice.samples) == 3
    assert any("1 x subject of category 'rat' left out" in note for note in mice.notes)


def test_what_is_left_out_is_counted(folder):
    def change(labels):
        labels["annotations"] += [
            subject(7, 1, iscrowd=1),
            {**subject(8, 2), "keypoints": [0] * 12},
            {**subject(9, 3), "bbox": [0, 0, 0, 0], "keypoints": [5, 5, 2] + [0] * 9},
        ]

    data = _read(_changed(folder, change))
    assert len(data.samples) == 3
    assert [len(image.instances) for image in data.images] == [2, 2, 2]
    text = "\n".join(data.notes)
    assert "1 x crowd left out" in text and "1 x subject without a labelled joint left out" in text
    assert "1 x subject without a box and with its joints in one point left out" in text


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], [10, 8, 20, 6]], ids=["none", "the hull"])
def test_without_a_box_the_hull_is_taken_and_grown(folder, bbox):
    data = _read(_changed(folder, lambda labels: labels["annotations"][0].update(bbox=bbox)))
    grown = HULL_GROWTH * 20
    np.testing.assert_allclose(data.samples[0].instance.bbox_xyxy, [10 - grown, 8 - grown, 30 + grown, 14 + grown])
    assert any("1 x subject without a box of its own" in note for note in data.notes)
    np.testing.assert_allclose(data.samples[1].instance.bbox_xyxy, [8, 4, 34, 20])


def _first_annotation(**values):
    return lambda labels: labels["annotations"][0].update(values)


def _empty(labels):
    labels["annotations"] = []


def _second_category(labels):
    labels["categories"].append({**CATEGORY, "id": 2, "name": "rat"})


CORRUPT = {
    "NaN": (_first_annotation(keypoints=[float("nan")] * 12), "annotations[0]", "NaN"),
    "infinity": (_first_annotation(bbox=[0, 0, float("inf"), 1]), "annotations[0]", "infinity"),
    "no annotations": (_empty, "3 images", "0 subjects"),
    "joint count": (_first_annotation(keypoints=[1, 1, 2] * 3), "got 9 numbers", "expected 12"),
    "no skeleton": (lambda labels: labels["categories"][0].pop("keypoints"), "no label with joints", "mouse"),
    "negative box": (_first_annotation(bbox=[30, 20, -10, -5]), "a.png, instance 1", "-10×-5"),
    "ids": (lambda labels: labels["images"][1].update(id=1), "id", "annotations belong to no image"),
    "names": (lambda labels: labels["images"][1].update(file_name="a.png"), "name 'a.png'", "2 images"),
    "image size": (lambda labels: labels["images"][1].update(width=640), "b.png", "64×48", "640×48"),
    "two categories": (_second_category, "2 categories", "mouse, rat"),
    "visibility": (_first_annotation(keypoints=[1, 1, 3] * 4), "visibility of 3", "0, 1 or 2"),
    "unknown category": (_first_annotation(category_id=7), "category_id 7", "expected one of: 1"),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_labels_are_refused(folder, name):
    change, *words = CORRUPT[name]
    _refused(_changed(folder, change), *words)


def test_two_images_of_one_id_are_refused_though_no_row_is_lost(folder):
    def change(labels):
        labels["images"][1]["id"] = 1
        labels["annotations"][1]["image_id"] = 1

    _refused(_changed(folder, change), "the id 1 stands for 2 images (a.png, b.png)")


def test_an_unknown_joint_is_refused(tmp_path):
    labels = "<label><name>mouse</name><type>skeleton</type><svg></svg></label>"
    labels += "<label><name>nose</name><type>points</type><parent>mouse</parent></label>"
    points = '<points label="noose" outside="0" occluded="0" points="1,2"/>'
    image = f'<image id="0" name="a.png" width="64" height="48"><skeleton label="mouse">{points}</skeleton></image>'
    path = tmp_path / "annotations.xml"
    path.write_text(f"<annotations><version>1.1</version><meta><labels>{labels}</labels></meta>{image}</annotations>")
    _refused(path, "got joint 'noose'", "nose")


def test_a_category_without_joints_or_of_no_such_name_is_refused(folder):
    _changed(folder, lambda labels: labels["categories"].append({"id": 2, "name": "cage"}))
    _refused(folder, "'cage' with joints (it has no joints)", "mouse", category="cage")
    _refused(folder, "'cat' with joints,", "mouse", category="cat")


def test_all_missing_images_are_counted_and_where_was_looked(folder):
    for file in (folder / "images").iterdir():
        file.unlink()
    _refused(folder, "problems: 3", "'a.png'", "'c.png'", str(folder / "images"))


def test_of_many_problems_five_are_listed(tmp_path):
    path = write_json(tmp_path, content([f"{n}.png" for n in range(8)]))
    _refused(path, "problems: 8", "'4.png'", "and 3 more")


@pytest.mark.parametrize("kept", [0, 10, 30])
def test_an_unreadable_image_is_refused(folder, kept):
    path = folder / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:kept])
    _refused(folder, "b.png", "cannot be read as an image")


def test_a_damaged_zip_is_refused(folder, tmp_path):
    zipped = write_zip(tmp_path / "set.zip", folder)
    whole = zipped.read_bytes()
    zipped.write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 40 :])
    _refused(zipped, "set.zip")
    zipped.write_bytes(whole[:200])
    _refused(zipped, "set.zip")


def test_an_image_lying_on_its_side_is_named(tmp_path):
    path = write_json(tmp_path, content(["a.jpg"]))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.jpg", exif=exif)
    _refused(path, "48×64", "64×48", "EXIF orientation")
    Image.new("RGB", (48, 64)).save(tmp_path / "images" / "a.jpg", exif=exif)
    assert _read(path).samples[0].image.read().shape == (48, 64, 3)


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_sources_that_make_no_sense_are_refused(folder, weight, tmp_path):
    for sources in ([], [LabelSource(folder, weight=weight)], [LabelSource(folder), LabelSource(folder)]):
        with pytest.raises(TrainersError):
            read_labels(sources)
    with pytest.raises(ERRORS, match="no such"):
        _read(tmp_path / "nothing.json")


def test_faulty_ones_can_be_left_out_and_are_counted(folder):
    _changed(folder, _first_annotation(bbox=[30, 20, -10, -5]))
    (folder / "images" / "b.png").unlink()
    data = _read(folder, leave_out_faulty=True)
    assert [s.file_name for s in data.samples] == ["c.png"]
    assert [(image.file_name, len(image.instances)) for image in data.images] == [("a.png", 0), ("c.png", 1)]
    assert "left out as faulty: 1 x missing_image" in data.notes


def test_problems_are_listed_beside_what_is_sound(folder):
    (folder / "images" / "b.png").unlink()
    data, problems = inspect_labels([LabelSource(folder)])
    assert [(p.kind, p.severity, p.file_name) for p in problems] == [("missing_image", "error", "b.png")]
    assert [s.file_name for s in data.samples] == ["a.png", "c.png"] and len(data.images) == 3


def test_a_zip_is_read_in_other_processes(folder, tmp_path):
    multiprocessing = pytest.importorskip("multiprocessing")
    samples = _read(write_zip(tmp_path / "set.zip", folder)).samples
    expected = [sample.image.read().sum() for sample in samples]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_checksum, [sample.image for sample in samples] * 20, chunksize=1) == expected * 20


def _checksum(image):
    return image.read().sum()


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "subjects", "images"),
    [
        ("openfield_mouse", 116, 116),
        ("standing_people", 600, 600),
        ("lspet/annotations/person_keypoints_val.json", 600, 600),
    ],
)
def test_real_data(shared_data, name, subjects, images):
    data = _read(shared_data / name)
    assert (len(data.samples), len(data.images), len(data.files)) == (subjects, images, images)
    for sample in data.samples:
        assert (sample.instance.bbox_xyxy[2:] > sample.instance.bbox_xyxy[:2]).all()


@pytest.mark.shared_data
def test_the_cat_that_is_nowhere_is_found(shared_data):
    path = shared_data / "cats" / "annotations" / "cat_keypoints_train.json"
    _refused(path, "problems: 1", "train_137.jpg, instance 1", "-1018.31")
    assert len(_read(path, leave_out_faulty=True).samples) == 136


@pytest.mark.shared_data
def test_crowds_and_people_without_joints_stay_with_their_images(shared_data):
    data = _read(shared_data / "coco_people" / "annotations" / "person_keypoints_val.json")
    instances = [instance for image in data.images for instance in image.instances]
    assert (len(data.samples), len(instances), sum(i.is_crowd for i in instances)) == (846, 1317, 27)
