"""report.html of acceptance: advice, tables and plots of what people did to the proposals."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from annotator.acceptance import Acceptance
from annotator.acceptance_tables import (
    JOINT_LEAD,
    format_saved,
    format_share,
    proposed_joints,
    saved,
    suspect_table,
    tally_table,
)
from annotator.correction_cost import Costs
from annotator.proposal_outcomes import Outcome
from annotator.report import bullets, section, table, write_page
from annotator.report_charts import charts, curves, histogram, stacked_bars
from cvat_export.changes import Fate

_FAR_SIGMAS = 10.0  # the end of the histogram, which holds all beyond it
_MOST_ROWS = 200
_NAME_LENGTH = 18  # letters that fit beside a bar
_OF_PROPOSED = (Outcome.LEFT_ALONE, Outcome.MOVED, Outcome.OCCLUSION, Outcome.SWAPPED, Outcome.DELETED)
_LEAD = "What people did to the proposals, in the frames of finished jobs."
_PART_LEAD = (
    "Confirmed, edited, deleted and added are subjects; then come the joints of proposals that were kept; what was "
    "saved is of all together."
)
_SUSPECT_LEAD = (
    "Right: deleted, or changed at one of the joints that the rule named. Changed: edited in any way, or deleted."
)
_COST_LEAD = (
    "An estimate, nobody was timed: seconds of the keystroke-level model (Card, Moran and Newell, 1980) for the "
    "actions of CVAT's page, and a glance at each proposed joint. --seconds sets your own."
)


def write_acceptance_report(path: Path, acceptance: Acceptance, costs: Costs, advice: tuple[str, ...]) -> None:
    """Write the page, which needs no pictures beside it."""
    sections = [
        section("Advice", bullets(advice or ("nothing is sure enough to be advised on",))),
        section("Joints", charts(*_joint_charts(acceptance)), _table("joint", acceptance), lead=JOINT_LEAD),
        *_trend(acceptance),
        *(section(f"By {what}", _table(what, acceptance), lead=_PART_LEAD) for what in _worthwhile(acceptance)),
        section("Suspects", _html(suspect_table(acceptance)), lead=_SUSPECT_LEAD),
        section("Seconds", table(("action", "seconds"), _cost_rows(costs)), lead=_COST_LEAD),
    ]
    write_page(path, f"Acceptance of {', '.join(acceptance.rounds)}", _LEAD, _summary(acceptance), sections)


def _summary(acceptance: Acceptance) -> dict[str, object]:
    total = acceptance.total
    proposals = sum(count for fate, count in total.fates.items() if fate is not Fate.ADDED)
    return {
        "frames finished": total.frames,
        "frames not finished, not counted": acceptance.unfinished_frames,
        "frames with nobody": acceptance.empty_frames,
        "proposals": proposals,
        "proposals left alone": format_share(total.fate_shares[Fate.CONFIRMED]),
        "joints left alone": format_share(total.outcome_shares[Outcome.LEFT_ALONE]),
        "saved, estimated": format_saved(total),
        "clicks saved, estimated": saved(total).clicks,
    }


def _joint_charts(acceptance: Acceptance) -> list[str]:
    tallies = acceptance.parts["joint"]
    bars = {
        _fitting(name): [t.outcomes[part] for part in _OF_PROPOSED] for name, t in tallies.items() if proposed_joints(t)
    }
    moves = histogram("moved by, sigmas", acceptance.moves_sigmas, 0, _FAR_SIGMAS)
    return [stacked_bars("What became of each proposed joint", [str(part) for part in _OF_PROPOSED], bars), moves]


def _fitting(name: str) -> str:
    """A joint's name with its middle left out where it is long: names differ at their ends."""
    half = (_NAME_LENGTH - 1) // 2
    return name if len(name) <= _NAME_LENGTH else f"{name[:half]}…{name[-half:]}"


def _trend(acceptance: Acceptance) -> list[str]:
    """Nothing of a single round."""
    if len(acceptance.rounds) < 2:
        return []
    rounds = range(1, len(acceptance.rounds) + 1)
    outcomes = (Outcome.LEFT_ALONE, Outcome.MOVED)
    series = {f"joints {one}": [t.outcome_shares[one].value for t in acceptance.trend] for one in outcomes}
    series["joints moved far"] = [t.moved_far.value for t in acceptance.trend]
    series["proposals left alone"] = [t.fate_shares[Fate.CONFIRMED].value for t in acceptance.trend]
    series["time saved, or 0"] = [
        max(0.0, t.saved.value) if not math.isnan(t.saved.value) else math.nan for t in acceptance.trend
    ]
    plot = curves("Shares by round", {name: (rounds, shares) for name, shares in series.items()}, "round", "share")
    tallies = dict(zip(acceptance.rounds, acceptance.trend, strict=True))
    return [section("Rounds", charts(plot), _html(tally_table("round", tallies)))]


def _worthwhile(acceptance: Acceptance) -> list[str]:
    """What a table is to be by: not by video where each frame counts as one."""
    single = 1 < len(acceptance.parts["video"]) == acceptance.total.frames
    return ["model", "annotator", *([] if single else ["video"])]


def _table(what: str, acceptance: Acceptance) -> str:
    rows = tally_table(what, acceptance.parts[what])
    left_out = len(rows) - 1 - _MOST_ROWS
    more = f"<p>{left_out} more are in acceptance.json.</p>" if left_out > 0 else ""
    return _html(rows[: _MOST_ROWS + 1]) + more


def _html(rows: list[tuple[str, ...]]) -> str:
    return table(rows[0], rows[1:])


def _cost_rows(costs: Costs) -> list[tuple[str, str]]:
    return [(action, f"{seconds:.2f}") for action, seconds in asdict(costs).items()]
