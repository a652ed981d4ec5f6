"""What people made, divided into what is learnt from, what is measured by, and what is neither, with reasons (pure).

Truth is what a person confirmed, edited or added in a finished job. Whatever might carry the evaluation set into a
training, or a proposal that nobody looked at into either, is left out here and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError
from annotator.journal import FrameRow
from annotator.known_frames import FrameKey, file_key
from cvat_export.changes import ROUNDING_PX, Fate
from cvat_export.dataset import Dataset, LabelledImage
from cvat_export.labels import Instance
from trainers.near_doubles import PicturePrint, alike

BY_PEOPLE = frozenset({Fate.CONFIRMED, Fate.EDITED, Fate.ADDED})

BAD = "somebody tagged it as a bad frame in review"

PULL_AGAIN = "annotator round undo --to pull, then annotator round next, pulls again"


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """An image with what people made of it. origin: `pulled`, or the import that brought it. print: of its picture."""

    origin: str
    image: LabelledImage
    print: PicturePrint

    @property
    def key(self) -> FrameKey:
        """By its name."""
        return file_key(self.image.file_name)


@dataclass(frozen=True)
class LeftOut:
    """An image that is neither learnt from nor measured by, or a subject of one."""

    origin: str
    file_name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Division:
    """training: origin -> its images. evaluation: pulled images of the set that is kept for measuring."""

    training: Mapping[str, tuple[LabelledImage, ...]]
    evaluation: tuple[LabelledImage, ...]
    left_out: tuple[LeftOut, ...]


def check_truth(dataset: Dataset, rows: Iterable[Mapping[str, Any]], where: str) -> None:
    """Whether each image and each subject of a pulled dataset is what its change rows say is truth.

    rows: of changes.jsonl. Raises AnnotatorError: files that do not belong together would let proposals in.
    """
    wanted: dict[str, int] = defaultdict(int)
    unfinished = set()
    for row in rows:
        if not row["finished"]:
            unfinished.add(row["file_name"])
        else:
            wanted[row["file_name"]] += row["fate"] in BY_PEOPLE
    for image in dataset.images:
        if image.file_name in unfinished or image.file_name not in wanted:
            raise AnnotatorError(f"{where}: {image.file_name} is of no finished job; {PULL_AGAIN}")
        if len(image.instances) != wanted[image.file_name]:
            raise AnnotatorError(
                f"{where}: {image.file_name} has {len(image.instances)} subjects, but people confirmed, edited or "
                f"added {wanted[image.file_name]}; {PULL_AGAIN}"
            )


def divide(
    frames: Sequence[LabelledFrame],
    drawn: Mapping[str, PicturePrint],
    roles: Sequence[FrameRow],
    apart_seconds: float,
    bad_frames: Collection[FrameKey] = (),
) -> Division:
    """Divide labelled frames. roles: the frames of the journal; those of the evaluation set are measured by.

    drawn: name -> picture of all frames of that set, whether people have finished them or not: what is learnt from now
    may be measured by them later. bad_frames: that somebody tagged as such, which are not learnt from.
    An image of a training that is the same as one of the evaluation set, or looks the same, or is of the same video
    and nearer to one than `apart_seconds`, is left out; so is an import of an evaluation frame: that set is people's
    own work in this project, and nothing else.
    """
    known = {file_key(row.file): row for row in roles} | {(row.sha256[:8], row.pts): row for row in roles}
    held_out = {key for key, row in known.items() if row.role == "evaluation"}
    evaluation = [frame for frame in frames if frame.key in held_out and frame.origin == "pulled"]
    others = [frame for frame in frames if not (frame.key in held_out and frame.origin == "pulled")]
    reasons = _likenesses(others, drawn)
    times = [row for row in roles if row.role == "evaluation" and row.seconds is not None]
    training: dict[str, list[LabelledImage]] = defaultdict(list)
    left_out = []
    for number, frame in enumerate(others):
        reason = reasons.get(number) or _closeness(frame, known, held_out, times, apart_seconds)
        if frame.key in bad_frames:
            reason = BAD
        if reason:
            left_out.append(LeftOut(frame.origin, frame.image.file_name, reason))
        else:
            training[frame.origin].append(frame.image)
    return Division(
        {origin: tuple(images) for origin, images in training.items()},
        tuple(frame.image for frame in evaluation),
        tuple(left_out),
    )


@dataclass(frozen=True, eq=False)
class Proposed:
    """What models have proposed, in whatever frame: files may be renamed. xy: (n, joints, 2). labelled: (n, joints)."""

    xy: npt.NDArray[np.float32]
    labelled: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, instances: Sequence[Instance], joints: int) -> Proposed:
        """Of those instances that have so many joints."""
        mine = [one for one in instances if len(one.xy) == joints]
        xy = np.array([one.xy for one in mine], np.float32).reshape(-1, joints, 2)
        return cls(xy, np.array([one.labelled for one in mine], bool).reshape(-1, joints))

    def has(self, one: Instance) -> bool:
        """Whether all joints lie where those of a proposal do, but for the rounding of files."""
        if not one.labelled.any():
            return False
        alike = self.xy[(self.labelled == one.labelled).all(axis=1)][:, one.labelled]
        apart = np.linalg.norm(alike - one.xy[one.labelled], axis=2)
        return bool((apart <= ROUNDING_PX).all(axis=1).any())


def without_proposals(frame: LabelledFrame, proposed: Proposed) -> tuple[LabelledFrame, list[LeftOut]]:
    """An imported frame without the subjects that are, joint by joint, as a model of this project proposed them.

    A file does not say whether somebody looked at these. proposed: in every round.
    """
    kept = tuple(one for one in frame.image.instances if not proposed.has(one))
    lost = len(frame.image.instances) - len(kept)
    reason = "a subject is exactly as a model proposed it: nobody may have looked at it; pull it from CVAT instead"
    notes = [LeftOut(frame.origin, frame.image.file_name, reason)] * lost
    return replace(frame, image=replace(frame.image, instances=kept)), notes


def _likenesses(others: Sequence[LabelledFrame], drawn: Mapping[str, PicturePrint]) -> dict[int, str]:
    """Which of the others show the picture of an evaluation frame, and why that is said."""
    files = {one.sha256: name for name, one in drawn.items()}
    found = {
        number: f"the same picture as {files[frame.print.sha256]}, which is kept for measuring"
        for number, frame in enumerate(others)
        if frame.print.sha256 in files
    }
    if not (others and drawn):
        return found
    names, together = list(drawn), [*(frame.print for frame in others), *drawn.values()]
    for first, twins in alike(np.stack([one.cells for one in together])):
        for second in twins.tolist():
            low, high = sorted((first, second))
            if low < len(others) <= high:
                name = names[high - len(others)]
                found.setdefault(low, f"looks the same as {name}, which is kept for measuring")
    return found


def _closeness(
    frame: LabelledFrame,
    known: Mapping[FrameKey, FrameRow],
    held_out: Collection[FrameKey],
    times: Sequence[FrameRow],
    apart_seconds: float,
) -> str | None:
    if frame.key in held_out:
        return "is kept for measuring, and was imported: only what was corrected here is measured by"
    row = known.get(frame.key)
    if row is None or row.seconds is None:
        return None
    for other in times:
        gap = abs(row.seconds - (other.seconds or 0))
        if other.sha256 == row.sha256 and gap < apart_seconds:
            return f"{gap:.2f} s from {other.file}, which is kept for measuring"
    return None
