"""CVAT's XML gives skeletons in the svg's order, says what it leaves out, and cannot be used against the reader."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from cvat_export.cvat_images_xml import parse_cvat_images
from cvat_export.errors import CvatExportError
from cvat_export.export_reading import read_export

SVG = (
    '<line x1="1" y1="2" x2="3" y2="4" data-type="edge" data-node-from="3" data-node-to="1"></line>'
    '<line x1="1" y1="2" x2="3" y2="4" data-type="edge" data-node-from="1" data-node-to="2"></line>'
    '<circle r="0.75" cx="1" cy="2" data-type="element node" data-element-id="1" data-node-id="1" '
    'data-label-name="nose"></circle>'
    '<circle r="0.75" cx="1" cy="2" data-type="element node" data-element-id="2" data-node-id="2" '
    'data-label-name="left_eye"></circle>'
    '<circle r="0.75" cx="1" cy="2" data-type="element node" data-element-id="3" data-node-id="3" '
    'data-label-name="right_eye"></circle>'
)
# As CVAT 2 writes it: the svg escaped, sublabels as labels with a parent, whitespace between elements.
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>5</id>
      <mode>annotation</mode>
      <labels>
        <label>
          <name>bird</name>
          <color>#c06060</color>
          <type>skeleton</type>
          <attributes>
            <attribute>
              <name>ringed</name>
              <mutable>False</mutable>
              <input_type>checkbox</input_type>
              <default_value>false</default_value>
              <values></values>
            </attribute>
            <attribute><name>age</name><mutable>False</mutable><input_type>number</input_type></attribute>
            <attribute><name>note</name><mutable>False</mutable><input_type>text</input_type></attribute>
          </attributes>
          <svg>SVG</svg>
        </label>
        <label><name>right_eye</name><type>points</type><attributes></attributes><parent>bird</parent></label>
        <label><name>nose</name><type>points</type><attributes></attributes><parent>bird</parent></label>
        <label>
          <name>left_eye</name>
          <type>points</type>
          <attributes><attribute><name>shut</name><input_type>checkbox</input_type></attribute></attributes>
          <parent>bird</parent>
        </label>
        <label><name>nest</name><type>rectangle</type><attributes></attributes></label>
      </labels>
    </task>
    <dumped>2026-01-01 00:00:00+00:00</dumped>
  </meta>
""".replace("SVG", SVG.replace("<", "&lt;").replace(">", "&gt;"))
SKELETON = """
    <skeleton label="bird" source="auto" z_order="2" group_id="7">
      <points label="right_eye" source="auto" outside="1" occluded="1" points="5.50,6.25">
      </points>
      <points label="left_eye" source="auto" outside="0" occluded="1" points="3.00,-4.00">
        <attribute name="shut">true</attribute>
      </points>
      <points label="nose" source="auto" outside="0" occluded="0" points="1.00,2.00">
      </points>
      <attribute name="ringed">true</attribute>
      <attribute name="age">2.5</attribute>
      <attribute name="note">двa &lt; три</attribute>
    </skeleton>
"""


def _image(content="", name="кадр/a.jpg", number=3):
    return f'  <image id="{number}" name="{name}" width="640" height="480">{content}\n  </image>\n'


def _parse(*images, head=HEAD):
    text = head + "".join(images) + "</annotations>\n"
    return parse_cvat_images([text.encode()], "test.xml")


def test_a_skeleton():
    dataset, notes = _parse(_image(SKELETON), _image(name="b.jpg", number=4))
    assert notes == ()
    (category,) = dataset.categories
    assert (category.name, category.skeleton.joints) == ("bird", ("nose", "left_eye", "right_eye"))
    assert category.skeleton.edges == ((2, 0), (0, 1))
    assert category.skeleton.flip_pairs == ((1, 2),)
    image, empty = dataset.images
    assert (image.file_name, image.width, image.height, image.extra) == ("кадр/a.jpg", 640, 480, {"frame": 3})
    assert empty.instances == ()
    (instance,) = image.instances
    assert instance.xy.tolist() == [[1, 2], [3, -4], [5.5, 6.25]]
    assert instance.visibility.tolist() == [2, 1, 0]
    assert instance.bbox_xyxy.tolist() == [1, -4, 3, 2]
    assert instance.extra == {
        "attributes": {"ringed": True, "age": 2.5, "note": "двa < три"},
        "source": "auto",
        "group_id": 7,
        "z_order": 2,
        "joint_attributes": {"left_eye": {"shut": True}},
    }


