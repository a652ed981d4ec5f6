"""An evaluation as text, as JSON and as rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotator.evaluation import Compared
from cvat_export.atomic import write_text
from trainers.metrics.bootstrap import Difference, Interval, Measured, differences
from trainers.metrics.calibration import FittedCalibration
from trainers.metrics.error_classes import ErrorClass
from trainers.metrics.evaluation import (
    CALIBRATED_PCK,
    LOWER_IS_BETTER,
    Evaluation,
    PartFigures,
    figures_of_groups,
    figures_of_joints,
    figures_of_sizes,
)
from trainers.metrics.labelled_images import has_sigmas
from trainers.metrics.pck import describe_reference

OKS_FIGURES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
JOINT_FIGURES = ("PCK", "AUC", "OKS", "found", "mean_error_px", "median_error_px")
CLASSES = tuple(kind for kind in ErrorClass if kind is not ErrorClass.NOT_JUDGED)
_GROUPS_SHOWN = 10  # the worst


@dataclass(frozen=True, eq=False)
class Findings:
    """All that is reported. against: the same of other estimates. fitted: the calibration, if it was asked for, and
    stored: the file that it went into.
    """

    compared: Compared
    against: Compared | None = None
    fitted: FittedCalibration | None = None
    stored: str | None = None

    @property
    def differences(self) -> dict[str, Difference]:
        """Of the first to the second, by figure."""
        return differences(self.compared.evaluation, self.against.evaluation) if self.against else {}


def as_text(findings: Findings) -> str:
    """Tables for a terminal."""
    compared, evaluation = findings.compared, findings.compared.evaluation
    blocks = [[_headline(compared)], _figure_lines(findings)]
    parts = [*figures_of_joints(evaluation)]
    counts = evaluation.class_counts()
    header = (
        "joint",
        "labelled",
        _pck_name(evaluation),
        "AUC",
        "mean px",
        "median px",
        *(k.name.lower() for k in CLASSES),
    )
    rows = [(*_part_cells(part), *map(str, row)) for part, row in zip(parts, counts.tolist(), strict=True)]
    blocks.append(_aligned([header, *rows]))
    part_header = ("size", "joints", *header[2:6], "subjects")
    sizes = figures_of_sizes(evaluation)
    blocks.append(_aligned([part_header, *((*_part_cells(part), str(part.subjects)) for part in sizes)]))
    groups = figures_of_groups(evaluation)
    if 1 < len(groups) < len(np.unique(evaluation.truth.image[evaluation.subjects.truth])):
        name = "worst groups" if len(groups) > _GROUPS_SHOWN else "group"
        rows = [(*_part_cells(part), str(part.subjects)) for part in groups[:_GROUPS_SHOWN]]
        blocks.append(_aligned([(name, *part_header[1:]), *rows]))
    blocks.append(_calibration_lines(findings))
    return "\n\n".join("\n".join(block) for block in blocks if block)


def as_json(findings: Findings) -> dict[str, Any]:
    """Plain values; None where a figure is not defined."""
    compared, evaluation = findings.compared, findings.compared.evaluation
    thresholds, curve = evaluation.curve
    counts = evaluation.class_counts()
    content = {
        "estimates": compared.name,
        "truth": compared.truth_name,
        "category": compared.data.category,
        "skeleton": {
            "name": evaluation.skeleton.name,
            "joints": list(evaluation.skeleton.joints),
            "sigmas": list(evaluation.skeleton.sigmas),
            "sigmas_measured": has_sigmas(evaluation.skeleton),
        },
        "counts": count_things(compared),
        "options": {**asdict(evaluation.options), "reference_means": describe_reference(evaluation.options.reference)},
        "figures": figures_as_json(evaluation),
        "pck_curve": {"thresholds": thresholds.tolist(), "pck": curve.tolist()},
        "joints": [
            {**asdict(part), "errors": dict(zip(_class_names(), row, strict=True))}
            for part, row in zip(figures_of_joints(evaluation), counts.tolist(), strict=True)
        ],
        "groups": [asdict(part) for part in figures_of_groups(evaluation)],
        "sizes": [asdict(part) for part in figures_of_sizes(evaluation)],
        "errors": dict(zip(_class_names(), counts.sum(axis=0).tolist(), strict=True)),
        "calibration": _calibration_json(findings),
        "against": _against_json(findings),
        "notes": list(dict.fromkeys(compared.notes)),
    }
    plain: dict[str, Any] = without_nan(content)
    return plain


def write_rows(folder: Path, findings: Findings) -> None:
    """joints.csv and samples.csv."""
    evaluation = findings.compared.evaluation
    write_text(folder / "joints.csv", _as_csv(joint_rows(evaluation)))
    write_text(folder / "samples.csv", _as_csv(sample_rows(findings.compared)))


def joint_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row a joint."""
    counts = evaluation.class_counts().tolist()
    parts = zip(figures_of_joints(evaluation), evaluation.skeleton.sigmas, counts, strict=True)
    return [
        {**asdict(part), "sigma": sigma, **dict(zip(_class_names(), row, strict=True))} for part, sigma, row in parts
    ]


