"""What became of each proposal, frame by frame, as changes.jsonl tells it; and what that took by the cost model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

import numpy as np

from annotator.change_rows import CONFIRMED_EMPTY, Row
from annotator.correction_cost import Costs, Effort
from cvat_export.changes import Fate
from cvat_export.instance_rows import parse_row
from cvat_export.labels import Instance, Visibility
from cvat_export.skeleton import Skeleton
from cvat_export.suspects import Suspicion, find_suspects

NOT_RECORDED = "not recorded"
NOBODY = "nobody assigned"


class Outcome(StrEnum):
    """What became of one joint. The first that applies, from SWAPPED down: one that was moved and hidden is MOVED."""

    SWAPPED = "swapped"
    ADDED = "added"
    DELETED = "deleted"
    MOVED = "moved"
    OCCLUSION = "occlusion changed"
    LEFT_ALONE = "left alone"


@dataclass(frozen=True)
class Round:
    """One pulled folder. rows: of its changes.jsonl. videos: file name -> the video it belongs to."""

    name: str
    rows: Sequence[Row]
    skeletons: Mapping[str, Skeleton]
    videos: Mapping[str, str]


@dataclass(frozen=True)
class JointOutcome:
    """A joint of a proposal that was kept. outcome: None where neither the model nor the person labelled it.

    moved_px, moved_sigmas: of MOVED alone; a sigma is OKS's, by which two people's labels of this joint differ.
    """

    joint: str
    outcome: Outcome | None
    moved_px: float | None
    moved_sigmas: float | None
    corrected: Effort
    drawn: Effort


@dataclass(frozen=True)
class Subject:
    """A proposal or an addition in finished work. doubts: a rule that suspected it -> whether it was right.

    Right: the proposal was deleted, or one of the joints that the rule named was changed. corrected: what people did,
    as effort; drawn: the same result from nothing.
    """

    fate: Fate
    joints: tuple[JointOutcome, ...]
    corrected: Effort
    drawn: Effort
    doubts: Mapping[str, bool]


@dataclass(frozen=True)
class Frame:
    """A frame of a round. round: from 0. subjects: none where people confirmed that nobody is there."""

    round: int
    video: str
    annotator: str
    model: str
    finished: bool
    subjects: tuple[Subject, ...]


def video_name(group: str, file_name: str) -> str:
    """A video as people know it: of `video 1a2b3c4d` and a frame's name, the video's own name before the hash."""
    kind, _, digest = group.partition(" ")
    name, found, _ = PurePosixPath(file_name).stem.partition(f"-{digest}-")
    return f"{name} ({digest})" if kind == "video" and found else group


def video_facet(group: str, file_name: str) -> dict[str, str]:
    """The video, or whatever else holds several images together, as a filter of pages; none of an image by itself."""
    return {} if group.startswith("image ") else {"video": video_name(group, file_name)}


def read_rounds(rounds: Sequence[Round], costs: Costs, suspects: bool = True) -> tuple[list[Frame], int]:
    """The frames of all rounds, and how many came again with the same proposals, which count where they came first.

    suspects: whether to ask the rules about proposals, which takes a while. A frame that was not finished gives way to
    itself when it is. Raises KeyError, TypeError or ValueError on other rows.
    """
    frames, repeated = dict[object, Frame](), 0
    for number, one in enumerate(rounds):
        by_frame: dict[object, list[Row]] = defaultdict(list)
        for row in one.rows:
            by_frame[_place(row)].append(row)
        models = {model for row in one.rows if (model := _model([row]))}
        only = models.pop() if len(models) == 1 else NOT_RECORDED
        for place, rows in by_frame.items():
            identity = (place, frozenset(row.get("proposal") for row in rows))
            known = frames.get(identity)
            repeated += known is not None
            if known is None or not known.finished:
                frames[identity] = _frame(number, one, rows, only, costs, suspects)
    return list(frames.values()), repeated


def _place(row: Row) -> object:
    """By which a frame is known again: its number in CVAT's task, or its name where a file did not say the task."""
    return (row["task"], row["frame"]) if row["task"] else row["file_name"]