def test_any_split_into_chunks_reads_the_same():
    content = (HEAD + _image(SKELETON) + "</annotations>").encode()
    whole, _ = parse_cvat_images([content], "test")
    pieces, _ = parse_cvat_images([content[i : i + 1] for i in range(len(content))], "test")
    assert pieces.categories == whole.categories
    assert pieces.images[0].instances[0].extra == whole.images[0].instances[0].extra
    np.testing.assert_array_equal(pieces.images[0].instances[0].xy, whole.images[0].instances[0].xy)


def test_what_is_not_taken_is_named():
    shapes = """
    <box label="nest" source="manual" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
    <box label="nest" source="manual" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
    <ellipse label="nest" source="manual" occluded="0" cx="1" cy="2" rx="3" ry="4" z_order="0"></ellipse>
    <polygon label="nest" source="manual" occluded="0" points="1,2;3,4;5,6" z_order="0"></polygon>
    <polyline label="nest" source="manual" occluded="0" points="1,2;3,4" z_order="0"></polyline>
    <points label="nest" source="manual" occluded="0" points="1,2" z_order="0"></points>
    <mask label="nest" source="manual" occluded="0" rle="1" left="0" top="0" width="1" height="1" z_order="0"></mask>
    <cuboid label="nest" source="manual" occluded="0" z_order="0"></cuboid>
    <tag label="weather" source="manual"></tag>
    """
    track = '  <track id="0" label="bird" source="manual"></track>\n'
    strange = SKELETON.replace('<attribute name="ringed', '<box label="beak"></box><attribute name="ringed')
    dataset, notes = _parse(_image(shapes + strange), track)
    assert len(dataset.images[0].instances) == 1
    assert notes == (
        "not taken: 1 x box in a skeleton, label 'beak'",
        "not taken: 1 x cuboid, label 'nest'",
        "not taken: 1 x ellipse, label 'nest'",
        "not taken: 1 x mask, label 'nest'",
        "not taken: 1 x points, label 'nest'",
        "not taken: 1 x polygon, label 'nest'",
        "not taken: 1 x polyline, label 'nest'",
        "not taken: 2 x rectangle, label 'nest'",
        "not taken: 1 x tag, label 'weather'",
        "not taken: 1 x track, label 'bird'",
    )


def test_frames_of_a_video_get_cvats_suffix():
    dataset, (note,) = _parse(_image(name="frame_000001"), _image(name="frame_000002"))
    assert [image.file_name for image in dataset.images] == ["frame_000001.PNG", "frame_000002.PNG"]
    assert note.startswith("2 video frames")


def test_tasks_of_a_project():
    image = '<image id="0" name="a.jpg" subset="train" task_id="12" width="4" height="3"></image>'
    dataset, _ = _parse(image, head=HEAD.replace("task>", "project>"))
    assert dataset.images[0].extra == {"frame": 0, "task_id": 12, "subset": "train"}


def test_several_labels_with_the_same_joint_names():
    label = HEAD[HEAD.index("        <label>") : HEAD.index("        <label><name>nest")]
    head = HEAD.replace("      </labels>", label.replace("bird", "fish") + "      </labels>")
    dataset, _ = _parse(_image(SKELETON + SKELETON.replace("bird", "fish")), head=head)
    assert [category.name for category in dataset.categories] == ["bird", "fish"]
    assert [instance.category for instance in dataset.images[0].instances] == ["bird", "fish"]


def test_joints_that_are_missing_are_not_labelled():
    nose = '<points label="nose" outside="0" occluded="0" points="1,2"></points>'
    dataset, _ = _parse(_image(f'<skeleton label="bird">{nose}</skeleton><skeleton label="bird"></skeleton>'))
    first, nobody = dataset.images[0].instances
    assert first.visibility.tolist() == [2, 0, 0]
    assert nobody.bbox_xyxy.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("svg", ["", "&lt;circle data-label-name=&quot;R&amp;L&quot;&gt;&lt;/circle&gt;"])
def test_without_a_readable_svg_the_labels_order_counts(svg):
    start, end = HEAD.index("<svg>") + 5, HEAD.index("</svg>")
    dataset, (note,) = _parse(_image(SKELETON), head=HEAD[:start] + svg + HEAD[end:])
    assert dataset.categories[0].skeleton.joints == ("right_eye", "nose", "left_eye")
    assert dataset.images[0].instances[0].visibility.tolist() == [0, 2, 1]
    assert "svg" in note


