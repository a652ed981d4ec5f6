"""How much of their accuracy models keep on spoilt images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.released.boxes import measure_detector
from benchmarks.released.damages import DAMAGES, write_damaged
from benchmarks.released.data_sets import LabelledSet, coco_people, read_boxes
from benchmarks.released.models import NamedDetector, NamedPoseModel
from benchmarks.released.poses import PoseRun, measure_poses
from benchmarks.tables import figure_table
from cvat_export.atomic import write_bytes
from trainers.metrics.bootstrap import Interval
from trainers.runtimes import Execution
from trainers.source_reading import LabelSource

POSES = {"PCK": "PCK@0.1", "AP": "OKS AP"}
BOXES = {"recall": "recall", "AP": "box AP"}
Figures = Mapping[str, Mapping[str, Mapping[str, Interval]]]  # by damage, model and name

_COLOURS = ("#0072B2", "#D55E00")  # Okabe and Ito's: told apart by everybody; shapes differ as well
_SHAPES = ("o", "s")


@dataclass(frozen=True)
class Candidates:
    """Ours first."""

    poses: Sequence[NamedPoseModel]
    detectors: Sequence[NamedDetector]


def report_robustness(
    data: Path, candidates: Candidates, execution: Execution, limit: int | None, plot: Path | None
) -> dict[str, Any]:
    """Print two tables, draw both if `plot` says where; the same as plain values."""
    poses: dict[str, dict[str, Mapping[str, Interval]]] = {}
    boxes: dict[str, dict[str, Mapping[str, Interval]]] = {}
    with TemporaryDirectory() as folder:
        whole = coco_people(data, Path(folder), limit)
        for name in DAMAGES:
            poses[name], boxes[name] = _measure(whole, name, candidates, execution)
    print(f"\n{whole.name}, boxes given\n\n{_table(poses, POSES)}\n\n{whole.name}\n\n{_table(boxes, BOXES)}")
    if plot is not None:
        write_bytes(plot, draw_robustness(poses, boxes))
    return {"data": whole.name, "poses": _plain(poses), "boxes": _plain(boxes)}


def draw_robustness(poses: Figures, boxes: Figures) -> bytes:
    """A PNG: poses on the left, boxes on the right; a row a damage, a mark a model and figure, with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, found, shown, title in (
        (left, poses, POSES, "Poses, boxes given"),
        (right, boxes, BOXES, "Boxes of people"),
    ):
        _draw_panel(axes, found, shown)
        axes.set_title(title)
    left.set_yticks(range(len(poses)), list(poses))
    left.invert_yaxis()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


def _draw_panel(axes: Any, found: Figures, shown: Mapping[str, str]) -> None:
    models = list(next(iter(found.values())))
    series = [(model, name) for name in shown for model in range(len(models))]
    for number, (model, name) in enumerate(series):
        offset = (number - (len(series) - 1) / 2) * 0.18
        intervals = [row[models[model]][name] for row in found.values()]
        values = [one.value for one in intervals]
        errors = [[one.value - one.low for one in intervals], [one.high - one.value for one in intervals]]
        axes.errorbar(
            values,
            [row + offset for row in range(len(values))],
            xerr=errors,
            fmt=_SHAPES[model],
            color=_COLOURS[model],
            markerfacecolor=_COLOURS[model] if name == next(iter(shown)) else "white",
            markersize=6,
            linewidth=1.2,
            label=f"{models[model]}, {shown[name]}",
        )
    for row in range(1, len(found)):
        axes.axhline(row - 0.5, color="0.85", linewidth=0.8)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2, frameon=False)


def _measure(
    whole: LabelledSet, name: str, candidates: Candidates, execution: Execution
) -> tuple[dict[str, Mapping[str, Interval]], dict[str, Mapping[str, Interval]]]:
    """Figures of poses and of boxes, by model. The damaged images are gone afterwards."""
    assert whole.source.images is not None
    with TemporaryDirectory() as folder:
        labels = write_damaged(whole.source.path, whole.source.images, name, Path(folder))
        damaged = LabelledSet(f"{whole.name}, {name}", LabelSource(labels, Path(folder)))
        poses = measure_poses(damaged, candidates.poses, PoseRun(None, execution))
        boxed = read_boxes(damaged)
        boxes = {one.name: measure_detector(one, boxed, execution).figures for one in candidates.detectors}
    return {model: one.evaluation.figures for model, one in poses.items()}, boxes


def _table(found: Figures, shown: Mapping[str, str]) -> str:
    """A row a damage, a column a model and figure."""
    columns = {
        f"{model}/{name}": f"{title}, {model}" for name, title in shown.items() for model in next(iter(found.values()))
    }
    rows = {
        damage: {f"{model}/{name}": figures[name] for model, figures in models.items() for name in shown}
        for damage, models in found.items()
    }
    return figure_table("", rows, columns)


def _plain(found: Figures) -> dict[str, Any]:
    shown = {**POSES, **BOXES}
    return {
        damage: {
            model: {name: asdict(f) for name, f in figures.items() if name in shown} for model, figures in m.items()
        }
        for damage, m in found.items()
    }