def _frame(number: int, one: Round, rows: Sequence[Row], only_model: str, costs: Costs, suspects: bool) -> Frame:
    """rows: all of one frame. only_model: of whom a frame without proposals is told to be."""
    first, filled = rows[0], [row for row in rows if row["fate"] != CONFIRMED_EMPTY]
    doubts = _doubts(filled, one.skeletons) if suspects else [()] * len(filled)
    return Frame(
        round=number,
        video=one.videos[first["file_name"]],
        annotator=first["assignee"] or NOBODY,
        model=_model(rows) or only_model,
        finished=first["finished"],
        subjects=tuple(_subjects(filled, doubts, one.skeletons, costs)),
    )


def _model(rows: Sequence[Row]) -> str:
    """The models that proposed, as one name; empty where nobody recorded it."""
    names = [name for row in rows for name in (row.get("proposed") or {}).get("models", ())]
    return " + ".join(dict.fromkeys(names))


def _subjects(
    rows: Sequence[Row], doubts: Sequence[tuple[Suspicion, ...]], skeletons: Mapping[str, Skeleton], costs: Costs
) -> Iterator[Subject]:
    """doubts: what the rules say, row by row."""
    for row, found in zip(rows, doubts, strict=True):
        joints: tuple[JointOutcome, ...] = ()
        corrected, drawn = Effort(), Effort()
        if row["proposed"] and row["corrected"]:
            joints = tuple(_joint_outcomes(row, skeletons[row["category"]], costs))
            corrected = sum((joint.corrected for joint in joints), Effort())
            drawn = sum((joint.drawn for joint in joints), costs.begin())
        elif row["corrected"]:
            corrected = drawn = sum((costs.draw_joint(v) for v in row["corrected"]["visibility"]), costs.begin())
        else:
            corrected = costs.remove()
        right = {
            rule: any(_was_right(s, row) for s in found if s.rule == rule) for rule in {s.rule: None for s in found}
        }
        yield Subject(Fate(row["fate"]), joints, corrected, drawn, right)


def _joint_outcomes(row: Row, skeleton: Skeleton, costs: Costs) -> Iterator[JointOutcome]:
    changes = {change["joint"]: change for change in row["joints"]}
    corrected = parse_row(row["corrected"], row["category"])
    scale_px = _scale_px(corrected)
    before_all, after_all = row["proposed"]["visibility"], corrected.visibility.tolist()
    for joint, before, after, sigma in zip(skeleton.joints, before_all, after_all, skeleton.sigmas, strict=True):
        change = changes.get(joint)
        outcome = _outcome(change, before, after)
        moved = change["moved_px"] if change and outcome is Outcome.MOVED else None
        sigmas = moved / (sigma * scale_px) if moved is not None and scale_px else None
        if outcome is Outcome.SWAPPED:  # its visibility came along
            before = change["visibility_before"] if change else before
        effort = costs.correct_joint(before, after, outcome in (Outcome.MOVED, Outcome.SWAPPED))
        yield JointOutcome(joint, outcome, moved, sigmas, effort, costs.draw_joint(after))


def _outcome(change: Mapping[str, object] | None, before: int, after: int) -> Outcome | None:
    hidden = Visibility.NOT_LABELLED
    if before == after == hidden:
        return None
    if change is None:
        return Outcome.LEFT_ALONE
    if change["swapped_with"] is not None:
        return Outcome.SWAPPED
    if hidden in (before, after):
        return Outcome.ADDED if before == hidden else Outcome.DELETED
    return Outcome.MOVED if change["moved_px"] else Outcome.OCCLUSION


def _scale_px(instance: Instance) -> float:
    """The root of the box's area, of which OKS's sigmas are shares (cocodataset.org/#keypoints-eval)."""
    return math.sqrt(float(np.prod(np.maximum(instance.bbox_xyxy[2:] - instance.bbox_xyxy[:2], 0).astype(float))))


def _doubts(rows: Sequence[Row], skeletons: Mapping[str, Skeleton]) -> list[tuple[Suspicion, ...]]:
    """What the rules say of each row's proposal, beside the frame's others; nothing of an addition."""
    doubts: list[tuple[Suspicion, ...]] = [()] * len(rows)
    for category, skeleton in skeletons.items():
        mine = [i for i, row in enumerate(rows) if row["proposed"] and row["category"] == category]
        found = find_suspects([parse_row(rows[i]["proposed"], category) for i in mine], skeleton)
        for position, suspicions in zip(mine, found, strict=True):
            doubts[position] = suspicions
    return doubts


def _was_right(suspicion: Suspicion, row: Row) -> bool:
    return row["fate"] == Fate.DELETED or any(change["joint"] in suspicion.joints for change in row["joints"])
