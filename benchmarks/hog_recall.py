"""How many people does the built-in `hog` or another detector find, and how often does it see who is not there?

    python -m benchmarks.hog_recall people_one_by_one.mp4 [cars_no_people.mp4] [--detection model.onnx]

Recall and precision at IoU 0.5, against boxes drawn by hand in 100 evenly spaced frames of the first video (see
tests/truth). The intervals hold 95 % of 10,000 bootstrap resamples of stretches of frames, not of single frames:
neighbours show the same person in the same place. Of the second video, in which nobody is, the share of frames that
stay empty.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotator.detector import DetectionOptions, Detector, detect_image, load_detector
from cvat_export.coco import read_coco
from cvat_export.labels import Instance, box_iou
from frame_tools.frame import frame_file_name
from frame_tools.video import open_video
from trainers.runtimes import Execution

TRUTH = Path(__file__).parents[1] / "tests" / "truth" / "people_one_by_one_boxes.json"
SAME_FROM_IOU = 0.5
STRETCH = 10  # frames that are resampled together
RESAMPLES = 10_000
COUNTED_EVERY = 5  # frames of the video without people
CUT_BORDER_PX = 2


@dataclass(frozen=True)
class Outcome:
    """One frame. missed, found: people by whether the picture's border cuts them off ("cut off", "whole")."""

    found: tuple[str, ...]
    missed: tuple[str, ...]
    proposed: int


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, help="people_one_by_one.mp4")
    parser.add_argument("nobody", type=Path, nargs="?", help="a video without people")
    parser.add_argument("--min-score", type=float, default=DetectionOptions().min_score)
    parser.add_argument("--detection", default="hog", help="as preannotate takes it")
    arguments = parser.parse_args()
    detector = load_detector(arguments.detection, DetectionOptions(min_score=arguments.min_score), Execution())
    _print_table(detector.name, measure(arguments.people, detector))
    if arguments.nobody:
        empty, looked_at = count_empty(arguments.nobody, detector)
        print(f"{arguments.nobody.name}: {empty} of {looked_at} frames empty ({empty / looked_at:.3f})")


def measure(video: Path, detector: Detector) -> list[Outcome]:
    """The detector against the hand-drawn boxes, frame by frame."""
    truth = {image.file_name: image for image in read_coco(TRUTH).images}
    outcomes = []
    with open_video(video) as opened:
        for frame in opened.frames():
            name = frame_file_name("people_one_by_one", frame.id, ".jpg")
            if name in truth:
                boxes = detect_image(detector, name, frame.image).bbox_xyxy
                outcomes.append(_judge(truth[name].instances, boxes, (frame.image.shape[1], frame.image.shape[0])))
    if len(outcomes) != len(truth):
        raise SystemExit(f"{video}: has {len(outcomes)} of the {len(truth)} frames of {TRUTH}: not the video it is for")
    return outcomes


def count_empty(video: Path, detector: Detector) -> tuple[int, int]:
    """How many of the frames looked at stay without boxes, and how many these are."""
    with open_video(video) as opened:
        frames = islice(opened.frames(), None, None, COUNTED_EVERY)
        counts = [len(detect_image(detector, video.name, frame.image)) for frame in frames]
    return counts.count(0), len(counts)


def _judge(people: tuple[Instance, ...], boxes: npt.NDArray[np.float32], size: tuple[int, int]) -> Outcome:
    """Each box may find one person, the best pairs first."""
    table = np.array([box_iou(person.bbox_xyxy, boxes) for person in people]).reshape(len(people), len(boxes))
    found = set()
    while table.size and table.max() >= SAME_FROM_IOU:
        person, box = np.unravel_index(table.argmax(), table.shape)
        found.add(int(person))
        table[person], table[:, box] = 0, 0
    kinds = [_kind(person, size) for person in people]
    return Outcome(
        tuple(kind for i, kind in enumerate(kinds) if i in found),
        tuple(kind for i, kind in enumerate(kinds) if i not in found),
        len(boxes),
    )


def _kind(person: Instance, size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = person.bbox_xyxy
    cut = min(x1, y1) < CUT_BORDER_PX or x2 > size[0] - CUT_BORDER_PX or y2 > size[1] - CUT_BORDER_PX
    side = "cut off" if cut else "whole"
    height = "under 370 px" if y2 - y1 < 370 else "370 px and more"
    return f"{side}, {height}"


def _print_table(name: str, outcomes: list[Outcome]) -> None:
    people = sum(len(outcome.found + outcome.missed) for outcome in outcomes)
    print(f"{name} on {len(outcomes)} frames with {people} people, IoU {SAME_FROM_IOU}, 95 % intervals")
    found = np.array([len(outcome.found) for outcome in outcomes])
    print(_row("recall", found, np.array([len(outcome.found + outcome.missed) for outcome in outcomes])))
    for kind in sorted({kind for outcome in outcomes for kind in outcome.found + outcome.missed}):
        hits = np.array([outcome.found.count(kind) for outcome in outcomes])
        misses = np.array([outcome.missed.count(kind) for outcome in outcomes])
        print(_row(f"  {kind}", hits, hits + misses))
    print(_row("precision", found, np.array([outcome.proposed for outcome in outcomes])))
    nobody = np.array([not (outcome.found or outcome.missed) for outcome in outcomes])
    kept = nobody & np.array([not outcome.proposed for outcome in outcomes])
    print(_row("empty frames empty", kept.astype(int), nobody.astype(int)))


def _row(name: str, parts: npt.NDArray[np.int64], wholes: npt.NDArray[np.int64]) -> str:
    share = f"{parts.sum() / wholes.sum():.3f}" if wholes.sum() else "-"
    low, high = _interval(parts, wholes)
    return f"{name:28} {share:>6}  [{low:.3f}, {high:.3f}]  {parts.sum()} of {wholes.sum()}"


def _interval(parts: npt.NDArray[np.int64], wholes: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Of the ratio of the sums, over resampled stretches of frames."""
    starts = np.arange(0, len(parts), STRETCH)
    stretches = np.stack([np.add.reduceat(parts, starts), np.add.reduceat(wholes, starts)], axis=1)
    chosen = np.random.default_rng(0).integers(0, len(starts), (RESAMPLES, len(starts)))
    sums = stretches[chosen].sum(axis=1)
    ratios = sums[sums[:, 1] > 0]
    low, high = np.percentile(ratios[:, 0] / ratios[:, 1], [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
