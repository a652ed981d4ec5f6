"""report.html of pulled corrections: what the models proposed and what people made of it, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from annotator.acceptance import joint_tallies
from annotator.acceptance_tables import JOINT_LEAD, tally_table
from annotator.change_rows import CONFIRMED_EMPTY, Row, change_lines
from annotator.job_links import job_links
from annotator.proposal_outcomes import NOBODY, Round, video_facet
from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, section, table, write_page
from cvat_export.atomic import write_bytes
from cvat_export.dataset import Dataset
from cvat_export.drawing import DrawingStyle, draw_instances
from cvat_export.instance_rows import parse_row
from frame_tools.errors import FrameToolsError
from frame_tools.images import encode_image, read_image, shrink
from trainers.splits import image_groups

MOST_PICTURES = 500
_PICTURE_SIDE_PX = 1200  # both halves together
_GAP_PX = 8


def write_correction_report(out: Path, dataset: Dataset, frames: Sequence[Row], fates: Mapping[str, int]) -> None:
    """Write OUT/report.html: finished frames, those in which most was changed first."""
    finished = sorted((frame for frame in frames if frame["finished"]), key=lambda frame: -_effort(frame))
    shown = finished[:MOST_PICTURES]
    (out / PICTURES).mkdir(exist_ok=True)
    names = [image.file_name for image in dataset.images]
    groups = dict(zip(names, image_groups(dataset.images, "auto", out.name)[0], strict=True))
    with ThreadPoolExecutor() as pool:
        drawn = pool.map(lambda frame: _tile(out, dataset, frame, groups[frame["file_name"]]), shown)
        tiles = [tile for tile in drawn if tile is not None]
    summary = {"images finished": len(finished), "images not finished": len(frames) - len(finished), **fates}
    more = f" {len(finished) - len(shown)} more are not shown." if len(finished) > len(shown) else ""
    sections = [
        section("Joints", _joint_table(dataset, finished), lead=JOINT_LEAD),
        contact_sheet(
            "Images, most changed first",
            tiles,
            lead=f"Left: what was proposed. Right: what people made of it. Only finished jobs count.{more}",
        ),
    ]
    lead = "What people did to the proposals."
    write_page(out / REPORT_FILE, f"Corrections in {out.name}", lead, summary, sections)


def _effort(frame: Row) -> float:
    """How much was done to a frame: joints that changed, and whole skeletons."""
    instances = frame["instances"]
    return sum(len(i["joints"]) for i in instances) + 20 * sum(i["fate"] in ("added", "deleted") for i in instances)


def _tile(out: Path, dataset: Dataset, frame: Row, group: str) -> Tile | None:
    try:
        pixels = read_image(out / "images" / frame["file_name"]).pixels
    except FrameToolsError:
        return None
    halves = [_drawn(pixels, dataset, frame, which) for which in ("proposed", "corrected")]
    gap = np.full((len(pixels), _GAP_PX, 3), 255, np.uint8)
    name = f"{PurePosixPath(frame['file_name']).stem}.jpg"
    both = np.hstack([halves[0], gap, halves[1]])
    write_bytes(out / PICTURES / name, encode_image(shrink(both, _PICTURE_SIDE_PX), ".jpg", quality=80))
    fates = [instance["fate"] for instance in frame["instances"]]
    lines = [f"{fates.count(fate)} {fate}" for fate in dict.fromkeys(fates)] or ["nobody, confirmed"]
    return Tile(
        picture=f"{PICTURES}/{name}",
        title=frame["file_name"],
        lines=tuple(lines),
        facets={
            **video_facet(group, frame["file_name"]),
            "fate": tuple(dict.fromkeys(fates)) or (CONFIRMED_EMPTY,),
            "annotator": frame["assignee"] or NOBODY,
        },
        keys={"change": _effort(frame)},
        links=job_links(frame),
    )


def _drawn(pixels: np.ndarray, dataset: Dataset, frame: Row, which: str) -> np.ndarray:
    for category in dataset.categories:
        instances = [
            parse_row(row[which], row["category"])
            for row in frame["instances"]
            if row[which] is not None and row["category"] == category.name
        ]
        pixels = draw_instances(pixels, instances, category.skeleton, DrawingStyle())
    return pixels


def _joint_table(dataset: Dataset, frames: Sequence[Row]) -> str:
    skeletons = {c.name: c.skeleton for c in dataset.categories if c.skeleton is not None}
    names = {frame["file_name"]: frame["file_name"] for frame in frames}
    tallies = joint_tallies(Round("", list(change_lines(frames)), skeletons, names))
    rows = tally_table("joint", {name: tally for name, tally in tallies.items() if tally.frames})
    return table(rows[0], rows[1:]) if len(rows) > 1 else "no proposal was kept"
