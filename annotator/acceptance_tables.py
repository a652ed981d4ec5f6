"""Acceptance as rows of words, for a terminal and a page, and as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from annotator.acceptance import Acceptance, Spread, SuspectFigures, Tally
from annotator.correction_cost import Costs, Effort
from annotator.proposal_outcomes import Outcome
from cvat_export.changes import Fate
from trainers.metrics.bootstrap import Interval

_FATES = (Fate.CONFIRMED, Fate.EDITED, Fate.DELETED, Fate.ADDED)
_JOINT_COLUMNS = (
    "joints",
    "left alone",
    "moved",
    "far",
    "px",
    "sigmas",
    "occlusion",
    "swapped",
    "joints added",
    "joints deleted",
)
JOINT_LEAD = (
    "Of proposals that people kept. A joint counts once: one that was moved and hidden was moved. Far: by a sigma "
    "or more, which is OKS's: two people's labels of that joint differ by about as much. px and sigmas: the median of "
    "those that were moved. Intervals take each frame for one observation."
)


def tally_table(what: str, tallies: Mapping[str, Tally]) -> list[tuple[str, ...]]:
    """A header and a row a tally. what: what the tallies are by."""
    fates = _FATES if all(tally.fates for tally in tallies.values()) else ()
    header = (what, "frames", *fates, *_JOINT_COLUMNS, "saved", "clicks saved")
    return [header, *(_row(name, tally, fates) for name, tally in tallies.items())]


def headline(acceptance: Acceptance) -> str:
    """What is counted, in a line."""
    total = acceptance.total
    fates = ", ".join(f"{total.fates[fate]} {fate}" for fate in _FATES)
    return f"{total.frames} finished frames, {acceptance.empty_frames} with nobody: {fates}"


def suspect_table(acceptance: Acceptance) -> list[tuple[str, ...]]:
    """A header and a row a rule; the last one is of the proposals that no rule suspected."""
    rows = [
        (one.rule, str(one.suspects), format_share(one.right), format_share(one.changed)) for one in acceptance.suspects
    ]
    proposals = sum(acceptance.total.fates[fate] for fate in _FATES if fate is not Fate.ADDED)
    others = ("not suspected", str(proposals - acceptance.suspects[0].suspects), "-")
    return [("rule", "proposals", "right", "changed"), *rows, (*others, format_share(acceptance.not_suspected))]


def as_json(acceptance: Acceptance, costs: Costs, advice: tuple[str, ...]) -> dict[str, Any]:
    """Everything, as JSON can say it: None for what is not known."""
    return {
        "rounds": [{"name": n, **_tally(t)} for n, t in zip(acceptance.rounds, acceptance.trend, strict=True)],
        "total": _tally(acceptance.total),
        **{f"by_{what}": {n: _tally(t) for n, t in part.items()} for what, part in acceptance.parts.items()},
        "suspects": [_suspects(one) for one in acceptance.suspects],
        "not_suspected_changed": _interval(acceptance.not_suspected),
        "empty_frames": acceptance.empty_frames,
        "unfinished_frames": acceptance.unfinished_frames,
        "unfinished_subjects": acceptance.unfinished_subjects,
        "repeated_frames": acceptance.repeated_frames,
        "costs_seconds": asdict(costs),
        "advice": list(advice),
    }


def format_share(share: Interval) -> str:
    """As '61 % (52 to 70)'; a dash where there is nothing to have a share of."""
    if math.isnan(share.value):
        return "-"
    ends = "" if math.isnan(share.low) else f" ({round(100 * share.low)} to {round(100 * share.high)})"
    return f"{round(100 * share.value)} %{ends}"


def format_seconds(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for unit, size in (("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{round(seconds)} s"


def format_saved(tally: Tally) -> str:
    """Seconds, and their share with its interval where it is known."""
    effort = saved(tally)
    return format_seconds(effort.seconds) + ("" if math.isnan(tally.saved.value) else f", {format_share(tally.saved)}")


def saved(tally: Tally) -> Effort:
    """What drawing from nothing would have taken more than correcting did."""
    return tally.drawn - tally.corrected


def proposed_joints(tally: Tally) -> int:
    """Of proposals that were kept."""
    return sum(tally.outcomes.values()) - tally.outcomes[Outcome.ADDED]


def _row(name: str, tally: Tally, fates: tuple[Fate, ...]) -> tuple[str, ...]:
    shares, counts = tally.outcome_shares, tally.outcomes
    return (
        name,
        str(tally.frames),
        *(str(tally.fates[fate]) for fate in fates),
        str(proposed_joints(tally)),
        format_share(shares[Outcome.LEFT_ALONE]),
        format_share(shares[Outcome.MOVED]),
        format_share(tally.moved_far),
        f"{tally.moved_px.median:.1f}" if tally.moved_px else "-",
        f"{tally.moved_sigmas.median:.1f}" if tally.moved_sigmas else "-",
        *(str(counts[one]) for one in (Outcome.OCCLUSION, Outcome.SWAPPED, Outcome.ADDED, Outcome.DELETED)),
        format_saved(tally),
        str(saved(tally).clicks),
    )


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "frames": tally.frames,
        "subjects": {str(fate): count for fate, count in tally.fates.items()},
        "subject_shares": {str(fate): _interval(share) for fate, share in tally.fate_shares.items()},
        "joints": {str(outcome): count for outcome, count in tally.outcomes.items()},
        "joint_shares": {str(outcome): _interval(share) for outcome, share in tally.outcome_shares.items()},
        "moved_far_share": _interval(tally.moved_far),
        "moved_px": _spread(tally.moved_px),
        "moved_sigmas": _spread(tally.moved_sigmas),
        "corrected": asdict(tally.corrected),
        "drawn": asdict(tally.drawn),
        "saved": asdict(saved(tally)),
        "saved_share": _interval(tally.saved),
    }


def _suspects(one: SuspectFigures) -> dict[str, Any]:
    intervals = {"right": _interval(one.right), "changed": _interval(one.changed)}
    return {"rule": one.rule, "proposals": one.suspects, **intervals}


def _interval(share: Interval) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in vars(share).items()}


def _spread(spread: Spread | None) -> dict[str, float] | None:
    return asdict(spread) if spread else None
