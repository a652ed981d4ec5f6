"""Acceptance against rows that were counted by hand, and by properties of rows as pull writes them."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.acceptance import measure_acceptance, wilson_interval
from annotator.acceptance_advice import advise
from annotator.acceptance_tables import as_json, format_seconds, format_share
from annotator.change_rows import change_lines, task_row
from annotator.correction_cost import Costs, Effort
from annotator.proposal_outcomes import NOBODY, NOT_RECORDED, Outcome, Round, video_name
from cvat_export.changes import Fate, compare
from cvat_export.instance_rows import format_row, parse_row
from cvat_export.labels import Instance
from cvat_export.pulling import PulledFrame, PulledInstance, PulledTask
from cvat_export.push_record import PushedProposal
from cvat_export.skeleton import Skeleton

MOUSE = Skeleton("mouse", ("nose", "left_ear", "right_ear"), ((0, 1), (0, 2)), ((1, 2),), (0.1, 0.1, 0.1))
ROUND_COSTS = Costs(start=100, drag=10, toggle=5, delete=3, look=1)
BOX = (0, 0, 100, 100)  # so that a sigma is 10 px
PLACES = ((50.0, 20.0), (40.0, 40.0), (60.0, 40.0))


def mouse(xy=PLACES, visibility=(2, 2, 2), models=(), joint_scores=None):
    extra = {"models": list(models)} if models else {}
    return Instance("mouse", BOX, xy, visibility, 0.9, joint_scores, extra=extra)


def corrected(proposal, joint, dx=0.0, visibility=None):
    """A proposal after one of its joints was moved or given another visibility."""
    xy, flags = proposal.xy.copy(), proposal.visibility.copy()
    xy[joint, 0] += dx
    flags[joint] = flags[joint] if visibility is None else visibility
    return replace(proposal, xy=xy, visibility=flags, score=None, joint_scores=None, extra={})


def frame(number, *pairs, finished=True, assignee="anna", task=1):
    """pairs: a proposal and what became of it, either None."""
    instances = tuple(
        PulledInstance(
            None if before is None else PushedProposal(f"{task}-{number}-{position}", f"{number}.jpg", 1, before),
            after,
            compare(before, after, MOUSE, finished),
            position,
        )
        for position, (before, after) in enumerate(pairs)
    )
    return PulledFrame(f"{number}.jpg", 200, 200, task, number, 1, assignee, finished, instances)


def one_round(*frames, name="corrected"):
    task = task_row(PulledTask(1, "t", {"mouse": MOUSE}, frames, ()))
    rows = list(change_lines(task["frames"]))
    return Round(name, rows, {"mouse": MOUSE}, {row["file_name"]: f"video {row['frame'] % 2}" for row in rows})


def measure(*rounds):
    return measure_acceptance(rounds, ROUND_COSTS)


def counts(tally):
    return {str(outcome): count for outcome, count in tally.outcomes.items() if count}


def test_every_outcome_is_counted_as_by_hand():
    swapped = replace(mouse(), xy=[PLACES[0], PLACES[2], PLACES[1]])
    unseen = mouse(visibility=(2, 2, 0))
    measured = measure(
        one_round(
            frame(0, (mouse(), mouse()), (mouse(), None), (None, mouse(visibility=(2, 1, 0)))),
            frame(1, (mouse(), corrected(mouse(), 0, dx=20)), (mouse(), swapped)),
            frame(2, (mouse(), corrected(mouse(), 1, visibility=1)), (unseen, corrected(unseen, 2, visibility=2))),
            frame(
                3, (mouse(), corrected(mouse(), 0, dx=5, visibility=1)), (mouse(), corrected(mouse(), 0, visibility=0))
            ),
            frame(4),
        )
    )
    total = measured.total
    assert {str(f): n for f, n in total.fates.items()} == {"confirmed": 1, "edited": 6, "deleted": 1, "added": 1}
    assert counts(total) == {
        "left alone": 14,
        "moved": 2,
        "swapped": 2,
        "occlusion changed": 1,
        "added": 1,
        "deleted": 1,
    }
    assert (total.moved_px.median, total.moved_sigmas.median) == pytest.approx((12.5, 1.25))
    assert total.outcome_shares[Outcome.MOVED].value == pytest.approx(2 / 20)  # the added joint was not proposed
    assert total.outcome_shares[Outcome.ADDED].value == pytest.approx(1 / 20)  # and the deleted one is not there
    assert total.fate_shares[Fate.DELETED].value == pytest.approx(1 / 8)
    assert total.fate_shares[Fate.ADDED].value == pytest.approx(1 / 8)
    assert (total.frames, measured.empty_frames) == (5, 1)
    nose = measured.parts["joint"]["nose"]
    assert counts(nose) == {"left alone": 4, "moved": 2, "deleted": 1}


def test_the_effort_is_that_of_the_actions():
    hidden = mouse(visibility=(2, 1, 0))
    total = measure(one_round(frame(0, (mouse(), corrected(mouse(), 0, dx=20)), (mouse(), None), (None, hidden)))).total
    added = 100 + 10 + (10 + 5) + 5  # a skeleton, a joint, an occluded joint, one that is not there
    assert total.drawn == Effort(100 + 3 * 10 + added, (3 + 3) + (3 + 1 + 2 + 1))
    assert total.corrected == Effort((3 * 1 + 10) + (1 + 3) + added, 1 + 1 + 7)
    assert total.saved.value == pytest.approx(1 - total.corrected.seconds / total.drawn.seconds)


def test_a_joint_that_was_hidden_by_the_model_is_shown_before_it_is_placed():
    assert Costs(drag=10, toggle=5).correct_joint(0, 1, dragged=False) == Effort(5 + 10 + 5, 3)
    assert Costs().correct_joint(0, 0, dragged=False) == Effort()


def test_unfinished_work_is_counted_apart():
    touched = corrected(mouse(), 0, dx=20)
    measured = measure(
        one_round(frame(0, (mouse(), mouse())), frame(1, (mouse(), mouse()), (mouse(), touched), finished=False))
    )
    assert counts(measured.total) == {"left alone": 3}
    assert (measured.total.frames, measured.unfinished_frames, measured.unfinished_subjects) == (1, 1, 2)
    assert measured.suspects[0].suspects == 0


def test_parts_are_by_assignee_video_and_model():
    by = mouse(models=("hog", "best.ckpt 1a2b3c4d"))
    measured = measure(
        one_round(frame(0, (by, corrected(by, 0, dx=9))), frame(1, (None, mouse()), assignee=None), frame(2, (by, by)))
    )
    assert {name: tally.frames for name, tally in measured.parts["annotator"].items()} == {"anna": 2, NOBODY: 1}
    assert {name: tally.frames for name, tally in measured.parts["video"].items()} == {"video 0": 2, "video 1": 1}
    assert list(measured.parts["model"]) == ["hog + best.ckpt 1a2b3c4d"]  # also of the frame without a proposal
    assert list(measure(one_round(frame(0, (mouse(), mouse())))).parts["model"]) == [NOT_RECORDED]


def test_a_frame_in_two_rounds_counts_where_it_was_first_finished():
    moved = corrected(mouse(), 0, dx=20)
    open_frame, done = frame(0, (mouse(), mouse()), finished=False), frame(0, (mouse(), moved))
    other = frame(1, (mouse(), mouse()))
    measured = measure(one_round(open_frame, other, name="a"), one_round(done, other, name="b"))
    assert [tally.frames for tally in measured.trend] == [1, 1]
    assert (measured.total.frames, measured.unfinished_frames, measured.repeated_frames) == (2, 0, 2)
    assert counts(measured.trend[1]) == {"left alone": 2, "moved": 1}


def test_suspects_were_right_where_a_named_joint_was_changed():
    doubtful = mouse(joint_scores=(0.9, 0.1, 0.1))  # low_scores names the ears
    sure = mouse(joint_scores=(0.9, 0.9, 0.9))
    measured = measure(
        one_round(
            frame(0, (doubtful, corrected(doubtful, 1, dx=20))),
            frame(1, (doubtful, corrected(doubtful, 0, dx=20))),
            frame(2, (doubtful, doubtful)),
            frame(3, (doubtful, None)),
            frame(4, (sure, sure)),
            frame(5, (sure, corrected(sure, 0, dx=20))),
        )
    )
    figures = {one.rule: one for one in measured.suspects}
    low = figures["low_scores"]
    assert (low.suspects, low.right.value, low.changed.value) == (4, 2 / 4, 3 / 4)
    assert measured.not_suspected.value == 1 / 2


def test_a_rule_that_fired_twice_was_right_where_either_was():
    stretched = mouse(xy=((50.0, 400.0), *PLACES[1:]))  # both of its limbs are too long
    measured = measure(one_round(frame(0, (stretched, corrected(stretched, 1, dx=20)))))
    assert {one.rule: one.right.value for one in measured.suspects}["limb_lengths"] == 1


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (0.1, 100, 0.0552, 0.1744)],
)
def test_intervals_are_wilsons(share, count, low, high):
    """Values as statsmodels' proportion_confint(method="wilson") gives them."""
    found = wilson_interval(share, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_of_nothing_there_is_no_share():
    measured = measure(one_round())
    assert math.isnan(measured.total.saved.value)
    assert as_json(measured, ROUND_COSTS, advise(measured))["total"]["joint_shares"]["moved"]["low"] is None
    assert advise(measured) == ()


def _many(count, dx, name="r", **more):
    offset = 1000 * sum(map(ord, name))
    return one_round(
        *(frame(offset + n, (mouse(), corrected(mouse(), 1, dx=dx)), **more) for n in range(count)), name=name
    )


def test_advice_needs_enough_frames_and_a_move_that_matters():
    (said,) = advise(measure(_many(30, 20)))
    assert said.startswith("moved often: left_ear in 100 % (89 to 100), by 2.0 sigmas: look at the guide")
    assert advise(measure(_many(2, 20))) == ()
    assert any("less than two people differ by" in said for said in advise(measure(_many(30, 4))))


def test_advice_on_rounds_and_annotators():
    first, second = _many(40, 20, "a"), one_round(*(frame(n, (mouse(), mouse())) for n in range(40)), name="b")
    assert any("became better" in said and "in a to 100 %" in said for said in advise(measure(first, second)))
    assert any("became worse" in said for said in advise(measure(second, first)))
    assert not any("became" in said for said in advise(measure(first, _many(40, 20, "c"))))
    bob = _many(40, 20, "d", assignee="bob")
    assert any(said.startswith("anna leaves 100 % of joints") for said in advise(measure(second, bob)))


def test_drawing_is_advised_where_proposals_cost_more():
    wasted = one_round(*(frame(n, *[(mouse(), None)] * 200, (None, mouse())) for n in range(10)))
    said = advise(measure(wasted))
    assert any("longer than drawing" in sentence for sentence in said)
    assert any("of proposals" in sentence and "deleted" in sentence for sentence in said)


def test_a_video_is_called_by_its_name():
    assert video_name("video 1a2b3c4d", "match 12-1a2b3c4d-512.jpg") == "match 12 (1a2b3c4d)"
    assert video_name("video 1a2b3c4d", "other.jpg") == "video 1a2b3c4d"
    assert video_name("folder x", "x/a.jpg") == "folder x"


def test_scores_and_models_go_through_a_row():
    row = format_row(mouse(models=("hog",), joint_scores=(0.12344, 0.5, 1.0)))
    again = parse_row(row, "mouse")
    assert again.extra["models"] == ["hog"]
    np.testing.assert_allclose(again.joint_scores, (0.1234, 0.5, 1.0))
    assert "joint_scores" not in format_row(mouse()) and "models" not in format_row(mouse())


def test_words():
    assert [format_seconds(s) for s in (-3, 119, 120, 7200)] == ["-3 s", "119 s", "2.0 min", "2.0 h"]
    assert format_share(wilson_interval(0.5, 10)) == "50 % (24 to 76)"
    assert format_share(wilson_interval(math.nan, 0)) == "-"


_PLACE = st.tuples(*[st.integers(0, 20).map(float)] * 2)
_MOUSE = st.builds(
    mouse,
    st.tuples(_PLACE, _PLACE, _PLACE),
    st.tuples(*[st.sampled_from((0, 1, 2))] * 3),
    st.sampled_from([(), ("m",)]),
)
_PAIR = st.one_of(
    st.tuples(_MOUSE, _MOUSE),
    st.tuples(_MOUSE, st.none()),
    st.tuples(st.none(), _MOUSE),
    _MOUSE.map(lambda one: (one, one)),
)
_FRAMES = st.lists(
    st.tuples(st.lists(_PAIR, max_size=4), st.booleans(), st.sampled_from(["anna", "bob", None])), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(_FRAMES)
def test_counts_add_up(content):
    """Nothing is counted twice or lost, whatever it is parted by."""
    frames = [frame(n, *pairs, finished=done, assignee=who) for n, (pairs, done, who) in enumerate(content)]
    measured = measure(one_round(*frames))
    finished = [pair for pairs, done, _ in content if done for pair in pairs]
    kept = [(before, after) for before, after in finished if before is not None and after is not None]
    total = measured.total
    assert total.frames == sum(done for _, done, _ in content)
    assert sum(total.fates.values()) == len(finished)
    assert sum(total.outcomes.values()) == sum(int((b.labelled | a.labelled).sum()) for b, a in kept)
    for what in ("video", "annotator", "model"):
        parts = measured.parts[what].values()
        assert sum((Counter(part.fates) for part in parts), Counter()) == +Counter(total.fates)
        assert sum(part.corrected.seconds for part in parts) == pytest.approx(total.corrected.seconds)
        assert sum(part.drawn.clicks for part in parts) == total.drawn.clicks
    joints = measured.parts["joint"].values()
    assert sum((Counter(part.outcomes) for part in joints), Counter()) == +Counter(total.outcomes)
    whole = sum(part.drawn.clicks for part in joints) + 3 * len(kept)
    added = sum(6 + int((a.visibility == 1).sum()) for b, a in finished if b is None)
    assert total.drawn.clicks == whole + added
    assert measured.suspects[0].suspects <= sum(b is not None for b, _ in finished)
