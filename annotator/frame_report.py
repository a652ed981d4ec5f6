"""report.html of a frames folder: which frames were taken, where they lie in the video, and why."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from annotator.frame_choice import Footage
from annotator.frame_folder import describe_damage
from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, section, table, write_page
from cvat_export.atomic import write_bytes
from frame_tools.images import ManifestEntry, encode_image, read_image, shrink

_PICTURE_SIDE_PX = 640
_WIDTH, _HEIGHT, _TOP, _BASE = 1200, 130, 26, 110
_COLUMNS = 600  # of the sharpness curve


def write_frame_report(
    folder: Path, footage: Sequence[Footage], entries: Sequence[ManifestEntry], shortfalls: Sequence[str]
) -> None:
    """Write FOLDER/report.html: a timeline a video, a contact sheet with the reasons."""
    (folder / PICTURES).mkdir(exist_ok=True)
    by_source = {f.video.sha256: [e for e in entries if e.sha256 == f.video.sha256] for f in footage}
    frames = sum(len(item.analysis.table) for item in footage)
    summary = {
        "frames chosen": len(entries),
        "frames looked at": frames,
        "videos": len(footage),
        "scenes": sum(int(item.analysis.table.scene.max()) + 1 for item in footage),
        "damaged stretches": sum(len(item.video.damage) for item in footage),
    }
    sections = [section("Not to be had", table(("what",), [(line,) for line in shortfalls]))] if shortfalls else []
    damage = [(item.video.path.name, words) for item in footage for words in describe_damage(item.video)]
    if damage:
        sections.append(section("Damaged stretches", table(("video", "what"), damage)))
    timelines = [timeline_svg(item, by_source[item.video.sha256]) for item in footage]
    lead = "The curve is sharpness; dashed lines are cuts; each mark is a chosen frame, point at it for its reason."
    sections.append(section("Timeline", *timelines, lead=lead))
    sections.append(contact_sheet("Frames, in order of time", [_tile(folder, entry) for entry in entries]))
    lead = "The frames to label, in order of time, and why each was taken."
    write_page(folder / REPORT_FILE, f"Frames in {folder.name}", lead, summary, sections)


def timeline_svg(footage: Footage, entries: Sequence[ManifestEntry]) -> str:
    """One video from left to right as inline SVG."""
    table_ = footage.analysis.table
    seconds = table_.seconds
    start, end = float(seconds[0]), max(float(seconds[-1]), float(seconds[0]) + 1e-6)

    def x_of(time: float) -> float:
        return (time - start) / (end - start) * (_WIDTH - 8) + 4

    cuts = np.flatnonzero(np.diff(table_.scene)) + 1
    parts = [
        f'<line x1="{x_of(seconds[row]):.1f}" x2="{x_of(seconds[row]):.1f}" y1="{_TOP}" y2="{_BASE}" '
        f'stroke="var(--soft)" stroke-dasharray="3 3"><title>cut at {seconds[row]:.2f} s</title></line>'
        for row in cuts.tolist()
    ]
    parts.append(_curve(footage, x_of(start), x_of(end)))
    for entry in entries:
        time = float((entry.pts - footage.video.facts.first_pts) * entry.time_base)
        parts.append(
            f'<path d="M{x_of(time):.1f} {_TOP + 6}l-5 -12h10z" fill="var(--right)">'
            f"<title>{time:.2f} s: {escape(entry.reason)}</title></path>"
            f'<line x1="{x_of(time):.1f}" x2="{x_of(time):.1f}" y1="{_TOP}" y2="{_BASE}" stroke="var(--right)" '
            'stroke-opacity="0.45"/>'
        )
    parts += [
        f'<text x="4" y="{_HEIGHT - 4}">{start:.1f} s</text>',
        f'<text x="{_WIDTH - 4}" y="{_HEIGHT - 4}" text-anchor="end">{end:.1f} s</text>',
    ]
    name = escape(footage.video.path.name)
    svg = f'<svg role="img" aria-label="timeline of {name}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}">'
    return f"<p>{name}: {len(entries)} of the {len(table_)} frames looked at</p>{svg}{''.join(parts)}</svg>"


def _curve(footage: Footage, left: float, right: float) -> str:
    """The range of sharpness in each column, as one outline."""
    table_ = footage.analysis.table
    columns = min(_COLUMNS, len(table_))
    places = np.linspace(0, columns, len(table_), endpoint=False)
    if len(table_) > 1:
        span = max(float(table_.seconds[-1] - table_.seconds[0]), 1e-6)
        places = np.minimum((table_.seconds - table_.seconds[0]) / span * columns, columns - 1)
    column = places.astype(int)
    top = max(float(np.percentile(table_.sharpness, 99)), 1e-6)
    xs = left + (np.unique(column) + 0.5) / columns * (right - left)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    high = np.minimum(np.maximum.reduceat(table_.sharpness, starts) / top, 1)
    low = np.minimum(np.minimum.reduceat(table_.sharpness, starts) / top, 1)
    outline = [*zip(xs, high, strict=True), *reversed([*zip(xs, low, strict=True)])]
    points = " ".join(f"{x:.1f},{_BASE - value * (_BASE - _TOP):.1f}" for x, value in outline)
    return (
        f'<polygon points="{points}" fill="var(--accent)" fill-opacity="0.35" stroke="var(--accent)">'
        "<title>sharpness</title></polygon>"
    )


def _tile(folder: Path, entry: ManifestEntry) -> Tile:
    picture = shrink(read_image(folder / entry.file).pixels, _PICTURE_SIDE_PX)
    name = f"{Path(entry.file).stem}.jpg"
    write_bytes(folder / PICTURES / name, encode_image(picture, ".jpg", quality=80))
    seconds = float(entry.pts * entry.time_base)
    return Tile(
        picture=f"{PICTURES}/{name}",
        title=entry.file,
        lines=(f"{seconds:.3f} s, frame {entry.ordinal}", entry.reason),
        facets={"video": entry.source, "reason": _kind(entry.reason)},
        keys={"time": seconds, "sharpness": entry.quality.get("sharpness", 0.0)},
        target=entry.file,
    )


def _kind(reason: str) -> str:
    """`wanted: blurry`, `diverse`, `scene 2 of 3`: what a reason begins with."""
    head = reason.split(" (")[0]
    return head if head.startswith("wanted") else head.split(":")[0].split(",")[0]
