"""Events and states: undo is an exact inverse, and what is written down leads to the same state again."""

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator.commands.choose_frames import BY_HAND, KINDS
from annotator.errors import AnnotatorError
from annotator.picking.log import PickingLog, refuse_if_open
from annotator.picking.session import MARKS, Event, Pick, Session, event_of, replayed
from frame_tools.frame import FrameId

FRAMES = [FrameId(sha256 * 64, pts) for sha256 in "ab" for pts in (-5, 0, 100)]

frames = st.sampled_from(FRAMES)
singles = st.builds(lambda action, frame: Event(action, (frame,)), st.sampled_from(("take", "drop")), frames)
marks = st.builds(
    lambda action, frame, mark: Event(action, (frame,), (mark,)),
    st.sampled_from(("mark", "unmark")),
    frames,
    st.sampled_from(MARKS),
)
accepts = st.lists(frames, min_size=1, unique=True).flatmap(
    lambda chosen: st.builds(
        lambda texts: Event("accept", tuple(chosen), tuple(texts)),
        st.lists(st.text(max_size=9), min_size=len(chosen), max_size=len(chosen)),
    )
)
changes = st.one_of(singles, marks, accepts)
events = st.one_of(changes, st.just(Event("undo")))


@given(st.lists(events, max_size=30), changes)
def test_undo_is_the_inverse_of_every_change(before, change):
    session = replayed(before)
    after = session.after(change)
    assert after == session or after.after(Event("undo")) == session


@given(st.lists(changes, max_size=30))
def test_undoing_everything_leads_to_nothing(many):
    session = replayed(many)
    for _ in many:
        session = session.after(Event("undo"))
    assert session == Session()
    assert session.after(Event("undo")) is session


@given(st.lists(events, max_size=30))
def test_events_survive_json(many):
    lines = [json.dumps(event.to_json()) for event in many]
    assert [event_of(json.loads(line), "here") for line in lines] == many


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(events, max_size=12), st.data())
def test_whatever_byte_a_kill_comes_at_the_whole_events_are_kept(tmp_path, many, data):
    path = tmp_path / "picking.jsonl"
    path.unlink(missing_ok=True)
    log, states, ends = PickingLog(path), [Session()], [0]
    for event in many:
        if log.append(event) is not states[-1]:
            states.append(log.session)
            ends.append(path.stat().st_size)
    log.close()
    cut = data.draw(st.integers(0, ends[-1]))
    os.truncate(path, cut)
    whole = max(number for number, end in enumerate(ends) if end <= cut)
    log = PickingLog(path)
    assert log.session == states[whole] and log.dropped == cut - ends[whole]
    log.append(Event("take", (FRAMES[0],)))
    log.append(Event("mark", (FRAMES[0],), ("empty",)))
    expected = log.session
    log.close()
    log = PickingLog(path)
    assert log.session == expected and log.dropped == 0
    log.close()


def test_a_log_is_one_processs(tmp_path):
    path = tmp_path / "picking.jsonl"
    refuse_if_open(path)
    log = PickingLog(path)
    for open_again in (PickingLog, refuse_if_open):
        with pytest.raises(AnnotatorError, match="another page is open"):
            open_again(path)
    log.close()
    refuse_if_open(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "is no event"),
        ('{"action": "fly", "frames": [], "texts": []}', "action 'fly', expected one of take"),
        ('{"action": "take", "frames": [], "texts": []}', "take with 0 frames"),
        ('{"action": "mark", "frames": [["a", 1]], "texts": ["sad"]}', "mark 'sad', expected one of blurry"),
    ],
)
def test_a_damaged_log_says_which_line(tmp_path, line, words):
    path = tmp_path / "picking.jsonl"
    path.write_text('{"action": "undo", "frames": [], "texts": []}\n' + line + "\n")
    with pytest.raises(AnnotatorError, match=words):
        PickingLog(path)


def test_a_full_disk_leaves_the_session_as_it_was(tmp_path, monkeypatch):
    log = PickingLog(tmp_path / "picking.jsonl")
    log.append(Event("take", (FRAMES[0],)))
    kept = (tmp_path / "picking.jsonl").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnnotatorError, match="could not be kept: No space left"):
        log.append(Event("drop", (FRAMES[0],)))
    assert log.session.taken == [FRAMES[0]]
    monkeypatch.undo()
    log.append(Event("take", (FRAMES[1],)))
    log.close()
    assert (tmp_path / "picking.jsonl").read_bytes().startswith(kept)
    again = PickingLog(tmp_path / "picking.jsonl")
    assert again.session.taken == FRAMES[:2]
    again.close()


def test_marking_takes_and_dropping_keeps_the_marks():
    frame = FRAMES[0]
    session = replayed([Event("mark", (frame,), ("blurry",)), Event("mark", (frame,), ("strange",))])
    assert session.taken == [frame] and session.count("blurry") == 1
    dropped = session.after(Event("drop", (frame,)))
    assert dropped.taken == [] and dropped.count("blurry") == 0
    assert dropped.after(Event("take", (frame,))).pick(frame) == session.pick(frame)


@pytest.mark.parametrize(
    ("pick", "reason", "figures"),
    [
        (Pick(True), "picked by hand", {}),
        (Pick(True, frozenset({"strange", "blurry"})), "picked by hand: blurry, strange", {"blurry", "strange"}),
        (Pick(True, suggestion="scene 1 of 2"), "picked by hand: suggested: scene 1 of 2", {"suggested"}),
        (
            Pick(True, frozenset({"empty"}), "uniform: 1 of 2"),
            "picked by hand: empty; suggested: uniform: 1 of 2",
            {"empty", "suggested"},
        ),
    ],
)
def test_reasons_say_marks_and_who_suggested(pick, reason, figures):
    assert pick.reason == reason
    assert pick.figures == {name if name == "suggested" else f"marked_{name}": 1.0 for name in figures}


def test_every_mark_may_be_wanted():
    assert set(MARKS) == {*KINDS, *BY_HAND}
