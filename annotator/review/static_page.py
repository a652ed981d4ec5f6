"""report.html of a review: frames worst first, with what is known of each, for those who have no FiftyOne."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError
from annotator.job_links import job_link
from annotator.known_frames import FrameKey
from annotator.proposal_outcomes import NOBODY
from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, write_page
from annotator.review.frames import Review, ReviewedFrame, ReviewedSubject
from annotator.review.tags import TaggedFrame
from cvat_export.atomic import write_bytes
from cvat_export.drawing import TRUTH_COLOUR, DrawingStyle, draw_instances
from cvat_export.skeleton import Skeleton
from frame_tools.errors import FrameToolsError
from frame_tools.images import encode_image, read_image, shrink

_PICTURE_SIDE_PX = 960
_NOBODY_SAID = "not reviewed"

Tags = Mapping[FrameKey, TaggedFrame]


def write_review_page(output: Path, review: Review, tags: Tags, pictures: int) -> int:
    """Write OUTPUT/report.html with at most `pictures` frames, worst first; how many are shown.

    Raises AnnotatorError where the folder holds something else.
    """
    if output.exists() and any(output.iterdir()) and not (output / REPORT_FILE).exists():
        raise AnnotatorError(f"{output}: is not empty and holds no earlier page; choose another folder")
    (output / PICTURES).mkdir(parents=True, exist_ok=True)
    ranked = sorted(review.frames, key=lambda frame: (frame.is_empty, -round(frame.doubt, 4)))
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda frame: _tile(output, frame, review.skeletons, tags), ranked[:pictures])
        tiles = [tile for tile in made if tile is not None]
    more = f" {len(ranked) - len(tiles)} more are not shown." if len(tiles) < len(ranked) else ""
    sheet = contact_sheet(
        "Frames, worst first",
        tiles,
        lead="Left is blue, right is orange; a ring is an occluded joint. What people made of a proposal, or the truth "
        f"that it is measured by, is white.{more}",
    )
    lead = "What was proposed, what people made of it, and what is wrong with it."
    write_page(output / REPORT_FILE, f"Review of {review.folder.resolve().name}", lead, _summary(review), [sheet])
    return len(tiles)


def _summary(review: Review) -> dict[str, object]:
    errors = Counter(error for frame in review.frames for error in _kinds(frame))
    return {
        "frames": len(review.frames),
        "not reviewed": sum(not frame.finished for frame in review.frames),
        "suspect frames": sum(bool(frame.suspects) for frame in review.frames),
        **dict(errors.most_common()),
    }


def _kinds(frame: ReviewedFrame) -> Iterable[str]:
    """What is wrong with each of its subjects."""
    return (one.error for one in (*frame.proposals, *frame.truth_to_judge_by) if one.error)


def _tile(output: Path, frame: ReviewedFrame, skeletons: Mapping[str, Skeleton], tags: Tags) -> Tile | None:
    try:
        pixels = read_image(frame.path).pixels
    except FrameToolsError:
        return None
    pixels = _drawn(pixels, frame.truth_to_judge_by, skeletons, DrawingStyle(boxes=False, colour=TRUTH_COLOUR))
    pixels = _drawn(pixels, frame.proposals, skeletons, DrawingStyle())
    picture = f"{PICTURES}/{frame.path.stem}.jpg"
    write_bytes(output / picture, encode_image(shrink(pixels, _PICTURE_SIDE_PX), ".jpg", quality=80))
    return Tile(
        picture=picture,
        title=frame.file_name,
        lines=tuple(_lines(frame)),
        facets=_facets(frame, tags.get(frame.key)),
        keys=_keys(frame),
        links=job_link(frame.work.job, frame.work.address) if frame.work else (),
    )


def _drawn(
    pixels: npt.NDArray[np.uint8],
    subjects: Sequence[ReviewedSubject],
    skeletons: Mapping[str, Skeleton],
    style: DrawingStyle,
) -> npt.NDArray[np.uint8]:
    for category, skeleton in skeletons.items():
        instances = [one.instance for one in subjects if one.instance.category == category]
        pixels = draw_instances(pixels, instances, skeleton, style)
    return pixels


def _lines(frame: ReviewedFrame) -> Iterable[str]:
    if frame.lowest_oks is not None:
        yield f"lowest OKS {frame.lowest_oks:.2f}"
    if frame.moved_sigmas:
        yield f"a joint was moved {frame.moved_sigmas:.1f} σ"
    for number, one in enumerate(frame.proposals, start=1):
        yield from (f"subject {number}: {found.text}" for found in one.suspicions)
    if frame.origin.reason:
        yield frame.origin.reason


def _facets(frame: ReviewedFrame, tagged: TaggedFrame | None) -> dict[str, str | tuple[str, ...]]:
    who = frame.work.annotator if frame.work and frame.work.annotator else NOBODY
    facets: dict[str, str | tuple[str, ...]] = {
        "video": frame.video,
        "tag": tagged.tags if tagged else (),
        "error": frame.errors,
        "suspect": frame.suspects,
        "reviewed": f"by {who}" if frame.finished else _NOBODY_SAID,
    }
    return {name: value for name, value in facets.items() if value}


def _keys(frame: ReviewedFrame) -> dict[str, float]:
    keys = {"doubt": round(frame.doubt, 4), "moved, in sigmas": round(frame.moved_sigmas, 2)}
    return keys if frame.lowest_oks is None else {**keys, "lowest OKS": round(frame.lowest_oks, 4)}