BILLION_LAUGHS = """<!DOCTYPE lolz [<!ENTITY lol "lol">
{}]>""".format("\n".join(f'<!ENTITY lol{n + 1} "{f"&lol{n or str()};" * 10}">' for n in range(9)))
FILE_ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("doctype", [BILLION_LAUGHS, FILE_ENTITY, '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">'])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_doctypes_are_refused(doctype, size):
    content = f'<?xml version="1.0"?>\n{doctype}\n<annotations><image name="&lol9;"/></annotations>'.encode()
    with pytest.raises(CvatExportError, match=r"test\.xml: got <!(DOCTYPE|ENTITY), expected none"):
        parse_cvat_images((content[i : i + size] for i in range(0, len(content), size)), "test.xml")


def test_doctypes_in_other_encodings_are_refused():
    content = f'<?xml version="1.0" encoding="utf-16"?>{FILE_ENTITY}<annotations/>'
    with pytest.raises(CvatExportError, match="is not XML in UTF-8"):
        parse_cvat_images([content.encode("utf-16")], "test.xml")


def test_doctypes_in_an_svg_are_refused():
    start, end = HEAD.index("<svg>") + 5, HEAD.index("</svg>")
    with pytest.raises(CvatExportError, match="got <!DOCTYPE"):
        _parse(_image(), head=HEAD[:start] + FILE_ENTITY.replace("<", "&lt;") + HEAD[end:])


def test_memory_does_not_grow_with_what_is_left_out():
    boxes = '<box label="nest" xtl="1" ytl="2" xbr="3" ybr="4"></box>\n' * 50
    images = (_image(boxes, number=n).encode() for n in range(2_000))
    tracemalloc.start()
    try:
        dataset, _ = parse_cvat_images([HEAD.encode(), *images, b"</annotations>"], "test")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(dataset.images) == 2_000
    assert peak < 20 << 20 and kept < 20 << 20


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<version>1.1", "<version>1.0", "got version '1.0'"),
        ("annotations>", "annotation>", "got the root <annotation>"),
        ('label="bird" source', 'label="cat" source', "a skeleton of label 'cat', expected one that <meta> has: bird"),
        ('points label="nose"', 'points label="beak"', "got joint 'beak', expected each once of: nose, left_eye"),
        ('points label="nose"', 'points label="left_eye"', "got joint 'left_eye', expected each once"),
        ('points="1.00,2.00"', 'points="1.00"', "joint 'nose': got '1.00', expected 'x,y'"),
        ('points="1.00,2.00"', 'points="1;2"', "expected 'x,y'"),
        ('points="1.00,2.00"', 'points="nan,2"', "NaN or infinite"),
        ('points="1.00,2.00"', 'points="1e300,2"', "NaN or infinite"),
        ('width="640"', 'width="wide"', "got size ('wide', '480')"),
        ('width="640"', "", "got size (None, '480')"),
        ('width="640"', 'width="0"', "got 0x480 pixels"),
        ('id="3"', 'id="three"', "got 'three', expected a whole number"),
        ('name="кадр/a.jpg"', 'name="../a.jpg"', "got a path with '..'"),
        ('name="кадр/a.jpg"', "", "got an empty name"),
        ("<name>nose</name>", "<name>beak</name>", "expected its sublabels: right_eye, beak, left_eye"),
        ('data-node-from="3"', 'data-node-from="9"', "edge (8, 0)"),
        ('data-node-from="3"', 'data-node-from="x"', "got 'x', expected a whole number"),
        ("</annotations>", "", "is not XML"),
        ("</skeleton>", "", "is not XML"),
    ],
)
def test_errors_say_where(old, new, words):
    text = HEAD + _image(SKELETON) + "</annotations>\n"
    assert old in text
    with pytest.raises(CvatExportError, match=r"test\.xml") as caught:
        parse_cvat_images([text.replace(old, new).encode()], "test.xml")
    assert words in str(caught.value)


def test_cvat_for_video_is_named():
    with pytest.raises(CvatExportError, match=r"1 tracks, as in CVAT for video 1\.1, expected CVAT for images 1\.1"):
        _parse('<track id="0" label="bird"></track>')


def test_from_a_zip_a_folder_and_a_file(tmp_path):
    folder = tmp_path / "unzipped"
    folder.mkdir()
    file = folder / "annotations.xml"
    file.write_text("\ufeff" + HEAD + _image(SKELETON) + "</annotations>", "utf-8")
    (folder / "a.jpg").write_bytes(b"<")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(file, "annotations.xml")
    for path in (file, folder, tmp_path / "a.zip"):
        assert len(read_export(path).dataset.images[0].instances) == 1
    (folder / "second.xml").write_bytes(file.read_bytes())
    both = read_export(folder).dataset.images
    assert [image.extra["subset"] for image in both] == ["annotations", "second"]
    with pytest.raises(CvatExportError, match="no such file"):
        read_export(tmp_path / "nowhere.xml")