def sample_rows(compared: Compared) -> list[dict[str, Any]]:
    """A row a subject. instance: its place in its image, counted from 1, as the file lists them."""
    evaluation = compared.evaluation
    subjects, truth = evaluation.subjects, evaluation.truth
    first = np.searchsorted(truth.image, truth.image)
    rows = []
    for number, row in enumerate(subjects.truth):
        relative = subjects.relative[number]
        counted = ~np.isnan(relative)
        right = relative[counted] <= evaluation.options.threshold
        kinds = [int((evaluation.classes[number] == kind).sum()) for kind in CLASSES]
        estimate = subjects.estimate[number]
        rows.append(
            {
                "file_name": compared.images[truth.image[row]].file_name,
                "group": evaluation.grouping.names[evaluation.subject_group[number]],
                "instance": int(row - first[row]) + 1,
                "found": bool(estimate >= 0),
                "score": float(evaluation.estimates.scores[estimate]) if estimate >= 0 else None,
                "joints": int(counted.sum()),
                "area_px": float(truth.area[row]),
                "oks": float(evaluation.subject_oks[number]),
                "pck": float(right.mean()) if len(right) else None,
                "worst_joint": worst_joint(evaluation, number),
                **dict(zip(_class_names(), kinds, strict=True)),
            }
        )
    return rows


def worst_joint(evaluation: Evaluation, subject: int) -> str | None:
    """The joint that is furthest off; None where nothing counts."""
    off = evaluation.subjects.off_px[subject]
    return None if np.isnan(off).all() else evaluation.skeleton.joints[int(np.nanargmax(off))]


def count_things(compared: Compared) -> dict[str, int]:
    """How much was compared."""
    evaluation = compared.evaluation
    return {
        "images": len(compared.images),
        "groups": len(evaluation.grouping.names),
        "subjects": len(evaluation.subjects.truth),
        "joints": int((~np.isnan(evaluation.subjects.off_px)).sum()),
        "estimates": len(evaluation.estimates),
        "found": int(evaluation.subjects.found.sum()),
        "crowds": int(evaluation.truth.crowd.sum()),
        "subjects_without_joints": int((evaluation.truth.ignored & ~evaluation.truth.crowd).sum()),
    }


def describe_figure(name: str, evaluation: Evaluation) -> str:
    """Its name for people."""
    words = {
        "PCK": f"{_pck_name(evaluation)} ({describe_reference(evaluation.options.reference)})",
        "AUC": f"PCK AUC 0..{evaluation.options.auc_to:g}",
        "OKS": "mean OKS of subjects",
        "found": "subjects found",
        "mean_error_px": "mean error, px",
        "median_error_px": "median error, px",
    }
    return words.get(name, f"OKS {name}")


def format_figure(name: str, value: float) -> str:
    """With as many decimals as make sense."""
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if name in LOWER_IS_BETTER else f"{value:.3f}"


def _headline(compared: Compared) -> str:
    counts = count_things(compared)
    return (
        f"{compared.name} against {compared.truth_name}: {counts['images']} images, {counts['subjects']} subjects with "
        f"{counts['joints']} labelled joints, {counts['estimates']} estimates"
    )


def _figure_lines(findings: Findings) -> list[str]:
    evaluation, other = findings.compared.evaluation, findings.against
    labels = {name: describe_figure(name, evaluation) for name in (*OKS_FIGURES, *JOINT_FIGURES)}
    return figure_lines(labels, evaluation, other.evaluation if other else None, other.name if other else "")


