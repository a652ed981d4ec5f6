"""report.html of an evaluation: curves, tables, and the worst subjects with truth and estimate drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from annotator.evaluation import Compared
from annotator.evaluation_tables import (
    CLASSES,
    JOINT_FIGURES,
    OKS_FIGURES,
    Findings,
    count_things,
    describe_figure,
    format_figure,
    worst_joint,
)
from annotator.job_links import pulled_links
from annotator.proposal_outcomes import video_facet
from annotator.report import PICTURES, REPORT_FILE, Links, Tile, contact_sheet, section, table, write_page
from annotator.report_charts import charts, curves, histogram, stacked_bars
from cvat_export.atomic import write_bytes
from cvat_export.drawing import PREDICTED_COLOUR, TRUTH_COLOUR, DrawingStyle, RgbImage, draw_instances
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance, Visibility
from frame_tools.errors import FrameToolsError
from frame_tools.images import encode_image, shrink
from trainers.metrics.calibration import ReliabilityBin
from trainers.metrics.error_classes import ErrorClass
from trainers.metrics.evaluation import Evaluation, PartFigures, figures_of_groups, figures_of_joints, figures_of_sizes

_PICTURE_SIDE_PX = 640
_LEAST_SIDE_PX = 480  # small subjects are enlarged to it, and drawn on after that
_MARGIN = 0.15  # of the longer side, around truth and estimate
_MOST_GROUPS = 200


def write_evaluation_report(out: Path, findings: Findings, pictures: int) -> None:
    """Write OUT/report.html with at most `pictures` subjects, those of lowest PCK first."""
    compared, evaluation = findings.compared, findings.compared.evaluation
    (out / PICTURES).mkdir(exist_ok=True)
    order = _worst_first(evaluation)[:pictures]
    links = pulled_links(compared.data.files)
    with ThreadPoolExecutor() as pool:
        drawn = pool.map(lambda ranked: _tile(out, compared, links, *ranked), enumerate(order.tolist()))
        tiles = [tile for tile in drawn if tile is not None]
    sections = [
        section("Figures", _figure_table(findings)),
        section("Curves", charts(*_charts(findings))),
        section("Joints", _part_table("joint", figures_of_joints(evaluation)), lead=_JOINT_LEAD),
        section("Kinds of error", charts(_error_bars(evaluation)), lead=_ERROR_LEAD),
        section("Sizes", _part_table("size", figures_of_sizes(evaluation)), lead=_SIZE_LEAD),
    ]
    groups = figures_of_groups(evaluation)
    if 1 < len(groups) < len(np.unique(evaluation.truth.image[evaluation.subjects.truth])):
        sections.append(section("Groups, worst first", _part_table("group", groups[:_MOST_GROUPS])))
    if compared.notes:
        sections.insert(0, section("Notes", table(("note",), [(note,) for note in dict.fromkeys(compared.notes)])))
    sections.append(contact_sheet("Subjects, worst first", tiles, lead=_picture_lead(tiles, len(order))))
    lead = f"{compared.name} measured by {compared.truth_name}."
    write_page(out / REPORT_FILE, f"Evaluation of {compared.name}", lead, _summary(compared), sections)


_JOINT_LEAD = "Errors in px are of joints that were estimated; PCK and AUC count what was not as missed."
_SIZE_LEAD = "By the true area: small is below 32² px², large from 96² px² on, as in COCO."
_ERROR_LEAD = (
    "Of subjects that were found (Ronchi and Perona, 2017). Jitter: near its place. Inversion: on the same joint of "
    "the other side. Swap: on somebody else's. Miss: near none of these."
)


def _summary(compared: Compared) -> dict[str, object]:
    evaluation = compared.evaluation
    shown = {name: evaluation.figures[name].value for name in ("AP", "AP50", "PCK")}
    figures = {describe_figure(name, evaluation): format_figure(name, value) for name, value in shown.items()}
    counts = count_things(compared)
    return {**{name: counts[name] for name in ("images", "subjects", "joints", "estimates")}, **figures}


def _figure_table(findings: Findings) -> str:
    evaluation, apart = findings.compared.evaluation, findings.differences
    header = ["figure", "value", "95 % interval"]
    if findings.against:
        header += [findings.against.name, "difference", "95 % interval", "resamples above 0"]
    rows = []
    for name in (*OKS_FIGURES, *JOINT_FIGURES):
        figure = evaluation.figures[name]
        row = [
            describe_figure(name, evaluation),
            format_figure(name, figure.value),
            _ends(name, figure.low, figure.high),
        ]
        if findings.against:
            row.append(format_figure(name, findings.against.evaluation.figures[name].value))
        if name in apart:
            found = apart[name]
            ends = _ends(name, found.interval.low, found.interval.high)
            row += [format_figure(name, found.interval.value), ends, f"{found.share_above_zero:.1%}"]
        rows.append(row)
    return table(header, rows)


def _ends(name: str, low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{format_figure(name, low)} to {format_figure(name, high)}"


def _charts(findings: Findings) -> list[str]:
    evaluation = findings.compared.evaluation
    series = {findings.compared.name: evaluation.curve}
    if findings.against:
        series[findings.against.name] = findings.against.evaluation.curve
    figures = [curves("PCK by threshold", series, "threshold", "PCK")]
    joints = evaluation.joint_scores
    if len(joints.scores):
        reliable = {"scores as they are": _reliability_points(joints.reliability()[0])}
        if findings.fitted is not None:
            reliable["calibrated"] = _reliability_points(joints.reliability(findings.fitted)[0])
        title = f"Joint scores: are they right that often? (n = {len(joints.scores)})"
        figures.append(curves(title, reliable, "mean score", "share right", diagonal=True))
        figures.append(histogram("joint score", joints.scores))
    figures.append(histogram("OKS of a subject", evaluation.subject_oks))
    return figures


def _reliability_points(rows: tuple[ReliabilityBin, ...]) -> tuple[list[float], list[float]]:
    return [row.mean_score for row in rows], [row.share_right for row in rows]


def _part_table(what: str, parts: tuple[PartFigures, ...]) -> str:
    header = (what, "subjects", "joints", "PCK", "AUC", "mean px", "median px")
    rows = [
        (
            part.name,
            part.subjects,
            part.joints,
            format_figure("PCK", part.pck),
            format_figure("AUC", part.auc),
            format_figure("mean_error_px", part.mean_error_px),
            format_figure("median_error_px", part.median_error_px),
        )
        for part in parts
    ]
    return table(header, rows)


def _error_bars(evaluation: Evaluation) -> str:
    rows = dict(zip(evaluation.skeleton.joints, evaluation.class_counts().tolist(), strict=True))
    return stacked_bars("Joints of subjects that were found", [kind.name.lower() for kind in CLASSES], rows)


def _worst_first(evaluation: Evaluation) -> npt.NDArray[np.intp]:
    """Subjects by PCK, then OKS; those without a reference by OKS alone, last."""
    return np.lexsort((evaluation.subject_oks, _subject_pck(evaluation)))


def _subject_pck(evaluation: Evaluation) -> npt.NDArray[np.float64]:
    """(subjects,), NaN where nothing counts."""
    relative = evaluation.subjects.relative
    counted = (~np.isnan(relative)).sum(axis=1)
    right = (relative <= evaluation.options.threshold).sum(axis=1)
    return np.where(counted > 0, right / np.maximum(counted, 1), np.nan)


def _tile(out: Path, compared: Compared, links: Mapping[str, Links], number: int, subject: int) -> Tile | None:
    """None where the image is not there."""
    evaluation = compared.evaluation
    row = int(evaluation.subjects.truth[subject])
    image = compared.images[int(evaluation.truth.image[row])]
    ref = compared.data.files.get(image.file_name)
    if ref is None:
        return None
    try:
        pixels = ref.read()
    except (FrameToolsError, CvatExportError, OSError):
        return None
    name = f"{number + 1:04}-{PurePosixPath(image.file_name).stem}.jpg"
    drawn = shrink(_drawn(pixels, compared, subject), _PICTURE_SIDE_PX)
    write_bytes(out / PICTURES / name, encode_image(drawn, ".jpg", quality=80))
    place = row - int(np.searchsorted(evaluation.truth.image, evaluation.truth.image[row])) + 1
    return Tile(
        picture=f"{PICTURES}/{name}",
        title=f"{image.file_name}, subject {place}",
        lines=_lines(evaluation, subject),
        facets={
            **video_facet(compared.data.groups[image.file_name], image.file_name),
            "error": _errors(evaluation, subject),
        },
        keys=_keys(evaluation, subject),
        links=links.get(image.file_name, ()),
    )


def _lines(evaluation: Evaluation, subject: int) -> tuple[str, ...]:
    share = _subject_pck(evaluation)[subject]
    first = f"OKS {evaluation.subject_oks[subject]:.2f}, PCK {format_figure('PCK', float(share))}"
    if not evaluation.subjects.found[subject]:
        return first, "not found"
    return first, f"worst: {worst_joint(evaluation, subject)}"


def _keys(evaluation: Evaluation, subject: int) -> dict[str, float]:
    area = evaluation.truth.area[evaluation.subjects.truth[subject]]
    found = {"OKS": evaluation.subject_oks[subject], "PCK": _subject_pck(evaluation)[subject], "area": area}
    return {name: round(float(value), 4) for name, value in found.items() if np.isfinite(value)}


def _errors(evaluation: Evaluation, subject: int) -> tuple[str, ...]:
    if not evaluation.subjects.found[subject]:
        return ("not found",)
    kinds = (ErrorClass.INVERSION, ErrorClass.SWAP, ErrorClass.MISS)
    return tuple(kind.name.lower() for kind in kinds if (evaluation.classes[subject] == kind).any())


def _drawn(pixels: RgbImage, compared: Compared, subject: int) -> RgbImage:
    """The subject cut out, with truth and estimate in two colours."""
    evaluation = compared.evaluation
    row, estimate = evaluation.subjects.truth[subject], evaluation.subjects.estimate[subject]
    truth, found = evaluation.truth, evaluation.estimates
    shown = [(truth.xy[row], truth.labelled[row], truth.bbox_xyxy[row], TRUTH_COLOUR, True)]
    if estimate >= 0:
        box = np.concatenate([found.xy[estimate].min(axis=0), found.xy[estimate].max(axis=0)])
        shown.append((found.xy[estimate], found.proposed[estimate], box, PREDICTED_COLOUR, False))
    left, top, right, bottom = _window([(xy, there, box) for xy, there, box, _, _ in shown], pixels.shape[:2])
    cut = pixels[top:bottom, left:right]
    scale = max(1.0, _LEAST_SIDE_PX / max(cut.shape[:2]))
    canvas = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    for xy, there, box, colour, with_box in shown:
        origin = np.array([left, top])
        instance = Instance(
            category=compared.data.category,
            bbox_xyxy=((box.reshape(2, 2) - origin) * scale).ravel().astype(np.float32),
            xy=((xy - origin) * scale).astype(np.float32),
            visibility=np.where(there, Visibility.VISIBLE, Visibility.NOT_LABELLED).astype(np.uint8),
        )
        style = DrawingStyle(boxes=with_box, colour=colour)
        canvas = draw_instances(canvas, [instance], evaluation.skeleton, style)
    return canvas


def _window(
    shown: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]], size: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Whole pixels around the true box and all joints, inside the image: left, top, right, bottom."""
    points = np.concatenate([shown[0][2].reshape(2, 2), *(xy[there] for xy, there, _ in shown)])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * float((high - low).max())
    left, top = np.clip(np.floor(low - margin), 0, (size[1] - 1, size[0] - 1)).astype(int)
    right, bottom = np.clip(np.ceil(high + margin), (left + 1, top + 1), (size[1], size[0])).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _picture_lead(tiles: list[Tile], wanted: int) -> str:
    lead = "White: the truth. Pink: the estimate. Only joints that both have are drawn."
    return lead if len(tiles) == wanted else f"{lead} {wanted - len(tiles)} are not shown: their images were not found."
