"""report.html of selected frames: which ones, why, and how they compare with all others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from annotator.acquisition.likeness import NEIGHBOUR_SECONDS
from annotator.acquisition.pool import SIGNALS
from annotator.acquisition.strategies import STRATEGIES
from annotator.frame_selection import Selected
from annotator.inputs import BadInput
from annotator.predictions import Prediction
from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, section, table, write_page
from annotator.report_charts import charts, histogram
from cvat_export.atomic import write_bytes
from cvat_export.drawing import DrawingStyle, RgbImage, draw_instances
from cvat_export.skeleton import Skeleton
from frame_tools.images import ManifestEntry, encode_image, read_image, shrink

_PICTURE_SIDE_PX = 640
_MEANINGS = {
    "peaks": "entropy of several peaks a joint, in nats: ln 2 = 0.69 for two equal ones",
    "flip": "1 − OKS of the pose and that of the mirrored crop",
    "shift": "1 − OKS of the pose and that of a crop moved by a twentieth of its box",
    "jump": f"1 − OKS with the more alike neighbour of the same video, at most {NEIGHBOUR_SECONDS:g} s away",
    "models": "1 − OKS of two models; a subject that only one finds counts as 0",
    "detector": "1 − IoU of the detector's box and that of the joints",
}


def write_selection_report(
    folder: Path,
    selected: Selected,
    entries: Sequence[ManifestEntry],
    bad: Sequence[BadInput],
    summary: Mapping[str, object],
) -> None:
    """Write FOLDER/report.html. entries: best first, their pictures in the folder already."""
    (folder / PICTURES).mkdir(exist_ok=True)
    measured = selected.measured
    proposed = {} if measured is None else {(p.source.sha256, p.source.pts): p for p in measured.predictions}
    skeleton = None if measured is None else measured.skeleton
    tiles = [_tile(folder, entry, proposed.get((entry.sha256, entry.pts)), skeleton) for entry in entries]
    lead = (
        "A share such as “above 93% of frames” is that of the candidates with a lower value. Distances "
        "are between embeddings: two frames drawn by lot are about 2 apart. The poses are the model's proposals."
    )
    sections = [contact_sheet("Frames, best first", tiles, lead=lead), *_signal_sections(selected)]
    if selected.notes:
        sections.insert(0, section("Worth knowing", table(("what",), [(note,) for note in selected.notes])))
    if bad:
        sections.append(section("Skipped frames", table(("file", "why"), [(one.file, one.error) for one in bad])))
    lead = "The frames that are worth a person's time next, and why."
    write_page(folder / REPORT_FILE, f"Selected frames in {folder.name}", lead, summary, sections)


def _signal_sections(selected: Selected) -> list[str]:
    """Where each signal of doubt lies for all candidates, and for those selected."""
    candidates = selected.pool.candidates
    picked = np.array([pick.index for pick in selected.picks], np.intp)
    rows, figures = [], []
    for name in SIGNALS:
        values = selected.pool.signals.get(name, np.zeros(0))
        known = values[candidates][~np.isnan(values[candidates])] if len(values) else values
        if not len(known):
            continue
        chosen = values[picked][~np.isnan(values[picked])]
        of_chosen = f"{np.median(chosen):.2f}" if len(chosen) else "-"
        rows.append((name, _MEANINGS[name], f"{len(known)}", f"{np.median(known):.2f}", of_chosen))
        figures.append(histogram(f"{name}, all candidates", known))
    if not rows:
        return []
    header = ("signal", "what it is, the mean over subjects", "frames", "median of candidates", "median of selected")
    return [section("Signals of doubt", table(header, rows), charts(*figures))]


def _tile(folder: Path, entry: ManifestEntry, prediction: Prediction | None, skeleton: Skeleton | None) -> Tile:
    drawn = _drawn(read_image(folder / entry.file).pixels, prediction, skeleton)
    name = f"{Path(entry.file).stem}.jpg"
    write_bytes(folder / PICTURES / name, encode_image(shrink(drawn, _PICTURE_SIDE_PX), ".jpg", quality=80))
    seconds = float(entry.pts * entry.time_base)
    return Tile(
        picture=f"{PICTURES}/{name}",
        title=entry.file,
        lines=(f"{seconds:.3f} s, frame {entry.ordinal}", *entry.reason.split("; ")),
        facets={"video": entry.source, **_reason_facets(entry.reason)},
        keys={"rank": entry.quality["rank"], "time": seconds},
        target=entry.file,
    )


def _reason_facets(reason: str) -> dict[str, tuple[str, ...]]:
    """The strategies and the signals of doubt that a reason names."""
    return {
        "strategy": tuple(name for name in STRATEGIES if re.search(rf"(^|; ){name}:", reason)),
        "signal": tuple(name for name, kind in SIGNALS.items() if kind.words.partition(" (")[0] in reason),
    }


def _drawn(pixels: RgbImage, prediction: Prediction | None, skeleton: Skeleton | None) -> RgbImage:
    if prediction is None:
        return pixels
    # Without joint scores: seventeen numbers a person would hide the pose.
    instances = [replace(instance, joint_scores=None) for instance in prediction.labelled("subject").instances]
    return draw_instances(pixels, instances, skeleton, DrawingStyle(scores=True))
