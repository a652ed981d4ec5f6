"""Skeletons: the embedded ones against what is published, descriptions against their inverse, and bad YAML."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.cocoeval import Params

from cvat_export.errors import CvatExportError
from cvat_export.skeleton import (
    DEFAULT_SIGMA,
    Skeleton,
    canonical_name,
    describe_skeleton,
    embedded_skeletons,
    guess_flip_pairs,
    parse_skeleton,
    read_skeleton,
)

EMBEDDED = {
    "blazepose33": 33,
    "cat16": 16,
    "coco17": 17,
    "coco_wholebody133": 133,
    "lsp14": 14,
    "mouse4": 4,
    "mpii16": 16,
}
every_skeleton = pytest.mark.parametrize("name", EMBEDDED)


def test_all_skeletons_come_along() -> None:
    assert embedded_skeletons() == tuple(EMBEDDED)


@every_skeleton
def test_a_skeleton_is_named_after_its_file_and_its_size(name: str) -> None:
    skeleton = read_skeleton(name)
    assert skeleton.name == name
    assert len(skeleton.joints) == EMBEDDED[name]
    assert str(len(skeleton.joints)) in name


@every_skeleton
def test_names_are_unique(name: str) -> None:
    skeleton = read_skeleton(name)
    assert len({canonical_name(joint) for joint in skeleton.joints}) == len(skeleton.joints)


@every_skeleton
def test_mirroring_twice_changes_nothing(name: str) -> None:
    order = read_skeleton(name).flip_order
    assert [order[joint] for joint in order] == list(range(len(order)))


@every_skeleton
def test_a_mirrored_skeleton_has_the_same_edges(name: str) -> None:
    skeleton = read_skeleton(name)
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert len(edges) == len(skeleton.edges), "an edge is listed twice"
    assert {frozenset(skeleton.flip_order[end] for end in edge) for edge in skeleton.edges} == edges


@every_skeleton
def test_the_first_joint_of_a_flip_pair_is_the_left_one(name: str) -> None:
    skeleton = read_skeleton(name)
    for joint, side in zip(skeleton.joints, skeleton.sides, strict=True):
        for word in ("left", "right"):
            assert (word not in joint) or side == word, joint


@every_skeleton
def test_every_pair_that_the_names_give_away_is_listed(name: str) -> None:
    skeleton = read_skeleton(name)
    assert set(guess_flip_pairs(skeleton.joints)) <= set(skeleton.flip_pairs)


@every_skeleton
def test_aliases_lead_to_their_joint(name: str) -> None:
    skeleton = read_skeleton(name)
    for joint, names in skeleton.aliases.items():
        assert {skeleton.find(alias) for alias in names} == {skeleton.joints.index(joint)}


@pytest.mark.parametrize("name", ["coco17", "lsp14", "mpii16", "blazepose33", "cat16"])
def test_both_sides_have_one_sigma(name: str) -> None:
    skeleton = read_skeleton(name)
    assert tuple(skeleton.sigmas[joint] for joint in skeleton.flip_order) == skeleton.sigmas


def test_coco_sigmas_are_those_of_pycocotools() -> None:
    assert read_skeleton("coco17").sigmas == pytest.approx(Params(iouType="keypoints").kpt_oks_sigmas, abs=1e-9)


@pytest.mark.parametrize("name", ["coco_wholebody133", "lsp14", "mpii16", "blazepose33"])
def test_people_share_the_sigmas_of_coco_where_they_share_its_joints(name: str) -> None:
    coco, other = read_skeleton("coco17"), read_skeleton(name)
    shared = [(joint, source) for joint, source in enumerate(coco.sources_in(other)) if source is not None]
    assert len(shared) >= 12  # shoulders, elbows, wrists, hips, knees, ankles
    assert [coco.sigmas[joint] for joint, _ in shared] == [other.sigmas[source] for _, source in shared]


def test_whole_body_starts_with_coco() -> None:
    assert read_skeleton("coco_wholebody133").joints[:17] == read_skeleton("coco17").joints


def test_lsp_and_mpii_meet_at_neck_and_head() -> None:
    lsp, mpii = read_skeleton("lsp14"), read_skeleton("mpii16")
    names = {
        joint: mpii.joints[source]
        for joint, source in zip(lsp.joints, lsp.sources_in(mpii), strict=True)
        if source is not None
    }
    assert names == {joint: joint for joint in lsp.joints} | {"neck": "upper_neck"}
    assert [lsp.joints[i] if i is not None else None for i in mpii.sources_in(lsp)][6:10] == [
        None,
        None,
        "neck",
        "head_top",
    ]


def test_blazepose_corners_of_eyes_and_mouth_are_points_of_the_whole_body_face() -> None:
    whole_body, blazepose = read_skeleton("coco_wholebody133"), read_skeleton("blazepose33")
    found = {blazepose.joints[i]: whole_body.joints[w] for i, w in enumerate(blazepose.sources_in(whole_body)) if w}
    assert found["left_eye_inner"] == "face-42"
    assert found["mouth_right"] == "face-48"
    assert found["right_heel"] == "right_heel"
    assert "left_thumb" not in found  # a knuckle that the other's four points of a thumb do not single out


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("coco_people/annotations/person_keypoints_val.json", "coco17"),
        ("standing_people/annotations/person_keypoints.json", "coco17"),
        ("cvat/pushed_person_keypoints_default.json", "coco17"),
        ("lspet/annotations/person_keypoints_val.json", "lsp14"),
        ("cats/annotations/cat_keypoints_test.json", "cat16"),
        ("openfield_mouse/annotations/mouse_keypoints.json", "mouse4"),
    ],
)
def test_joints_and_edges_are_those_of_annotated_data(shared_data: Path, file: str, name: str) -> None:
    (category,) = json.loads((shared_data / file).read_text())["categories"]
    skeleton = read_skeleton(name)
    assert [canonical_name(j) for j in category["keypoints"]] == [canonical_name(j) for j in skeleton.joints]
    edges = {frozenset((a - 1, b - 1)) for a, b in category["skeleton"]}
    assert edges <= {frozenset(edge) for edge in skeleton.edges}


@pytest.mark.shared_data
def test_coco_edges_are_in_the_order_of_the_file_that_cvat_took(shared_data: Path) -> None:
    content = json.loads((shared_data / "cvat" / "pushed_person_keypoints_default.json").read_text())
    edges = [[a + 1, b + 1] for a, b in read_skeleton("coco17").edges]
    assert edges == content["categories"][0]["skeleton"]


names = st.text(st.characters(categories=["L", "Nd"], include_characters=" -_"), min_size=1, max_size=12).filter(
    canonical_name
)


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    joints = draw(st.lists(names, min_size=2, max_size=8, unique_by=canonical_name))
    indices = st.integers(0, len(joints) - 1)
    shuffled = draw(st.permutations(range(len(joints))))
    pair_count = draw(st.integers(0, len(joints) // 2))
    taken = {canonical_name(joint) for joint in joints}
    other_names = draw(st.lists(names.filter(lambda n: canonical_name(n) not in taken), unique_by=canonical_name))
    return Skeleton(
        name=draw(names),
        joints=tuple(joints),
        edges=tuple(draw(st.lists(st.tuples(indices, indices).filter(lambda edge: edge[0] != edge[1])))),
        flip_pairs=tuple((shuffled[2 * i], shuffled[2 * i + 1]) for i in range(pair_count)),
        sigmas=tuple(draw(st.floats(1e-4, 1.0)) for _ in joints),
        aliases={joints[0]: tuple(other_names)} if other_names else {},
        colours=draw(st.dictionaries(st.sampled_from(joints), st.from_regex("#[0-9a-f]{6}", fullmatch=True))),
    )


@given(skeletons())
def test_a_description_says_all_of_a_skeleton(skeleton: Skeleton) -> None:
    text = yaml.safe_dump(describe_skeleton(skeleton), allow_unicode=True)
    assert parse_skeleton(yaml.safe_load(text), where="test") == skeleton


@given(skeletons())
def test_a_skeleton_finds_all_of_itself(skeleton: Skeleton) -> None:
    assert skeleton.sources_in(skeleton) == tuple(range(len(skeleton.joints)))


@every_skeleton
def test_an_embedded_skeleton_survives_its_description(name: str) -> None:
    skeleton = read_skeleton(name)
    assert parse_skeleton(describe_skeleton(skeleton), where="test") == skeleton


@pytest.mark.parametrize("spelling", ["Left Eye", "left-eye", "LEFT_EYE", "lefteye"])
def test_names_are_compared_without_case_and_separators(spelling: str) -> None:
    assert read_skeleton("coco17").find(spelling) == 1


def test_what_is_left_out_is_guessed_or_assumed() -> None:
    skeleton = parse_skeleton({"joints": ["tail", "leftEar", "rightEar", "paw_L", "paw_R"]}, where="/tmp/fox.yaml")
    assert skeleton.name == "fox"
    assert skeleton.flip_pairs == ((1, 2), (3, 4))
    assert skeleton.sigmas == (DEFAULT_SIGMA,) * 5


def test_sigmas_by_name_come_in_joint_order() -> None:
    assert parse_skeleton({"joints": ["a", "b"], "sigmas": {"B": 2, "a": 1}}, where="x").sigmas == (1.0, 2.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- nose", "got list, expected a mapping"),
        ("joints: nose", "'joints' must be a list of names, got 'nose'"),
        ("joints: [1, 2]", "'joints' must be a list of names, got [1, 2]"),
        ("joints: []", "got no joints"),
        ("joints: [a]\nlinks: []", "unknown key 'links'"),
        ("joints: [left_eye, Left Eye]", "'Left Eye' names both 'left_eye' and 'Left Eye'"),
        ("joints: [eye, eye]", "'eye' names both 'eye' and 'eye'"),
        ("joints: [a, b]\naliases: {a: B}", "'b' names both 'a' and 'b'"),
        ("joints: [a, b]\naliases: {a: 3}", "aliases: a: got 3"),
        ("joints: [a, b]\naliases: {c: d}", "aliases: 'c' is not one of its joints: a, b"),
        ("joints: [a, b]\naliases: [a]", "aliases: got ['a'], expected a mapping"),
        ("joints: [a, b]\nedges: [[a, c]]", "edges: 'c' is not one of its joints: a, b"),
        ("joints: [a, b]\nedges: [a, b]", "edges: got 'a', expected a pair"),
        ("joints: [a, b]\nedges: {a: b}", "edges: got {'a': 'b'}, expected a list of pairs"),
        ("joints: [a, b]\nedges: [[a, a]]", "edge (0, 0) must hold two different joints"),
        ("joints: [a, b, c]\nflips: [[a, b], [b, c]]", "a joint stands in two flip pairs"),
        ("joints: [a, b]\nsigmas: [0.1]", "got 1 sigmas, expected 2"),
        ("joints: [a, b]\nsigmas: [0.1, 0]", "sigmas must be above 0, got 0.0"),
        ("joints: [a, b]\nsigmas: [0.1, .nan]", "sigmas must be above 0"),
        ("joints: [a, b]\nsigmas: [0.1, wide]", "expected numbers, one a joint"),
        ("joints: [a, b]\nsigmas: {a: 0.1}", "sigmas: no value for 'b'"),
        ("joints: [a, b]\ncolours: {a: red}", "colours: a: got 'red', expected '#rrggbb'"),
        ("joints: [a", "cannot be read as YAML"),
    ],
)
def test_bad_descriptions_say_what_is_wrong_and_where(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(CvatExportError) as caught:
        read_skeleton(path)
    assert said in str(caught.value)
    assert "bad" in str(caught.value)


def test_an_unknown_name_lists_those_known() -> None:
    with pytest.raises(CvatExportError, match="no such file, and not one of blazepose33, cat16, coco17"):
        read_skeleton("coco18")


def test_values_made_in_code_are_checked_too() -> None:
    def make(**fields: Any) -> Skeleton:
        return Skeleton("s", ("a", "b"), **fields)

    with pytest.raises(CvatExportError, match="flip pair"):
        make(flip_pairs=((0, 2),))
    with pytest.raises(CvatExportError, match="aliases: 'c'"):
        make(aliases={"c": ("d",)})
