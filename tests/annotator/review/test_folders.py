"""What a review reads of each kind of folder, and how it judges it."""

import numpy as np
import pytest

from annotator.change_rows import task_row
from annotator.errors import AnnotatorError
from annotator.pulled_folder import write_corrections
from annotator.review.folders import read_review
from annotator.review.frames import FALSE_NEGATIVE, FALSE_POSITIVE
from cvat_export.changes import compare
from cvat_export.pulling import PulledFrame, PulledInstance, PulledTask
from cvat_export.push_record import PushedProposal
from tests.annotator.review.folders_to_review import (
    HEIGHT,
    SKELETON,
    WIDTH,
    frame_name,
    person,
    swapped,
    write_proposed,
)

NAMES = [frame_name(number) for number in range(4)]


def moved(one, joint, by):
    xy = one.xy.copy()
    xy[joint] += by
    return type(one)(one.category, one.bbox_xyxy, xy, one.visibility, one.score, one.joint_scores)


def pulled_instance(proposed, corrected, finished=True):
    proposal = None if proposed is None else PushedProposal("k", "image", 1, proposed)
    return PulledInstance(proposal, corrected, compare(proposed, corrected, SKELETON, finished), 1, "manual")


@pytest.fixture
def corrected(tmp_path):
    """One moved, one swapped, one deleted and one added, one frame empty, one not finished."""
    write_proposed(tmp_path / "out", dict.fromkeys(NAMES, ()))
    one, other = person(40, 30), person(110, 30)
    frames = {
        0: (True, [pulled_instance(one, moved(one, 9, (8, 0))), pulled_instance(other, swapped(other))]),
        1: (True, [pulled_instance(one, None), pulled_instance(None, other)]),
        2: (True, []),
        3: (False, [pulled_instance(one, one, finished=False)]),
    }
    rows = [
        PulledFrame(NAMES[number], WIDTH, HEIGHT, 5, number, 7, "ana", finished, tuple(instances))
        for number, (finished, instances) in frames.items()
    ]
    folder = tmp_path / "corrected"
    folder.mkdir()
    (folder / "images").symlink_to(tmp_path / "out" / "images")
    write_corrections(folder, [task_row(PulledTask(5, "task", {"person": SKELETON}, tuple(rows), ()))])
    return folder


def test_proposals_have_scores_and_their_place_in_the_video(tmp_path):
    review = read_review(write_proposed(tmp_path / "out", {NAMES[0]: (person(40, 30),), NAMES[1]: ()}))
    first, second = review.frames
    assert first.origin.seconds == 0 and second.origin.seconds == pytest.approx(0.1)
    assert first.video == second.video == "walk (ab12cd34)"
    assert first.proposals[0].instance.joint_scores == pytest.approx(np.full(17, 0.8))
    assert first.doubt == pytest.approx(0.2) and not first.is_judged
    assert second.is_empty and second.doubt == 0
    assert first.models == "tiny ffffffff"


def test_given_truth_says_what_is_wrong(tmp_path):
    one, other = person(40, 30), person(110, 30)
    truth = write_proposed(tmp_path / "truth", {NAMES[0]: (one,), NAMES[1]: (one,), NAMES[2]: (one, other)})
    out = write_proposed(
        tmp_path / "out", {NAMES[0]: (one,), NAMES[1]: (swapped(one),), NAMES[2]: (other, person(80, 50))}
    )
    good, turned, missed = read_review(out, truth=truth).frames
    assert good.errors == ("good",) and good.doubt == pytest.approx(0, abs=1e-6)
    assert turned.errors == ("inversion",) and turned.proposals[0].joint_errors.count("inversion") == 16
    assert missed.proposals[0].error == "good"
    assert missed.proposals[1].error == FALSE_POSITIVE
    assert [subject.error for subject in missed.truth] == [FALSE_NEGATIVE, None]
    assert missed.doubt == 1 and missed.lowest_oks == 0


def test_truth_of_other_images_is_refused(tmp_path):
    out = write_proposed(tmp_path / "out", {NAMES[0]: ()})
    truth = write_proposed(tmp_path / "truth", {NAMES[1]: (person(40, 30),)})
    with pytest.raises(AnnotatorError, match="none of its 1 images"):
        read_review(out, truth=truth)


def test_what_people_changed(corrected):
    review = read_review(corrected)
    edited, replaced, empty, unfinished = review.frames
    wrist = edited.proposals[0].outcomes[9]
    assert (str(wrist.outcome), wrist.moved_px) == ("moved", pytest.approx(8))
    assert edited.moved_sigmas == pytest.approx(edited.proposals[0].moved_sigmas) and edited.moved_sigmas > 1
    assert [one.fate for one in edited.proposals] == ["edited", "edited"]
    assert edited.proposals[1].error == "inversion"
    assert (replaced.proposals[0].fate, replaced.proposals[0].error) == ("deleted", FALSE_POSITIVE)
    assert (replaced.corrections[0].fate, replaced.corrections[0].error) == ("added", FALSE_NEGATIVE)
    assert empty.is_empty and empty.finished
    assert not unfinished.finished and not unfinished.errors
    assert (edited.work.task, edited.work.frame, edited.work.job, edited.work.annotator) == (5, 0, 7, "ana")


def test_frames_without_pictures_are_told(corrected):
    (corrected / "images" / NAMES[3]).unlink()
    review = read_review(corrected)
    assert len(review.frames) == 3 and "1 frames are not shown" in review.notes[0]


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(AnnotatorError, match=r"got neither annotator.yaml nor changes.jsonl"):
        read_review(tmp_path)
