"""From videos to a selection of their frames: look at every frame once, perhaps ask a detector, choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from annotator.detector import Detector
from annotator.errors import AnnotatorError
from cvat_export.labels import Boxes
from frame_tools.analysis import CANDIDATES, Analysis, Analyst
from frame_tools.decoding import DecodedPicture
from frame_tools.frame import Frame
from frame_tools.hard_cases import NEED_DETECTION, kinds_of
from frame_tools.novelty import embed
from frame_tools.quality import subject_sharpness
from frame_tools.sampling import Timeline
from frame_tools.selection import Candidates
from frame_tools.timing import Span
from frame_tools.video import Video

_DETECTED_FRAMES = 300  # that a detector looks at, of all videos together, or three times the count if that is more
LOOKS_A_SECOND = 12
_FEWEST_CANDIDATES = 64  # of one video, however many there are
_BATCH = 8

Progress = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Subjects:
    """What a detector found in one frame. sharpness: of its sharpest subject; None where it found nobody."""

    count: int
    sharpness: float | None
    kinds: frozenset[str]


@dataclass(frozen=True, eq=False)
class Footage:
    """A video and all that choosing its frames needs. subjects: row of the table -> what a detector found there."""

    video: Video
    analysis: Analysis
    subjects: dict[int, Subjects] | None = None

    @property
    def timeline(self) -> Timeline:
        """What choosing among all frames needs."""
        table = self.analysis.table
        return Timeline(table.seconds, table.scene, table.sharpness, table.blank)

    @property
    def candidates(self) -> Candidates:
        """The frames that are compared by their looks: with a detector, those that it has seen."""
        rows, thumbnails = candidate_rows(self.analysis)
        sharpness = self.analysis.table.sharpness[rows]
        if self.subjects is None:
            return Candidates(rows, embed(thumbnails), sharpness)
        seen = np.isin(rows, list(self.subjects))
        rows, thumbnails, sharpness = rows[seen], thumbnails[seen], sharpness[seen].copy()
        found = [self.subjects[row] for row in rows.tolist()]
        for index, subjects in enumerate(found):
            if subjects.sharpness is not None:
                sharpness[index] = subjects.sharpness
        kinds = {kind: np.array([kind in subjects.kinds for subjects in found], bool) for kind in NEED_DETECTION}
        counts = np.array([subjects.count for subjects in found], np.int64)
        return Candidates(rows, embed(thumbnails), sharpness, counts, kinds)

    def figures(self, row: int) -> dict[str, float]:
        """What the manifest says of the quality of a frame."""
        table = self.analysis.table
        figures = {name: float(getattr(table, name)[row]) for name in ("sharpness", "brightness", "contrast", "change")}
        figures["scene"] = int(table.scene[row]) + 1
        subjects = (self.subjects or {}).get(row)
        if subjects is not None:
            figures["subjects"] = subjects.count
            if subjects.sharpness is not None:
                figures["subject_sharpness"] = subjects.sharpness
        return figures


def looks_stride(video: Video, method: str) -> int:
    """Every how many'th frame is worth a look: about twelve a second where neighbours need not be told apart."""
    rate = video.facts.frame_rate
    return max(1, round(rate / LOOKS_A_SECOND)) if rate and method in ("diverse", "scenes") else 1


def detected_each(count: int | None, videos: int) -> int:
    """How many frames of each of so many videos the detector looks at. count: of the frames wanted, of all together."""
    return max(1, max(_DETECTED_FRAMES, 3 * (count or 0)) // videos)


def candidates_each(videos: int) -> int:
    """How many frames of a video are kept for comparison where so many share the memory."""
    return max(_FEWEST_CANDIDATES, CANDIDATES // videos)


def look_at(
    video: Video,
    span: Span,
    progress: Progress,
    stride: int = 1,
    videos: int = 1,
    keep_blurred: bool = False,
    watch: Callable[[DecodedPicture], object] | None = None,
) -> Footage:
    """One pass over the video, in which every stride'th frame is looked at.

    videos: how many share the memory for candidates. keep_blurred: whether blurred frames may be wanted. watch: who
    else wants to see every picture. Raises AnnotatorError when the span holds no frame.
    """
    analyst = Analyst(video, candidates_each(videos), keep_blurred)
    for number, decoded in enumerate(video.pictures(span)):
        if number % stride == 0:
            analyst.look(decoded)
        if watch is not None:
            watch(decoded)
        progress(1)
    analysis = analyst.result()
    if not len(analysis.table):
        raise AnnotatorError(
            f"{video.path}: no frames between {span.start or 'the start'} and {span.end or 'the end'}; "
            "check --start and --end"
        )
    return Footage(video, analysis)


def detect(footage: Footage, detector: Detector, limit: int, progress: Progress) -> Footage:
    """The footage with what the detector finds in at most `limit` of its candidates, spread over the video."""
    table = footage.analysis.table
    rows, _ = candidate_rows(footage.analysis)
    if len(rows) > limit:
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]
    by_pts = {int(table.pts[row]): row for row in rows.tolist()}
    subjects: dict[int, Subjects] = {}
    batch: list[Frame] = []
    for frame in footage.video.frames_at([table.mark(row) for row in rows.tolist()]):
        batch.append(frame)
        if len(batch) == _BATCH:
            subjects |= _detect_batch(batch, detector, footage.video.path.name, by_pts)
            progress(len(batch))
            batch = []
    subjects |= _detect_batch(batch, detector, footage.video.path.name, by_pts)
    progress(len(batch))
    return Footage(footage.video, footage.analysis, subjects)


def candidate_rows(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the table in order and their thumbnails: the sharpest of each moment and, if kept, the least sharp."""
    both = np.concatenate([analysis.rows, analysis.blurred_rows])
    thumbnails = np.concatenate([analysis.thumbnails, analysis.blurred_thumbnails])
    rows, first = np.unique(both, return_index=True)
    return rows, thumbnails[first]


def _detect_batch(batch: Sequence[Frame], detector: Detector, name: str, by_pts: dict[int, int]) -> dict[int, Subjects]:
    prepared = [detector.prepare(name, frame.image) for frame in batch]
    found = detector.detect(prepared) if prepared else []
    return {by_pts[frame.id.pts]: _subjects(frame, boxes) for frame, boxes in zip(batch, found, strict=True)}


def _subjects(frame: Frame, boxes: Boxes) -> Subjects:
    height, width = frame.image.shape[:2]
    sharpest = max((subject_sharpness(frame.image, box) for box in boxes.bbox_xyxy), default=None)
    return Subjects(len(boxes), sharpest, kinds_of(boxes.bbox_xyxy, width, height))
