"""What people did to the proposals, counted: by joint, video, annotator and model, and from round to round.

Only frames of finished jobs count: what nobody looked at is no acceptance. Joints are counted in proposals that people
kept; a proposal that was deleted, or a subject that was added, counts once, as a subject.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotator.correction_cost import Costs, Effort
from annotator.proposal_outcomes import Frame, JointOutcome, Outcome, Round, Subject, read_rounds
from cvat_export.changes import Fate
from trainers.metrics.bootstrap import Interval, draw_groups, interval, resample_ratio

ANY_RULE = "any rule"
PEOPLE_DIFFER_SIGMAS = 1.0  # two people's labels of a joint lie about as far apart
_NOT_PROPOSED = (None, Outcome.ADDED)
_Z = 1.959964  # of a normal distribution 95 % lie within as many standard deviations
_RESAMPLES, _SEED = 1000, 0


@dataclass(frozen=True)
class Spread:
    """How far joints were moved, of those that were."""

    median: float
    p90: float


@dataclass(frozen=True)
class Tally:
    """What was done to a part of the proposals.

    fates: subjects; a part by joint has none. outcomes: joints of kept proposals. Shares of added are of the truth, all
    others of what was proposed. moved_far: the share moved by PEOPLE_DIFFER_SIGMAS or more. saved: share of the seconds
    of drawing from nothing that correcting did not take.
    """

    frames: int
    fates: Mapping[Fate, int]
    outcomes: Mapping[Outcome, int]
    fate_shares: Mapping[Fate, Interval]
    outcome_shares: Mapping[Outcome, Interval]
    moved_far: Interval
    moved_px: Spread | None
    moved_sigmas: Spread | None
    corrected: Effort
    drawn: Effort
    saved: Interval


@dataclass(frozen=True)
class SuspectFigures:
    """Proposals that a rule suspected. changed: edited or deleted in any way; right: see `Subject`."""

    rule: str
    suspects: int
    right: Interval
    changed: Interval


@dataclass(frozen=True)
class Acceptance:
    """Everything counted. parts: what they are by (joint, video, annotator, model) -> name -> tally.

    not_suspected: the share of the proposals no rule suspected that people changed. repeated_frames: those that an
    earlier round has already, with the same proposals; counted there.
    """

    rounds: tuple[str, ...]
    total: Tally
    parts: Mapping[str, Mapping[str, Tally]]
    trend: tuple[Tally, ...]
    suspects: tuple[SuspectFigures, ...]
    not_suspected: Interval
    moves_sigmas: tuple[float, ...]
    empty_frames: int
    unfinished_frames: int
    unfinished_subjects: int
    repeated_frames: int


def measure_acceptance(rounds: Sequence[Round], costs: Costs) -> Acceptance:
    """Count what people did in one or several rounds, in order. Raises as `read_rounds` does."""
    frames, repeated = read_rounds(rounds, costs)
    finished = [frame for frame in frames if frame.finished]
    unfinished = [frame for frame in frames if not frame.finished]
    rules = {rule: None for frame in finished for subject in frame.subjects for rule in subject.doubts}
    return Acceptance(
        rounds=tuple(one.name for one in rounds),
        total=_tally(finished),
        parts={
            "joint": _by_joint(rounds, finished),
            **{by: _by(by, finished) for by in ("video", "annotator", "model")},
        },
        trend=tuple(_tally([f for f in finished if f.round == number]) for number in range(len(rounds))),
        suspects=tuple(_suspect_figures(rule, finished) for rule in (ANY_RULE, *rules)),
        not_suspected=_share([[s.fate is not Fate.CONFIRMED for s in _proposals(f) if not s.doubts] for f in finished]),
        moves_sigmas=tuple(j.moved_sigmas for j in _joints(finished) if j.moved_sigmas is not None),
        empty_frames=sum(all(subject.fate is Fate.DELETED for subject in frame.subjects) for frame in finished),
        unfinished_frames=len(unfinished),
        unfinished_subjects=sum(len(frame.subjects) for frame in unfinished),
        repeated_frames=repeated,
    )


def joint_tallies(one: Round) -> dict[str, Tally]:
    """What was done to each joint, in the skeletons' order. Raises as `read_rounds` does."""
    frames, _ = read_rounds([one], Costs(), suspects=False)
    return _by_joint([one], [frame for frame in frames if frame.finished])


