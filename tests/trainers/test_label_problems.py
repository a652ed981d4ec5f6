"""Each rule sees what it is for, and nothing in labels that are right."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cvat_export.dataset import LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton, read_skeleton
from cvat_export.suspects import find_suspects
from tests.trainers.labelled_folders import write_image
from trainers.errors import TrainersError
from trainers.image_files import ImageRef
from trainers.label_problems import KINDS, count_joints, find_problems, image_problems, in_order, problems_between
from trainers.label_sources import LabelledData, LabelSource, Sample, inspect_labels
from trainers.near_doubles import MOST_CELL, alike, picture_print
from trainers.problem import Problem

COCO = read_skeleton("coco17")

# A standing figure of height 1 that faces the camera: its left is on the right.
_FIGURE = [(0.0, 0.08)]
_FIGURE += [(side * dx, y) for dx, y in ((0.02, 0.06), (0.05, 0.07)) for side in (1, -1)]
_FIGURE += [(side * dx, y) for dx, y in ((0.12, 0.2), (0.15, 0.36), (0.16, 0.5)) for side in (1, -1)]
_FIGURE += [(side * dx, y) for dx, y in ((0.08, 0.5), (0.09, 0.72), (0.09, 0.94)) for side in (1, -1)]


def person(x=160.0, y=20.0, size=200.0):
    xy = (np.array(_FIGURE) * size + np.array([x, y])).astype(np.float32)
    bbox = np.concatenate([xy.min(axis=0) - 5, xy.max(axis=0) + 7])
    visibility = np.full(17, 2, np.uint8)
    visibility[4] = 1
    return Instance("person", bbox, xy, visibility)


def moved(instance, **joints):
    """joints: name -> its new place."""
    xy = instance.xy.copy()
    for name, place in joints.items():
        xy[COCO.find(name)] = place
    return replace(instance, xy=xy)


def unlabelled(instance, *names):
    visibility = instance.visibility.copy()
    visibility[[COCO.find(name) for name in names or COCO.joints]] = 0
    return replace(instance, visibility=visibility)


def image(*instances, name="a.jpg", size=(320, 240)):
    return LabelledImage(name, *size, instances)


def labelled_data(images, skeleton=COCO, groups=None):
    ref = ImageRef(None)
    groups = groups or {one.file_name: f"image {one.file_name}" for one in images}
    samples = tuple(
        Sample(ref, one.file_name, groups[one.file_name], instance, 1.0)
        for one in images
        for instance in one.instances
        if instance.labelled.any()
    )
    files = {one.file_name: ref for one in images}
    return LabelledData(skeleton, "person", samples, tuple(images), (), {}, files, groups)


def kinds(problems):
    return {problem.kind for problem in problems}


def test_a_figure_that_is_right_has_no_problem():
    assert image_problems(image(person()), COCO) == []
    many = [image(person(), name=f"{n}.jpg") for n in range(30)]
    assert find_problems(labelled_data(many)) == []


def _swapped_hips():
    one = person()
    return moved(one, left_hip=one.xy[COCO.find("right_hip")], right_hip=one.xy[COCO.find("left_hip")])


SUBJECTS = {
    "joints_in_one_point": lambda: [replace(person(), xy=np.full((17, 2), 50, np.float32))],
    "joint_at_origin": lambda: [moved(person(), left_wrist=(0, 0))],
    "box_outside_image": lambda: [replace(person(), bbox_xyxy=np.array([400, 10, 500, 90]))],
    "joints_outside_image": lambda: [moved(person(), left_wrist=(340, 100))],
    "joints_outside_box": lambda: [replace(person(), bbox_xyxy=np.array([5, 5, 60, 60]))],
    "crossed_sides": lambda: [_swapped_hips()],
    "limb_lengths": lambda: [moved(person(), right_ankle=person().bbox_xyxy[:2])],
    "doubles": lambda: [person(), person(x=161)],
    "tiny_subject": lambda: [person(size=9)],
    "unlabelled_subjects": lambda: [person(), unlabelled(person(x=60))],
    "image_without_labels": list,
}


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_rule_sees_what_it_is_for(kind):
    found = image_problems(image(*SUBJECTS[kind]()), COCO)
    (problem,) = [problem for problem in found if problem.kind == kind]
    assert problem.file_name == "a.jpg" and problem.text and problem.fix
    image_only = kind in ("unlabelled_subjects", "image_without_labels")
    assert problem.instance == (None if image_only else 2 if kind == "doubles" else 1)


def test_a_rule_names_the_joints_and_the_subject():
    (problem,) = image_problems(image(person(x=80), moved(person(x=240), left_wrist=(340, 100))), COCO)
    assert (problem.kind, problem.instance, problem.joints) == ("joints_outside_image", 2, ("left_wrist",))
    assert "20 px outside" in problem.text
    assert str(problem).startswith("a.jpg, instance 2: left_wrist")


def test_a_crowd_is_no_subject():
    crowd = replace(_swapped_hips(), is_crowd=True)
    assert image_problems(image(crowd), COCO) == []


def test_hidden_legs_below_a_box_of_what_is_seen_are_right():
    one = person()
    seen = replace(one, bbox_xyxy=np.array([*one.bbox_xyxy[:3], one.xy[COCO.find("left_hip")][1]]))
    assert "joints_outside_box" not in kinds(image_problems(image(seen), COCO))


def test_runners_twist():
    """Narrow hips against narrow shoulders are a stride, seen from the side."""
    one = person()
    hips = one.xy[COCO.find("left_hip")][1]
    profile = moved(one, left_shoulder=(168, 60), right_shoulder=(152, 60), left_hip=(152, hips), right_hip=(168, hips))
    assert find_suspects([profile], COCO)[0]
    assert "crossed_sides" not in kinds(image_problems(image(profile), COCO))


def _dataset(change, count=200, skeleton=COCO):
    images = [image(change(n, person()), name=f"{n}.jpg") for n in range(count)]
    return kinds(find_problems(labelled_data(images, skeleton)))


def test_joints_that_are_never_or_seldom_labelled():
    assert _dataset(lambda n, one: unlabelled(one, "nose")) == {"joint_never_labelled"}
    assert _dataset(lambda n, one: unlabelled(one, "nose") if n else one) == {"joint_seldom_labelled"}


def test_a_side_that_is_left_out():
    assert _dataset(lambda n, one: unlabelled(one, "left_knee") if n % 2 else one) == {"one_sided_joint"}
    assert _dataset(lambda n, one: unlabelled(one, "left_knee") if n % 2 else one, count=30) == set()


def test_visibility_that_never_varies():
    all_visible = np.full(17, 2, np.uint8)
    assert _dataset(lambda n, one: replace(one, visibility=all_visible)) == {"one_visibility"}


def test_flips_sigmas_and_twins():
    assert _dataset(lambda n, one: one, skeleton=replace(COCO, flip_pairs=())) == {"no_flips"}
    assert _dataset(lambda n, one: one, skeleton=replace(COCO, sigmas=(0.08,) * 17)) == {"default_sigmas"}
    other = replace(COCO, joints=("left_whisker", *COCO.joints[1:]))
    assert _dataset(lambda n, one: one, skeleton=other) == {"side_without_twin"}


def test_few_and_none():
    assert _dataset(lambda n, one: one, count=3) == {"few_subjects"}
    assert "nothing_labelled" in _dataset(lambda n, one: unlabelled(one), count=3)


def test_hull_boxes_are_said_once():
    data = labelled_data([image(person(), name=f"{n}.jpg") for n in range(30)])
    grown = tuple(
        replace(s, instance=replace(s.instance, bbox_xyxy=s.instance.bbox_xyxy + np.array([-9, -9, 9, 9])))
        for s in data.samples
    )
    (problem,) = find_problems(replace(data, samples=grown))
    assert problem.kind == "hull_boxes" and "30 of 30" in problem.text


def test_joints_are_counted():
    data = labelled_data([image(moved(person(), nose=(-1, 5))), image(unlabelled(person(), "nose"), name="b.jpg")])
    counts = count_joints(data)
    assert (counts.subjects, counts.labelled[0], counts.outside[0], counts.occluded[4]) == (2, 1, 1, 2)


def test_what_is_in_training_and_validation():
    training = labelled_data(
        [image(person(), name=n) for n in ("a.jpg", "b.jpg")], groups={"a.jpg": "video 1", "b.jpg": "image b.jpg"}
    )
    validation = labelled_data(
        [image(person(), name=n) for n in ("a.jpg", "c.jpg")], groups={"a.jpg": "image a.jpg", "c.jpg": "video 1"}
    )
    found = problems_between(training, validation, [("b.jpg", "c.jpg")])
    assert [(p.kind, p.severity, p.file_name) for p in found] == [
        ("same_image_in_both", "error", "c.jpg"),
        ("same_group_in_both", "error", None),
        ("same_name_in_both", "warning", "a.jpg"),
    ]


def test_errors_come_first_and_every_kind_is_explained():
    warning, error = Problem("doubles", "warning", "", ""), Problem("no_flips", "error", "", "")
    assert in_order([warning, error]) == [error, warning]
    assert all(text.endswith(".") for text in KINDS.values())


@pytest.mark.parametrize("save", [{"suffix": ".jpg", "quality": 60}, {"suffix": ".png", "size": (400, 300)}])
def test_a_picture_is_known_again_when_saved_anew_or_scaled(tmp_path, save):
    path = write_image(tmp_path / "a.png", size=(640, 480))
    again = tmp_path / f"again{save['suffix']}"
    opened = Image.open(path)
    opened.resize(save.get("size", opened.size)).save(again, quality=save.get("quality", 95))
    cells = np.stack([picture_print(ImageRef(p)).cells for p in (path, again, write_image(tmp_path / "b.png", 1))])
    ((index, others),) = alike(cells)
    assert {index, *others.tolist()} == {0, 1}


def test_alike_is_what_comparing_all_gives():
    random = np.random.default_rng(0)
    base = random.integers(0, 255, (20, 576))
    cells = np.clip(np.repeat(base, 5, axis=0) + random.integers(-3, 4, (100, 576)), 0, 255).astype(np.uint8)
    found = {frozenset((i, j)) for i, others in alike(cells) for j in others.tolist()}
    wide = cells.astype(int)
    expected = {
        frozenset((i, j))
        for i in range(100)
        for j in range(i)
        if np.abs(wide[i] - wide[j]).max() <= MOST_CELL and abs(wide[i].mean() - wide[j].mean()) <= 1.5
    }
    assert found <= expected and len(found) == sum(len(others) for _, others in alike(cells))
    assert {pair for pair in expected if np.abs(np.subtract(*(wide[n] for n in pair))).mean() <= 1.5} == found


def test_a_subject_that_moved_makes_another_picture():
    still = np.full((2, 576), 100, np.uint8)
    still[1, 300] += MOST_CELL + 1
    assert list(alike(still)) == []
    still[1, 300] -= 1
    assert [(index, others.tolist()) for index, others in alike(still)] == [(0, [1])]


def test_a_cut_picture_is_refused(tmp_path):
    path = write_image(tmp_path / "a.jpg", size=(640, 480))
    whole = path.read_bytes()
    for kept in (len(whole) - 2, len(whole) // 2, 0):
        path.write_bytes(whole[:kept])
        with pytest.raises(TrainersError, match=r"a\.jpg"):
            picture_print(ImageRef(path))


@pytest.mark.shared_data
def test_frames_of_a_still_camera_are_different_pictures(shared_data):
    files = sorted((shared_data / "openfield_mouse" / "images").iterdir())
    assert list(alike(np.stack([picture_print(ImageRef(file)).cells for file in files]))) == []


@pytest.mark.shared_data
def test_ankles_in_the_corner_of_the_box_are_found(shared_data):
    data, _ = inspect_labels([LabelSource(shared_data / "standing_people")])
    found = [problem for problem in find_problems(data) if problem.kind == "limb_lengths"]
    assert len({problem.file_name for problem in found}) == 12
    corner = [p for p in found if p.file_name.startswith("dcca0d1d")]
    assert corner[0].joints == ("Right Ankle", "Right Knee")


@pytest.mark.shared_data
def test_human_labels_have_few_problems(shared_data):
    """Shares that were looked at, picture by picture: a rule that suddenly names more is not to be believed."""
    path = shared_data / "lspet" / "annotations" / "person_keypoints_val.json"
    data, problems = inspect_labels([LabelSource(path)])
    found = find_problems(data)
    assert not problems and kinds(found) == {"crossed_sides", "limb_lengths", "one_visibility"}
    assert len(found) < 10


def test_a_skeleton_of_one_joint_is_no_trouble():
    ball = Skeleton("ball", ("centre",))
    one = Instance("ball", np.array([10, 10, 40, 40]), np.array([[25.0, 25.0]]), np.array([2]))
    assert image_problems(image(one), ball) == []
