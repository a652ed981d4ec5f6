"""What an annotator does to the proposals of one image: whom to delete, correct and add, and what that takes (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotator.correction_cost import Costs, Effort
from annotator.proposal_outcomes import Outcome
from cvat_export.changes import Fate, hull, match_instances
from cvat_export.dataset import LabelledImage
from cvat_export.labels import Instance, Visibility, box_iou
from cvat_export.skeleton import Skeleton
from demo.hand import Hand

SAME_FROM_OKS = 0.1
SAME_FROM_IOU = 0.5  # of the boxes around the joints, where all joints are wrong


@dataclass(frozen=True)
class Work:
    """Counts as those of `annotator acceptance`: fates of subjects, outcomes of the joints of proposals that were kept.

    corrected: what it took; drawn: what the same result from nothing would have.
    """

    frames: int = 0
    fates: Mapping[Fate, int] = field(default_factory=Counter)
    outcomes: Mapping[Outcome, int] = field(default_factory=Counter)
    corrected: Effort = field(default_factory=Effort)
    drawn: Effort = field(default_factory=Effort)

    def __add__(self, other: Work) -> Work:
        return Work(
            self.frames + other.frames,
            Counter(self.fates) + Counter(other.fates),
            Counter(self.outcomes) + Counter(other.outcomes),
            self.corrected + other.corrected,
            self.drawn + other.drawn,
        )

    def __str__(self) -> str:
        subjects = ", ".join(f"{self.fates.get(fate, 0)} {fate}" for fate in Fate if fate is not Fate.MACHINE_ONLY)
        joints = ", ".join(f"{count} {outcome}" for outcome in Outcome if (count := self.outcomes.get(outcome, 0)))
        took, saved = self.corrected, self.drawn - self.corrected
        return (
            f"{self.frames} frames: {subjects}; joints of proposals that were kept: {joints or 'none'}; "
            f"{took.seconds:.0f} s and {took.clicks} clicks, {saved.seconds:.0f} s and {saved.clicks} clicks less than "
            "drawing all from nothing"
        )


@dataclass(frozen=True, eq=False)
class Correction:
    """deleted: positions of proposals. kept: position of a proposal -> what it becomes. added: whom nobody proposed."""

    deleted: tuple[int, ...]
    kept: Mapping[int, Instance]
    added: tuple[Instance, ...]
    work: Work


def correct_image(
    image: LabelledImage,
    proposals: Sequence[Instance],
    skeletons: Mapping[str, Skeleton],
    hand: Hand,
    costs: Costs | None = None,
) -> Correction:
    """Make the proposals true. image: who is there, each with a joint. skeletons: of all categories that occur."""
    costs, work = costs or Costs(), Work(frames=1)
    pairs = match_subjects(image.instances, proposals, skeletons)
    kept, added = {}, []
    for subject, true in enumerate(image.instances):
        skeleton = skeletons[true.category]
        places = hand.places(image, subject, skeleton)
        if (position := pairs.get(subject)) is None:
            added.append(hand.draw(true, places))
            work += _added_work(true, costs)
        else:
            kept[position] = hand.correct(proposals[position], true, places, skeleton)
            work += _kept_work(proposals[position], kept[position], costs)
    deleted = tuple(position for position in range(len(proposals)) if position not in kept)
    for _ in deleted:
        work += Work(fates={Fate.DELETED: 1}, corrected=costs.remove())
    return Correction(deleted, kept, tuple(added), work)


def match_subjects(
    people: Sequence[Instance], proposals: Sequence[Instance], skeletons: Mapping[str, Skeleton]
) -> dict[int, int]:
    """Position of a subject -> of its proposal: the most alike first, then whose boxes overlap most."""
    pairs: dict[int, int] = {}
    for category, skeleton in skeletons.items():
        mine = [n for n, one in enumerate(people) if one.category == category]
        theirs = [n for n, one in enumerate(proposals) if one.category == category]
        found = match_instances([people[n] for n in mine], [proposals[n] for n in theirs], skeleton, SAME_FROM_OKS)
        pairs |= {mine[a]: theirs[b] for a, b in found}
    overlaps = [
        (-float(box_iou(hull(person), hull(proposal))), a, b)
        for a, person in enumerate(people)
        for b, proposal in enumerate(proposals)
        if person.category == proposal.category
    ]
    for overlap, a, b in sorted(overlaps):
        if -overlap >= SAME_FROM_IOU and a not in pairs and b not in pairs.values():
            pairs[a] = b
    return pairs


def _added_work(true: Instance, costs: Costs) -> Work:
    effort = sum(map(costs.draw_joint, true.visibility.tolist()), costs.begin())
    return Work(fates={Fate.ADDED: 1}, corrected=effort, drawn=effort)


def _kept_work(before: Instance, after: Instance, costs: Costs) -> Work:
    dragged = (before.xy != after.xy).any(axis=1)
    joints = list(zip(before.visibility.tolist(), after.visibility.tolist(), dragged.tolist(), strict=True))
    touched = bool(dragged.any() or (before.visibility != after.visibility).any())
    return Work(
        fates={Fate.EDITED if touched else Fate.CONFIRMED: 1},
        outcomes=Counter(outcome for joint in joints if (outcome := _outcome(*joint)) is not None),
        corrected=sum((costs.correct_joint(*joint) for joint in joints), Effort()),
        drawn=sum((costs.draw_joint(visibility) for _, visibility, _ in joints), costs.begin()),
    )


def _outcome(before: int, after: int, dragged: bool) -> Outcome | None:
    """What became of a joint with these visibilities; None where nobody labelled it."""
    hidden = Visibility.NOT_LABELLED
    if before == after == hidden:
        return None
    if hidden in (before, after):
        return Outcome.ADDED if before == hidden else Outcome.DELETED
    if dragged:
        return Outcome.MOVED
    return Outcome.LEFT_ALONE if before == after else Outcome.OCCLUSION