def figure_lines(labels: Mapping[str, str], one: Measured, other: Measured | None, other_name: str) -> list[str]:
    """A table of figures with their intervals, and of how far two are apart. labels: what figures are called."""
    header = ["", "value", "95 % interval"]
    apart = differences(one, other) if other else {}
    if other:
        header += [other_name, "difference", "95 % interval", "share above 0"]
    rows = [header]
    for name, label in labels.items():
        figure = one.figures[name]
        row = [label, format_figure(name, figure.value), _ends(name, figure)]
        if other:
            row.append(format_figure(name, other.figures[name].value))
            row += _difference_cells(name, apart.get(name))
        rows.append(row)
    return _aligned(rows)


def figures_as_json(measured: Measured) -> dict[str, Any]:
    """By name."""
    return {name: asdict(figure) for name, figure in measured.figures.items()}


def differences_as_json(one: Measured, other: Measured) -> dict[str, Any]:
    """By name."""
    return {
        name: {**asdict(d.interval), "share_above_zero": d.share_above_zero}
        for name, d in differences(one, other).items()
    }


def _difference_cells(name: str, difference: Difference | None) -> list[str]:
    if difference is None:
        return ["", "", ""]
    value = difference.interval.value
    sign = "+" if value > 0 else ""
    return [
        f"{sign}{format_figure(name, value)}",
        _ends(name, difference.interval),
        f"{difference.share_above_zero:.1%}",
    ]


def _ends(name: str, figure: Interval) -> str:
    if math.isnan(figure.low):
        return ""
    return f"{format_figure(name, figure.low)} .. {format_figure(name, figure.high)}"


def _part_cells(part: PartFigures) -> tuple[str, ...]:
    px = (format_figure("mean_error_px", value) for value in (part.mean_error_px, part.median_error_px))
    return part.name, str(part.joints), format_figure("PCK", part.pck), format_figure("AUC", part.auc), *px


def _calibration_lines(findings: Findings) -> list[str]:
    joints = findings.compared.evaluation.joint_scores
    if not len(joints.scores):
        return []
    _, error = joints.reliability()
    lines = [
        f"joint scores of {len(joints.scores)} joints, right within {CALIBRATED_PCK:g} of the box's longer side: mean "
        f"score {joints.scores.mean():.3f}, right {joints.right.mean():.3f}, expected calibration error {error:.3f}"
    ]
    if findings.fitted is not None:
        _, after = joints.reliability(findings.fitted)
        lines.append(
            f"calibrated: temperature {findings.fitted.temperature:.3f}, bias {findings.fitted.bias:+.3f}, expected "
            f"calibration error {after:.3f} on the same joints"
        )
    return lines


def _calibration_json(findings: Findings) -> dict[str, Any] | None:
    joints = findings.compared.evaluation.joint_scores
    if not len(joints.scores):
        return None
    table, error = joints.reliability()
    content: dict[str, Any] = {
        "joints": len(joints.scores),
        "right_within_of_box": CALIBRATED_PCK,
        "expected_calibration_error": error,
        "bins": [asdict(row) for row in table],
    }
    if findings.fitted is not None:
        _, after = joints.reliability(findings.fitted)
        content["fitted"] = {**asdict(findings.fitted), "expected_calibration_error": after, "stored": findings.stored}
    return content


def _against_json(findings: Findings) -> dict[str, Any] | None:
    if findings.against is None:
        return None
    evaluation = findings.against.evaluation
    return {
        "estimates": findings.against.name,
        "figures": figures_as_json(evaluation),
        "differences": differences_as_json(findings.compared.evaluation, evaluation),
        "notes": [note for note in findings.against.notes if note not in findings.compared.notes],
    }


def _pck_name(evaluation: Evaluation) -> str:
    return f"PCK@{evaluation.options.threshold:g}"


def _class_names() -> Iterator[str]:
    return (kind.name.lower() for kind in CLASSES)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width, the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    listed = [
        {key: round(v, 6) if isinstance(v, float) and math.isfinite(v) else _blank(v) for key, v in row.items()}
        for row in rows
    ]
    stream = io.StringIO()
    if listed:
        writer = csv.DictWriter(stream, list(listed[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)
    return stream.getvalue()


def _blank(value: Any) -> Any:
    return None if isinstance(value, float) else value


def without_nan(value: Any) -> Any:
    """Plain values with None for what is no number: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
