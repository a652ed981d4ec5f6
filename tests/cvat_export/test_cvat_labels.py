"""Labels against those that a CVAT server took, gave back and exported with."""

import json
from copy import deepcopy
from xml.etree import ElementTree

import pytest

from cvat_export.cvat_labels import (
    default_guide,
    edge_notes,
    joint_ids,
    label_problems,
    label_skeleton,
    label_specification,
)
from cvat_export.drawing import joint_colours
from cvat_export.errors import CvatExportError
from cvat_export.skeleton import SIDE_COLOURS, Skeleton, embedded_skeletons, read_skeleton

COCO = read_skeleton("coco17")
PAIR = Skeleton("pair", ("left_eye", "right_eye"), edges=((0, 1),), flip_pairs=((0, 1),))


def _stored(specification, first_id=10):
    """A label as the server gives it back: ids instead of names in the SVG, which it replaces as plain text."""
    label = deepcopy(specification) | {"id": first_id, "has_parent": False}
    for number, sublabel in enumerate(label["sublabels"], start=first_id + 1):
        sublabel["id"] = number
        label["svg"] = label["svg"].replace(f'data-label-name="{sublabel["name"]}"', f'data-label-id="{number}"')
    return label


def _elements(svg, tag):
    return [element.attrib for element in ElementTree.fromstring(f"<svg>{svg}</svg>").iter(tag)]


@pytest.mark.parametrize("name", embedded_skeletons())
def test_what_is_created_has_no_problems(name):
    skeleton = read_skeleton(name)
    label = _stored(label_specification("thing", skeleton))
    assert label_problems(skeleton, "thing", [label]) == []
    assert joint_ids(label, skeleton) == {11 + joint: joint for joint in range(len(skeleton.joints))}


def test_sublabels_and_circles_are_in_joint_order_and_nodes_count_from_1():
    label = label_specification("person", COCO)
    circles = _elements(label["svg"], "circle")
    assert [sublabel["name"] for sublabel in label["sublabels"]] == list(COCO.joints)
    assert [circle["data-label-name"] for circle in circles] == list(COCO.joints)
    assert [circle["data-node-id"] for circle in circles] == [str(n) for n in range(1, 18)]
    lines = _elements(label["svg"], "line")
    assert [(int(e["data-node-from"]) - 1, int(e["data-node-to"]) - 1) for e in lines] == list(COCO.edges)
    ends = [(circles[a]["cx"], circles[a]["cy"], circles[b]["cx"], circles[b]["cy"]) for a, b in COCO.edges]
    assert [(e["x1"], e["y1"], e["x2"], e["y2"]) for e in lines] == ends


def test_colours_are_those_of_drawing():
    def hexadecimal(skeleton):
        return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in joint_colours(skeleton)]

    own = Skeleton("s", ("a", "left_b", "right_b"), flip_pairs=((1, 2),), colours={"left_b": "#102030"})
    for skeleton in (COCO, own):
        given = [sublabel["color"] for sublabel in label_specification("x", skeleton)["sublabels"]]
        assert given == hexadecimal(skeleton)
    assert len(set(SIDE_COLOURS.values())) == 3


def test_a_checkbox_for_suspects_only_when_asked():
    assert label_specification("person", PAIR)["attributes"] == []
    (attribute,) = label_specification("person", PAIR, suspects=True)["attributes"]
    assert (attribute["name"], attribute["mutable"], attribute["input_type"]) == ("suspect", True, "checkbox")
    assert (attribute["default_value"], attribute["values"]) == ("false", ["false"])


def test_names_are_escaped():
    skeleton = Skeleton("s", ("a<b", 'c"d', "e&f"))
    circles = _elements(label_specification("x", skeleton)["svg"], "circle")
    assert [circle["data-label-name"] for circle in circles] == list(skeleton.joints)


@pytest.mark.parametrize(("label", "joint"), [("", "a"), ("l" * 65, "a"), ("x", "j" * 65), ("x", "")])
def test_names_that_cvat_refuses_are_refused(label, joint):
    with pytest.raises(CvatExportError, match="1 to 64"):
        label_specification(label, Skeleton("s", (joint,)))