def wilson_interval(share: float, count: int) -> Interval:
    """The 95 % interval of a share of `count` independent observations (Wilson, 1927); NaN where there are none.

    Unlike resampling it says something where the share is 0 or 1.
    """
    if not count:
        return Interval(math.nan, math.nan, math.nan)
    middle = share + _Z**2 / (2 * count)
    reach = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    return Interval(share, max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


def _tally(frames: Sequence[Frame]) -> Tally:
    fates = Counter(subject.fate for frame in frames for subject in frame.subjects)
    efforts = [[(subject.corrected, subject.drawn) for subject in frame.subjects] for frame in frames]
    joints = [[joint for subject in frame.subjects for joint in subject.joints] for frame in frames]
    shares = {}
    for fate in (Fate.CONFIRMED, Fate.EDITED, Fate.DELETED, Fate.ADDED):
        apart = Fate.DELETED if fate is Fate.ADDED else Fate.ADDED
        shares[fate] = _share([[s.fate is fate for s in frame.subjects if s.fate is not apart] for frame in frames])
    return _combine(len(frames), fates, shares, joints, efforts, _saved_share(efforts))


def _by(what: str, frames: Sequence[Frame]) -> dict[str, Tally]:
    parts: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        parts[getattr(frame, what)].append(frame)
    return {name: _tally(parts[name]) for name in sorted(parts)}


def _by_joint(rounds: Sequence[Round], frames: Sequence[Frame]) -> dict[str, Tally]:
    """In the skeletons' order; of categories that share a joint's name, all together."""
    names = dict.fromkeys(joint for one in rounds for skeleton in one.skeletons.values() for joint in skeleton.joints)
    parts: dict[str, list[list[JointOutcome]]] = {name: [] for name in names}
    for frame in frames:
        mine: dict[str, list[JointOutcome]] = defaultdict(list)
        for joint in _joints([frame]):
            mine[joint.joint].append(joint)
        for name, joints in mine.items():
            parts[name].append(joints)
    nothing = Interval(math.nan, math.nan, math.nan)
    tallies = {}
    for name, per_frame in parts.items():
        efforts = [[(joint.corrected, joint.drawn) for joint in joints] for joints in per_frame]
        tallies[name] = _combine(len(per_frame), {}, {}, per_frame, efforts, nothing)
    return tallies


def _combine(
    frames: int,
    fates: Mapping[Fate, int],
    fate_shares: Mapping[Fate, Interval],
    joints: Sequence[Sequence[JointOutcome]],
    efforts: Sequence[Sequence[tuple[Effort, Effort]]],
    saved: Interval,
) -> Tally:
    """joints, efforts: frame by frame; an effort of correcting beside that of drawing."""
    outcomes = [[joint.outcome for joint in row if joint.outcome is not None] for row in joints]
    shares = {}
    for outcome in Outcome:
        apart = Outcome.DELETED if outcome is Outcome.ADDED else Outcome.ADDED
        shares[outcome] = _share([[one is outcome for one in row if one is not apart] for row in outcomes])
    flat = [joint for row in joints for joint in row]
    counts = Counter(one for row in outcomes for one in row)
    return Tally(
        frames=frames,
        fates={fate: fates[fate] for fate in fate_shares},
        outcomes={outcome: counts[outcome] for outcome in Outcome},
        fate_shares=fate_shares,
        outcome_shares=shares,
        moved_far=_share([[_is_far(one) for one in row if one.outcome not in _NOT_PROPOSED] for row in joints]),
        moved_px=_spread([joint.moved_px for joint in flat]),
        moved_sigmas=_spread([joint.moved_sigmas for joint in flat]),
        corrected=sum((corrected for row in efforts for corrected, _ in row), Effort()),
        drawn=sum((drawn for row in efforts for _, drawn in row), Effort()),
        saved=saved,
    )


def _share(hits: Sequence[Sequence[bool]]) -> Interval:
    """The share of all; its interval takes each frame for one observation, as it is corrected in one go."""
    flat = [hit for row in hits for hit in row]
    return wilson_interval(sum(flat) / len(flat) if flat else math.nan, sum(map(bool, map(len, hits))))


def _is_far(joint: JointOutcome) -> bool:
    return joint.moved_sigmas is not None and joint.moved_sigmas >= PEOPLE_DIFFER_SIGMAS


def _saved_share(efforts: Sequence[Sequence[tuple[Effort, Effort]]]) -> Interval:
    """Frames resampled; NaN where nothing would have been drawn, and ends NaN where there is a single frame."""
    seconds = np.array(
        [(sum((c.seconds for c, _ in row), 0.0), sum((d.seconds for _, d in row), 0.0)) for row in efforts]
    )
    if not len(seconds) or not seconds[:, 1].any():
        return Interval(math.nan, math.nan, math.nan)
    value = 1 - float(seconds[:, 0].sum() / seconds[:, 1].sum())
    if len(seconds) == 1:
        return Interval(value, math.nan, math.nan)
    ratios = resample_ratio(draw_groups(len(seconds), _RESAMPLES, _SEED), seconds[:, 0], seconds[:, 1])
    return interval(value, 1 - ratios, len(seconds))


def _suspect_figures(rule: str, frames: Sequence[Frame]) -> SuspectFigures:
    mine = [[s for s in _proposals(frame) if (s.doubts if rule == ANY_RULE else rule in s.doubts)] for frame in frames]
    right = [[any(s.doubts.values()) if rule == ANY_RULE else s.doubts[rule] for s in row] for row in mine]
    changed = [[s.fate is not Fate.CONFIRMED for s in row] for row in mine]
    return SuspectFigures(rule, sum(map(len, mine)), _share(right), _share(changed))


def _proposals(frame: Frame) -> list[Subject]:
    return [subject for subject in frame.subjects if subject.fate is not Fate.ADDED]


def _joints(frames: Iterable[Frame]) -> Iterator[JointOutcome]:
    return (joint for frame in frames for subject in frame.subjects for joint in subject.joints)


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread(float(np.median(known)), float(np.quantile(known, 0.9))) if known else None
