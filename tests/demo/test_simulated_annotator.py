"""The simulated annotator against the stand-in server, as `annotator push` filled it and `annotator pull` reads it."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from annotator.commands import acceptance as acceptance_command
from annotator.credentials import find_login
from annotator.proposal_outcomes import Outcome
from cvat_export.atomic import write_bytes
from cvat_export.changes import Fate
from cvat_export.coco import ANNOTATION_FILE, encode_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from demo.correction import Work, correct_image
from demo.cvat_standin import Fault
from demo.hand import Hand, sigmas_px
from demo.simulated_annotator import AnnotatingServer, annotate, main
from demo.truth import Truth, read_truth
from tests.cvat_export.cvat_datasets import (
    COCO,
    PROJECT,
    changes,
    person,
    pull,
    push,
    run,
    shapes_on_server,
    write_out,
    writes,
)

HAND = Hand()
FIRST, SECOND, THIRD = person(40, 30, 100), person(150, 30, 120), person(240, 60, 90)
TRUE_PEOPLE = ((FIRST,), (), (FIRST, SECOND), (THIRD,), (SECOND,))


class Once:
    """The fault at one request, counted from 0, and never again."""

    def __init__(self, number, action):
        self.number, self.action, self.seen = number, action, 0

    def __call__(self, _, method, path):
        self.seen += 1
        return self.action() if self.seen == self.number + 1 else None


class Stopped(BaseException):
    """The annotator is stopped here."""


@pytest.fixture
def server(server):
    server.state.polls = 0
    return server


def move(instance, joints, sigmas):
    """The instance with these joints as many sigmas to the right."""
    xy = instance.xy.copy()
    xy[joints, 0] += sigmas * sigmas_px(instance, COCO)[joints]
    return replace(instance, xy=xy)


def mark(instance, **visibility):
    flags = instance.visibility.copy()
    for joint, value in visibility.items():
        flags[COCO.find(joint)] = value
    return replace(instance, visibility=flags)


def truth_of(people=TRUE_PEOPLE):
    images = tuple(LabelledImage(f"frame_{n:03}.jpg", 320, 240, tuple(there)) for n, there in enumerate(people))
    return Truth.of(Dataset((Category("person", COCO),), images))


def proposals():
    """One right; one of nobody; one with two joints far off and others a little, and nobody found; flags; one twice."""
    wrong = move(move(FIRST, [7, 9], 3.0), [5, 6, 11], 0.6)
    flags = mark(THIRD, left_wrist=1, right_ear=2, left_ankle=0)
    return [[FIRST], [person(20, 40, 80)], [wrong], [flags], [SECOND, move(SECOND, range(17), 0.8)]]


def work_on(server, truth=None, hand=HAND):
    return annotate(AnnotatingServer(find_login(None, None, None)), PROJECT, truth or truth_of(), hand)


def labels_on_server(server):
    """What is on the server, without its ids and the order that they make."""
    rows = []
    for shape in shapes_on_server(server):
        joints = sorted(
            (one["label_id"], tuple(one["points"]), one["occluded"], one["outside"]) for one in shape["elements"]
        )
        rows.append((shape["frame"], shape["source"], joints))
    states = [(job.stage, job.state) for job in server.state.jobs.values()]
    return sorted(rows), states


def push_proposals(tmp_path, *more):
    assert push(write_out(tmp_path / "out", proposals()), "--segment-size", 2, *more)[0] == 0


def test_what_is_pulled_is_true_within_the_tolerance(server, tmp_path):
    push_proposals(tmp_path)
    work_on(server)
    assert {(job.stage, job.state) for job in server.state.jobs.values()} == {("acceptance", "completed")}
    assert pull(tmp_path / "corrected")[0] == 0
    pulled = {image.file_name: image for image in read_coco(tmp_path / "corrected").images}
    for image in truth_of().images.values():
        found = sorted(pulled[image.file_name].instances, key=lambda one: float(one.xy[0, 0]))
        assert len(found) == len(image.instances)
        for true, one in zip(image.instances, found, strict=True):
            np.testing.assert_array_equal(one.visibility, true.visibility)
            off = np.linalg.norm(one.xy - true.xy, axis=1)[true.labelled] / sigmas_px(true, COCO)[true.labelled]
            assert off.max() <= 1.001


def test_only_what_is_wrong_is_touched(server, tmp_path):
    push_proposals(tmp_path)
    work_on(server)
    pull(tmp_path / "corrected")
    wrong = proposals()[2][0]
    corrected = read_coco(tmp_path / "corrected").images[2].instances
    one = min(corrected, key=lambda one: float(one.xy[0, 0]))
    moved = np.abs(one.xy - wrong.xy).max(axis=1) > 0.01
    assert np.flatnonzero(moved & one.labelled).tolist() == [7, 9]


def test_fates_are_those_of_what_was_wrong(server, tmp_path):
    push_proposals(tmp_path)
    work_on(server)
    pull(tmp_path / "corrected")
    fates = {}
    for row in changes(tmp_path / "corrected"):
        fates.setdefault(row["file_name"], []).append(row["fate"])
    assert {name: sorted(found) for name, found in fates.items()} == {
        "frame_000.jpg": ["confirmed"],
        "frame_001.jpg": ["confirmed_empty", "deleted"],
        "frame_002.jpg": ["added", "edited"],
        "frame_003.jpg": ["edited"],
        "frame_004.jpg": ["confirmed", "deleted"],
    }


def test_acceptance_counts_what_the_annotator_counted(server, tmp_path):
    push_proposals(tmp_path)
    work = work_on(server)
    pull(tmp_path / "corrected")
    _, stdout, _ = run(acceptance_command, tmp_path / "corrected", "--json")
    total = json.loads(stdout)["total"]
    assert total["frames"] == work.frames
    assert total["subjects"] == {fate: work.fates.get(Fate(fate), 0) for fate in total["subjects"]}
    assert total["joints"] == {name: work.outcomes.get(Outcome(name), 0) for name in total["joints"]}
    for side, effort in (("corrected", work.corrected), ("drawn", work.drawn)):
        assert total[side] == pytest.approx({"seconds": effort.seconds, "clicks": effort.clicks})
    assert work.outcomes == {Outcome.MOVED: 2, Outcome.OCCLUSION: 1, Outcome.ADDED: 1, Outcome.DELETED: 1,
                             Outcome.LEFT_ALONE: 60}  # fmt: skip


def test_a_second_call_writes_nothing(server, tmp_path):
    push_proposals(tmp_path)
    work_on(server)
    before = len(writes(server))
    assert work_on(server) == Work()
    assert len(writes(server)) == before


def test_looking_again_at_work_that_is_done_changes_nothing(server, tmp_path):
    push_proposals(tmp_path)
    done = work_on(server)
    labels, _ = labels_on_server(server)
    for job in list(server.state.jobs):
        server.state.set_job(job, stage="annotation", state="in progress")
    before = len(writes(server))
    again = work_on(server)
    assert labels_on_server(server)[0] == labels
    assert [request[1] for request in writes(server)[before:]] == [f"/api/jobs/{n}" for n in sorted(server.state.jobs)]
    kept = sum(count for fate, count in done.fates.items() if fate is not Fate.DELETED)
    assert again.fates == {Fate.CONFIRMED: kept}


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("arrives", [False, True], ids=["before the request", "after it"])
def test_stopped_at_any_write_it_ends_the_same(server, tmp_path, monkeypatch, newest_first, arrives):
    server.state.newest_first = newest_first
    push_proposals(tmp_path)
    pushed = {job.id: dict(job.shapes) for job in server.state.jobs.values()}
    before = len(writes(server))
    work_on(server)
    wanted, count = labels_on_server(server), len(writes(server)) - before
    assert count > 7
    for number in range(count):
        _begin_anew(server, pushed)
        with monkeypatch.context() as patched:
            patched.setattr(AnnotatingServer, "_write", _stopping(number, arrives))
            with pytest.raises(Stopped):
                work_on(server)
        work_on(server)
        assert labels_on_server(server) == wanted, f"write {number}"


def _stopping(number, arrives):
    """The client's `_write`, that is stopped at the n-th from 0, as the request arrives or before."""
    write, seen = AnnotatingServer._write, []

    def stopping(self, *arguments):
        seen.append(arguments)
        if len(seen) <= number:
            return write(self, *arguments)
        if arrives:
            write(self, *arguments)
        raise Stopped

    return stopping


