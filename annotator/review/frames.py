"""What there is to show of each frame: frozen values over labels, whatever folder they come from (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from annotator.known_frames import FrameKey, file_key
from annotator.proposal_outcomes import JointOutcome
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from cvat_export.suspects import Suspicion

FALSE_POSITIVE, FALSE_NEGATIVE = "false positive", "false negative"


@dataclass(frozen=True, eq=False)
class ReviewedSubject:
    """One instance as one source has it, and what is known of it beyond that.

    oks: of a proposal to its truth. error: what is wrong with it, as `errors.judge` words it; None where nobody knows.
    joint_errors: (joints) the same of each. fate: what people made of a proposal; of a correction, how it came to be.
    outcomes: (joints) likewise, of a proposal. suspicions: of a proposal. made_of: the place among its frame's
    proposals of that which a correction was made of.
    """

    instance: Instance
    oks: float | None = None
    error: str | None = None
    joint_errors: tuple[str, ...] = ()
    fate: str | None = None
    outcomes: tuple[JointOutcome, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    made_of: int | None = None

    @property
    def moved_px(self) -> float:
        """The longest way that a person moved a joint."""
        return max((joint.moved_px or 0.0 for joint in self.outcomes), default=0.0)

    @property
    def moved_sigmas(self) -> float:
        """The same in OKS's sigmas, by which two people's labels of a joint differ."""
        return max((joint.moved_sigmas or 0.0 for joint in self.outcomes), default=0.0)


@dataclass(frozen=True)
class Origin:
    """Where a frame comes from and why it was taken. pts: of the frame, None for an image that is its own source.

    seconds: since the video began. quality: the manifest's figures. role: `evaluation` or `training` in a project.
    """

    sha256: str | None = None
    pts: int | None = None
    seconds: float | None = None
    reason: str = ""
    quality: Mapping[str, float] = field(default_factory=dict)
    role: str | None = None
    round: int | None = None


@dataclass(frozen=True)
class Work:
    """A frame's place in CVAT. frame: its number in the task. address: of its job, where the pull wrote that down."""

    task: int
    frame: int
    job: int | None
    address: str | None
    annotator: str | None


@dataclass(frozen=True, eq=False)
class ReviewedFrame:
    """A frame with all that is known of it. path: of its picture. width, height: pixels, upright.

    truth: given labels, or a project's evaluation set. finished: whether people are done with it. was_proposed: whether
    models were asked at all. models: which ones.
    """

    file_name: str
    path: Path
    width: int
    height: int
    video: str
    origin: Origin = Origin()
    work: Work | None = None
    proposals: tuple[ReviewedSubject, ...] = ()
    corrections: tuple[ReviewedSubject, ...] = ()
    truth: tuple[ReviewedSubject, ...] = ()
    finished: bool = False
    has_truth: bool = False
    was_proposed: bool = True
    models: str = ""

    @property
    def key(self) -> FrameKey:
        """By which it is known in every folder."""
        return file_key(self.file_name)

    @cached_property
    def errors(self) -> tuple[str, ...]:
        """What is wrong with its subjects, each kind once."""
        return tuple(dict.fromkeys(one.error for one in (*self.proposals, *self.truth_to_judge_by) if one.error))

    @property
    def truth_to_judge_by(self) -> tuple[ReviewedSubject, ...]:
        """Given labels, or else what people made of it where they are done."""
        return self.truth if self.has_truth else self.corrections if self.finished else ()

    @property
    def is_judged(self) -> bool:
        """Whether there is something to judge proposals by."""
        return self.was_proposed and (self.has_truth or self.finished)

    @cached_property
    def lowest_oks(self) -> float | None:
        """Of its true subjects, 0 where one was not found; None where nothing was measured."""
        measured = [one.oks for one in (*self.proposals, *self.truth_to_judge_by) if one.oks is not None]
        return min(measured, default=None)

    @cached_property
    def doubt(self) -> float:
        """How wrong its proposals are, 0 to 1: 1 less the lowest OKS; 1 for a subject that is not there.

        Where nothing was measured how likely they are wrong: 1 less the weakest subject's mean joint score.
        """
        if self.is_judged:
            return 1.0 if FALSE_POSITIVE in self.errors else 1.0 - (1.0 if self.lowest_oks is None else self.lowest_oks)
        scores = [one.instance.joint_scores for one in self.proposals]
        means = [float(np.mean(joints)) for joints in scores if joints is not None and len(joints)]
        return 1.0 - min(means, default=1.0)

    @property
    def suspects(self) -> tuple[str, ...]:
        """The rules that doubt its proposals."""
        return tuple(dict.fromkeys(found.rule for one in self.proposals for found in one.suspicions))

    @property
    def moved_sigmas(self) -> float:
        """The longest way of a joint of any subject."""
        return max((one.moved_sigmas for one in self.proposals), default=0.0)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in it, as far as is known."""
        return not (self.proposals or self.corrections or self.truth)


@dataclass(frozen=True, eq=False)
class Review:
    """A folder's frames. skeletons: category -> its joints. notes: in words, what is not shown and why."""

    folder: Path
    skeletons: Mapping[str, Skeleton]
    frames: tuple[ReviewedFrame, ...]
    notes: tuple[str, ...] = ()
