"""How well joints are placed, in the labels' boxes and in those of our detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from annotator.detector import DetectionOptions
from annotator.evaluated_poses import ModelRequest, Poses, estimate_poses
from annotator.evaluation import Compared, compare, read_truth
from annotator.evaluation_tables import count_things, figures_as_json
from benchmarks.released.data_sets import LabelledSet, pose_sets
from benchmarks.released.models import NamedDetector, NamedPoseModel
from benchmarks.tables import figure_table
from cvat_export.labels import box_iou
from trainers.label_sources import LabelledData
from trainers.metrics.bootstrap import Interval, draw_groups, interval, resample_ratio, sum_by_group
from trainers.metrics.evaluation import Evaluation, EvaluationOptions, figures_of_joints
from trainers.runtimes import Execution

FIGURES = {"AP": "OKS AP", "AP50": "AP50", "AP75": "AP75", "PCK": "PCK@0.1"}
_LEAST_SCORE = 0.05  # of boxes in which poses are looked for, as in `annotator evaluate`


@dataclass(frozen=True)
class PoseRun:
    """How the models are run. detector: whose boxes they get; None for the labels'."""

    detector: NamedDetector | None
    execution: Execution


def report_poses(
    data: Path, models: Sequence[NamedPoseModel], detector: NamedDetector, execution: Execution, limit: int | None
) -> list[dict[str, Any]]:
    """Print two tables a data set and kind of boxes; the same as plain values."""
    content = []
    with TemporaryDirectory() as folder:
        for labelled in pose_sets(data, Path(folder), limit):
            for boxes in (None, detector):
                found = measure_poses(labelled, models, PoseRun(boxes, execution))
                counts = count_things(next(iter(found.values())))
                given = f"boxes of {boxes.name}" if boxes else "boxes given"
                print(f"\n{labelled.name}, {given}: {counts['images']} images, {counts['subjects']} people\n")
                print(figure_table("", {name: one.evaluation.figures for name, one in found.items()}, FIGURES))
                print(f"\nPCK@0.1\n\n{_joint_table(found)}", flush=True)
                content.append({"data": labelled.name, "boxes": given, "models": poses_as_json(found)})
    return content


def measure_poses(labelled: LabelledSet, models: Sequence[NamedPoseModel], run: PoseRun) -> dict[str, Compared]:
    """By the models' names, over the joints of COCO that are labelled; who was not found is missed."""
    data = read_truth(labelled.source, "coco17", None)
    poses = []
    for model in models:
        with tqdm(total=len(data.files), unit="image", desc=model.name, disable=None) as bar:
            found = estimate_poses(_request(model, run), data, bar.update)
        poses.append(replace(found if labelled.everybody else of_labelled(found, data), name=model.name))
    measured = compare(data, poses, EvaluationOptions())
    return {one.name: one for one in measured}


def of_labelled(poses: Poses, data: LabelledData) -> Poses:
    """Only the pose whose box overlaps most with each labelled person's: others may be there without labels."""
    kept = {}
    for image in data.images:
        found = poses.of_image.get(image.file_name, ())
        corners = np.array([one.bbox_xyxy for one in found], np.float32).reshape(-1, 4)
        overlaps = [box_iou(person.bbox_xyxy, corners) for person in image.instances]
        best = {int(one.argmax()) for one in overlaps if len(one) and one.max() > 0}
        kept[image.file_name] = tuple(found[row] for row in sorted(best))
    return replace(poses, of_image=kept)


def joint_intervals(evaluation: Evaluation) -> dict[str, Interval]:
    """PCK of each joint."""
    options, groups = evaluation.options, evaluation.groups
    relative, group = evaluation.subjects.relative, evaluation.subject_group
    draws = draw_groups(groups, options.resamples, options.seed)
    sums = (sum_by_group(part, group, groups) for part in (relative <= options.threshold, ~np.isnan(relative)))
    resampled = resample_ratio(draws, *sums)
    parts = figures_of_joints(evaluation)
    return {part.name: interval(part.pck, resampled[:, joint], groups) for joint, part in enumerate(parts)}


def poses_as_json(found: Mapping[str, Compared]) -> dict[str, Any]:
    """By the models' names."""
    return {
        name: {
            "counts": count_things(one),
            "figures": figures_as_json(one.evaluation),
            "joints": {joint: asdict(pck) for joint, pck in joint_intervals(one.evaluation).items()},
            "notes": list(one.notes),
        }
        for name, one in found.items()
    }


def _request(model: NamedPoseModel, run: PoseRun) -> ModelRequest:
    return ModelRequest(
        pose=model.path,
        card=model.card,
        detection=run.detector.spec if run.detector else None,
        flip_test=model.flip_test,
        execution=run.execution,
        boxes=DetectionOptions(min_score=_LEAST_SCORE),
    )


def _joint_table(found: Mapping[str, Compared]) -> str:
    """A row a joint, a column a model."""
    by_model = {name: joint_intervals(one.evaluation) for name, one in found.items()}
    joints = next(iter(by_model.values()))
    rows = {joint: {name: figures[joint] for name, figures in by_model.items()} for joint in joints}
    return figure_table("joint", rows, {name: name for name in by_model})