def _begin_anew(server, pushed):
    for job_id, shapes in pushed.items():
        server.state.jobs[job_id].shapes = dict(shapes)
        server.state.set_job(job_id, stage="annotation", state="new")


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.SLOW], ids=lambda fault: fault.name)
def test_a_fault_at_any_request_changes_nothing(server, tmp_path, fault):
    push_proposals(tmp_path)
    pushed = {job.id: dict(job.shapes) for job in server.state.jobs.values()}
    before = len(server.requests)
    work = work_on(server)
    wanted, count = labels_on_server(server), len(server.requests) - before
    for number in range(count):
        _begin_anew(server, pushed)
        server.fault = Once(number, lambda: fault)
        assert work_on(server) == work, f"request {number}"
        assert labels_on_server(server) == wanted, f"request {number}"


def test_the_same_image_has_the_same_hand(server, tmp_path):
    """In another task, with other ids, beside other images."""
    push_proposals(tmp_path)
    work_on(server)
    shapes = [joints for frame, _, joints in labels_on_server(server)[0] if frame == 2]
    positions = {tuple(joint[1] for joint in joints) for joints in shapes}
    server.state.delete_project(next(iter(server.state.projects)))
    write_out(tmp_path / "fewer", [[], *proposals()[1:3]])
    assert push(tmp_path / "fewer", "--state", tmp_path / "elsewhere")[0] == 0
    work_on(server)
    again = [joints for frame, _, joints in labels_on_server(server)[0] if frame == 2]
    assert {tuple(joint[1] for joint in joints) for joints in again} == positions