@pytest.mark.shared_data
def test_the_svg_is_written_as_the_recorded_one(shared_data):
    body = next(
        json.loads(exchange["request_body"]["text"])
        for exchange in map(json.loads, (shared_data / "cvat" / "exchanges.jsonl").read_text("utf-8").splitlines())
        if exchange["scenario"] == "create a project"
    )
    (recorded,) = body["labels"]
    ours = label_specification("person", COCO)
    for tag in ("line", "circle"):
        positions = {"x1", "y1", "x2", "y2", "cx", "cy"}
        theirs, mine = _elements(recorded["svg"], tag), _elements(ours["svg"], tag)
        assert [list(attributes) for attributes in mine] == [list(attributes) for attributes in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert {k: v for k, v in one.items() if k not in positions} == {
                k: v for k, v in other.items() if k not in positions
            }
    assert ours["svg"].startswith("<line ") and ours["svg"].endswith("></circle>")
    assert set(recorded) <= set(ours)


@pytest.mark.shared_data
def test_the_recorded_project_fits_coco(shared_data):
    labels = json.loads((shared_data / "cvat" / "labels.json").read_text("utf-8"))
    assert label_problems(COCO, "person", labels) == []
    assert joint_ids(labels[0], COCO) == {38 + joint: joint for joint in range(17)}


def _problem(label, wanted=PAIR, category="person"):
    (problem,) = label_problems(wanted, category, [label])
    assert repr(category) in problem
    return problem


@pytest.fixture
def label():
    return _stored(label_specification("person", PAIR))


def test_no_such_label(label):
    assert "'Person' meant" not in _problem(label, category="car")
    assert "'person' meant" in _problem(label, category="Person")
    assert "'person' meant" in _problem(label, category="persons")
    assert "it has none" in label_problems(PAIR, "person", [])[0]


def test_not_a_skeleton(label):
    assert "'rectangle'" in _problem(label | {"type": "rectangle"})


def test_a_missing_joint(label):
    wanted = Skeleton("w", ("left_eye", "right_eye", "nose"), edges=((0, 1),))
    assert "'nose' is missing" in _problem(label, wanted)


def test_a_joint_too_many(label):
    assert "'right_eye' is not in skeleton 'w'" in _problem(label, Skeleton("w", ("left_eye",)))


@pytest.mark.parametrize("name", ["Left Eye", "eye_l"])
def test_a_joint_spelled_otherwise(label, name):
    wanted = Skeleton(
        "w", (name, "right_eye"), edges=((0, 1),), aliases={name: ("left_eye",)} if name == "eye_l" else {}
    )
    problem = _problem(label, wanted)
    assert repr(name) in problem
    assert "'left_eye'" in problem


def test_another_order_of_circles(label):
    wanted = Skeleton("w", ("right_eye", "left_eye"), edges=((0, 1),))
    assert "circle 1 is 'left_eye', expected 'right_eye'" in _problem(label, wanted)


def test_other_edges(label):
    loose = Skeleton("w", PAIR.joints)
    assert label_problems(loose, "person", [label]) == []
    assert "also has the edges left_eye–right_eye" in edge_notes(loose, "person", [label])[0]
    bare = _stored(label_specification("person", Skeleton("w", PAIR.joints)))
    assert "lacks the edges left_eye–right_eye" in edge_notes(PAIR, "person", [bare])[0]
    turned = _stored(label_specification("person", Skeleton("w", PAIR.joints, edges=((1, 0),))))
    assert edge_notes(PAIR, "person", [turned]) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('data-label-id="11"', "", "circle 1 names no sublabel"),
        ('data-label-id="11"', 'data-label-id="99"', "circle 1 names no sublabel"),
        ('data-label-id="11"', 'data-label-id="12"', "expected 2, one a sublabel"),
        ('data-node-to="2"', 'data-node-to="7"', "joins nodes"),
        ("</line>", "", "cannot be parsed"),
        ("<circle", "<g></g><circle", None),
    ],
)
def test_an_invalid_svg(label, old, new, words):
    assert old in label["svg"]
    label["svg"] = label["svg"].replace(old, new, 1)
    problems = label_problems(PAIR, "person", [label])
    assert problems == [] if words is None else words in problems[0]


def test_an_svg_without_circles(label):
    assert "got circles of 0 nodes, expected 2" in _problem(label | {"svg": ""})


def test_all_differences_are_told_at_once(label):
    problems = label_problems(Skeleton("w", ("Left Eye", "nose")), "person", [label])
    assert len(problems) == 3


def test_the_skeleton_that_a_label_draws():
    wanted = Skeleton("mouse", ("nose", "left_ear", "right_ear", "tail"), edges=((0, 3), (1, 0), (2, 0)))
    drawn = label_skeleton(_stored(label_specification("mouse", wanted)))
    assert (drawn.joints, drawn.flip_pairs) == (wanted.joints, ((1, 2),))
    assert drawn.edges == ((0, 1), (0, 2), (0, 3))


def test_the_skeleton_of_a_label_whose_svg_is_broken_has_its_joints_and_no_edges(label):
    drawn = label_skeleton(label | {"svg": label["svg"].replace("</line>", "")})
    assert (drawn.joints, drawn.edges) == (PAIR.joints, ())


def test_ids_of_a_strange_sublabel_are_refused(label):
    assert joint_ids(label, Skeleton("s", ("Right Eye", "LeftEye"))) == {11: 1, 12: 0}
    with pytest.raises(CvatExportError, match="'right_eye' is not a joint"):
        joint_ids(label, Skeleton("s", ("left_eye",)))
    with pytest.raises(CvatExportError, match="one joint twice"):
        joint_ids(label, Skeleton("s", ("left_eye",), aliases={"left_eye": ("right_eye",)}))


def test_the_guide_names_every_joint_with_its_side_and_neighbours():
    guide = default_guide("person", COCO)
    rows = {row.split("|")[1].strip().replace("\\", ""): row for row in guide.splitlines() if row.startswith("| ")}
    assert set(COCO.joints) < set(rows)
    assert "| left |" in rows["left_knee"] and "| middle |" in rows["nose"]
    assert "left\\_ankle" in rows["left_knee"] and "left\\_hip" in rows["left_knee"]
    for word in ("occluded (key `q`)", "outside (key `o`)", "subject's own", "`person`", "without a proposal"):
        assert word in guide.casefold()


def test_the_guide_of_a_skeleton_without_sides_or_edges():
    guide = default_guide("mug", Skeleton("s", ("rim|top",)))
    assert "no left and right" in guide
    assert "| rim\\|top | middle | nothing |" in guide
