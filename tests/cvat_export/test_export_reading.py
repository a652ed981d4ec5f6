"""Three formats of one content are one dataset; nothing is dropped silently; broken files are refused as such."""

import contextlib
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_export.coco import encode_coco, parse_coco
from cvat_export.dataset import Dataset
from cvat_export.errors import CvatExportError
from cvat_export.export_reading import FORMATS, read_export
from tests.cvat_export.export_formats import as_cvat_datumaro, as_cvat_xml, as_datumaro

COCO, CVAT_XML, DATUMARO = FORMATS


def _zip(path, **members):
    """members: name with __ for / and an ending by content -> bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def _assert_same(first: Dataset, second: Dataset):
    for a, b in zip(first.categories, second.categories, strict=True):
        assert a.name == b.name
        assert a.skeleton.joints == b.skeleton.joints
        assert sorted(a.skeleton.edges) == sorted(b.skeleton.edges)
        assert (a.skeleton.flip_pairs, a.skeleton.sigmas) == (b.skeleton.flip_pairs, b.skeleton.sigmas)
    for a, b in zip(first.images, second.images, strict=True):
        assert (a.file_name, a.width, a.height) == (b.file_name, b.width, b.height)
        for one, other in zip(a.instances, b.instances, strict=True):
            assert one.category == other.category
            np.testing.assert_array_equal(one.xy, other.xy)
            np.testing.assert_array_equal(one.visibility, other.visibility)
            # COCO's box holds a width: it is as exact as the sum of two numbers of two decimals.
            np.testing.assert_allclose(one.bbox_xyxy, other.bbox_xyxy, atol=1e-4)


def _recorded(shared_data):
    path = shared_data / "cvat" / "exported_task.zip"
    with zipfile.ZipFile(path) as archive:
        return path, json.loads(archive.read("annotations/person_keypoints_default.json"))


def _in_unicode(content):
    """The same with a label, joints and images that are not named in ASCII, one of them in a folder."""
    text = json.dumps(content, ensure_ascii=False)
    for old, new in (
        ("person", "человек 人"),
        ("nose", "nariz é"),
        ("img_000.", "кадр & 名前/img 0."),
        ("img_002", "😀"),
    ):
        assert f'"{old}' in text
        text = text.replace(f'"{old}', f'"{new}')
    return json.loads(text)


@pytest.mark.shared_data
@pytest.mark.parametrize("change", [lambda content: content, _in_unicode], ids=["recorded", "unicode"])
def test_one_content_in_three_formats(shared_data, tmp_path, change):
    _, content = _recorded(shared_data)
    content = change(content)
    datumaro = as_datumaro(content, tmp_path / "datumaro")
    coco = read_export(_zip(tmp_path / "1.zip", annotations__person_keypoints_default=json.dumps(content)))
    xml = read_export(_zip(tmp_path / "2.zip", annotations=as_cvat_xml(content)))
    fork = read_export(_zip(tmp_path / "3.zip", annotations__default=as_cvat_datumaro(content)))
    upstream = read_export(_zip(tmp_path / "4.zip", annotations__default=datumaro))
    assert [export.format for export in (coco, xml, fork, upstream)] == [COCO, CVAT_XML, DATUMARO, DATUMARO]
    assert [export.notes for export in (coco, xml, fork, upstream)] == [()] * 4
    assert [len(image.instances) for image in coco.dataset.images] == [2, 1, 0, 1, 1, 1]
    assert {int(v) for image in coco.dataset.images for i in image.instances for v in i.visibility} == {0, 1, 2}
    for other in (xml, fork, upstream):
        _assert_same(other.dataset, coco.dataset)
    for other in (fork, upstream):
        for image, expected in zip(other.dataset.images, coco.dataset.images, strict=True):
            for one, two in zip(image.instances, expected.instances, strict=True):
                assert one.extra["attributes"] == two.extra["attributes"]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["exported_task.zip", "exported_job.zip", "exported_project.zip"])
def test_cvats_own_exports(shared_data, name):
    export = read_export(shared_data / "cvat" / name)
    assert (export.format, export.notes) == (COCO, ())
    first, second = export.dataset.images[0].instances
    assert first.extra["attributes"] == {"occluded": False, "keyframe": False}
    assert first.bbox_xyxy.tolist() == pytest.approx([127.97, 117.31, 194.18, 212.62])
    assert second.visibility[:3].tolist() == [2, 1, 0]


CONTENT = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "bird", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [1, 2, 3, 4],
            "keypoints": [1, 2, 2, 4, 6, 1],
            "attributes": {"occluded": False, "ringed": True},
        }
    ],
}
NAMES = {
    "coco": json.dumps(CONTENT).encode(),
    "xml": as_cvat_xml(CONTENT),
    "datumaro": as_cvat_datumaro(CONTENT),
}


@pytest.mark.parametrize(("kind", "expected"), zip(NAMES, FORMATS, strict=True))
def test_recognised_by_content_in_a_zip_a_folder_and_a_file(tmp_path, kind, expected):
    folder = tmp_path / "some folder"
    folder.mkdir()
    (folder / "anything.at.all").write_bytes(NAMES[kind])
    (folder / "image.JPG").write_bytes(b"{")
    (folder / "README.md").write_bytes(b"hello")
    members = {file.name: file.read_bytes() for file in folder.iterdir()}
    for path in (folder, folder / "anything.at.all", _zip(tmp_path / "a.tar", **members)):
        export = read_export(path)
        assert (export.format, export.notes) == (expected, ())
        (instance,) = export.dataset.images[0].instances
        assert (instance.category, instance.visibility.tolist()) == ("bird", [2, 1])
        assert instance.extra["attributes"].get("ringed", True)


def test_a_dataset_that_was_read_can_be_written_as_coco(tmp_path):
    for kind, content in NAMES.items():
        dataset = read_export(_zip(tmp_path / f"{kind}.zip", a=content)).dataset
        _assert_same(parse_coco(json.loads(encode_coco(dataset)), "test"), dataset)


def test_what_coco_holds_beside_joints_is_named(tmp_path):
    content = json.loads(json.dumps(CONTENT))
    (row,) = content["annotations"]
    content["categories"].append({"id": 2, "name": "nest", "keypoints": [], "skeleton": []})
    content["annotations"] += [
        {**row, "id": 2, "category_id": 2},
        {**row, "id": 3, "segmentation": [[1, 2, 3, 4, 5, 6]]},
    ]
    export = read_export(_zip(tmp_path / "a.zip", a=json.dumps(content), b=b"<svg></svg>", c=b'{"a": 1}'))
    assert export.notes == (
        "not taken: 1 x keypoints of a label without joints, label 'nest'",
        "not taken: 1 x segmentation, label 'bird'",
        "not read: b (XML with the root <svg>)",
        "not read: c (JSON with the keys a)",
    )


def test_subsets_of_a_project_become_one_dataset(tmp_path):
    second = json.loads(json.dumps(CONTENT).replace("a.jpg", "b.jpg"))
    members = {
        "annotations__person_keypoints_train.json": json.dumps(CONTENT),
        "annotations__person_keypoints_val.json": json.dumps(second),
    }
    export = read_export(_zip(tmp_path / "a.zip", **members))
    assert [(image.file_name, image.extra["subset"]) for image in export.dataset.images] == [
        ("a.jpg", "train"),
        ("b.jpg", "val"),
    ]


def test_images_that_share_a_name_are_noted(tmp_path):
    content = json.loads(json.dumps(CONTENT))
    content["images"].append({**content["images"][0], "id": 2})
    (note,) = read_export(_zip(tmp_path / "a.zip", a=json.dumps(content))).notes
    assert note == "1 names stand for several images each, such as 'a.jpg'"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "got no labels in XML or JSON"),
        ({"a.txt": b"hello"}, "got no labels in XML or JSON"),
        ({"a": b"<annotation></annotation>"}, "got a (XML with the root <annotation>)"),
        ({"a": b'{"shapes": [], "version": 1}'}, "got a (JSON with the keys shapes, version)"),
        ({"a": b"{}"}, "a (JSON with the keys none)"),
        ({"a": NAMES["coco"], "b": NAMES["xml"]}, "got COCO Keypoints 1.0, CVAT for images 1.1"),
        ({"a": b'{"a":' * 100_000}, "is not JSON in UTF-8"),
        ({"a": b"{\xff}"}, "is not JSON in UTF-8"),
        ({"a": NAMES["coco"].replace(b'"keypoints": ["nose", "tail"]', b'"k": []')}, "no label with joints"),
        ({"a": NAMES["coco"].replace(b"a.jpg", b"../a.jpg")}, "got a path with '..'"),
        ({"a": NAMES["coco"].replace(b'"width": 64', b'"width": "wide"')}, "of another type than COCO's"),
        ({"a": NAMES["coco"].replace(b"[1, 2, 3, 4]", b"[1e300, 2, 3, 4]")}, "a coordinate beyond"),
        ({"a": NAMES["coco"].replace(b"[1, 2, 2", b"[1, 1e300, 2")}, "a coordinate beyond"),
        ({"a": NAMES["coco"].replace(b"[[1, 2]]", b"[5]")}, "of another type than COCO's"),
        ({"a": b"<!DOCTYPE a><annotations/>"}, "got <!DOCTYPE, expected none"),
        ({"../a": NAMES["coco"]}, "got a path with '..'"),
    ],
)
def test_what_is_none_of_them(tmp_path, members, words):
    path = _zip(tmp_path / "a.zip", **members)
    with pytest.raises(CvatExportError, match=r"a\.zip") as caught:
        read_export(path)
    assert words in str(caught.value)


def test_the_error_lists_the_three_formats(tmp_path):
    with pytest.raises(CvatExportError, match=r"COCO Keypoints 1\.0, CVAT for images 1\.1, Datumaro 1\.0"):
        read_export(_zip(tmp_path / "a.zip"))
    with pytest.raises(CvatExportError, match="no such file"):
        read_export(tmp_path / "nowhere.zip")


@pytest.fixture(scope="module")
def mutable(tmp_path_factory):
    return tmp_path_factory.mktemp("mutations") / "a.zip"


def _mutated(data, content):
    """A few bytes overwritten, taken out or repeated."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(changed)))
        end = min(len(changed), start + data.draw(st.integers(0, 8)))
        kind = data.draw(st.sampled_from(["overwrite", "remove", "repeat"]))
        if kind == "overwrite":
            changed[start:end] = data.draw(st.binary(min_size=end - start, max_size=end - start))
        else:
            changed[start:end] = b"" if kind == "remove" else changed[start:end] * 2
    return bytes(changed)


def _read_or_refused(path):
    with contextlib.suppress(CvatExportError):
        assert isinstance(read_export(path).dataset, Dataset)


@given(st.data())
@pytest.mark.parametrize("kind", NAMES)
def test_mutations_of_a_zip(mutable, kind, data):
    valid = _zip(mutable, annotations__a=NAMES[kind], images__b=b"<").read_bytes()
    mutable.write_bytes(_mutated(data, valid))
    _read_or_refused(mutable)


@given(st.data())
@pytest.mark.parametrize("kind", NAMES)
def test_mutations_of_a_label_file(mutable, kind, data):
    _read_or_refused(_zip(mutable, a=_mutated(data, NAMES[kind])))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=4,
)


def _places(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


@given(st.data())
@pytest.mark.parametrize("kind", ["coco", "datumaro"])
def test_values_of_other_types(mutable, kind, data):
    content = {"root": json.loads(NAMES[kind])}
    path = data.draw(st.sampled_from([place for place in _places(content) if place]))
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(json_values)
    _read_or_refused(_zip(mutable, a=json.dumps(content["root"])))