def test_an_image_that_the_truth_lacks_is_said_before_anything_is_changed(server, tmp_path):
    push_proposals(tmp_path)
    before = len(writes(server))
    with pytest.raises(CvatExportError, match=r"frame_000.jpg: is not among the 0 images"):
        work_on(server, truth_of(()))
    assert len(writes(server)) == before


def test_a_project_of_other_joints_is_refused(server, tmp_path):
    push_proposals(tmp_path)
    other = Category("person", replace(COCO, name="other", joints=("snout", *COCO.joints[1:])))
    truth = Truth.of(Dataset((other,), tuple(truth_of().images.values())))
    with pytest.raises(CvatExportError, match="joint 'snout' is missing"):
        work_on(server, truth)


def test_the_command(server, tmp_path):
    push_proposals(tmp_path)
    images = tuple(truth_of().images.values())
    write_bytes(tmp_path / "truth.json", encode_coco(Dataset((Category("person", COCO),), images)))
    result = CliRunner().invoke(main, ["--project", PROJECT, "--truth", str(tmp_path / "truth.json"), "--seed", "4"])
    assert result.exit_code == 0, result.output
    assert "5 frames: 2 confirmed, 2 edited, 1 added, 2 deleted" in result.output
    assert read_truth(tmp_path / "truth.json").image("other/frame_002.png").instances[1].category == "person"


def image_of(*people):
    return LabelledImage("one.jpg", 320, 240, people)


def correct(image, found, hand=HAND):
    return correct_image(image, found, {"person": COCO}, hand)


def test_a_hand_errs_by_as_many_sigmas_as_it_says():
    offs = []
    for number in range(200):
        image = LabelledImage(f"{number}.jpg", 320, 240, (SECOND,))
        off = np.linalg.norm(Hand(noise_sigmas=0.5).places(image, 0, COCO) - SECOND.xy, axis=1) / sigmas_px(
            SECOND, COCO
        )
        offs.append(off[SECOND.labelled])
    assert math.sqrt(np.mean(np.square(offs))) == pytest.approx(0.5, rel=0.03)


def test_hands_differ_by_seed_image_and_subject():
    image = image_of(SECOND, SECOND)
    places = [Hand(seed=seed).places(image, subject, COCO) for seed in (0, 1) for subject in (0, 1)]
    places.append(HAND.places(replace(image, file_name="two.jpg"), 0, COCO))
    assert len({tuple(one.ravel()) for one in places}) == 5


def test_a_proposal_without_any_joint_near_is_known_by_its_box():
    reversed_joints = replace(SECOND, xy=SECOND.xy[::-1])
    correction = correct(image_of(SECOND), [reversed_joints])
    assert (list(correction.kept), correction.deleted, correction.added) == ([0], (), ())


@st.composite
def scenes(draw):
    """Who is there, and proposals: of them, changed, and of nobody."""
    people = [person(30 + 100 * n, 30, draw(st.integers(80, 150))) for n in range(draw(st.integers(0, 3)))]
    found = []
    for one in people:
        for _ in range(draw(st.integers(0, 2))):
            moves = draw(st.lists(st.floats(-4, 4), min_size=17, max_size=17))
            flags = draw(st.lists(st.integers(0, 2), min_size=17, max_size=17))
            shifted = one.xy + np.array(moves, np.float32)[:, None] * sigmas_px(one, COCO)[:, None]
            found.append(replace(one, xy=shifted.round(2), visibility=np.array(flags, np.uint8)))
    if draw(st.booleans()):
        found.append(person(draw(st.integers(0, 250)), 150, 70))
    return image_of(*people), draw(st.permutations(found))


@given(scenes(), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0.0, 0.3, 1.5]))
def test_what_was_corrected_needs_no_correction(scene, tolerance, noise):
    image, found = scene
    hand = Hand(tolerance, noise)
    first = correct(image, found, hand)
    result = [*first.kept.values(), *first.added]
    assert len(result) == len(image.instances)
    second = correct(image, result[::-1], hand)
    assert second.work.fates == Counter({Fate.CONFIRMED: len(result)} if result else {})


@given(scenes())
def test_correcting_takes_what_acceptance_says(scene):
    """Counts agree with the fates and outcomes that are told from before and after."""
    image, found = scene
    correction = correct(image, found)
    assert correction.work.fates[Fate.DELETED] == len(found) - len(correction.kept)
    assert correction.work.fates[Fate.ADDED] == len(image.instances) - len(correction.kept)
    per_joint = sum(correction.work.outcomes.values())
    labelled = sum(int((found[n].labelled | one.labelled).sum()) for n, one in correction.kept.items())
    assert per_joint == labelled


def test_the_truth_leaves_out_whom_nobody_could_draw():
    nobody = replace(FIRST, visibility=np.zeros(17, np.uint8))
    assert [len(image.instances) for image in truth_of([(FIRST, nobody)]).images.values()] == [1]


def test_the_annotation_file_of_a_folder_is_a_truth(tmp_path):
    folder = write_out(tmp_path / "out", [[FIRST]])
    assert len(read_truth(folder / ANNOTATION_FILE).image("frame_000.jpg").instances) == 1
