"""Acceptance on disk: the folders that it is measured of, and the folder that it is written into."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from annotator.acceptance import Acceptance
from annotator.acceptance_report import write_acceptance_report
from annotator.acceptance_tables import as_json
from annotator.change_rows import read_changes
from annotator.correction_cost import Costs
from annotator.known_frames import FrameKey, file_key
from annotator.proposal_outcomes import Round, video_name
from annotator.report import REPORT_FILE
from cvat_export.atomic import write_text
from cvat_export.coco import read_coco
from cvat_export.dataset import LabelledImage
from trainers.splits import image_groups

RESULT_FILE = "acceptance.json"


def read_round(folder: Path, name: str, group: str, only: Collection[FrameKey] | None = None) -> Round:
    """What `annotator pull` wrote, as a round. group: see `image_groups`. only: these frames, all by default.

    Raises AnnotatorError, CvatExportError or TrainersError.
    """
    rows = [row for row in read_changes(folder) if only is None or file_key(row["file_name"]) in only]
    sizes = {row["file_name"]: (row["width"], row["height"]) for row in rows}
    images = [LabelledImage(file_name, *size, ()) for file_name, size in sizes.items()]
    groups, _ = image_groups(images, group, str(folder))
    videos = {image.file_name: video_name(one, image.file_name) for image, one in zip(images, groups, strict=True)}
    skeletons = {c.name: c.skeleton for c in read_coco(folder).categories if c.skeleton is not None}
    return Round(name, rows, skeletons, videos)


def write_acceptance(output: Path, measured: Acceptance, costs: Costs, advice: Sequence[str]) -> None:
    """The figures, and the page."""
    output.mkdir(parents=True, exist_ok=True)
    write_acceptance_report(output / REPORT_FILE, measured, costs, tuple(advice))
    result = as_json(measured, costs, tuple(advice))
    write_text(output / RESULT_FILE, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
