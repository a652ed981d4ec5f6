"""report.html of a pre-annotated dataset: the pictures to look at before trusting it, worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from annotator.inputs import BadInput
from annotator.predictions import ModelIdentity, Prediction
from annotator.proposal_outcomes import video_facet
from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, section, table, write_page
from annotator.report_charts import charts, histogram
from cvat_export.atomic import write_bytes
from cvat_export.dataset import Category
from cvat_export.drawing import DrawingStyle, draw_instances
from cvat_export.suspects import find_suspects
from frame_tools.images import encode_image, read_image, shrink
from trainers.splits import image_groups

_PICTURE_SIDE_PX = 960


def write_prediction_report(
    out: Path,
    predictions: Sequence[Prediction],
    bad: Sequence[BadInput],
    category: Category,
    pictures: int,
    models: Mapping[str, ModelIdentity],
) -> None:
    """Write OUT/report.html with at most `pictures` images: those with people by doubt, then empty ones in order."""
    ranked = sorted(predictions, key=lambda p: (len(p.boxes) == 0, -round(p.doubt, 4)))  # stable: then file order
    shown = ranked[:pictures]
    (out / PICTURES).mkdir(exist_ok=True)
    groups, _ = image_groups([prediction.labelled(category.name) for prediction in shown], "auto", out.name)
    with ThreadPoolExecutor() as pool:
        tiles = list(pool.map(lambda prediction, group: _tile(out, prediction, category, group), shown, groups))
    subjects = sum(len(prediction.boxes) for prediction in predictions)
    summary = {
        "images": len(predictions),
        f"proposals of {category.name}": subjects,
        "images without any": sum(len(prediction.boxes) == 0 for prediction in predictions),
        "inputs skipped": len(bad),
        **{role: model.name + (f" ({model.sha256[:8]})" if model.sha256 else "") for role, model in models.items()},
    }
    left_out = f" {len(predictions) - len(shown)} more images are not shown." if len(shown) < len(predictions) else ""
    sections = [
        section("Scores", charts(*_histograms(predictions), _joint_table(predictions, category))),
        contact_sheet(
            "Images, worst first",
            tiles,
            lead="Worst: the lowest mean joint score of a subject. Left is blue, right is orange. A ring is an "
            f"occluded joint; a missing one was below the score threshold or outside the image.{left_out}",
        ),
    ]
    if bad:
        sections.insert(0, section("Skipped inputs", table(("file", "why"), [(b.file, b.error) for b in bad])))
    lead = "Proposals of the models, not yet seen by anybody. Look for joints on the wrong side and people missed."
    write_page(out / REPORT_FILE, f"Proposals in {out.name}", lead, summary, sections)


def _tile(out: Path, prediction: Prediction, category: Category, group: str) -> Tile:
    image = read_image(out / "images" / prediction.file_name)
    # Without joint scores: seventeen numbers a person would hide the pose.
    scored = prediction.labelled(category.name).instances
    instances = [replace(instance, joint_scores=None) for instance in scored]
    suspicions = find_suspects(scored, category.skeleton) if category.skeleton else []
    drawn = draw_instances(image.pixels, instances, category.skeleton, DrawingStyle(scores=True))
    name = f"{PurePosixPath(prediction.file_name).stem}.jpg"
    write_bytes(out / PICTURES / name, encode_image(shrink(drawn, _PICTURE_SIDE_PX), ".jpg", quality=80))
    count = len(instances)
    lines = [f"{count} × {category.name}" if count else f"no {category.name}"]
    if count:
        lines.append(f"weakest: mean joint score {1 - prediction.doubt:.2f}")
    lines += [f"suspect: {suspicion.text}" for found in suspicions for suspicion in found]
    return Tile(
        picture=f"{PICTURES}/{name}",
        title=prediction.file_name,
        lines=tuple(lines),
        facets={
            **video_facet(group, prediction.file_name),
            "suspect": tuple(dict.fromkeys(suspicion.rule for found in suspicions for suspicion in found)),
            "subjects": str(count),
        },
        keys=_keys(prediction),
    )


def _keys(prediction: Prediction) -> dict[str, float]:
    """Scores are those of the weakest subject and of the weakest joint that was proposed; none where there is none."""
    scores = prediction.keypoints.scores[prediction.keypoints.visibility > 0]
    found = {"subjects": float(len(prediction.boxes))}
    if len(prediction.keypoints):
        found["mean joint score"] = round(1 - prediction.doubt, 4)
    if scores.size:
        found["lowest joint score"] = round(float(scores.min()), 4)
    return found


def _histograms(predictions: Sequence[Prediction]) -> list[str]:
    boxes = np.concatenate([np.zeros(0), *(prediction.boxes.scores for prediction in predictions)])
    joints = np.concatenate([np.zeros(0), *(prediction.keypoints.scores.ravel() for prediction in predictions)])
    return [histogram("box score", boxes), histogram("joint score", joints)]


def _joint_table(predictions: Sequence[Prediction], category: Category) -> str:
    found = [prediction.keypoints for prediction in predictions if len(prediction.keypoints)]
    if not found or category.skeleton is None:
        return ""
    scores = np.concatenate([keypoints.scores for keypoints in found])
    proposed = np.concatenate([keypoints.visibility > 0 for keypoints in found])
    rows = [
        (joint, f"{np.median(scores[:, j]):.2f}", f"{proposed[:, j].mean():.0%}")
        for j, joint in enumerate(category.skeleton.joints)
    ]
    return table(("joint", "median score", "proposed"), rows)
